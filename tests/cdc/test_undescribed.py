"""MySQL 5.7, whose binlog does not describe tables: rows are read by the schema of the start, or not."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import cdc.wiring
import changeover.mysql.starting
from cdc.wiring import capture
from changeover.daemon import Duty
from changeover.demo.sql import SQLServer
from changeover.doctor.examine import examine
from changeover.envelope import decode
from changeover.errors import BinlogUnreadable, SchemaChanged, SourceUnavailable, SourceUnfit, StartRefused
from changeover.finding import refusals
from changeover.mysql.catalog import captured_tables
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.settings import Settings
from changeover.values import Row
from changeover.wiring import open_log
from tests.support.odd_servers import PrivateMySQL57
from tests.support.pipeline import schema_of, write_settings

WAIT_S_MAX = 60.0
SCHEMA = "undescribed"
TABLE = """CREATE TABLE pet (
    id INT PRIMARY KEY, age TINYINT UNSIGNED NOT NULL, kind ENUM('cat', 'dog') NOT NULL,
    name VARCHAR(20) CHARACTER SET latin1, nick VARCHAR(20))"""
OLD = "INSERT INTO pet VALUES (1, 200, 'cat', 'Møns', 'm')"
AS_OLD: Row = {"id": 1, "age": 200, "kind": "cat", "name": "Møns", "nick": "m"}
BEHIND = "INSERT INTO pet VALUES (2, 250, 'dog', 'Bø', 'b')"
AS_BEHIND: Row = {"id": 2, "age": 250, "kind": "dog", "name": "Bø", "nick": "b"}

WITHOUT_GTIDS = {"gtid_mode": "OFF", "enforce_gtid_consistency": "OFF"}


class Source:
    """A schema of the server, what an application does there, and a pipeline."""

    def __init__(self, server: SQLServer, folder: Path) -> None:
        self._client = server.connect(database=SCHEMA, autocommit=True)
        self.server = server
        self.folder = folder
        self.settings = Settings.load(write_settings(server, SCHEMA, folder))

    def run(self, *statements: str) -> None:
        with self._client.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def begin(self) -> None:
        """Capture starts for the first time, and ends."""
        capture(Duty(self.settings, "capture", lambda: True))

    def capture_rows(self, count: int) -> None:
        """Capture until so many rows are in the log."""
        until_s = time.monotonic() + WAIT_S_MAX
        capture(
            Duty(self.settings, "capture", lambda: len(self.logged()) >= count or time.monotonic() > until_s)
        )

    def logged(self) -> list[Row | None]:
        """The rows after each change in the log."""
        with open_log(self.settings) as log:
            polled = log.reader("test").poll(1_000)
            return [decode(record.table, record.value).after for record in polled]

    def matching(self, *include: str, exclude: tuple[str, ...] = ()) -> Settings:
        """The settings with other tables."""
        names = {"include": include, "exclude": exclude}
        return self.settings.model_copy(update={"source": self.settings.source.model_copy(update=names)})


@pytest.fixture
def source(mysql57: PrivateMySQL57, tmp_path: Path) -> Iterator[Source]:
    with schema_of(mysql57, SCHEMA, TABLE):
        yield Source(mysql57, tmp_path)


def test_rows_are_read_by_the_schema_of_the_start_also_by_a_later_start(source: Source) -> None:
    source.begin()
    source.run(OLD)
    source.capture_rows(1)
    source.run(BEHIND)
    source.capture_rows(2)
    assert source.logged() == [AS_OLD, AS_BEHIND]


def test_without_gtids_it_is_the_same(tmp_path: Path) -> None:
    with PrivateMySQL57(options=WITHOUT_GTIDS) as server, schema_of(server, SCHEMA, TABLE):
        source = Source(server, tmp_path)
        source.begin()
        source.run(OLD)
        source.capture_rows(1)
        source.run(BEHIND, "DELETE FROM pet", CHANGES["sign"][0], "FLUSH LOGS")
        with pytest.raises(SchemaChanged):
            source.capture_rows(2)
        assert source.logged() == [AS_OLD]


# -- DDL while capture is down -----------------------------------------------------------------------------

CHANGES: dict[str, tuple[str, str, Row]] = {
    # Each keeps what a table map of 5.7 says: the number of columns and their types.
    "sign": (
        "ALTER TABLE pet MODIFY age TINYINT NOT NULL",
        "column 2 is age tinyint(4) NOT NULL and was age tinyint(3) unsigned NOT NULL",
        {"age": -6},
    ),
    "labels": (
        "ALTER TABLE pet MODIFY kind ENUM('dog', 'cat') NOT NULL",
        "column 3 is kind enum('dog','cat') utf8mb4 NOT NULL and was kind enum('cat','dog') utf8mb4 NOT NULL",
        {"kind": "cat"},
    ),
    "charset": (
        "ALTER TABLE pet MODIFY name VARCHAR(20) CHARACTER SET cp1251",
        "column 4 is name varchar(20) cp1251 NULL and was name varchar(20) latin1 NULL",
        {"name": "Bш"},
    ),
    "names": (
        "ALTER TABLE pet CHANGE nick nickname VARCHAR(20)",
        "column 5 is nickname varchar(20) utf8mb4 NULL and was nick varchar(20) utf8mb4 NULL",
        {"nickname": "b"},
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_ddl_while_capture_is_down_is_a_stop_before_rows_are_read_that_would_be_misread(
    source: Source, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ddl, said, misread = CHANGES[what]
    source.begin()
    source.run(OLD)
    source.capture_rows(1)
    source.run(BEHIND, "DELETE FROM pet", ddl)
    for _ in range(2):  # and it stays one
        with pytest.raises(SchemaChanged) as caught:
            source.capture_rows(2)
        assert f"{SCHEMA}.pet has changed: {said} since capture began" in str(caught.value)
        assert "start a pipeline under a new name" in str(caught.value)
    assert source.logged() == [AS_OLD]

    monkeypatch.setattr(cdc.wiring, "check_schema", lambda *_: None)
    with pytest.raises(BinlogUnreadable, match="a statement changes a captured table"):
        source.capture_rows(9)
    wrong = source.logged()[1]
    assert wrong is not None
    assert {name: wrong[name] for name in misread} == misread


def test_a_table_of_a_pipeline_that_kept_none_is_a_stop(source: Source) -> None:
    source.begin()
    with Connection(source.settings.source) as connection:
        connection.execute(f"DELETE FROM {SCHEMA}_control.captured_table")
    with pytest.raises(SchemaChanged, match=r"undescribed\.pet has come to the captured tables"):
        source.begin()


def test_a_table_that_was_left_out_for_a_while_comes_back_as_a_stop(source: Source) -> None:
    source.run("CREATE TABLE toy (id INT PRIMARY KEY)")
    source.begin()
    capture(Duty(source.matching(f"{SCHEMA}.*", exclude=(f"{SCHEMA}.toy",)), "capture", lambda: True))
    capture(Duty(source.matching(f"{SCHEMA}.pet"), "capture", lambda: True))
    with pytest.raises(SchemaChanged, match=r"undescribed\.toy has come to the captured tables"):
        source.begin()


# -- DDL while capture runs --------------------------------------------------------------------------------


def test_ddl_on_a_captured_table_is_a_stop_and_what_was_before_it_is_logged(source: Source) -> None:
    source.begin()
    source.run(OLD)
    stopping = after(lambda: source.run(BEHIND, "ALTER TABLE pet MODIFY name TEXT"))
    with pytest.raises(BinlogUnreadable, match="a statement changes a captured table"):
        capture(Duty(source.settings, "capture", stopping))
    assert source.logged() == [AS_OLD, AS_BEHIND]


@pytest.mark.parametrize(
    ("ddl", "insert", "said"),
    [
        (
            "ALTER TABLE pet ADD more INT",
            "VALUES (2, 1, 'cat', 'x', 'y', 1)",
            "has the columns ?, ?, ?, ?, ?, ?",
        ),
        (
            "ALTER TABLE pet MODIFY age INT",
            "VALUES (2, 1, 'cat', 'x', 'y')",
            "pet.age comes as type 3 unsigned, not as tinyint(3) unsigned",
        ),
    ],
)
def test_ddl_that_was_kept_from_the_binlog_is_a_stop_where_the_types_show_it(
    source: Source, ddl: str, insert: str, said: str
) -> None:
    source.begin()
    source.run(OLD)
    hidden = ("SET SESSION sql_log_bin = 0", ddl, "SET SESSION sql_log_bin = 1")
    stopping = after(lambda: source.run(*hidden, f"INSERT INTO pet {insert}"))
    with pytest.raises(BinlogUnreadable) as caught:
        capture(Duty(source.settings, "capture", stopping))
    assert said in str(caught.value)
    assert source.logged() == [AS_OLD]


def after(act: Callable[[], None]) -> Callable[[], bool]:
    """A `should_stop` that does something at its first call, when capture runs, and then waits."""
    until_s = time.monotonic() + WAIT_S_MAX
    todo = [act]

    def should_stop() -> bool:
        if todo:
            todo.pop()()
        return time.monotonic() > until_s

    return should_stop


# -- the first start ---------------------------------------------------------------------------------------


def test_ddl_between_the_reading_of_the_tables_and_the_first_place_begins_nothing(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    place_of = changeover.mysql.starting.place_of

    def later(*arguments: object) -> object:
        source.run("ALTER TABLE pet MODIFY age TINYINT NOT NULL")
        return place_of(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr("cdc.wiring.place_of", later)
        with pytest.raises(SourceUnavailable, match=r"age tinyint.* while capture began"):
            source.begin()
    with open_log(source.settings) as log:
        assert log.checkpoint() is None
    source.begin()
    source.run("INSERT INTO pet VALUES (1, -6, 'cat', NULL, NULL)")
    source.capture_rows(1)
    assert source.logged() == [{"id": 1, "age": -6, "kind": "cat", "name": None, "nick": None}]


@pytest.mark.parametrize("start", ["earliest", "timestamp:2001-01-01T00:00:00Z"])
def test_a_start_in_the_past_is_refused_by_capture_and_doctor_alike(source: Source, start: str) -> None:
    config = write_settings(source.server, SCHEMA, source.folder, extra=f'[capture]\nstart = "{start}"\n')
    settings = Settings.load(config)
    with pytest.raises(StartRefused, match="a place in the past, and this server's binlog does not say"):
        capture(Duty(settings, "capture", lambda: True))
    (found,) = refusals(examine(settings, {}).findings)
    assert "capture.start" in found.what


def test_a_label_that_the_server_may_not_show_is_refused(source: Source) -> None:
    source.run("CREATE TABLE mood (id INT PRIMARY KEY, face ENUM('fine', '💾'), how SET('?', 'well'))")
    with pytest.raises(SourceUnfit) as caught:
        source.begin()
    assert f"{SCHEMA}.mood.face has a label with '?'" in str(caught.value)
    assert f"{SCHEMA}.mood.how has a label with '?'" in str(caught.value)


def test_what_is_kept_is_the_tables_and_is_not_kept_where_the_binlog_describes_them(
    source: Source, mysql: SQLServer, tmp_path: Path
) -> None:
    source.begin()
    with Connection(source.settings.source) as connection:
        kept = ControlSchema(connection, "test").kept_tables()
        assert kept == captured_tables(connection)
    (tmp_path / "other").mkdir()
    with schema_of(mysql, SCHEMA, TABLE):
        described = Source(mysql, tmp_path / "other")
        described.begin()
        with Connection(described.settings.source) as connection:
            assert ControlSchema(connection, "test").kept_tables() == []
