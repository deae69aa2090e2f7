"""The binlog behind a position as events of capture's own, or a stop at what cannot be read exactly.

A lost connection is an error here; capture resumes from its checkpoint. What the server has sent and nobody
has asked for yet waits in the kernel's buffer of the connection, which is the bound of what is read ahead.
"""

import time
from collections.abc import Iterator, Sequence

from cdc.binlog.decoder import Decoder
from cdc.binlog.happenings import Ended, Happening, Query, Rotated, Rows
from cdc.events import Beaten, Event, RolledBack, RowsChanged, Stated
from cdc.frames import Frames, Here
from changeover.errors import BinlogUnreadable, ChangeoverError, PositionPurged, SourceUnavailable
from changeover.mysql.control import heartbeat_table
from changeover.mysql.dump import BinlogDump, NotGiven
from changeover.mysql.framing import Framing, RawEvent, Undecodable
from changeover.settings import SourceSettings
from changeover.table import Table


class BinlogStream:
    """The events behind a position. It connects when the first one is asked for."""

    def __init__(
        self, source: SourceSettings, pipeline: str, tables: Sequence[Table], frames: Frames, server_id: int
    ) -> None:
        self._source = source
        self._server_id = server_id
        self._frames = frames
        self._dump: BinlogDump | None = None
        self._framing = Framing(has_checksums=False)
        self._translation = Translation(source.control_schema, pipeline, tables, frames)
        self._events: Iterator[Event] = iter(())
        self._is_over = False

    def next(self, timeout_s: float) -> Event | None:
        """The next event, None if there is none within the time, or after an error."""
        if self._is_over:
            return None
        try:
            return self._next(timeout_s)
        except Undecodable as error:
            self._is_over = True
            message = f"{self._translation.place} of the binlog {error}"
            raise BinlogUnreadable(message, hint=UNREADABLE_HINT) from error
        except NotGiven as error:
            self._is_over = True
            message = f"the source does not give its binlog from {self._frames.position} on: {error}"
            raise PositionPurged(message) from error
        except ChangeoverError:
            self._is_over = True
            raise

    def close(self) -> None:
        """Hang up."""
        if self._dump:
            self._dump.close()

    def _next(self, timeout_s: float) -> Event | None:
        until_s = time.monotonic() + timeout_s
        while True:
            for event in self._events:  # one by one: a compressed transaction may be larger than memory
                return event
            data = self._connected().read(timeout_s)
            if data is None:
                return None
            if data == b"":
                message = "the source ended the binlog stream, as it does when it shuts down"
                raise SourceUnavailable(message)
            self._events = self._translation.events(self._framing.event(data))
            timeout_s = max(0.0, until_s - time.monotonic())

    def _connected(self) -> BinlogDump:
        if self._dump is None:
            self._dump = BinlogDump(self._source, self._frames.request(), self._server_id)
            self._framing.has_checksums = self._dump.has_checksums
        return self._dump


UNREADABLE_HINT = (
    "Nothing behind this place was captured, and nothing before it is lost; "
    "docs/binlog.md says what is read, and what is not."
)


class Translation:
    """Events of capture from those of the binlog: pure, whoever reads them."""

    def __init__(self, control_schema: str, pipeline: str, tables: Sequence[Table], frames: Frames) -> None:
        heartbeat = heartbeat_table(control_schema)
        self._heartbeat = (heartbeat.schema, heartbeat.name)
        self._pipeline = pipeline
        self._tables = {(table.schema, table.name): table for table in tables}
        self._decoder = Decoder({**self._tables, self._heartbeat: heartbeat})
        self._frames = frames
        self._file = ""
        self._name = ""
        self._is_group = False

    @property
    def place(self) -> str:
        """Where the binlog is read, for people."""
        return f"in or behind transaction {self._name or 'the first one'}"

    def events(self, raw: RawEvent) -> Iterator[Event]:
        """What the event means to capture."""
        here = Here(self._file, raw.end, raw.at_s)
        self._frames.follow(here)
        for happening in self._decoder.happenings(raw):
            yield from self._translate(happening, here)

    def _translate(self, happening: Happening, here: Here) -> Iterator[Event]:
        match happening:
            case Rows():
                yield from self._rows(happening)
            case Ended() | Query(text="COMMIT"):
                yield self._frames.commit(here)
            case Query(text="ROLLBACK"):
                # So ends a transaction that made or dropped a temporary table: MariaDB logs all of it.
                yield RolledBack()
                yield self._frames.commit(here)
            case Query():
                yield from self._statement(happening, here)
            case Rotated():
                self._file = happening.file
                self._frames.follow(Here(happening.file, happening.place, 0))
            case _:
                frame = self._frames.begin(happening, here)
                if frame is None:
                    what = type(happening).__name__
                    message = f"a transaction begins with {what}, which does not fit its position"
                    raise Undecodable(message)
                self._name, self._is_group = frame.began.name, frame.is_group
                yield frame.began

    def _statement(self, query: Query, here: Here) -> Iterator[Event]:
        if query.text == "BEGIN" or query.text.startswith("XA START"):
            self._is_group = True
        yield Stated(query.schema, query.text)
        if not self._is_group:
            yield self._frames.commit(here)

    def _rows(self, rows: Rows) -> Iterator[Event]:
        name = (rows.schema, rows.table)
        if name == self._heartbeat:
            for _, after in rows.images:
                if after and after["pipeline"] == self._pipeline:
                    yield Beaten(int(str(after["at_ms"])))
        if name in self._tables:
            yield RowsChanged(self._tables[name], rows.images)
