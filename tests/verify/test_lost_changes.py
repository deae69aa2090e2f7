"""A capture that loses changes: every key that it spoils is found, by nothing less than comparing values."""

import json
import sys
import time
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from changeover.demo.server import PrivateMariaDB
from changeover.verify.comparing import Answer, Pair
from changeover.verify.verdicts import State
from changeover.verify.verifier import Verifier, verifying
from tests.support.hot_writer import tables
from tests.support.pipeline import Pipeline, schema_of
from tests.support.processes import environment
from tests.verify.test_under_load import UNSYNCED, VERIFY, loaded


class Load(NamedTuple):
    """How much is written, to how many rows."""

    seconds: int
    rate: int
    rows: int


Spoilt = tuple[str, tuple[object, ...], str, tuple[str, ...]]
"""A table, a key, a kind, the columns that differ."""


@pytest.mark.parametrize(
    ("every", "load"),
    [(500, Load(6, 2_500, 20_000)), pytest.param(10_000, Load(100, 4_200, 300_000), marks=pytest.mark.full)],
)
@pytest.mark.timeout(600)
def test_every_key_is_found_that_a_capture_spoils_by_losing_one_change_in_so_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int, load: Load
) -> None:
    dropped, lost_min = tmp_path / "dropped", load.seconds * load.rate / every / 4
    monkeypatch.setenv("DROP_EVERY", str(every))
    monkeypatch.setenv("DROPPED", str(dropped))
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    with (
        PrivateMariaDB(options=UNSYNCED) as server,
        schema_of(server, "lossy", *tables(load.rows)) as schema,
        losing(Pipeline(server, schema, tmp_path, extra=VERIFY)) as pipeline,
    ):
        pipeline.until(lambda now: now.is_import_applied, 120)
        with verifying(pipeline.settings) as verifier:
            # On a busy machine it takes longer to lose as many.
            began_s, longest = time.monotonic(), load._replace(seconds=load.seconds + 40)
            with loaded(pipeline, *longest) as writer:
                while writer.poll() is None:
                    verifier.scan(verifier.tables)  # while it is written to, too
                    pipeline.supervisor.poll()
                    if time.monotonic() > began_s + load.seconds and lost_in(dropped) >= lost_min:
                        writer.terminate()
                        writer.wait()
            pipeline.drain()
            spoilt = as_the_oracle_says(pipeline)
            verdicts = verifier.scan(verifier.tables)
            assert found_by(verifier) == spoilt
            assert {verdict.state for verdict in verdicts if verdict.findings_open} == {State.DIFFERENCES}
            with monkeypatch.context() as counting:
                counting.setattr("changeover.verify.judge.answer_of", by_counts)
                verifier.scan(verifier.tables)
                assert found_by(verifier) < spoilt, "the comparing is for nothing: counts find the same"
    lost = lost_in(dropped)
    sys.stderr.write(f"{lost} changes lost, {len(spoilt)} keys spoilt in the end, others changed again\n")
    assert lost >= lost_min
    assert spoilt


def lost_in(dropped: Path) -> int:
    """How many changes the capture has lost by now."""
    return len(dropped.read_text().splitlines()) if dropped.exists() else 0


def losing(pipeline: Pipeline) -> Pipeline:
    """The pipeline with a capture that loses changes."""
    part = pipeline.supervisor.part("capture")
    part.arguments = ["tests.support.dropping_capture" if one == "cdc" else one for one in part.arguments]
    assert "tests.support.dropping_capture" in part.arguments
    return pipeline


def as_the_oracle_says(pipeline: Pipeline) -> AbstractSet[Spoilt]:
    """What the oracle of the demo finds, which shares no code with the verifier."""
    compared = pipeline.compare("hot", "citizen")
    assert compared.difference_count == len(compared.differences)
    return {(one.table, one.key, one.kind.value, one.columns) for one in compared.differences}


def found_by(verifier: Verifier) -> AbstractSet[Spoilt]:
    """What is open."""
    return {
        (
            one.table_name.partition(".")[2],
            tuple(json.loads(one.key).values()),
            one.kind.value,
            one.columns,
        )
        for one in verifier.findings.open()
    }


def by_counts(pair: Pair[Any], *, adopts: bool = False) -> Answer:
    """What a verifier would say that counts rows."""
    del adopts
    is_there = pair.held is not None and pair.held.body is not None
    return Answer.EQUAL if is_there == (pair.source is not None) else Answer.DIFFERS
