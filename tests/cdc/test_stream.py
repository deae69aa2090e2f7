"""The binlog stream: each thing that happens on the source, in order and whole, or a stop with its place."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from cdc.events import Beaten, Began, Committed, Event, RolledBack, RowsChanged, Stated
from cdc.frames import frames_at
from cdc.stream import BinlogStream
from cdc.wiring import capture
from changeover.daemon import Duty
from changeover.demo.server import PrivateMariaDB
from changeover.envelope import decode
from changeover.errors import BinlogUnreadable, ChangeoverError, PositionPurged, SourceUnavailable
from changeover.mysql.catalog import captured_tables
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.settings import Settings
from changeover.values import Row
from changeover.wiring import open_log
from tests.support.pipeline import schema_of, write_settings
from tests.support.proxy import proxied

EVENT_WAIT_S_MAX = 60.0
SERVER_ID = 4_000_000
LARGE = 10_000

TABLES = (
    "CREATE TABLE person (id INT PRIMARY KEY, name VARCHAR(99))",
    """CREATE TABLE note (
        id INT PRIMARY KEY, body TEXT, day DATE NOT NULL DEFAULT '2024-02-29',
        at DATETIME(3) NOT NULL DEFAULT '2024-02-29',
        seen TIMESTAMP NOT NULL DEFAULT '2024-02-29 12:00:00')""",
    "CREATE TABLE elsewhere (id INT PRIMARY KEY, pos POINT)",
)


@pytest.fixture(scope="module")
def server() -> Iterator[PrivateMariaDB]:
    """A server of our own: its binlog is purged, and it is shut down."""
    with PrivateMariaDB() as server:
        yield server


class Source:
    """A schema of the server, with a client that changes it and a pipeline that reads it."""

    def __init__(self, server: PrivateMariaDB, schema: str, folder: Path) -> None:
        self.server = server
        self.settings = Settings.load(write_settings(server, schema, folder))
        source = self.settings.source.model_copy(
            # No heartbeat by the clock: each transaction in the binlog is the test's own.
            update={"exclude": (f"{schema}.elsewhere",), "heartbeat_s": 3_600}
        )
        self.settings = self.settings.model_copy(update={"source": source})
        self.connection = Connection(source)
        self.control = ControlSchema(self.connection, self.settings.pipeline)
        self.control.make()
        self._client = server.connect(database=schema)

    def run(self, *statements: str) -> None:
        """As an application would, in one session in autocommit."""
        with self._client.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    @property
    def position(self) -> str:
        """Where the binlog ends now."""
        return self.connection.value("SELECT @@global.gtid_binlog_pos")

    @contextmanager
    def streaming(self, position: str | None = None) -> Iterator["Events"]:
        """The stream behind a position, or behind all that there is."""
        stream = BinlogStream(
            self.settings.source,
            self.settings.pipeline,
            captured_tables(self.connection),
            frames_at(position or self.position, "0-1"),
            SERVER_ID,
        )
        try:
            yield Events(stream)
        finally:
            stream.close()

    def close(self) -> None:
        """Hang up."""
        self._client.close()
        self.connection.close()


class Events:
    """What comes out of a stream, waited for with a bound."""

    def __init__(self, stream: BinlogStream) -> None:
        self._stream = stream

    def next(self) -> Event:
        """The next event."""
        event = self._stream.next(EVENT_WAIT_S_MAX)
        assert event is not None, "nothing came"
        return event

    def transaction(self) -> list[Event]:
        """The next transaction."""
        events = [self.next()]
        assert isinstance(events[0], Began)
        while not isinstance(events[-1], Committed):
            events.append(self.next())
        return events

    def error(self) -> ChangeoverError:
        """What the stream ends with."""
        try:
            while True:
                self.next()
        except ChangeoverError as error:
            return error


@pytest.fixture
def source(server: PrivateMariaDB, tmp_path: Path) -> Iterator[Source]:
    with schema_of(server, "streamed", *TABLES) as schema:
        source = Source(server, schema, tmp_path)
        yield source
        source.close()


def kinds(events: Sequence[Event]) -> list[type[Event]]:
    """What the events are."""
    return [type(event) for event in events]


def rows(events: Sequence[Event]) -> list[tuple[Row | None, Row | None]]:
    """All rows of the events, before and after."""
    return [images for event in events if isinstance(event, RowsChanged) for images in event.rows]


def person(number: int, name: str | None) -> Row:
    """A row of the table person."""
    return {"id": number, "name": name}


# -- what happens, in order --------------------------------------------------------------------------------


def test_an_insert_is_a_transaction_with_its_row_after(source: Source) -> None:
    with source.streaming() as events:
        source.run("INSERT INTO person VALUES (1, 'Ada'), (2, NULL)")
        began, changed, committed = events.transaction()
    position = source.position
    assert began == Began(position)
    assert isinstance(changed, RowsChanged)
    assert changed.table.full_name == "streamed.person"
    assert changed.rows == [(None, person(1, "Ada")), (None, person(2, None))]
    assert isinstance(committed, Committed)
    assert f"{committed.identity}-{committed.sequence}" == committed.position == position
    assert committed.identity == "0-1"
    assert abs(committed.at_ms - time.time() * 1000) < 60_000


def test_an_update_has_both_images_and_a_delete_the_one_before(source: Source) -> None:
    source.run("INSERT INTO person VALUES (1, 'Ada')")
    with source.streaming() as events:
        source.run("UPDATE person SET name = 'Eva'", "DELETE FROM person")
        assert rows(events.transaction()) == [(person(1, "Ada"), person(1, "Eva"))]
        assert rows(events.transaction()) == [(person(1, "Eva"), None)]


def test_a_changed_key_is_one_update_with_both_keys(source: Source) -> None:
    source.run("INSERT INTO person VALUES (1, 'Ada')")
    with source.streaming() as events:
        source.run("UPDATE person SET id = 7")
        assert rows(events.transaction()) == [(person(1, "Ada"), person(7, "Ada"))]


def test_a_replace_and_an_insert_on_duplicate_key_are_row_changes(source: Source) -> None:
    source.run("INSERT INTO person VALUES (1, 'Ada')")
    with source.streaming() as events:
        source.run(
            "REPLACE INTO person VALUES (1, 'Eva')",
            "INSERT INTO person VALUES (1, '') ON DUPLICATE KEY UPDATE name = 'Zoe'",
        )
        assert rows(events.transaction())[-1][1] == person(1, "Eva")
        assert rows(events.transaction()) == [(person(1, "Eva"), person(1, "Zoe"))]


def test_several_statements_of_one_transaction_come_together_and_in_order(source: Source) -> None:
    with source.streaming() as events:
        source.run(
            "BEGIN",
            "INSERT INTO person VALUES (1, 'Ada')",
            "INSERT INTO note (id, body) VALUES (1, 'x')",
            "UPDATE person SET name = 'Eva'",
            "COMMIT",
        )
        found = events.transaction()
    assert kinds(found) == [Began, RowsChanged, RowsChanged, RowsChanged, Committed]
    assert [images[1] and images[1].get("name") for images in rows(found)] == ["Ada", None, "Eva"]


def test_transactions_come_in_the_order_of_their_numbers(source: Source) -> None:
    with source.streaming() as events:
        source.run(*(f"INSERT INTO person VALUES ({number}, '')" for number in range(20)))
        ends = [events.transaction()[-1] for _ in range(20)]
    numbers = [end.sequence for end in ends if isinstance(end, Committed)]
    assert numbers == list(range(numbers[0], numbers[0] + 20))


def test_a_transaction_that_is_rolled_back_is_not_there(source: Source) -> None:
    with source.streaming() as events:
        source.run("BEGIN", "INSERT INTO person VALUES (1, 'Ada')", "ROLLBACK")
        source.run("INSERT INTO person VALUES (2, 'Eva')")
        assert rows(events.transaction()) == [(None, person(2, "Eva"))]


@pytest.mark.parametrize("table", ["person", "elsewhere"])
def test_a_transaction_that_is_rolled_back_behind_a_temporary_table_is_told_as_such(
    source: Source, table: str
) -> None:
    with source.streaming() as events:
        source.run(
            *("BEGIN", f"INSERT INTO {table} (id) VALUES (1)", "CREATE TEMPORARY TABLE some (id INT)"),
            *("DROP TEMPORARY TABLE some", "ROLLBACK", "INSERT INTO person VALUES (2, 'Eva')"),
        )
        *_, undone, committed = events.transaction()
        assert undone == RolledBack()
        assert isinstance(committed, Committed)
        assert rows(events.transaction()) == [(None, person(2, "Eva"))]


def test_rows_of_a_table_without_transactions_outlive_the_rollback(source: Source) -> None:
    """MariaDB logs them by themselves: what it logs with a ROLLBACK is all undone."""
    source.run("ALTER TABLE person ENGINE = MyISAM")
    with source.streaming() as events:
        source.run(
            *("BEGIN", "CREATE TEMPORARY TABLE some (id INT)", "INSERT INTO note (id) VALUES (1)"),
            *("INSERT INTO person VALUES (1, 'Ann')", "DROP TEMPORARY TABLE some", "ROLLBACK"),
        )
        assert rows(events.transaction()) == [(None, person(1, "Ann"))]
        assert RolledBack() in events.transaction()


def test_rows_that_were_undone_to_a_savepoint_are_not_there(source: Source) -> None:
    with source.streaming() as events:
        source.run(
            "BEGIN",
            "INSERT INTO person VALUES (1, 'Ada')",
            "SAVEPOINT here",
            "INSERT INTO person VALUES (2, 'Eva')",
            "ROLLBACK TO SAVEPOINT here",
            "INSERT INTO person VALUES (3, 'Zoe')",
            "COMMIT",
        )
        found = events.transaction()
    assert rows(found) == [(None, person(1, "Ada")), (None, person(3, "Zoe"))]
    assert Stated("streamed", "SAVEPOINT `here`") in found


def test_ddl_is_a_statement_and_a_transaction_by_itself_with_its_text_and_schema(source: Source) -> None:
    with source.streaming() as events:
        source.run("CREATE TABLE fresh (id INT PRIMARY KEY)", "TRUNCATE TABLE person")
        for text in ("CREATE TABLE fresh (id INT PRIMARY KEY)", "TRUNCATE TABLE person"):
            began, stated, committed = events.transaction()
            assert stated == Stated("streamed", text)
            assert isinstance(committed, Committed)
            assert began == Began(committed.position)


def test_a_prepared_xa_transaction_says_that_it_is_only_prepared(source: Source) -> None:
    with source.streaming() as events:
        source.run(
            *("XA START 'x'", "INSERT INTO person VALUES (1, 'Ada')", "XA END 'x'", "XA PREPARE 'x'"),
            "XA ROLLBACK 'x'",
        )
        began = events.next()
    assert isinstance(began, Began)
    assert began.is_prepared_xa


def test_only_the_heartbeat_of_our_pipeline_is_one(source: Source) -> None:
    other = ControlSchema(source.connection, "other")
    other.beat("capture")
    source.control.beat("capture")
    with source.streaming() as events:
        before_ms = source.control.now_ms()
        for control in (other, source.control, other, source.control):
            control.beat("capture")
        found = [events.transaction() for _ in range(4)]
    assert [kinds(events) for events in found] == [
        [Began, Committed],
        [Began, Beaten, Committed],
        [Began, Committed],
        [Began, Beaten, Committed],
    ]
    beaten = found[1][1]
    assert isinstance(beaten, Beaten)
    assert before_ms <= beaten.source_ms <= source.control.now_ms()


def test_tables_that_are_not_captured_are_not_delivered_and_not_decoded(source: Source) -> None:
    with source.streaming() as events:
        source.run(
            "INSERT INTO elsewhere VALUES (1, POINT(1, 2))",
            "BEGIN",
            "UPDATE elsewhere SET id = 2",
            "INSERT INTO person VALUES (1, 'Ada')",
            "COMMIT",
        )
        assert kinds(events.transaction()) == [Began, Committed]
        assert rows(events.transaction()) == [(None, person(1, "Ada"))]


def test_a_table_of_the_same_name_in_another_schema_is_not_delivered(
    source: Source, server: PrivateMariaDB
) -> None:
    with (
        schema_of(server, "streamed2", "CREATE TABLE person (id INT PRIMARY KEY, pos POINT)"),
        source.streaming() as events,
    ):
        source.run("INSERT INTO streamed2.person VALUES (1, POINT(1, 2))")
        assert kinds(events.transaction()) == [Began, Committed]


def test_rows_loaded_from_a_file_are_row_changes(source: Source, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    file = tmp_path / "people.txt"
    file.write_text("1\tAda\n2\t\\N\n")
    with source.streaming() as events:
        source.run(f"LOAD DATA INFILE '{file}' INTO TABLE person")
        assert rows(events.transaction()) == [(None, person(1, "Ada")), (None, person(2, None))]


def test_a_row_larger_than_a_packet_arrives_whole(source: Source) -> None:
    with source.streaming() as events:
        source.run("ALTER TABLE elsewhere ADD big LONGTEXT", "ALTER TABLE elsewhere DROP big")
        source.run("INSERT INTO note (id, body) VALUES (1, REPEAT('ž', 30000))")
        events.transaction()
        events.transaction()
        ((_, after),) = rows(events.transaction())
    assert after is not None
    assert after["body"] == "ž" * 30_000


DATES = ("0000-00-00", "2024-02-00", "2024-00-00", "2023-02-31")


@pytest.mark.parametrize("date", DATES)
def test_zero_partial_and_impossible_dates_are_read_as_the_server_prints_them(
    source: Source, date: str
) -> None:
    with source.streaming() as events:
        source.run(
            "SET sql_mode = 'ALLOW_INVALID_DATES'",
            f"INSERT INTO note VALUES (1, NULL, '{date}', '{date} 23:59:59.5', 0)",
        )
        ((_, after),) = rows(events.transaction())
    assert after == {
        "id": 1,
        "body": None,
        "day": date,
        "at": f"{date} 23:59:59.500",
        "seen": "0000-00-00 00:00:00",
    }


def test_compressed_events_of_mariadb_are_read(source: Source) -> None:
    texts = ["x" * LARGE, "ž" * LARGE, ""]
    with source.streaming() as events:
        source.run("SET GLOBAL log_bin_compress = ON")
        try:
            values = ", ".join(f"({number}, '{text}')" for number, text in enumerate(texts))
            source.run(f"INSERT INTO note (id, body) VALUES {values}", f"UPDATE note SET body = '{texts[0]}'")
            source.run("DELETE FROM note", f"CREATE TABLE fresh (id INT COMMENT '{'long ' * 200}')")
            found = [events.transaction() for _ in range(4)]
        finally:
            source.run("SET GLOBAL log_bin_compress = OFF")
    assert [after and after["body"] for _, after in rows(found[0])] == texts
    assert [(before and before["body"], after and after["body"]) for before, after in rows(found[1])] == [
        (text, texts[0]) for text in texts[1:]
    ]
    assert [before and before["body"] for before, _ in rows(found[2])] == [texts[0]] * 3
    assert Stated("streamed", f"CREATE TABLE fresh (id INT COMMENT '{'long ' * 200}')") in found[3]


# -- positions ---------------------------------------------------------------------------------------------


def test_reading_from_an_earlier_position_gives_the_same_again(source: Source) -> None:
    start = source.position
    source.run("INSERT INTO person VALUES (1, 'Ada')", "UPDATE person SET name = 'Eva'", "DELETE FROM person")
    readings = []
    for _ in range(2):
        with source.streaming(start) as events:
            readings.append([events.transaction() for _ in range(3)])
    assert readings[0] == readings[1]
    assert len(rows(readings[0][2])) == 1


def test_reading_begins_behind_the_position_and_not_at_it(source: Source) -> None:
    source.run("INSERT INTO person VALUES (1, 'Ada')")
    position = source.position
    source.run("INSERT INTO person VALUES (2, 'Eva')")
    with source.streaming(position) as events:
        assert rows(events.transaction()) == [(None, person(2, "Eva"))]


def test_reading_goes_on_over_the_end_of_a_binlog_file(source: Source) -> None:
    with source.streaming() as events:
        for number in (1, 2, 3):
            source.run(f"INSERT INTO person VALUES ({number}, '')", "FLUSH BINARY LOGS")
        assert [rows(events.transaction()) for _ in range(3)] == [
            [(None, person(number, ""))] for number in (1, 2, 3)
        ]


def purge(source: Source) -> None:
    """Have the server forget all that is in its binlog."""
    deadline = time.monotonic() + EVENT_WAIT_S_MAX
    source.run("FLUSH BINARY LOGS")
    while len(source.connection.query("SHOW BINARY LOGS")) > 1:  # a file that is being sent stays
        assert time.monotonic() < deadline
        source.run("PURGE BINARY LOGS BEFORE NOW() + INTERVAL 1 DAY", "FLUSH BINARY LOGS")
        source.run("PURGE BINARY LOGS BEFORE NOW() + INTERVAL 1 DAY")
        time.sleep(0.05)


def test_a_position_whose_binlog_was_purged_is_a_stop_that_names_it(source: Source) -> None:
    source.run("INSERT INTO person VALUES (1, 'Ada')")
    position = source.position
    source.run("INSERT INTO person VALUES (2, 'Eva')")
    purge(source)
    with source.streaming(position) as events:
        error = events.error()
    assert type(error) is PositionPurged
    assert "binlog_expire_logs_seconds" in str(error)


def test_a_position_that_the_server_never_reached_is_a_stop(source: Source) -> None:
    position = f"0-1-{int(source.position.rpartition('-')[2]) + 1_000}"
    with source.streaming(position) as events:
        error = events.error()
    assert type(error) is PositionPurged
    assert position in str(error)


# -- what cannot be read -----------------------------------------------------------------------------------


def test_a_stream_that_has_met_what_it_cannot_read_gives_nothing_behind_it(source: Source) -> None:
    with source.streaming() as events:
        source.run(*UNREADABLE["minimal insert"].statements, "SET SESSION binlog_row_image = 'FULL'")
        source.run("INSERT INTO person VALUES (1, 'Ada')")
        assert type(events.next()) is Began
        assert type(events.error()) is BinlogUnreadable
        assert events._stream.next(0.3) is None


def test_one_flipped_bit_on_the_way_is_a_stop_behind_what_came_whole(source: Source) -> None:
    position = source.position
    source.run("INSERT INTO person VALUES (1, 'Ada')", "INSERT INTO person VALUES (2, 'Zoe')")

    def flip(chunk: bytes) -> bytes:
        return chunk.replace(b"Zoe", b"Zoo")

    with proxied(source.server.port, flip) as port:
        url = f"mysql://{source.server.user}@127.0.0.1:{port}"
        damaged = source.settings.source.model_copy(update={"url": url})
        tables = captured_tables(source.connection)
        stream = BinlogStream(damaged, "test", tables, frames_at(position, "0-1"), SERVER_ID)
        events = Events(stream)
        assert rows(events.transaction()) == [(None, person(1, "Ada"))]
        error = events.error()
        stream.close()
    assert type(error) is BinlogUnreadable
    assert number_behind(number_behind(position)) in str(error)
    assert "checksum is wrong" in str(error)


class Bad:
    """Something that this release cannot read: the statements, and what is said about it."""

    def __init__(self, *statements: str, said: Sequence[str]) -> None:
        self.statements = statements
        self.said = said


UNREADABLE = {
    "added column": Bad(
        "ALTER TABLE person ADD born INT",
        "INSERT INTO person VALUES (2, 'Eva', NULL)",
        said=["a statement changes a captured table: ALTER TABLE person ADD born INT"],
    ),
    "truncate": Bad("TRUNCATE person", said=["a statement changes a captured table: TRUNCATE person"]),
    "rename": Bad(
        "RENAME TABLE person TO people",
        said=["a statement changes a captured table: RENAME TABLE"],
    ),
    "statement format": Bad(
        "SET SESSION binlog_format = 'STATEMENT'",
        "UPDATE person SET name = 'Eva'",
        said=["a statement changes rows without logging them as rows: UPDATE person", "binlog_format"],
    ),
    "load data as statement": Bad(
        "SET SESSION binlog_format = 'STATEMENT'",
        "LOAD DATA INFILE '{folder}/people.txt' INTO TABLE person",
        said=["is not understood"],
    ),
    "xa": Bad(
        "XA START 'x'",
        "INSERT INTO person VALUES (2, 'Eva')",
        "XA END 'x'",
        "XA PREPARE 'x'",
        "XA COMMIT 'x'",
        said=["an XA transaction changes streamed.person"],
    ),
    "minimal update": Bad(
        "SET SESSION binlog_row_image = 'MINIMAL'",
        "UPDATE person SET name = 'Eva'",
        said=["a row of streamed.person lacks columns: binlog_row_image was not FULL"],
    ),
    "minimal delete": Bad(
        "SET SESSION binlog_row_image = 'MINIMAL'",
        "DELETE FROM person",
        said=["a row of streamed.person lacks columns: binlog_row_image was not FULL"],
    ),
    "minimal insert": Bad(
        "SET SESSION binlog_row_image = 'MINIMAL'",
        "INSERT INTO note (id) VALUES (2)",
        said=["a row of streamed.note lacks columns: binlog_row_image was not FULL"],
    ),
    "metadata gone": Bad(
        "SET GLOBAL binlog_row_metadata = 'NO_LOG'",
        # A table that was opened under FULL keeps logging it.
        "FLUSH LOCAL TABLES",
        "INSERT INTO person VALUES (2, 'Eva')",
        said=["streamed.person has the columns"],
    ),
}


class Capturing:
    """Capture in a thread of its own, while the source changes."""

    def __init__(self, settings: Settings) -> None:
        capture(
            Duty(settings, "capture", lambda: True)
        )  # begins, and ends at once: whatever comes from now on is captured
        self._settings = settings
        self._error: Exception | None = None
        self._end_s = time.monotonic() + EVENT_WAIT_S_MAX
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            capture(Duty(self._settings, "capture", lambda: time.monotonic() >= self._end_s))
        except Exception as error:  # noqa: BLE001 - whatever it is, `error` shows it
            self._error = error

    def until_logged(self, row: Row) -> None:
        """Wait until the row is in the log."""
        while self._thread.is_alive() and row not in in_log(self._settings):
            time.sleep(0.02)

    def error(self) -> ChangeoverError:
        """What it ends with."""
        self._thread.join()
        assert self._error is not None, "capture went on"
        if not isinstance(self._error, ChangeoverError):
            raise self._error
        return self._error


def number_behind(position: str) -> str:
    """The GTID of the transaction that follows a position."""
    return f"0-1-{int(position.rpartition('-')[2]) + 1}"


def in_log(settings: Settings) -> list[Row | None]:
    """The rows after each change in the log."""
    with open_log(settings) as log:
        return [decode(record.table, record.value).after for record in log.reader("test").poll(1_000)]


@pytest.mark.parametrize("what", UNREADABLE)
def test_capture_stops_at_what_it_cannot_read_and_never_steps_over_it(
    source: Source, server: PrivateMariaDB, what: str
) -> None:
    bad = UNREADABLE[what]
    folder = server.folder / "data"  # the server may read files there
    (folder / "people.txt").write_text("2\tEva\n")
    live = Capturing(source.settings)
    source.run("INSERT INTO person VALUES (1, 'Ada')")
    live.until_logged(person(1, "Ada"))
    before = source.position
    try:
        source.run(*(statement.format(folder=folder) for statement in bad.statements))
        errors = [live.error()]
    finally:
        source.run("SET GLOBAL binlog_row_metadata = 'FULL'")
        source.run("FLUSH LOCAL TABLES")
    source.run("INSERT INTO elsewhere (id, pos) VALUES (1, POINT(1, 2))")
    errors.append(Capturing(source.settings).error())  # started again
    for error in errors:
        assert type(error) is BinlogUnreadable
        said = str(error)
        assert all(words in said for words in bad.said), said
        assert number_behind(before) in said
        assert "\n" not in said
    with open_log(source.settings) as log:
        checkpoint = log.checkpoint()
    assert in_log(source.settings) == [person(1, "Ada")]
    assert checkpoint is not None
    assert checkpoint.position == before


def test_what_was_complete_before_an_unreadable_transaction_is_in_the_log(source: Source) -> None:
    capture(Duty(source.settings, "capture", lambda: True))  # begins, and ends at once
    source.run("INSERT INTO person VALUES (1, 'Ada')", *UNREADABLE["minimal insert"].statements)
    assert type(Capturing(source.settings).error()) is BinlogUnreadable
    assert in_log(source.settings) == [person(1, "Ada")]


# -- a lost connection -------------------------------------------------------------------------------------


def dump_of(server: PrivateMariaDB) -> int | None:
    """The id of the connection that carries the binlog."""
    with server.connect() as root, root.cursor() as cursor:
        cursor.execute("SELECT max(id) FROM information_schema.processlist WHERE command = 'Binlog Dump'")
        ((number,),) = cursor.fetchall()
        return None if number is None else int(number)


CLOSING = "closing a stream whose connection was lost raises AttributeError, which hides the error before it"


def test_a_stream_whose_connection_is_killed_says_that_the_source_is_unavailable(
    source: Source, server: PrivateMariaDB
) -> None:
    with source.streaming() as events:
        source.run("INSERT INTO person VALUES (1, 'Ada')")
        events.transaction()
        source.run(f"KILL CONNECTION {dump_of(server)}")
        assert type(events.error()) is SourceUnavailable


def test_capture_whose_connection_is_killed_says_that_the_source_is_unavailable(
    source: Source, server: PrivateMariaDB
) -> None:
    live = Capturing(source.settings)
    source.run("INSERT INTO person VALUES (1, 'Ada')")
    live.until_logged(person(1, "Ada"))
    source.run(f"KILL CONNECTION {dump_of(server)}")
    assert type(live.error()) is SourceUnavailable


@pytest.mark.parametrize("end", [PrivateMariaDB.stop, PrivateMariaDB.kill])
def test_a_server_that_ends_in_the_middle_is_an_unavailable_source_and_read_on_afterwards(
    tmp_path: Path, end: Callable[[PrivateMariaDB], None]
) -> None:
    with PrivateMariaDB() as server:
        with server.connect() as root, root.cursor() as cursor:
            for statement in ("CREATE DATABASE ended CHARACTER SET utf8mb4", "USE ended", *TABLES):
                cursor.execute(statement)
        source = Source(server, "ended", tmp_path)
        with source.streaming() as events:
            source.run("INSERT INTO person VALUES (1, 'Ada')")
            assert rows(events.transaction()) == [(None, person(1, "Ada"))]
            position = source.position
            end(server)
            assert type(events.error()) is SourceUnavailable
        stream = BinlogStream(source.settings.source, "test", [], frames_at(position, "0-1"), SERVER_ID)
        assert type(Events(stream).error()) is SourceUnavailable
        stream.close()
        server.start()
        source = Source(server, "ended", tmp_path)
        source.run("INSERT INTO person VALUES (2, 'Eva')")
        with source.streaming(position) as events:
            assert rows(events.transaction()) == [(None, person(2, "Eva"))]
        source.close()


def test_a_stream_that_is_closed_hangs_up(source: Source, server: PrivateMariaDB) -> None:
    with source.streaming() as events:
        source.run("INSERT INTO person VALUES (1, 'Ada')")
        events.transaction()
        number = dump_of(server)
        assert number is not None
    deadline = time.monotonic() + EVENT_WAIT_S_MAX
    while dump_of(server) == number:  # the server notices when it has something to send
        assert time.monotonic() < deadline
        source.run("UPDATE person SET name = UUID()")
