"""Who wrote in OLD reads it from the new database: a gate, and what it costs to go against it."""

from collections.abc import Iterator

import pytest

from changeover.demo.sql import SQLServer
from changeover.dualwrite import DualStore
from changeover.dualwrite.answer import Answer, Origin
from changeover.phase import Phase
from changeover.phases.gates import Gate
from changeover.phases.operator import Operator
from changeover.settings import Settings
from tests.phases.stages import FORCE, SETTINGS, Stage
from tests.support.pipeline import Pipeline, schema_of

NAME = "writes of OLD"
TABLE = "item"
TABLES = ("CREATE TABLE item (id INT PRIMARY KEY, name VARCHAR(50))", "INSERT INTO item VALUES (1, 'first')")
EXTRA = """lease_s = 0.05
[application]
url = "mysql://{user}@{host}:{port}/{schema}"
password = "{password}"
compared_share = 0.0
read_timeout_s = 30.0
"""


@pytest.fixture(scope="module", params=["mariadb", "mysql"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    server: SQLServer = request.getfixturevalue(request.param)
    with schema_of(server, "remembered", *TABLES) as schema:
        extra = SETTINGS + EXTRA.format(
            user=server.user, host=server.host, port=server.port, schema=schema, password=server.password
        )
        with Pipeline(server, schema, tmp_path_factory.mktemp(request.param), extra=extra) as pipeline:
            pipeline.until(lambda now: now.is_import_applied)
            yield Stage(pipeline)


@pytest.fixture
def stage(running: Stage) -> Stage:
    running.to_old()
    return running


def gate_of(stage: Stage) -> Gate:
    """The gate before BOTH_READ_NEW, as it is now."""
    with stage.control() as control, stage.pipeline.open_log() as log:
        (ahead, *_) = Operator(stage.settings, control, log).plan()
    assert ahead.to is Phase.BOTH_READ_NEW
    (gate,) = [gate for gate in ahead.gates if gate.name == NAME]
    return gate


def until_it_holds(stage: Stage) -> Gate:
    stage.pipeline.until(lambda _: gate_of(stage).holds)
    return gate_of(stage)


def settings_of(stage: Stage) -> Settings:
    return Settings.load(stage.pipeline.config)


def write(store: DualStore, name: str) -> None:
    with store.transaction() as tx:
        tx.execute("UPDATE item SET name = %s WHERE id = 1", (name,))
        tx.changed(TABLE, id=1)


def name_in_new(stage: Stage, store: DualStore) -> str:
    """What the new database answers, once the process knows that it is the one to ask."""
    answers: list[Answer] = []

    def is_new() -> bool:
        answers.append(store.get(TABLE, id=1))
        return answers[-1].origin is Origin.NEW

    stage.pipeline.until(lambda _: is_new())
    return name(answers[-1])


def name(answer: Answer) -> str:
    assert answer.value is not None
    return str(answer.value["name"])


def test_who_wrote_in_old_reads_it_once_the_new_database_is_read_and_by_force_he_may_not(
    stage: Stage,
) -> None:
    with DualStore(settings_of(stage)) as store:
        before = name(store.get(TABLE, id=1))
        with stage.behind():
            write(store, "of OLD")
            assert stage.step("advance", force=FORCE).state.phase is Phase.BOTH_READ_OLD
            refused = stage.step("advance")
            assert not refused.is_made
            (shut,) = [gate for gate in refused.gates if gate.name == NAME]
            assert (shut.holds, shut.figure) == (False, "not applied")
            assert stage.step("advance", force=FORCE).is_made
            assert name_in_new(stage, store) == before  # so it is what the gate is for
            stage.step("back")
            assert not gate_of(stage).holds  # nor does it forget by that
        assert until_it_holds(stage).figure == "applied"
        assert stage.step("advance", force=FORCE).is_made  # against the others
        assert name_in_new(stage, store) == "of OLD"
    assert NAME in {gate["name"] for gate in stage.moves()[1].evidence if not gate["holds"]}
    assert NAME not in {gate["name"] for gate in stage.moves()[-1].evidence if not gate["holds"]}


def test_a_mover_that_dies_before_it_has_noted_where_old_ended_leaves_that_to_the_next(stage: Stage) -> None:
    stage.killed("advance", "row_committed")
    assert (stage.state().phase, stage.state().fence) == (Phase.BOTH_READ_OLD, None)
    gate = gate_of(stage)
    assert (gate.holds, gate.figure) == (False, "unknown")
    assert "changeover phase advance looks where OLD ended" in gate.mend
    assert not stage.step("advance").is_made  # the verdict's gate is shut as well
    assert stage.state().fence is not None
    assert until_it_holds(stage).figure == "applied"
