"""The way into NEW with Riak as the new store: its word decides, whenever the mover dies."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from changeover.demo.server import PrivateMariaDB
from changeover.errors import HandoverUnsettled, MoveRefused
from changeover.phase import Phase
from tests.phases.stages import FORCE, SETTINGS, Stage
from tests.riak.double.running import Running, running
from tests.support.accounts import run
from tests.support.pipeline import Pipeline, schema_of


@pytest.fixture
def riak() -> Iterator[Running]:
    with running(3) as riak:
        yield riak


@pytest.fixture
def stage(mariadb: PrivateMariaDB, riak: Running, tmp_path: Path) -> Iterator[Stage]:
    tables = ("CREATE TABLE item (id INT PRIMARY KEY)", "INSERT INTO item VALUES (1), (2)")
    with schema_of(mariadb, "taken_riak", *tables) as schema:
        nodes = ",".join(str(node.address) for node in riak.nodes)
        target = f'url = "riak://{nodes}"\nbucket_type = "mult"\nordering = "siblings"'
        with Pipeline(mariadb, schema, tmp_path, target=target, extra=SETTINGS) as pipeline:
            pipeline.until(lambda now: now.is_import_applied)
            stage = Stage(pipeline)
            stage.to_both_read_new()
            yield stage
        run(mariadb, "SET GLOBAL read_only = 0")


def test_the_word_that_riak_was_given_decides_whenever_the_mover_dies(stage: Stage, riak: Running) -> None:
    stage.killed("advance", "epoch_reserved")
    stage.killed("back", "back_told")
    told = stage.handover()
    assert told is not None
    assert not told.is_new
    assert stage.step("back").state.phase is Phase.BOTH_READ_NEW

    stage.killed("advance", "decided")
    told = stage.handover()
    assert told is not None
    assert (told.is_new, told.is_settled) == (True, False)
    answer = stage.step("back")
    assert (answer.is_made, answer.state.phase) == (False, Phase.NEW)
    told = stage.handover()
    assert told is not None
    assert told.is_settled
    assert (told.epoch, told.attempt) == (answer.state.new_epoch, answer.state.attempt - 1)
    assert stage.is_frozen()
    with pytest.raises(MoveRefused, match="no way back"):
        stage.step("back")
    assert FORCE in (stage.moves()[-2].forced or "")

    # In NEW there is one thing left that Riak may lack: without it, it is asked for again.
    for node in riak.nodes:
        node.hang_up()
    with pytest.raises(HandoverUnsettled, match="the phase is NEW"):
        stage.step("advance")
    assert stage.state().phase is Phase.NEW
