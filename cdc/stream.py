"""The binlog of MariaDB through mysql-replication: its only home.

The library reads many types wrong without a word, so the catalog admits a closed list of them, every value
is checked for its type, and any event outside a closed list is a stop. It also reconnects by itself, from
the position that it was first given; here a lost connection is an error, and capture resumes from its
checkpoint.
"""

import datetime as dt
import decimal
import queue
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import pymysql
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.event import (
    FormatDescriptionEvent,
    HeartbeatLogEvent,
    MariadbAnnotateRowsEvent,
    MariadbBinLogCheckPointEvent,
    MariadbGtidEvent,
    MariadbGtidListEvent,
    QueryEvent,
    RandEvent,
    RotateEvent,
    StopEvent,
    UserVarEvent,
    XAPrepareEvent,
    XidEvent,
)
from pymysqlreplication.row_event import DeleteRowsEvent, TableMapEvent, UpdateRowsEvent, WriteRowsEvent

from cdc.events import Beaten, Began, Committed, Event, Images, RowsChanged, Stated
from changeover.errors import BinlogUnreadable, ChangeoverError, PositionPurged, SourceUnavailable
from changeover.mysql.connection import parameters, translated
from changeover.mysql.control import HEARTBEAT
from changeover.settings import SourceSettings
from changeover.table import Column, Kind, Table
from changeover.values import Row, Value, shortest_float32

EVENTS_AHEAD_MAX = 1_000
"""Events read ahead of capture, each about 8 kB of rows at most (binlog_row_event_max_size)."""

SILENCE_S_MAX = 30
"""The server sends a heartbeat twice in this time; a connection silent for longer is dead."""

IGNORED = (
    # None of these carries a change. RAND and USER_VAR belong to a statement that follows and is judged.
    FormatDescriptionEvent,
    HeartbeatLogEvent,
    MariadbAnnotateRowsEvent,
    MariadbBinLogCheckPointEvent,
    MariadbGtidListEvent,
    RandEvent,
    RotateEvent,
    StopEvent,
    TableMapEvent,
    UserVarEvent,
)

CONNECTIONS_OF_LIBRARY = 2

GTID_IS_STANDALONE = 0x01
GTID_IS_PREPARED_XA = 0x40

ER_MASTER_FATAL_ERROR_READING_BINLOG = 1236

EPOCH_OF_TIMESTAMP = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - the library's values have no zone
"""What the library makes of the zero date in a TIMESTAMP; a row that truly holds this instant looks alike."""

Rows = Any
"""The library's row events, which have no annotations: DeleteRowsEvent, UpdateRowsEvent, WriteRowsEvent."""

Converter = Callable[[Any], Value]


class BinlogStream:
    """The events behind a GTID position, read ahead by a thread."""

    def __init__(
        self, source: SourceSettings, pipeline: str, tables: Sequence[Table], position: str, server_id: int
    ) -> None:
        self._source = source
        self._pipeline = pipeline
        self._readers = {(table.schema, table.name): RowReader(table) for table in tables}
        self._place = position
        self._connect = ConnectOnce()
        self._library = BinLogStreamReader(
            parameters(source) | {"read_timeout": SILENCE_S_MAX},
            server_id=server_id,
            blocking=True,
            is_mariadb=True,
            auto_position=position,
            only_schemas={table.schema for table in tables} | {source.control_schema},
            only_tables={table.name for table in tables} | {HEARTBEAT},
            filter_non_implemented_events=False,
            verify_checksum=True,
            slave_heartbeat=SILENCE_S_MAX / 2,
            pymysql_wrapper=self._connect,
            enable_logging=False,
        )
        self._queue: queue.Queue[Event | ChangeoverError] = queue.Queue(EVENTS_AHEAD_MAX)
        self._closed = threading.Event()
        threading.Thread(target=self._read_ahead, name="binlog", daemon=True).start()

    def next(self, timeout_s: float) -> Event | None:
        """The next event, None if there is none within the time."""
        try:
            event = self._queue.get(timeout=timeout_s) if timeout_s > 0 else self._queue.get_nowait()
        except queue.Empty:
            return None
        if isinstance(event, ChangeoverError):
            raise event
        return event

    def close(self) -> None:
        """Hang up, which ends the thread too."""
        self._closed.set()
        self._connect.hang_up()

    def _read_ahead(self) -> None:
        try:
            for event in self._events():
                self._put(event)
        except ChangeoverError as error:
            self._put(error)
        except (pymysql.Error, OSError) as error:
            self._put(self._lost(error))
        except Exception as error:  # noqa: BLE001 - whatever the library raises on bytes that it cannot read
            message = f"behind {self._place} the binlog cannot be read: {type(error).__name__}: {error}"
            self._put(BinlogUnreadable(message, hint=UNREADABLE_HINT))

    def _put(self, event: Event | ChangeoverError) -> None:
        while not self._closed.is_set():
            with suppress(queue.Full):
                self._queue.put(event, timeout=1)
                return

    def _events(self) -> Iterator[Event]:
        for event in self._library:
            if event._is_event_valid is False:  # noqa: SLF001 - the library only logs a wrong checksum
                raise self._unreadable("an event's checksum is wrong: the bytes were damaged on the way")
            yield from self._translate(event)
        message = "the source ended the binlog stream, as it does when it shuts down"
        raise SourceUnavailable(message)

    def _translate(self, event: object) -> Iterator[Event]:
        match event:
            case MariadbGtidEvent():
                self._place = event.gtid
                yield Began(
                    identity=f"{event.domain_id}-{event.server_id}",
                    sequence=event.gtid_seq_no,
                    at_ms=event.timestamp * 1000,
                    is_standalone=bool(event.flags & GTID_IS_STANDALONE),
                    is_prepared_xa=bool(event.flags & GTID_IS_PREPARED_XA),
                )
            case WriteRowsEvent() | UpdateRowsEvent() | DeleteRowsEvent():
                yield from self._rows(event)
            case XidEvent() | XAPrepareEvent():
                yield Committed()
            case QueryEvent(query="COMMIT"):
                yield Committed()
            case QueryEvent():
                yield Stated(event.schema.decode(), event.query)
            case _ if not isinstance(event, IGNORED):
                number = getattr(event, "event_type", "unknown")
                raise self._unreadable(f"event type {number} ({type(event).__name__}) is not understood")
            case _:
                pass

    def _rows(self, event: Rows) -> Iterator[Event]:
        if (event.schema, event.table) == (self._source.control_schema, HEARTBEAT):
            yield from self._beats(event)
        reader = self._readers.get((event.schema, event.table))
        if reader:
            try:
                yield RowsChanged(reader.table, reader.rows(event))
            except UnexpectedValue as error:
                raise self._unreadable(str(error)) from error

    def _beats(self, event: Rows) -> Iterator[Event]:
        for row in event.rows:
            after = row.get("after_values") or row.get("values") or {}
            if after.get("pipeline") == self._pipeline:
                yield Beaten(after["at_ms"])

    def _unreadable(self, what: str) -> BinlogUnreadable:
        return BinlogUnreadable(f"in transaction {self._place} of the binlog {what}", hint=UNREADABLE_HINT)

    def _lost(self, error: Exception) -> ChangeoverError:
        if error.args and error.args[0] == ER_MASTER_FATAL_ERROR_READING_BINLOG:
            message = f"the source does not give its binlog from {self._place} on: {error.args[-1]}"
            return PositionPurged(message)
        return translated(error, f"{self._source.host}:{self._source.port}")


UNREADABLE_HINT = (
    "Nothing behind this place was captured, and nothing before it is lost; "
    "README, section What it does not do yet, says what this release reads."
)


class ConnectOnce:
    """Connects for the library's two connections, the stream and its helper, and never again."""

    def __init__(self) -> None:
        self._made: list[Any] = []

    def __call__(self, **settings: Any) -> Any:  # noqa: ANN401 - PyMySQL's own arguments and connection
        """A connection, for the first two times."""
        if len(self._made) == CONNECTIONS_OF_LIBRARY:
            message = "the connection that carries the binlog was lost"
            raise SourceUnavailable(message)
        self._made.append(pymysql.connect(**settings))
        return self._made[-1]

    def hang_up(self) -> None:
        """End what has been connected, under the hands of whoever reads from it."""
        for connection in self._made:
            with suppress(OSError):
                # PyMySQL's own close() would wait for the reader, which waits for the server.
                connection._sock.shutdown(socket.SHUT_RDWR)  # noqa: SLF001


class UnexpectedValue(ValueError):
    """The library gave a row or a value that its column cannot have."""


class RowReader:
    """Canonical rows of one table from the library's."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._converters = [(column, CONVERTERS[column.kind](column)) for column in table.columns]

    def rows(self, event: Rows) -> list[Images]:
        """The event's rows, before and after each."""
        self._check(event)
        match event:
            case WriteRowsEvent():
                return [(None, self._row(row["values"])) for row in event.rows]
            case DeleteRowsEvent():
                return [(self._row(row["values"]), None) for row in event.rows]
            case _:
                return [
                    (self._row(row["before_values"]), self._row(row["after_values"])) for row in event.rows
                ]

    def _check(self, event: Rows) -> None:
        names = tuple(column.name for column in event.columns)
        if names != self.table.column_names:
            message = (
                f"{self.table.full_name} has the columns {_listed(names)}, "
                f"not {_listed(self.table.column_names)} as when capture started"
            )
            raise UnexpectedValue(message)
        wanted = (1 << len(names)) - 1
        bitmaps = [event.columns_present_bitmap, getattr(event, "columns_present_bitmap2", None)]
        if any(bits is not None and int.from_bytes(bits, "little") & wanted != wanted for bits in bitmaps):
            message = f"a row of {self.table.full_name} lacks columns: binlog_row_image was not FULL"
            raise UnexpectedValue(message)

    def _row(self, values: dict[str, Any]) -> Row:
        return {column.name: self._value(column, convert, values) for column, convert in self._converters}

    def _value(self, column: Column, convert: Converter, values: dict[str, Any]) -> Value:
        value = values[column.name]
        if value is None and column.nullable:
            return None
        try:
            return convert(value)
        except (TypeError, ValueError) as error:
            message = f"{self.table.full_name}.{column.name} ({column.sql_type}) has {error}"
            raise UnexpectedValue(message) from error


def _listed(names: Sequence[str | None]) -> str:
    return ", ".join(name or "?" for name in names)


def _exactly(wanted: type, convert: Converter) -> Callable[[Column], Converter]:
    def check(value: object) -> Value:
        if type(value) is not wanted:
            found = (
                "a zero date or NULL" if value is None else f"a value of Python's type {type(value).__name__}"
            )
            message = f"{found}, which this release cannot tell apart from others"
            raise TypeError(message)
        return convert(value)

    return lambda _: check


def _bytes(value: object) -> Value:
    # The library gives an empty BLOB as '': Python decodes no bytes without looking the charset up.
    return b"" if value == "" else value  # type: ignore[return-value] # checked by the caller


def _moment(column: Column) -> Converter:
    digits = column.fraction_digits

    def convert(value: Any) -> Value:  # noqa: ANN401 - what the library gives is what is checked here
        if type(value) is not dt.datetime:
            message = "a zero date, which this release cannot tell from NULL"
            raise TypeError(message)
        if column.kind is Kind.TIMESTAMP and value == EPOCH_OF_TIMESTAMP:
            message = "the zero date or 1970-01-01 00:00:00 UTC, which this release cannot tell apart"
            raise ValueError(message)
        text = value.isoformat(" ", "microseconds")
        return text[: len("2026-01-01 12:00:00.") + digits] if digits else text[: len("2026-01-01 12:00:00")]

    return convert


CONVERTERS: dict[Kind, Callable[[Column], Converter]] = {
    Kind.INTEGER: _exactly(int, int),
    Kind.DECIMAL: _exactly(decimal.Decimal, lambda value: f"{value:f}"),
    Kind.FLOAT: _exactly(float, shortest_float32),
    Kind.DOUBLE: _exactly(float, float),
    Kind.TEXT: _exactly(str, str),
    Kind.BYTES: lambda column: lambda value: _exactly(bytes, bytes)(column)(_bytes(value)),
    Kind.DATE: _exactly(dt.date, lambda value: value.isoformat()),
    Kind.DATETIME: _moment,
    Kind.TIMESTAMP: _moment,
}
