"""Whole moves in which parts die, fail or halt at named points (docs/crash-points.md); then all is equal.

Each move has its daemons killed at one or two points for each part, once in all, while a writer goes on.
`make test` does it for MariaDB and the SQLite log; `make test-full` for MySQL and Kafka too.
"""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest

from changeover.crashpoints import POINTS, VARIABLE, VARIABLE_FIRED
from changeover.demo import oracle, records
from changeover.demo.broker import PrivateKafka
from changeover.demo.mysql8 import PrivateMySQL
from changeover.demo.server import PrivateMariaDB
from changeover.demo.sql import SQLServer
from changeover.exits import OK, STOPPED
from changeover.mysql.catalog import captured_tables
from changeover.mysql.control import ControlSchema
from changeover.wiring import create_topics
from tests.simulation.invariants import Invariants
from tests.support.accounts import run
from tests.support.histories import checked, recorded, repeated
from tests.support.moving import writing
from tests.support.pipeline import Pipeline
from tests.support.processes import environment
from tests.support.streamed import end_of_binlog
from tests.support.turns import check_turns, turns_in_file, turns_on_kafka, watch

ELSEWHERE = ("phase.", "finish.", "dualwrite.")
"""Points that tests/phases and tests/dualwrite meet."""

ROWS = 600
LEDGER_ROWS = 6_000
"""More than capture appends at once: a transaction that changes all of them takes two appends."""
TABLES = (*records.TABLES, "ledger")

WAIT_S_MAX = 90
RESTART_DELAY_S = 0.1

SETTINGS = "[snapshot]\nchunk_rows = 400\nworkers = 1\n[consumer]\nbatch_rows = 500\n"

KILLS = (
    # Of each part the entries fire in this order: the first one at its first start, the other one after it.
    "capture.log_taken:1 capture.event_read:30 snapshot.chunk_cut:1 apply.polled:1",
    "capture.epoch_opened:1 capture.row_folded:150 snapshot.bound_taken:1 target.row_written:1",
    "capture.entries_produced:1 capture.event_folded:20 snapshot.rows_selected:2 target.row_written:700",
    "capture.checkpoint_written:1 capture.transaction_read:20 snapshot.entries_produced:1 apply.polled:6",
    "capture.appended:1 capture.part_appended:1 snapshot.appended:1 apply.batch_written:1",
    "capture.entries_produced:12 capture.checkpoint_written:12 snapshot.appended:4 apply.batch_written:6",
    "capture.appended:12 snapshot.chunk_noted:1 apply.offsets_committed:1 apply.offsets_committed:7",
)

RAISES = "capture.entries_produced:8 snapshot.entries_produced:3 target.row_written:200"

REPLAYS = "target.row_written:50 replay.batch_written:2"
"""One for each of two starts."""

PAST_TIME_OUTS_S = 65.0
"""Longer than any time-out on the way: a request to Kafka, its transaction, a binlog stream at rest."""


@dataclass
class Stage:
    """A server, and a broker where the log is Kafka."""

    server: SQLServer
    broker: PrivateKafka | None
    place: str = ""
    """In the binlog, from before the newest pipeline's first row."""

    def pipeline(self, folder: Path, parts: Sequence[str] = ()) -> Pipeline:
        """A new pipeline in the folder, with the same few rows at its beginning."""
        url = f"kafka://{self.broker.bootstrap}" if self.broker else "sqlite:log.db"
        pipeline = Pipeline(self.server, records.SCHEMA, folder, parts=parts, log=url, extra=SETTINGS)
        run(self.server, f"DROP DATABASE IF EXISTS {records.SCHEMA}_control")
        with pipeline.connection() as connected:
            self.place = end_of_binlog(connected)
        with closing(self.server.connect()) as connection:
            json_type = "JSON" if isinstance(self.server, PrivateMariaDB) else "LONGTEXT"
            records.create(connection, json_type=json_type)
            records.fill(connection, ROWS, 7)
        ledger = ", ".join(f"({number}, 0)" for number in range(LEDGER_ROWS))
        run(
            self.server,
            "CREATE TABLE records.ledger (id INT PRIMARY KEY, value INT NOT NULL)",
            f"INSERT INTO records.ledger VALUES {ledger}",
        )
        if self.broker:
            with pipeline.connection() as connected:
                create_topics(pipeline.settings, captured_tables(connected))
        for part in pipeline.supervisor.parts:
            part.delay_s = RESTART_DELAY_S
        return pipeline


@contextmanager
def armed(folder: Path, entries: str, action: str) -> Iterator[Callable[[], bool]]:
    """Have each entry fire once in all processes that are started meanwhile; whether all have."""
    wanted = {f"{entry}:{action}" for entry in entries.split()}
    fired = folder / "fired"
    fired.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, ",".join(sorted(wanted)))
        patch.setenv(VARIABLE_FIRED, str(fired))
        yield lambda: {path.name for path in fired.iterdir()} == wanted


def all_rows(server: SQLServer) -> None:
    """One transaction that changes more rows than one append takes."""
    run(server, "UPDATE records.ledger SET value = value + 1")


def check(stage: Stage, pipeline: Pipeline) -> Invariants:
    """Every row compared, and the whole history held against what the source committed."""
    compared = pipeline.compare(*TABLES)
    assert compared.difference_count == 0, compared.differences[:3]
    assert sum(compared.rows_source.values()) == sum(compared.rows_target.values()) > LEDGER_ROWS
    invariants = checked(recorded(pipeline, stage.place).events, has_holes=stage.broker is not None)
    assert len(invariants.changes) >= LEDGER_ROWS
    return invariants


def move(stage: Stage, folder: Path, entries: str, action: str) -> tuple[Pipeline, Invariants]:
    """A whole move of a database that is written to, in which each of the entries fires once."""
    pipeline = stage.pipeline(folder)
    with armed(folder, entries, action) as is_over, writing(stage.server) as stop_writing, pipeline:
        pipeline.until(lambda now: now.captured_through is not None and bool(now.tables), WAIT_S_MAX)
        all_rows(stage.server)
        pipeline.until(lambda now: is_over() and now.is_import_applied, WAIT_S_MAX)
        stop_writing()
        pipeline.drain(WAIT_S_MAX)
    return pipeline, check(stage, pipeline)


@pytest.fixture(scope="module", params=["mariadb", pytest.param("mysql", marks=pytest.mark.full)])
def server(request: pytest.FixtureRequest) -> Iterator[SQLServer]:
    with PrivateMariaDB() if request.param == "mariadb" else PrivateMySQL() as server:
        yield server


@pytest.fixture
def stage(server: SQLServer) -> Iterator[Stage]:
    """Each move has a log of its own: a file in its folder, or all of a broker."""
    with ExitStack() as stack:
        broker = None if isinstance(server, PrivateMariaDB) else stack.enter_context(PrivateKafka())
        yield Stage(server, broker)


def test_every_point_there_is_is_met_by_a_kill() -> None:
    met = {entry.partition(":")[0] for entries in (*KILLS, REPLAYS) for entry in entries.split()}
    assert met == {point for point in POINTS if not point.startswith(ELSEWHERE)}


@pytest.mark.parametrize("entries", KILLS)
def test_a_move_whose_parts_are_killed_at_named_points_comes_out_equal(
    stage: Stage, entries: str, tmp_path: Path
) -> None:
    pipeline, invariants = move(stage, tmp_path, entries, "kill")
    restarts = sum(part.restarts for part in pipeline.supervisor.parts)
    assert restarts == len(entries.split())
    if "part_appended" in entries:
        assert repeated(invariants) >= 5_000  # the part that was in the log without a checkpoint


def test_a_move_whose_parts_fail_at_named_points_comes_out_equal(stage: Stage, tmp_path: Path) -> None:
    pipeline, _ = move(stage, tmp_path, RAISES, "raise")
    said = re.findall(r"crash point (\S+) was reached", (tmp_path / "daemons.log").read_text())
    assert sorted(said) == sorted(f"{entry}:raise" for entry in RAISES.split())
    check_replay(stage, pipeline)


def check_replay(stage: Stage, pipeline: Pipeline) -> None:
    """A replay into a new target, killed twice on its way, gives what the source has."""
    again = pipeline.folder / "again"
    again.mkdir()
    command = [sys.executable, "-P", "-m", "changeover", "replay", "--from", "offset:0"]
    command += ["--config", str(pipeline.config.resolve()), "--target", "sqlite:target.db"]
    with armed(again, REPLAYS, "kill") as is_over:
        statuses = [
            subprocess.run(command, cwd=again, env=environment(), capture_output=True, check=False).returncode
            for _ in range(3)
        ]
        assert is_over()
    assert statuses == [-signal.SIGKILL, -signal.SIGKILL, OK]
    with closing(stage.server.connect()) as connection:
        compared = oracle.compare(connection, records.SCHEMA, TABLES, again / "target.db")
    assert compared.difference_count == 0, compared.differences[:3]


class Capture:
    """A capture that no supervisor looks after; what it says goes to a file of its own."""

    def __init__(self, pipeline: Pipeline, name: str, **variables: str) -> None:
        self.words = pipeline.folder / f"{name}.log"
        command = [sys.executable, "-P", "-m", "tests.support.named_capture", "capture"]
        command += ["--config", str(pipeline.config.resolve())]
        with self.words.open("wb") as output:
            self.process = subprocess.Popen(command, stderr=output, env={**environment(), **variables})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def is_halted(self) -> bool:
        state = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        return state == "T"


@pytest.mark.parametrize("halted_s", [1.0, pytest.param(PAST_TIME_OUTS_S, marks=pytest.mark.full)])
@pytest.mark.timeout(300)
def test_a_capture_that_is_halted_while_another_takes_over_wakes_to_be_fenced_and_lowers_nothing(
    stage: Stage, halted_s: float, tmp_path: Path
) -> None:
    # In its open transaction on Kafka. There it would hold the lock of a SQLite file, and nobody took over.
    entry = "capture.checkpoint_written:20" if stage.broker else "capture.transaction_read:20"
    with ExitStack() as stack:
        pipeline = stage.pipeline(tmp_path, parts=["snapshot-1", "apply"])
        stop_writing = stack.enter_context(writing(stage.server))
        stack.enter_context(pipeline)
        with Capture(pipeline, "zeroth"):
            pipeline.until(lambda now: now.is_import_logged, WAIT_S_MAX)
        if stage.broker is None:
            watch(tmp_path / "log.db")  # from here on only captures append

        first = stack.enter_context(Capture(pipeline, "first", **{VARIABLE: f"{entry}:pause"}))
        pipeline.until(lambda _: first.is_halted(), WAIT_S_MAX)
        with pipeline.open_log() as log:
            held = log.checkpoint()
        second = stack.enter_context(Capture(pipeline, "second"))
        all_rows(stage.server)
        assert held is not None
        pipeline.until(lambda now: (now.captured_through or held.version) > held.version, WAIT_S_MAX)
        time.sleep(halted_s)
        assert first.is_halted()
        first.process.send_signal(signal.SIGCONT)

        assert first.process.wait(WAIT_S_MAX) == STOPPED
        assert '"kind": "Fenced"' in first.words.read_text()
        stop_writing()
        pipeline.drain(WAIT_S_MAX)
        second.process.terminate()
        assert second.process.wait(WAIT_S_MAX) == OK
        turns = (
            turns_on_kafka(stage.broker.bootstrap, "test")
            if stage.broker
            else turns_in_file(tmp_path / "log.db")
        )
    assert check_turns(turns) >= 2
    check(stage, pipeline)


def test_a_capture_that_is_killed_with_a_new_epoch_opened_finds_it_again(tmp_path: Path) -> None:
    with PrivateMariaDB() as server:
        stage = Stage(server, None)
        pipeline = stage.pipeline(tmp_path)
        with armed(tmp_path, "capture.epoch_opened:2", "kill") as is_over, pipeline:
            pipeline.until(lambda now: now.is_import_logged, WAIT_S_MAX)
            run(server, "SET GLOBAL server_id = 77")  # for sessions that begin now: another server's GTIDs
            all_rows(server)
            pipeline.until(lambda _: is_over(), WAIT_S_MAX)
            pipeline.drain(WAIT_S_MAX)
        with pipeline.connection() as connection:
            epochs = ControlSchema(connection, pipeline.settings.pipeline).epochs()
        check(stage, pipeline)
    assert epochs[1].identity == "0-77"
    assert len({(epoch.identity, epoch.after) for epoch in epochs}) == len(epochs)
