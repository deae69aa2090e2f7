"""`changeover run` and `status` as a user has them: moving, telling the truth, stopping in order, going on.

What `status` prints is checked; what only waits looks at the same status from inside, which is faster.
"""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from changeover.demo import oracle
from changeover.demo.server import PrivateMariaDB
from changeover.exits import OK, STOPPED, UNAVAILABLE, USAGE
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.settings import Settings
from changeover.status import Status, Statuses
from changeover.wiring import open_log
from tests.support.pipeline import schema_of, write_settings

CHANGEOVER = str(Path(sys.executable).with_name("changeover"))
ROWS = 3_000
STEP_S_MAX = 90.0  # 5 on a quiet machine
pytestmark = pytest.mark.timeout(6 * STEP_S_MAX)

TABLES = (
    "CREATE TABLE customer (id INT PRIMARY KEY, name VARCHAR(50), joined DATE NOT NULL, note BLOB)",
    f"INSERT INTO customer SELECT seq, CONCAT('ž', seq), '2024-02-29', NULL FROM seq_1_to_{ROWS}",
    "CREATE TABLE purchase (customer INT, day DATETIME(3), price DECIMAL(9,2), PRIMARY KEY (customer, day))",
    "INSERT INTO purchase SELECT seq, '2024-02-29 12:00:00.123', seq / 7 FROM seq_1_to_500",
    "CREATE TABLE nothing (id INT PRIMARY KEY)",
)

Json = Any


class Moving:
    """A schema, its settings, and `changeover run` on it."""

    def __init__(self, server: PrivateMariaDB, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.config = write_settings(server, "moving", folder)
        self._process: subprocess.Popen[bytes] | None = None

    def execute(self, *statements: str) -> None:
        """As the application."""
        with self.server.connect(database="moving") as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def run(self) -> None:
        """Start it; what it says goes to run.log."""
        with (self.folder / "run.log").open("ab") as output:
            self._process = subprocess.Popen(
                [CHANGEOVER, "run", "--config", str(self.config)], stdout=output, stderr=output
            )

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running program."""
        assert self._process is not None
        return self._process

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal; the exit status."""
        self.process.send_signal(number)
        return self.process.wait(STEP_S_MAX)

    def words(self) -> list[dict[str, Json]]:
        """The events it has logged."""
        text = "\n".join(self.lines()).replace("}{", "}\n{")
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def lines(self) -> list[str]:
        """All that it has said."""
        return (self.folder / "run.log").read_text().splitlines()

    def pids(self) -> dict[str, int]:
        """Each part's process id, of those that were started the last."""
        return {line["part"]: int(line["pid"]) for line in self.words() if line["event"] == "part started"}

    def pid(self, part: str) -> int:
        """The process id of the part that was started last."""
        return self.pids()[part]

    def status(self, *arguments: str) -> str:
        """What `changeover status` prints."""
        done = subprocess.run(
            [CHANGEOVER, "status", "--config", str(self.config), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=STEP_S_MAX,
        )
        assert done.stderr == ""
        return done.stdout

    def until(self, condition: Callable[[Status], bool]) -> None:
        """Wait until the condition holds; fail with what was said if it never does."""
        deadline = time.monotonic() + STEP_S_MAX
        while not (self.folder / "log.db").exists():
            assert self.process.poll() is None, self.lines()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        settings = Settings.load(self.config)
        now: Status | None = None
        with Connection(settings.source) as connection, open_log(settings) as log:
            statuses = Statuses(ControlSchema(connection, settings.pipeline), log, settings.consumer.group)
            while time.monotonic() < deadline:
                assert self.process.poll() is None, self.words()
                now = statuses.now()
                if condition(now):
                    return
                time.sleep(0.05)
        message = f"not within {STEP_S_MAX} s; last seen {now}; it said {self.lines()}"
        raise AssertionError(message)

    def until_in_step(self) -> None:
        """Wait until all that is committed now is applied."""
        with self.server.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT @@gtid_binlog_pos")
            ((position,),) = cursor.fetchall()
        sequence = int(position.rpartition("-")[2])
        self.until(
            lambda now: (
                now.is_import_applied
                and now.applied_through is not None
                and now.applied_through.sequence >= sequence
            )
        )

    def differences(self) -> int:
        """How many rows differ between source and target."""
        with self.server.connect() as connection:
            tables = ("customer", "purchase", "nothing")
            return oracle.compare(connection, "moving", tables, self.folder / "target.db").difference_count

    def records(self) -> int:
        """How many records the log holds."""
        with closing(sqlite3.connect(self.folder / "log.db")) as log:
            ((count,),) = log.execute("SELECT count(*) FROM record")
            return int(count)

    def close(self) -> None:
        """End what still runs."""
        if self._process is not None and self._process.poll() is None:
            self.end()


@pytest.fixture
def moving(mariadb: PrivateMariaDB, tmp_path: Path) -> Iterator[Moving]:
    with schema_of(mariadb, "moving", *TABLES):
        moving = Moving(mariadb, tmp_path)
        yield moving
        moving.close()


def is_alive(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_before_the_first_run_nothing_is_known_and_asking_makes_nothing(moving: Moving) -> None:
    assert (
        moving.status()
        == "pipeline test has not begun: there is no log yet; start it with `changeover run`\n"
    )
    assert json.loads(moving.status("--json")) is None
    assert [path.name for path in moving.folder.iterdir()] == ["changeover.toml"]
    with moving.server.connect() as connection, connection.cursor() as cursor:
        assert cursor.execute("SHOW DATABASES LIKE 'moving\\_control'") == 0


def test_run_moves_a_schema_keeps_it_in_step_stops_in_order_and_goes_on(moving: Moving) -> None:
    moving.run()
    moving.until_in_step()
    now = json.loads(moving.status("--json"))
    assert {table["table_name"]: table["rows_copied"] for table in now["tables"]} == {
        "moving.customer": ROWS,
        "moving.nothing": 0,
        "moving.purchase": 500,
    }
    assert now["rows_copied"] == now["rows_total"] == ROWS + 500
    assert 0 <= now["lag_ms"] < STEP_S_MAX * 1000
    assert now["applied_through"] <= now["captured_through"]
    assert moving.differences() == 0

    moving.execute(
        "UPDATE customer SET name = 'Eva' WHERE id <= 10", "DELETE FROM purchase WHERE customer = 7"
    )
    moving.until_in_step()
    now = json.loads(moving.status("--json"))
    assert moving.differences() == 0
    assert (now["changes_captured"], now["stale"]) == (11, 0)
    assert now["records_applied"] == moving.records() == ROWS + 500 + 11

    text = moving.status()
    assert f"{ROWS:,} rows copied, done" in text
    assert "lag" in text
    assert " ms" in text
    assert "unknown" not in text

    pids = [moving.pid(part) for part in ("capture", "apply")]
    assert moving.end(signal.SIGTERM) == OK
    assert not any(map(is_alive, pids))
    assert not [line for line in moving.words() if line["level"] not in {"info", "debug"}]

    before = moving.records()
    moving.execute("INSERT INTO nothing VALUES (1), (2)", "UPDATE customer SET note = name WHERE id = 5")
    moving.run()
    moving.until_in_step()
    now = json.loads(moving.status("--json"))
    assert moving.records() == before + 3
    assert now["rows_copied"] == ROWS + 500
    assert moving.differences() == 0
    assert moving.end(signal.SIGINT) == OK


@pytest.mark.parametrize("part", ["capture", "apply"])
def test_a_part_that_is_killed_comes_back_and_nothing_is_missing(moving: Moving, part: str) -> None:
    moving.run()
    moving.until_in_step()
    before = moving.pid(part)
    os.kill(before, signal.SIGKILL)
    moving.execute("UPDATE customer SET name = 'Zoe'", "INSERT INTO nothing VALUES (7)")
    moving.until_in_step()
    assert moving.pid(part) != before
    assert moving.differences() == 0
    assert [line["part"] for line in moving.words() if line["event"] == "part will be started again"] == [
        part
    ]


def lose_the_binlog(moving: Moving) -> None:
    """End the connection that carries the binlog, and wait until capture was started again."""
    before = moving.pid("capture")
    with moving.server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id FROM information_schema.processlist WHERE command = 'Binlog Dump'")
        for (number,) in cursor.fetchall():
            cursor.execute(f"KILL CONNECTION {number}")
    moving.execute("UPDATE customer SET name = 'Zoe'")
    moving.until(lambda _: moving.pid("capture") != before)


def test_capture_that_lost_its_connection_says_so_in_its_own_words_and_comes_back(moving: Moving) -> None:
    moving.run()
    moving.until_in_step()
    lose_the_binlog(moving)
    moving.until_in_step()
    assert moving.differences() == 0
    stops = [line for line in moving.words() if line["event"] == "stopped"]
    assert [(line["part"], line["kind"]) for line in stops] == [("capture", "SourceUnavailable")]
    assert not [line for line in moving.lines() if "Traceback" in line]


def test_every_line_of_the_output_is_one_event_whatever_happens(moving: Moving) -> None:
    moving.run()
    moving.until_in_step()
    lose_the_binlog(moving)
    moving.end()
    assert [line for line in moving.lines() if not line.startswith("{")] == []


def test_capture_whose_server_dies_says_so_in_events_only_and_is_to_be_started_again(tmp_path: Path) -> None:
    with PrivateMariaDB() as server:
        with server.connect() as root, root.cursor() as cursor:
            cursor.execute("CREATE DATABASE moving CHARACTER SET utf8mb4")
            cursor.execute("CREATE TABLE moving.t (id INT PRIMARY KEY)")
        config = write_settings(server, "moving", tmp_path)
        arguments = [sys.executable, "-P", "-m", "cdc", "capture", "--config", str(config)]
        with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            deadline = time.monotonic() + STEP_S_MAX
            while streams(server) == 0:
                assert process.poll() is None, process.stderr.read()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            server.kill()
            lines = process.stderr.readlines()
    assert process.returncode == UNAVAILABLE
    assert [line for line in lines if not line.startswith("{")] == []
    assert json.loads(lines[-1])["kind"] == "SourceUnavailable"


def streams(server: PrivateMariaDB) -> int:
    """How many connections carry the binlog."""
    with server.connect() as root, root.cursor() as cursor:
        return cursor.execute("SELECT 1 FROM information_schema.processlist WHERE command = 'Binlog Dump'")


def test_each_event_is_written_at_once_so_that_the_lines_of_several_parts_never_mix(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # tells one write from the next
    with ours, theirs:
        arguments = [sys.executable, "-P", "-m", "cdc", "capture", "--config", str(tmp_path / "none.toml")]
        subprocess.run(arguments, stderr=theirs.fileno(), check=False, timeout=STEP_S_MAX)
        written = ours.recv(10_000)
    assert json.loads(written)["event"] == "stopped"
    assert written.endswith(b"\n")


def test_when_run_itself_is_killed_no_part_goes_on_alone(moving: Moving) -> None:
    moving.run()
    parts = {"capture", "apply", "snapshot-1", "snapshot-2"}
    moving.until(lambda now: now.captured_through is not None and moving.pids().keys() == parts)
    pids = moving.pids().values()
    assert moving.end(signal.SIGKILL) == -signal.SIGKILL
    deadline = time.monotonic() + STEP_S_MAX
    while any(map(is_alive, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    moving.run()
    moving.until_in_step()
    assert moving.differences() == 0


def test_a_changed_table_is_a_loud_stop_that_says_what_to_do_and_stays_one(moving: Moving) -> None:
    moving.run()
    moving.until_in_step()
    moving.execute("INSERT INTO nothing VALUES (1)", "ALTER TABLE nothing ADD born INT")
    moving.execute("INSERT INTO nothing VALUES (2, 3)")
    assert moving.process.wait(STEP_S_MAX) == STOPPED
    stops = [line for line in moving.words() if line["level"] == "error"]
    assert [(line["part"], line["kind"]) for line in stops] == [("capture", "BinlogUnreadable")]
    assert "changes a captured table: ALTER TABLE nothing ADD born INT" in stops[0]["reason"]
    assert "start a pipeline under a new name" in stops[0]["reason"]
    assert not is_alive(moving.pid("apply"))

    moving.run()  # again, and it stops at the same place
    assert moving.process.wait(STEP_S_MAX) == STOPPED
    again = [line["reason"] for line in moving.words() if line["level"] == "error"]
    assert again == [stops[0]["reason"]] * 2


def test_status_is_no_place_for_options_that_there_are_not(moving: Moving) -> None:
    done = subprocess.run(
        [CHANGEOVER, "status", "--yaml"], capture_output=True, cwd=moving.folder, check=False
    )
    assert done.returncode == USAGE
