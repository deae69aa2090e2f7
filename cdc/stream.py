"""The binlog through mysql-replication, whose only home this is, with `frames.py`.

Any event outside a closed list is a stop. The library reconnects by itself, from the position that it was
first given; here a lost connection is an error, and capture resumes from its checkpoint.
"""

import logging
import queue
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import pymysql
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.event import (
    FormatDescriptionEvent,
    HeartbeatLogEvent,
    MariadbAnnotateRowsEvent,
    MariadbBinLogCheckPointEvent,
    MariadbGtidListEvent,
    PreviousGtidsEvent,
    QueryEvent,
    RandEvent,
    RotateEvent,
    RowsQueryLogEvent,
    StopEvent,
    UserVarEvent,
    XAPrepareEvent,
    XidEvent,
)
from pymysqlreplication.row_event import DeleteRowsEvent, TableMapEvent, UpdateRowsEvent, WriteRowsEvent

from cdc.events import Beaten, Event, Images, RowsChanged, Stated
from cdc.frames import Frames
from cdc.rows import RowReader, UnexpectedValue
from changeover.errors import BinlogUnreadable, ChangeoverError, PositionPurged, SourceUnavailable
from changeover.mysql.connection import parameters, translated
from changeover.mysql.control import HEARTBEAT
from changeover.settings import SourceSettings
from changeover.table import Kind, Table

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
    PreviousGtidsEvent,
    RandEvent,
    RotateEvent,
    RowsQueryLogEvent,
    StopEvent,
    TableMapEvent,
    UserVarEvent,
)

CONNECTIONS_OF_LIBRARY = 2

ER_MASTER_FATAL_ERROR_READING_BINLOG = 1236

DATES = (Kind.DATE, Kind.DATETIME, Kind.TIMESTAMP)

Rows = Any
"""The library's row events, which have no annotations: DeleteRowsEvent, UpdateRowsEvent, WriteRowsEvent."""


# The library warns, on standard error, of a connection that it makes anew; here it never does.
logging.getLogger("pymysqlreplication").disabled = True


class BinlogStream:
    """The events behind a position, read ahead by a thread."""

    def __init__(
        self, source: SourceSettings, pipeline: str, tables: Sequence[Table], frames: Frames, server_id: int
    ) -> None:
        self._source = source
        self._pipeline = pipeline
        self._readers = {(table.schema, table.name): RowReader(table) for table in tables}
        self._frames = frames
        self._name = "the first one"
        self._is_group = False
        self._connect = ConnectOnce()
        self._library = BinLogStreamReader(
            parameters(source) | {"read_timeout": SILENCE_S_MAX},
            server_id=server_id,
            blocking=True,
            **frames.options(),
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
            what = f"cannot be read: {type(error).__name__}: {error}"
            message = f"in or behind transaction {self._name} the binlog {what}"
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

    def _translate(self, event: Any) -> Iterator[Event]:  # noqa: ANN401 - the library's event
        frame = self._frames.begin(event, *self._here())
        if frame:
            self._name, self._is_group = frame.began.name, frame.is_group
            yield frame.began
            return
        match event:
            case WriteRowsEvent() | UpdateRowsEvent() | DeleteRowsEvent():
                yield from self._rows(event)
            case XidEvent() | XAPrepareEvent() | QueryEvent(query="COMMIT"):
                yield self._frames.commit(event, *self._here())
            case QueryEvent():
                yield from self._statement(event)
            case _ if not isinstance(event, IGNORED):
                number = getattr(event, "event_type", "unknown")
                raise self._unreadable(f"event type {number} ({type(event).__name__}) is not understood")
            case _:
                pass

    def _statement(self, event: Any) -> Iterator[Event]:  # noqa: ANN401 - the library's event
        if event.query == "BEGIN" or event.query.startswith("XA START"):
            self._is_group = True
        yield Stated(event.schema.decode(), event.query)
        if not self._is_group:
            yield self._frames.commit(event, *self._here())

    def _rows(self, event: Rows) -> Iterator[Event]:
        if (event.schema, event.table) == (self._source.control_schema, HEARTBEAT):
            yield from self._beats(event)
        reader = self._readers.get((event.schema, event.table))
        if reader:
            try:
                yield RowsChanged(reader.table, _images(reader, event))
            except UnexpectedValue as error:
                raise self._unreadable(str(error)) from error

    def _here(self) -> tuple[str, int]:
        return self._library.log_file or "", self._library.log_pos or 0

    def _beats(self, event: Rows) -> Iterator[Event]:
        for row in event.rows:
            after = row.get("after_values") or row.get("values") or {}
            if after.get("pipeline") == self._pipeline:
                yield Beaten(after["at_ms"])

    def _unreadable(self, what: str) -> BinlogUnreadable:
        return BinlogUnreadable(f"in transaction {self._name} of the binlog {what}", hint=UNREADABLE_HINT)

    def _lost(self, error: Exception) -> ChangeoverError:
        if error.args and error.args[0] == ER_MASTER_FATAL_ERROR_READING_BINLOG:
            message = f"the source does not give its binlog from {self._frames.position} on: {error.args[-1]}"
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
            # PyMySQL's own close() would wait for the reader, which waits for the server.
            sock = connection._sock  # noqa: SLF001
            with suppress(OSError):
                if sock is not None:  # as it is once the connection is lost
                    sock.shutdown(socket.SHUT_RDWR)


def _images(reader: RowReader, event: Rows) -> list[Images]:
    """The event's rows, before and after each."""
    reader.check_columns([column.name for column in event.columns])
    _check_complete(reader.table, event)
    try:
        _ = event.rows  # decoded on first use
    except ValueError as error:
        # The library does not say which: only a date that no calendar has comes to this.
        dates = [column.name for column in reader.table.columns if column.kind in DATES]
        message = f"{reader.table.full_name} has in one of {', '.join(dates)} what is no date ({error})"
        raise UnexpectedValue(message) from error
    match event:
        case WriteRowsEvent():
            return [(None, reader.row(row["values"])) for row in event.rows]
        case DeleteRowsEvent():
            return [(reader.row(row["values"]), None) for row in event.rows]
        case _:
            return [(reader.row(row["before_values"]), reader.row(row["after_values"])) for row in event.rows]


def _check_complete(table: Table, event: Rows) -> None:
    wanted = (1 << len(event.columns)) - 1
    bitmaps = [event.columns_present_bitmap, getattr(event, "columns_present_bitmap2", None)]
    if any(bits is not None and int.from_bytes(bits, "little") & wanted != wanted for bits in bitmaps):
        message = f"a row of {table.full_name} lacks columns: binlog_row_image was not FULL"
        raise UnexpectedValue(message)
