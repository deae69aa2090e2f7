"""The end of a move: refused until all is proved behind the fence, killed at every step, and written down."""

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from changeover.crashpoints import POINTS, VARIABLE
from changeover.decide import Write
from changeover.demo.server import PrivateMariaDB
from changeover.envelope import encode_key
from changeover.errors import TargetClosed
from changeover.exits import DIFFERENT, OK
from changeover.mysql.catalog import captured_tables
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.mysql.phases import phase_now
from changeover.mysql.processes import report_process
from changeover.phase import Phase
from changeover.phases.finish import Finisher
from changeover.phases.operator import Operator
from changeover.targets import Target
from changeover.targets.wiring import open_target
from changeover.values import Row
from changeover.version import Version
from changeover.wiring import open_log
from tests.phases.stages import SETTINGS
from tests.support.accounts import run
from tests.support.commands import Said, said_by
from tests.support.pipeline import Pipeline, schema_of
from tests.support.processes import environment

TABLES = (
    "CREATE TABLE item (id INT PRIMARY KEY, name VARCHAR(50))",
    "INSERT INTO item VALUES (1, 'one'), (2, 'two'), (3, 'three')",
)
KILLS = ("reported", "closed", "table_let_go", "forgotten")


def killed(pipeline: Pipeline, crash: str) -> "subprocess.CompletedProcess[str]":
    """As a process that dies at the point."""
    command = [sys.executable, "-P", "-m", "changeover", "finish", "--config", str(pipeline.config.resolve())]
    return subprocess.run(
        command,
        env=environment() | {VARIABLE: crash},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=pipeline.folder,
    )


def finish(pipeline: Pipeline) -> Said:
    return said_by(pipeline.config, "finish", "--report", str(pipeline.folder))


@pytest.fixture
def pipeline(mariadb: PrivateMariaDB, tmp_path: Path) -> Iterator[Pipeline]:
    """In NEW, with a row that was deleted before and one that was rewritten since; nothing runs any more."""
    with schema_of(mariadb, "finished", *TABLES) as schema:
        pipeline = Pipeline(mariadb, schema, tmp_path, extra=SETTINGS)
        with pipeline:
            pipeline.until(lambda now: now.is_import_applied)
            run(mariadb, f"DELETE FROM {schema}.item WHERE id = 3")
            pipeline.drain()
            with pipeline.connection() as connection, pipeline.open_log() as log:
                control = ControlSchema(connection, "test")
                for _ in range(3):
                    answer = Operator(pipeline.settings, control, log).advance("a test")
                    assert answer.is_made, answer.why
            yield pipeline
        run(mariadb, "SET GLOBAL read_only = 0")


def rewrite(pipeline: Pipeline) -> None:
    """As the application does in NEW: another value, under NEW's epoch."""
    with pipeline.connection() as connection, open_target(pipeline.settings) as target:
        (table,) = captured_tables(connection)
        epoch = phase_now(ControlSchema(connection, "test")).new_epoch
        assert epoch is not None
        row: Row = {"id": 2, "name": "rewritten"}
        target.write([Write(table, encode_key(table, row), Version(epoch, 0, 0), row)])


def rows(pipeline: Pipeline) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(pipeline.folder / "target.db")) as target:
        return target.execute("SELECT * FROM item ORDER BY id").fetchall()


def versions(pipeline: Pipeline) -> int:
    with closing(sqlite3.connect(pipeline.folder / "target.db")) as target:
        (count,) = target.execute("SELECT count(*) FROM changeover_version").fetchone()
        return int(count)


def test_it_is_refused_with_every_reason_and_then_killed_at_every_step_and_done(
    pipeline: Pipeline, mariadb: PrivateMariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("changeover.phases.finish.SILENT_BEATS", 1_000)  # it runs, however late its beats are
    rewrite(pipeline)
    with pipeline.connection() as connection:
        report_process(ControlSchema(connection, "test"), "web-1", "0.1.0", Phase.NEW, {})
    refused = finish(pipeline)
    assert refused.returncode == DIFFERENT
    said = refused.stdout
    assert "is not proved: " in said
    assert "process web-1 still uses the library" in said
    assert "capture still runs" in said

    # What was rewritten since is not held against the old database; what was not has to be equal.
    verified = said_by(pipeline.config, "verify")
    assert verified.returncode == OK, verified.stdout + verified.stderr
    with pipeline.connection() as connection:
        connection.execute("UPDATE finished_control.process SET seen_ms = 0")
        check_that_a_scan_from_before_the_fence_is_no_proof(pipeline, connection)
    pipeline.supervisor.stop()
    monkeypatch.undo()
    run(mariadb, "SET GLOBAL read_only = 0")
    assert "can be written to again" in finish(pipeline).stdout
    run(mariadb, "SET GLOBAL read_only = 1")
    assert versions(pipeline) == 3

    for point in KILLS:
        assert killed(pipeline, f"finish.{point}:1:kill").returncode == -signal.SIGKILL, point
    done = finish(pipeline)
    assert done.returncode == OK, done.stdout + done.stderr
    assert rows(pipeline) == [(1, "one"), (2, "rewritten")]
    assert versions(pipeline) == 0
    assert run(mariadb, "SHOW DATABASES LIKE 'finished\\_control'") == ()
    check_report(pipeline)
    with Connection(pipeline.settings.source) as connection, open_target(pipeline.settings) as target:
        (table,) = captured_tables(connection)
        with pytest.raises(TargetClosed):
            target.write([Write(table, b'{"id": 1}', Version(1, 9, 9), None)])
        check_that_it_waits_for_writes_on_their_way(pipeline, connection, target, monkeypatch)


def check_that_it_waits_for_writes_on_their_way(
    pipeline: Pipeline, connection: Connection, target: Target[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it goes on after a kill: nobody knows for how long it had waited then."""
    target.closing_s = 7.0
    waited_s = list[float]()
    monkeypatch.setattr("changeover.phases.finish.time.sleep", waited_s.append)
    control, tables = ControlSchema(connection, "test"), captured_tables(connection)
    with open_log(pipeline.settings) as log:
        Finisher(pipeline.settings, control, log, target, tables).finish(pipeline.folder)
    assert waited_s == [7.0]


def check_that_a_scan_from_before_the_fence_is_no_proof(pipeline: Pipeline, connection: Connection) -> None:
    proved = connection.value("SELECT as_of FROM finished_control.verdict")
    fence = phase_now(ControlSchema(connection, "test")).fence
    assert fence is not None
    before = fence._replace(sequence=fence.sequence - 1)
    for as_of, is_proof in ((before.text, False), (proved, True)):
        connection.execute("UPDATE finished_control.verdict SET as_of = %s", (as_of,))
        assert ("is from before the fence" in finish(pipeline).stdout) is not is_proof


def check_report(pipeline: Pipeline) -> None:
    report = json.loads((pipeline.folder / "changeover-test.json").read_text())
    (table,) = report["tables"]
    assert (table["rows_copied"], table["verdict"]) == (3, "clean")
    assert table["as_of"] > report["fence"]
    assert [move["after"] for move in report["moves"]] == ["BOTH_READ_OLD", "BOTH_READ_NEW", "FENCED", "NEW"]
    assert report["forced_moves"] == [2, 3]
    assert pipeline.settings.source.secret() not in json.dumps(report)
    page = (pipeline.folder / "changeover-test.html").read_text()
    assert "FORCED: a test" in page
    assert "BOTH_READ_NEW → FENCED" in page


def test_every_point_is_met_by_a_kill() -> None:
    assert {f"finish.{point}" for point in KILLS} == {
        point for point in POINTS if point.startswith("finish.")
    }
