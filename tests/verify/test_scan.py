"""How a scan ends: it goes on where it was stopped, and is never clean of what it has not judged."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from changeover.demo.sql import SQLServer
from changeover.epoch import Epoch
from changeover.mysql.control import PHASE
from changeover.progress import Watermark
from changeover.settings import Settings
from changeover.verify.applied import Applied
from changeover.verify.comparing import Answer, Pair, answer_of
from changeover.verify.findings import Kind
from changeover.verify.judge import Judge, Judgement, forgotten
from changeover.verify.recent import Recent
from changeover.verify.scans import ScanBooks, ScanState, Stage
from changeover.verify.verdicts import State
from changeover.verify.verifier import Verifier, verifying
from changeover.version import Version
from tests.support.pipeline import Pipeline, schema_of
from tests.verify.moved import FAST, moved, target_file

ROWS = 950
TABLES = (
    "CREATE TABLE citizen (id INT PRIMARY KEY, name VARCHAR(50))",
    f"INSERT INTO citizen SELECT seq, CONCAT('citizen ', seq) FROM seq_1_to_{ROWS}",
)


@pytest.fixture(scope="module")
def pipeline(mariadb: SQLServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    with moved(mariadb, tmp_path_factory.mktemp("scanned"), TABLES, name="scanned") as pipeline:
        yield pipeline


@pytest.fixture
def verifier(pipeline: Pipeline) -> Iterator[Verifier]:
    with verifying(pipeline.settings) as verifier:
        yield verifier


@contextmanager
def patched(settings: Settings, **verify: float) -> Iterator[Verifier]:
    """A verifier with other settings."""
    other = settings.model_copy(update={"verify": settings.verify.model_copy(update=verify)})
    with verifying(other) as verifier:
        yield verifier


def test_a_scan_that_was_stopped_goes_on_where_it_was_and_is_as_old_as_its_first_read(
    pipeline: Pipeline, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("changeover.verify.scan.SAVE_S", 0.0)
    seen: list[ScanState] = []
    (before,) = verifier.scan(verifier.tables, should_stop=lambda: len(seen) >= 4, tell=seen.append)
    assert before.state is State.NOT_FINISHED
    (table,) = verifier.tables
    saved = ScanBooks(verifier.control).open(table)
    assert (saved.stage, saved.rows_compared, saved.place) == (Stage.SOURCE, 400, b'{"id":400}')
    with verifying(pipeline.settings) as another:
        went_on: list[ScanState] = []
        (after,) = another.scan(another.tables, tell=went_on.append)
    assert went_on[0].rows_compared == 500
    assert (after.state, after.rows, after.as_of) == (State.CLEAN, ROWS, saved.lowest)
    assert ScanBooks(verifier.control).open(table).rows_compared == 0  # the next one begins anew


def test_a_walk_that_was_stopped_goes_on_where_it_was(
    verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("changeover.verify.scan.SAVE_S", 0.0)
    monkeypatch.setattr("changeover.targets.sqlite_keys.KEYS_PER_PAGE", 300)
    states: list[ScanState] = []
    verifier.scan(verifier.tables, should_stop=lambda: walked(states) >= 600, tell=states.append)
    went_on: list[ScanState] = []
    (verdict,) = verifier.scan(verifier.tables, tell=went_on.append)
    assert went_on[0].keys_walked > walked(states)
    assert verdict.state is State.CLEAN


def walked(states: list[ScanState]) -> int:
    return states[-1].keys_walked if states else 0


def test_a_target_that_does_not_get_to_what_was_read_is_a_gap_and_never_clean(
    pipeline: Pipeline,
) -> None:
    apply = pipeline.supervisor.part("apply").process
    assert apply is not None
    apply.terminate()
    apply.wait()
    with patched(pipeline.settings, wait_s_max=0.5) as verifier:
        (verdict,) = verifier.scan(verifier.tables)
        assert verdict.state is State.GAP
        assert "within 0.5 s the target has not applied through" in verdict.why
    # A supervisor leaves a part alone that was told to stop; it is started again by hand.
    part = pipeline.supervisor.part("apply")
    part.exit_status = None
    pipeline.supervisor._start(part)
    with verifying(pipeline.settings) as verifier:
        (verdict,) = verifier.scan(verifier.tables)
        assert verdict.state is State.CLEAN


def test_before_the_import_is_applied_no_scan_is_begun(mariadb: SQLServer, tmp_path: Path) -> None:
    with (
        schema_of(mariadb, "early", *TABLES) as schema,
        Pipeline(mariadb, schema, tmp_path, parts=["capture", "apply"], extra=FAST) as pipeline,
    ):
        pipeline.until(lambda now: now.captured_through is not None)
        with verifying(pipeline.settings) as verifier:
            (verdict,) = verifier.scan(verifier.tables)
            assert (verdict.state, verdict.why) == (State.NOT_FINISHED, "the import is not finished")
            assert verifier.findings.all() == []


def test_a_key_that_cannot_be_judged_is_named_and_the_table_is_not_clean(
    verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hot(pair: Pair[Any], *, adopts: bool = False) -> Answer:
        """Key 7 is ahead of every bound, and the log does not tell why."""
        is_hot = pair.source is not None and pair.source["id"] == 7
        return Answer.LOOK_AGAIN if is_hot else answer_of(pair, adopts=adopts)

    monkeypatch.setattr("changeover.verify.judge.answer_of", hot)
    (verdict,) = verifier.scan(verifier.tables)
    assert (verdict.state, verdict.why) == (State.NOT_FINISHED, '1 keys could not be judged: {"id":7}')
    assert verifier.findings.open() == []
    monkeypatch.undo()
    (verdict,) = verifier.scan(verifier.tables)
    assert verdict.state is State.CLEAN


def test_too_many_findings_end_a_scan_before_its_end(
    pipeline: Pipeline, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("changeover.verify.scan.FINDINGS_OPEN_MAX", 20)
    with target_file(pipeline) as target:
        target.execute("BEGIN")
        target.execute("UPDATE citizen SET name = 'x' || name")
        target.execute("COMMIT")
        (verdict,) = verifier.scan(verifier.tables)
        assert verdict.state is State.DIFFERENCES
        assert verdict.why == "more than 20 findings are open: mend them first"
        assert verdict.findings_open < ROWS
        assert verifier.scan(verifier.tables)[0].findings_open > 20  # looked at again, and still so
        target.execute("UPDATE citizen SET name = substr(name, 2)")
    for finding in verifier.findings.open():
        verifier.findings.close(finding.number, "mended")
    (verdict,) = verifier.verdicts.now()
    assert verdict.state is State.NOT_FINISHED, "nobody has looked at what lies behind them"
    monkeypatch.undo()
    (verdict,) = verifier.scan(verifier.tables)
    assert (verdict.state, verdict.findings_open) == (State.CLEAN, 0)


def test_a_delete_marker_that_is_lost_is_found_soon_after(pipeline: Pipeline, verifier: Verifier) -> None:
    recent = Recent(
        verifier.log,
        "test",
        verifier.tables,
        source=verifier.source,
        target=verifier.target,
        judge=verifier.judge,
        applied=verifier.applied,
    )
    with pipeline.connection() as connection:
        connection.execute("DELETE FROM scanned.citizen WHERE id IN (11, 12)")
        connection.execute("UPDATE scanned.citizen SET name = 'changed' WHERE id = 13")
    pipeline.drain()
    with target_file(pipeline) as target:
        target.execute("DELETE FROM changeover_version WHERE key = CAST('{\"id\":11}' AS BLOB)")
        ((table, judgement),) = recent.look()
        assert table.name == "citizen"
        assert sorted(judgement.equal) == [b'{"id":12}', b'{"id":13}']
        (lost,) = judgement.differences
        assert (lost.key, lost.kind, lost.columns) == (b'{"id":11}', Kind.MISSING, ("delete marker",))
        verifier.findings.note(lost)
        # On both sides there is nothing, which is equal; the marker is missing none the less.
        (verdict,) = verifier.scan(verifier.tables)
        assert (verdict.state, verdict.findings_open) == (State.DIFFERENCES, 1)
        target.execute(
            "INSERT INTO changeover_version SELECT table_id, CAST('{\"id\":11}' AS BLOB), version, 1 "
            "FROM changeover_version WHERE key = CAST('{\"id\":12}' AS BLOB)"
        )
    (verdict,) = verifier.scan(verifier.tables)
    assert verdict.state is State.CLEAN
    assert list(recent.look()) == []


def test_after_the_move_into_new_what_was_written_there_is_right(
    pipeline: Pipeline, verifier: Verifier
) -> None:
    phase = verifier.control.table(PHASE)
    with target_file(pipeline) as target:
        where = "WHERE key = CAST('{\"id\":31}' AS BLOB)"
        ((before,),) = target.execute(f"SELECT version FROM changeover_version {where}").fetchall()
        target.execute("UPDATE citizen SET name = 'written in NEW' WHERE id = 31")
        target.execute(f"UPDATE changeover_version SET version = ? {where}", (Version(9, 0, 0).text,))
        (verdict,) = verifier.scan(verifier.tables)
        assert [one.kind for one in verifier.findings.open()] == [Kind.AHEAD]
        columns = "(pipeline, phase, attempt, since_ms, new_epoch)"
        verifier.control.connection.execute(f"INSERT INTO {phase} {columns} VALUES ('test', 'NEW', 1, 0, 9)")
        (verdict,) = verifier.scan(verifier.tables)
        assert verdict.state is State.CLEAN
        verifier.control.connection.execute(f"UPDATE {phase} SET new_epoch = NULL, phase = 'OLD'")
        target.execute("UPDATE citizen SET name = 'citizen 31' WHERE id = 31")
        target.execute(f"UPDATE changeover_version SET version = ? {where}", (before,))


def test_over_and_over_recently_changed_keys_are_judged_soon(pipeline: Pipeline) -> None:
    with patched(pipeline.settings, recent_s=0.2, pause_s=30.0) as verifier:
        scanned, stop = threading.Event(), threading.Event()

        def spoil() -> None:
            scanned.wait()
            try:
                with (
                    pipeline.connection() as connection,
                    target_file(pipeline) as target,
                ):
                    while not finding_of(pipeline, 21):  # again, where it was judged before it was spoilt
                        connection.execute("UPDATE scanned.citizen SET name = UUID() WHERE id = 21")
                        pipeline.drain()
                        target.execute("UPDATE citizen SET name = 'spoilt' WHERE id = 21")
                        time.sleep(0.5)
            finally:
                stop.set()

        spoiler = threading.Thread(target=spoil)
        spoiler.start()

        def tell(state: ScanState) -> None:
            if state.stage is Stage.TARGET:
                scanned.set()

        verdicts = verifier.go_on(verifier.tables, rows_per_s=None, should_stop=stop.is_set, tell=tell)
        spoiler.join()
    assert len(verdicts) == 1
    with verifying(pipeline.settings) as verifier:
        assert [json.loads(finding.key) for finding in verifier.findings.open()] == [{"id": 21}]


def finding_of(pipeline: Pipeline, number: int) -> bool:
    with verifying(pipeline.settings) as verifier:
        return any(json.loads(finding.key) == {"id": number} for finding in verifier.findings.open())


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (Version.of_read(1, 41), ""),
        (Version.of_read(1, 42), "the source has forgotten what was read at 00000001"),
        (Version.of_change(2, 5), ""),
        (Version.of_change(3, 7), ""),
        (Version.of_change(2, 61), "the source has forgotten what was read at 00000002"),
    ],
)
def test_what_was_read_and_then_lost_by_a_failover_counts_as_not_read(read: Version, said: str) -> None:
    epochs = [
        Epoch(1, "0-1", 1, None),
        Epoch(2, "0-2", 41, Version.of_change(1, 41)),
        Epoch(3, "0-1", 61, Version.of_change(2, 60)),
    ]
    assert forgotten(read, epochs).startswith(said)
    assert bool(forgotten(read, epochs)) is bool(said)


def test_a_read_of_commits_that_a_failover_lost_raises_no_alarm(
    pipeline: Pipeline, verifier: Verifier
) -> None:
    (table,) = verifier.tables
    seen = verifier.source.keys(table, [b'{"id":41}'])
    pipeline.drain()
    after_a_failover = Applied(verifier.log, "apply", 1.0)
    after_a_failover.through = Watermark(Version.of_change(2, 1), 0, {})
    judge = Judge(verifier.source, verifier.target, after_a_failover, "test")
    epochs = [*verifier.control.epochs(), Epoch(2, "0-2", 1, Version.of_change(1, seen.bound.sequence - 1))]
    lost = replace(seen, rows={b'{"id":41}': {"id": 41, "name": "lost with the old server"}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verifier.source.control, "epochs", lambda: epochs)
        assert judge.look(lost, [b'{"id":41}']) == Judgement(unsettled=[b'{"id":41}'])
    assert len(judge.look(lost, [b'{"id":41}']).differences) == 1
