"""Snapshot: the rows that are there at the start, in chunks, without a lock, while everything runs.

Each chunk is one bounded read: its rows carry a version that says what they have seen for certain, so they
never go over a change that is newer, whenever they arrive. Several workers share the tables, and take over
the chunks of one that died.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from changeover.change import Change, Op, Origin
from changeover.crashpoints import reach
from changeover.envelope import encode, encode_key
from changeover.log import Entry
from changeover.masks import Masks
from changeover.mysql.bounded import BoundedReader
from changeover.mysql.chunks import key_after, rows_between
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.mysql.imports import Chunk, ImportBooks
from changeover.progress import Offsets
from changeover.settings import MasksSettings
from changeover.table import Table
from changeover.values import Row
from changeover.version import Version

log = structlog.get_logger(__name__)

OTHERS_WAIT_S = 0.2
"""How long a worker with nothing to do waits before it looks whether another one has died."""


class Appendable(Protocol):
    """The part of the log that an import needs."""

    def append(self, entries: Sequence[Entry]) -> Offsets:
        """Return once the entries are durable, with the end offsets of their partitions."""


@dataclass(slots=True)
class Counts:
    """What this worker has done since it started."""

    chunks: int = 0
    rows: int = 0
    bytes: int = 0
    """Of keys and envelopes."""


class Snapshot:
    """One worker of the import."""

    def __init__(  # noqa: PLR0913 - a composition root hands in what it works with
        self,
        connection: Connection,
        sink: Appendable,
        tables: Sequence[Table],
        *,
        pipeline: str,
        worker: str,
        chunk_rows: int,
        masks: Masks | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._connection = connection
        self._sink = sink
        self._tables: Mapping[str, Table] = {table.full_name: table for table in tables}
        self._masks = masks or Masks(MasksSettings(), tables)
        self._pipeline = pipeline
        self._chunk_rows = chunk_rows
        self._sleep = sleep
        self._control = ControlSchema(connection, pipeline)
        self._books = ImportBooks(self._control)
        self.counts = Counts()
        self._chunk: Chunk | None = None
        self._reader = BoundedReader(connection, pipeline, worker, sleep)

    def place(self) -> str:
        """Which chunk it copies, for people; empty between two."""
        chunk = self._chunk
        return f"chunk {chunk.number} of {chunk.table_name}" if chunk else ""

    def run(self, should_stop: Callable[[], bool]) -> None:
        """Copy chunks until every table is done, or told to stop."""
        self._reader.bound()  # capture has begun: all that changes from now on, it sees
        self._books.enrol(self._tables.values())
        while not should_stop():
            chunk = self._books.take_over() or self._cut()
            if chunk:
                reach("snapshot.chunk_cut")
                self._copy(chunk)
            elif self._books.is_finished():
                return
            else:
                self._sleep(OTHERS_WAIT_S)

    def _cut(self) -> Chunk | None:
        with self._connection.transaction():
            cut = self._books.lock_table_to_cut()
            if cut is None:
                return None
            table = self._tables[cut.table_name]
            query = key_after(table, cut.up_to, self._chunk_rows)
            found = self._connection.rows(*query, table.full_name, table.key_columns)
            up_to = encode_key(table, found[0]) if found else None
            return self._books.cut(cut, up_to)

    def _copy(self, chunk: Chunk) -> None:
        self._chunk = chunk
        table = self._tables[chunk.table_name]
        version, rows = self._read(table, chunk)
        origin = Origin(self._control.now_ms())
        mask = self._masks.of(table)
        entries = [_entry(mask.to, mask.row(row), version, origin, self._pipeline) for row in rows]
        ends = self._sink.append(entries)
        reach("snapshot.appended")
        # In the log first, then in the books: a chunk that is in the log twice does no harm.
        self._books.copied(chunk, version, len(entries), ends)
        reach("snapshot.chunk_noted")
        self.counts.chunks += 1
        self.counts.rows += len(entries)
        self.counts.bytes += sum(len(entry.key) + len(entry.value) for entry in entries)
        self._chunk = None
        log.debug("chunk copied", table=table.full_name, chunk=chunk.number, rows=len(entries))

    def _read(self, table: Table, chunk: Chunk) -> tuple[Version, list[Row]]:
        version = self._reader.bound()
        reach("snapshot.bound_taken")
        query = rows_between(table, chunk.above, chunk.up_to)
        rows = self._connection.rows(*query, table.full_name, table.columns)
        reach("snapshot.rows_selected")
        return version, rows


def _entry(table: Table, row: Row, version: Version, origin: Origin, pipeline: str) -> Entry:
    change = Change(table, Op.READ, None, row, version, origin)
    return Entry(table, encode_key(table, row), encode(change, pipeline))
