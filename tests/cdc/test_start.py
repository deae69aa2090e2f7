"""Where capture starts: from a copy that another tool made, to the last row; and no place that would lose."""

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

import changeover.mysql.starting
from changeover.cli import _check, app
from changeover.demo.mysql8 import PrivateMySQL
from changeover.demo.server import PrivateMariaDB
from changeover.demo.sql import SQLServer
from changeover.doctor.examine import examine
from changeover.errors import SettingsInvalid, StartRefused
from changeover.exits import REFUSED
from changeover.finding import Finding, Severity
from changeover.mysql.binlog import BinlogFile, binlog_files
from changeover.mysql.connection import Connection
from changeover.mysql.starting import file_before
from changeover.settings import Settings
from changeover.supervisor import parts_of
from changeover.wiring import open_log
from tests.support.pipeline import Pipeline, write_settings
from tests.support.processes import wait_until

SCHEMA = "moved"
TABLES = (
    "CREATE TABLE person (id INT PRIMARY KEY, name VARCHAR(50), height DECIMAL(5,2))",
    "CREATE TABLE note (person INT, at DATETIME NOT NULL, body BLOB, PRIMARY KEY (person, at))",
)
ROWS = (
    "INSERT INTO person VALUES (1, 'Ada', 1.70), (2, 'ž💾', NULL), (3, 'Eva', 0.00), (4, 'Ole', 2.00)",
    "INSERT INTO note VALUES (1, '2024-02-29 00:00:00', x'00ff'), (2, '2024-02-29 00:00:00', NULL)",
)
CHANGES = (
    "UPDATE person SET name = 'Ada Byron' WHERE id = 1",
    "DELETE FROM person WHERE id = 2",
    "INSERT INTO person VALUES (5, 'Noa', 1.10)",
    "UPDATE person SET id = 6 WHERE id = 3",
    "DELETE FROM note WHERE person = 1",
    "INSERT INTO note VALUES (1, '2024-02-29 00:00:00', 'again')",
)
DIFFERENT_ROWS = 6
"""So many rows differ while none of CHANGES is applied: persons 1, 2, 3, 5, 6 and a note."""

COPIED = (
    "CREATE TABLE person (id INT PRIMARY KEY, name TEXT, height TEXT)",
    "CREATE TABLE note (person INTEGER, at TEXT NOT NULL, body BLOB, PRIMARY KEY (person, at))",
)
ADOPT = "adopt = true"
"""Of [target], which is the last section that `write_settings` writes."""


class Kind(NamedTuple):
    """A kind of source: how to start one, and how its client learns a place."""

    server: Callable[[], SQLServer]
    place: str


KINDS = {
    "mariadb": Kind(PrivateMariaDB, "SELECT CONCAT('gtid:', @@global.gtid_binlog_pos)"),
    "mysql": Kind(PrivateMySQL, "SELECT CONCAT('gtid:', @@global.gtid_executed)"),
    "mysql-files": Kind(
        lambda: PrivateMySQL(options={"gtid_mode": "OFF", "enforce_gtid_consistency": "OFF"}),
        "SHOW MASTER STATUS",
    ),
}


class Source:
    """A server with a schema, and what a person does with it."""

    def __init__(self, kind: str, server: SQLServer, folder: Path) -> None:
        self.kind = kind
        self.server = server
        self.folder = folder

    def ask(self, *statements: str) -> tuple[tuple[object, ...], ...]:
        """What the last statement answers."""
        with closing(self.server.connect(autocommit=True)) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return tuple(cursor.fetchall())

    def change(self, *statements: str) -> None:
        """As the application."""
        self.ask(f"USE {SCHEMA}", *statements)

    def begin(self) -> None:
        """Make the schema anew, without a trace in the binlog."""
        self.ask(
            "SET SESSION sql_log_bin = 0",
            f"DROP DATABASE IF EXISTS {SCHEMA}",
            f"DROP DATABASE IF EXISTS {SCHEMA}_control",
            f"CREATE DATABASE {SCHEMA} CHARACTER SET utf8mb4",
            f"USE {SCHEMA}",
            *TABLES,
        )

    @property
    def place(self) -> str:
        """Where the binlog ends, as capture.start has it."""
        answer = self.ask(KINDS[self.kind].place)[0]
        return str(answer[0]) if len(answer) == 1 else f"file:{answer[0]}:{answer[1]}"

    @property
    def file(self) -> str:
        """The newest binlog file."""
        return str(self.ask("SHOW BINARY LOGS")[-1][0])

    def copy(self) -> str:
        """What another tool does: all rows of one moment into the target, and the place of that moment."""
        with closing(self.server.connect(database=SCHEMA)) as connection, connection.cursor() as cursor:
            cursor.execute("FLUSH TABLES WITH READ LOCK")
            place = self.place
            with closing(sqlite3.connect(self.folder / "target.db")) as target, target:
                for table, made in zip(("person", "note"), COPIED, strict=True):
                    target.execute(made)
                    cursor.execute(f"SELECT * FROM {table}")
                    target.executemany(
                        f"INSERT INTO {table} VALUES (?, ?, ?)",
                        [[v if isinstance(v, int | bytes | None) else str(v) for v in row] for row in cursor],
                    )
        return place

    def new_file(self) -> None:
        """Go on in a new binlog file."""
        self.ask("FLUSH BINARY LOGS")

    def forget(self) -> None:
        """Purge all binlog files but the newest; MariaDB keeps those that InnoDB has not yet done with."""
        self.new_file()
        deadline = time.monotonic() + 60
        while len(self.ask("SHOW BINARY LOGS")) > 1:
            self.ask(f"PURGE BINARY LOGS TO '{self.file}'")
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def settings(self, start: str) -> Settings:
        """The settings of a pipeline that starts there."""
        return Settings.load(write_settings(self.server, SCHEMA, self.folder, extra=extra(start)))

    def moving(self, start: str, adopt: str = ADOPT) -> Pipeline:
        """Capture and consumer, and no import."""
        return Pipeline(self.server, SCHEMA, self.folder, extra=extra(start, adopt))

    def differences(self, start: str) -> int:
        """How many rows differ once the target has applied through all that is committed."""
        with self.moving(start) as pipeline:
            pipeline.until(lambda now: now.captured_through is not None)
            pipeline.drain()
            return pipeline.compare("person", "note").difference_count


def extra(start: str, adopt: str = ADOPT) -> str:
    """What the settings say beside the usual."""
    return f'{adopt}\n[capture]\nstart = "{start}"\n[snapshot]\nworkers = 0\n'


@pytest.fixture(scope="module", params=KINDS)
def running(request: pytest.FixtureRequest) -> Iterator[tuple[str, SQLServer]]:
    with KINDS[request.param].server() as server:
        yield request.param, server


@pytest.fixture
def source(running: tuple[str, SQLServer], tmp_path: Path) -> Source:
    """A schema with some rows, whose tables' making is in no binlog."""
    source = Source(*running, tmp_path)
    source.begin()
    source.change(*ROWS)
    return source


def instant(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


# -- a copy by another tool ---------------------------------------------------------------------------------


def test_a_copy_by_another_tool_is_carried_on_from_its_place(source: Source) -> None:
    place = source.copy()
    source.change(*CHANGES)
    assert source.differences(place) == 0


def test_from_a_later_place_the_changes_in_between_are_missing(source: Source) -> None:
    source.copy()
    source.change(*CHANGES)
    assert source.differences(source.place) == DIFFERENT_ROWS


def test_an_earlier_place_does_no_harm_since_the_copy_is_older_than_every_change(source: Source) -> None:
    place = source.place
    source.change("UPDATE person SET name = 'Eve' WHERE id = 3", "INSERT INTO person VALUES (7, 'x', 1)")
    source.copy()
    source.change(*CHANGES)
    assert source.differences(place) == 0


def test_without_adopt_the_copy_is_a_stop_and_stays_as_it_is(source: Source) -> None:
    place = source.copy()
    source.change("DELETE FROM person")
    with source.moving(place, "adopt = false") as pipeline:
        while not (failed := pipeline.supervisor.failed()):
            pipeline.supervisor.poll()
            time.sleep(0.05)
    assert [(part.name, part.exit_status) for part in failed] == [("apply", REFUSED)]
    assert "a database of something else" in pipeline.words()
    with closing(sqlite3.connect(source.folder / "target.db")) as target:
        assert target.execute("SELECT count(*) FROM person").fetchone() == (4,)


def test_earliest_is_all_that_the_binlog_still_has(source: Source) -> None:
    source.forget()
    source.copy()
    source.change(*CHANGES)
    assert source.differences("earliest") == 0


@pytest.mark.parametrize("kind", KINDS)
def test_earliest_on_a_server_that_has_forgotten_nothing_is_its_first_transaction(
    kind: str, tmp_path: Path
) -> None:
    with KINDS[kind].server() as server:
        source = Source(kind, server, tmp_path)
        source.begin()
        source.change(*ROWS)
        source.new_file()
        source.change(*CHANGES)
        assert source.differences("earliest") == 0


def test_a_timestamp_is_a_place_at_which_nothing_that_came_later_had_been_committed(source: Source) -> None:
    source.new_file()
    source.new_file()
    source.copy()
    time.sleep(1.1)
    at = time.time()
    source.change(CHANGES[0])
    source.new_file()
    source.change(*CHANGES[1:])
    assert source.differences(f"timestamp:{instant(at)}") == 0


def test_a_file_that_a_long_statement_opened_is_not_taken_for_as_old_as_it_says(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.new_file()
    source.new_file()
    source.copy()
    ((before,),) = source.ask("SELECT @@global.max_binlog_size")
    source.ask("SET GLOBAL max_binlog_size = 4096")
    statement = "INSERT INTO note SELECT 8 + GET_LOCK('long', 60), '2024-02-29', REPEAT('x', 9000)"
    long = threading.Thread(target=source.change, args=(statement,))
    with closing(source.server.connect()) as client, client.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK('long', 0)")
        long.start()
        waiting = "SELECT count(*) FROM information_schema.processlist WHERE state = 'User lock'"
        assert wait_until(lambda: source.ask(waiting) == ((1,),))
        time.sleep(1.2)
        at_ms = int(time.time() * 1000)
        source.change("UPDATE person SET name = 'in between' WHERE id = 4")
    long.join()
    source.ask(f"SET GLOBAL max_binlog_size = {before}")
    source.change(*CHANGES)
    start = f"timestamp:{instant(at_ms / 1000)}"

    files = list(binlog_files(source.settings(start).source))
    assert files[-1].at_s * 1000 < at_ms  # which a naive search would take, and lose what is before it
    with monkeypatch.context() as patched:
        patched.setattr(changeover.mysql.starting, "file_before", lambda *_: files[-1].name)
        with Connection(source.settings(start).source) as connection:
            begin = source.settings(start).capture.begin
            naive = changeover.mysql.starting.place_of(connection, begin, lambda: None)
    control = f"gtid:{naive.position}" if source.kind != "mysql-files" else f"file:{naive.position}"
    copied = (source.folder / "target.db").read_bytes()
    assert source.differences(control) > 0

    for file in source.folder.glob("*.db*"):
        file.unlink()
    (source.folder / "target.db").write_bytes(copied)
    source.ask(f"DROP DATABASE {SCHEMA}_control")
    assert source.differences(start) == 0


def test_without_snapshot_workers_run_starts_none_and_status_says_who_imports(source: Source) -> None:
    place = source.copy()
    settings = source.settings(place)
    config = source.folder / "changeover.toml"
    assert [part.name for part in parts_of(settings, config)] == ["capture", "apply"]
    assert source.differences(place) == 0
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CHANGEOVER_SOURCE__PASSWORD", source.server.password)
        told = CliRunner().invoke(app, ["status", "--config", str(config)])
        counted = CliRunner().invoke(app, ["status", "--json", "--config", str(config)])
    assert "by another tool (snapshot.workers = 0)" in told.output
    assert "not yet" not in told.output
    assert json.loads(counted.output)["snapshot_workers"] == 0


def test_a_replay_says_that_a_fresh_target_lacks_what_another_tool_has_imported(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = source.copy()
    source.change(*CHANGES)
    assert source.differences(place) == 0
    source.settings(place)
    monkeypatch.setenv("CHANGEOVER_SOURCE__PASSWORD", source.server.password)
    replay = ["replay", "--from", "offset:0", "--config", str(source.folder / "changeover.toml")]
    told = CliRunner().invoke(app, [*replay, "--json", "--target", f"sqlite:{source.folder / 'fresh.db'}"])
    assert "so its rows are not in the log" in told.stderr
    assert json.loads(told.stdout)["applied"] > 0
    with closing(sqlite3.connect(source.folder / "fresh.db")) as fresh:
        assert fresh.execute("SELECT id FROM person ORDER BY id").fetchall() == [(1,), (5,), (6,)]  # not 4
    assert CliRunner().invoke(app, replay).stderr == ""  # the own target holds the copy


# -- which file ----------------------------------------------------------------------------------------------


def files(*times: int, exact: Sequence[int] = (), first: int = 7) -> list[BinlogFile]:
    return [
        BinlogFile(f"binlog.{number:06}", at_s, at_s in exact) for number, at_s in enumerate(times, first)
    ]


@pytest.mark.parametrize(
    ("found", "at_s", "name"),
    [
        (files(10, 20, 30, 40), 35, "binlog.000008"),  # one before the newest, which may be younger
        (files(10, 20, 30, 40, exact=[30]), 35, "binlog.000009"),
        (files(10, 20, 30, 40), 99, "binlog.000009"),
        (files(10, 50, 30, 40), 45, None),  # the clock was set back, and the 7th may have begun at any time
        (files(10, 20, 50, 30, 40), 45, "binlog.000007"),
        (files(10, 50, 30, 40, exact=[10, 30]), 45, "binlog.000007"),
        (files(10, 20, first=1), 15, "binlog.000001"),  # nothing was before it
        (files(10, 20), 15, None),
        (files(10, 20, exact=[10]), 15, "binlog.000007"),
        (files(10, 20, exact=[10]), 11, "binlog.000007"),
        (files(10, 20, exact=[10]), 10, None),  # the second of its beginning is not over
    ],
)
def test_the_file_of_a_time_is_one_before_which_nothing_later_can_lie(
    found: Sequence[BinlogFile], at_s: int, name: str | None
) -> None:
    if name is not None:
        assert file_before(found, at_s * 1000) == name
        return
    with pytest.raises(StartRefused, match="reach back"):
        file_before(found, at_s * 1000)


# -- places that would lose ----------------------------------------------------------------------------------


def bad_places(source: Source) -> dict[str, str]:
    """Starts that must be refused, with words of the reason; the first change of each is purged."""
    old = source.place
    source.change("INSERT INTO person VALUES (90, 'x', 1)")
    source.forget()
    source.change("INSERT INTO person VALUES (91, 'x', 1)")
    uuid = str(source.ask("SELECT @@server_id" if source.kind == "mariadb" else "SELECT @@server_uuid")[0][0])
    bad = {
        old: "purged",
        "timestamp:2001-01-01T00:00:00Z": "reach",
        "timestamp:2100-01-01T00:00:00Z": "yet to come",
    }
    match source.kind:
        case "mariadb":
            number = int(source.place.rpartition("-")[2])
            return bad | {
                f"gtid:0-1-{number + 1}": "not in the master's binlog",
                f"gtid:0-9-{number}": "not in the master's binlog",
                f"gtid:7-1-{number}": "another domain",
                f"gtid:{PrivateUuid}:1-5": "no place on MariaDB",
                f"file:{source.file}:4": "no place on MariaDB",
            }
        case "mysql":
            number = int(source.place.rpartition("-")[2])
            return bad | {
                f"gtid:{uuid}:1-{number + 1}": "not all in what the source has executed",
                f"gtid:{PrivateUuid}:1-5": "not all in what the source has executed",
                f"gtid:{uuid}:{number}": "has a gap",
                f"gtid:{uuid}:9-1": "no set of GTIDs",
                "gtid:0-1-5": "no place on MySQL with GTIDs",
                f"file:{source.file}:4": "no place on MySQL with GTIDs",
            }
        case _:
            file, _, end = source.place.removeprefix("file:").rpartition(":")
            del bad[old]
            return bad | {
                old: "does not give its binlog",
                f"file:{file}:{int(end) + 1}": "does not give its binlog",
                f"file:{file}:{int(end) - 10}": "",
                f"file:{file}:{int(end) - 31}": "inside a transaction",  # its commit
                "file:binlog.999999:4": "does not give its binlog",
                "gtid:0-1-5": "without GTIDs",
                f"gtid:{PrivateUuid}:1-5": "without GTIDs",
            }


PrivateUuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562"


def test_a_place_that_would_lose_is_refused_in_one_line_before_anything_is_touched(source: Source) -> None:
    for start, words in bad_places(source).items():
        with pytest.raises(StartRefused) as refused:
            _check(source.settings(start))
        assert words in str(refused.value), (start, str(refused.value))
        assert "\n" not in str(refused.value)
    assert sorted(path.name for path in source.folder.iterdir()) == ["changeover.toml"]
    assert source.ask(f"SHOW DATABASES LIKE '{SCHEMA}_control'") == ()
    _check(source.settings(source.place))
    with source.moving(start) as pipeline:
        while not (failed := pipeline.supervisor.failed()):
            pipeline.supervisor.poll()
            time.sleep(0.05)
    assert [(part.name, part.exit_status) for part in failed] == [("capture", REFUSED)]
    assert source.ask(f"SHOW DATABASES LIKE '{SCHEMA}_control'") == ()


def of_start(source: Source, start: str) -> list[Finding]:
    """What the doctor says of the place."""
    found = examine(source.settings(start), {}).findings
    return [finding for finding in found if "capture.start" in finding.what or "can start at" in finding.what]


def test_the_doctor_says_the_same_of_a_place_and_touches_nothing(source: Source) -> None:
    for start, words in bad_places(source).items():
        (found,) = of_start(source, start)
        assert found.severity is Severity.REFUSE
        assert words in found.text
    assert not of_start(source, source.place)
    assert not of_start(source, "now")
    assert sorted(path.name for path in source.folder.iterdir()) == ["changeover.toml"]


def test_the_doctor_does_not_ask_for_a_place_in_a_binlog_that_there_is_not(tmp_path: Path) -> None:
    with PrivateMariaDB(options={"log_bin": None, "gtid_strict_mode": None}) as server:
        source = Source("mariadb", server, tmp_path)
        source.begin()
        (found,) = of_start(source, "earliest")
    assert found.severity is Severity.NOTE
    assert found.what == "whether capture can start at earliest was not looked at"


def test_a_set_of_two_servers_at_which_the_source_never_was_is_refused(tmp_path: Path) -> None:
    with PrivateMySQL() as server:
        source = Source("mysql", server, tmp_path)
        source.begin()
        source.change(*ROWS)
        own = source.place.removeprefix("gtid:").partition(":")[0]
        write = "INSERT INTO person VALUES (50, 'by another server', 1)"
        source.change(f"SET gtid_next = '{PrivateUuid}:1'", write, "SET gtid_next = AUTOMATIC", CHANGES[0])
        for good in (f"{own}:1-2", f"{own}:1-2,{PrivateUuid}:1", f"{own}:1-3,{PrivateUuid}:1"):
            _check(source.settings(f"gtid:{good}"))
        with pytest.raises(StartRefused, match="never at"):
            _check(source.settings(f"gtid:{own}:1-3"))


@pytest.mark.parametrize(
    "start",
    ["", "yesterday", "now:1", "gtid:", "file:binlog.000007", "file:x:4", "timestamp:2026-11-23T10:00:00"],
)
def test_what_is_no_place_at_all_is_refused_by_the_settings(tmp_path: Path, start: str) -> None:
    file = tmp_path / "changeover.toml"
    file.write_text(
        f'pipeline = "p"\ncapture.start = "{start}"\nsource.url = "mysql://u@h"\nsource.include = ["a.b"]\n'
        'log.url = "sqlite:l"\ntarget.url = "sqlite:t"\n'
    )
    with pytest.raises(SettingsInvalid, match=r"capture\.start"):
        Settings.load(file)


def test_once_there_is_a_checkpoint_the_start_counts_no_more(source: Source) -> None:
    place = source.copy()
    source.change(*CHANGES[:3])
    assert source.differences(place) == 0
    source.change(*CHANGES[3:])
    assert source.differences("timestamp:2001-01-01T00:00:00Z") == 0
    assert not of_start(source, "timestamp:2001-01-01T00:00:00Z")
    with open_log(source.settings(place)) as log:
        assert log.checkpoint()
