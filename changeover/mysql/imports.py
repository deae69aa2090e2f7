"""The import's books in the control schema: which tables, how far they are cut, which chunks are copied.

A chunk is a range of a table's key, cut when a worker asks for one. Whoever copies a chunk holds a named
lock of the server; a worker that dies loses its connection and so its locks, and others take its chunks
over at once, with no lease and no clock. A chunk that is copied twice does no harm.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import orjson

from changeover.mysql.control import ControlSchema
from changeover.progress import Partition
from changeover.table import Table
from changeover.version import Version

KeyText = bytes
"""A key as `envelope.encode_key` writes it."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """The rows of a table whose key is above `above` and not above `up_to`; None: without that limit."""

    table_name: str
    number: int
    above: KeyText | None
    up_to: KeyText | None


@dataclass(frozen=True, slots=True)
class TableCut:
    """How far a table is cut into chunks: all up to `up_to`, as `chunks` chunks."""

    table_name: str
    up_to: KeyText | None
    chunks: int


@dataclass(frozen=True, slots=True)
class TableProgress:
    """How far the import of one table is. `rows_estimated` is the server's guess, or exact."""

    table_name: str
    rows_estimated: int
    rows_copied: int
    chunks_open: int
    is_cut: bool

    @property
    def is_done(self) -> bool:
        """Whether every row that was there at the start is in the log."""
        return self.is_cut and not self.chunks_open


class ImportBooks:
    """The import's rows of one pipeline."""

    def __init__(self, control: ControlSchema) -> None:
        self._control = control
        self._connection = control.connection
        self._pipeline = control.pipeline
        self._tables = control.table("import_table")
        self._chunks = control.table("import_chunk")

    def enrol(self, tables: Iterable[Table]) -> None:
        """Note the tables that are to be imported, unless they are noted."""
        for place, table in enumerate(tables):
            self._connection.execute(
                f"INSERT IGNORE INTO {self._tables} VALUES (%s, %s, %s, %s, "
                "(SELECT coalesce(max(table_rows), 0) FROM information_schema.tables "
                "WHERE table_schema = %s AND table_name = %s), NULL, 0, 0)",
                (self._pipeline, table.schema, table.name, place, table.schema, table.name),
            )

    def take_over(self) -> Chunk | None:
        """A chunk that was cut and not copied, and that no living worker holds."""
        rows = self._connection.raw(
            f"SELECT table_schema, table_name, chunk, above, up_to FROM {self._chunks} "
            "WHERE pipeline = %s AND copied_version IS NULL ORDER BY table_schema, table_name, chunk",
            (self._pipeline,),
        )
        for schema, name, number, above, up_to in rows:
            chunk = Chunk(f"{_text(schema)}.{_text(name)}", int(number or 0), above, up_to)
            if self._lock(chunk):
                if self._is_open(chunk):
                    return chunk
                self.let_go(chunk)
        return None

    def lock_table_to_cut(self) -> TableCut | None:
        """The next table that is not fully cut, locked for this transaction; None if there is none."""
        rows = self._connection.raw(
            f"SELECT table_schema, table_name, cut_up_to, chunks_cut FROM {self._tables} "
            "WHERE pipeline = %s AND is_cut = 0 ORDER BY place LIMIT 1 FOR UPDATE",
            (self._pipeline,),
        )
        for schema, name, up_to, chunks in rows:
            return TableCut(f"{_text(schema)}.{_text(name)}", up_to, int(chunks or 0))
        return None

    def cut(self, cut: TableCut, up_to: KeyText | None) -> Chunk:
        """The next chunk of the table, ours; without `up_to` it is the last one."""
        chunk = Chunk(cut.table_name, cut.chunks + 1, cut.up_to, up_to)
        self._lock(chunk)
        self._connection.execute(
            f"INSERT INTO {self._chunks} VALUES (%s, %s, %s, %s, %s, %s, NULL, NULL, NULL)",
            (*self._place(chunk), chunk.above, chunk.up_to),
        )
        self._connection.execute(
            f"UPDATE {self._tables} SET cut_up_to = %s, chunks_cut = %s, is_cut = %s "
            "WHERE pipeline = %s AND table_schema = %s AND table_name = %s",
            (up_to, chunk.number, int(up_to is None), *self._place(chunk)[:3]),
        )
        return chunk

    def copied(self, chunk: Chunk, version: Version, rows: int, ends: Mapping[Partition, int]) -> None:
        """Note that the chunk's rows are durable in the log, before `ends`, and let go of it."""
        written = orjson.dumps([[topic, number, end] for (topic, number), end in ends.items()])
        self._connection.execute(
            f"UPDATE {self._chunks} SET copied_version = %s, copied_rows = %s, log_ends = %s "
            "WHERE pipeline = %s AND table_schema = %s AND table_name = %s AND chunk = %s",
            (version.text, rows, written, *self._place(chunk)),
        )
        self.let_go(chunk)

    def let_go(self, chunk: Chunk) -> None:
        """Release the lock that says that a living worker copies the chunk."""
        self._connection.execute("SELECT RELEASE_LOCK(%s)", (self._lock_name(chunk),))

    def is_finished(self) -> bool:
        """Whether tables are enrolled and each is done."""
        progress = self.progress()
        return bool(progress) and all(table.is_done for table in progress)

    def progress(self) -> list[TableProgress]:
        """How far each table is."""
        rows = self._connection.query(
            "SELECT t.table_schema, t.table_name, t.rows_estimated, t.is_cut, "
            "coalesce(sum(c.copied_rows), 0), count(c.chunk) - count(c.copied_version) "
            f"FROM {self._tables} t LEFT JOIN {self._chunks} c "
            "USING (pipeline, table_schema, table_name) WHERE t.pipeline = %s "
            "GROUP BY t.table_schema, t.table_name, t.rows_estimated, t.is_cut, t.place ORDER BY t.place",
            (self._pipeline,),
        )
        return [
            TableProgress(
                table_name=f"{schema}.{name}",
                rows_estimated=int(estimated),
                rows_copied=int(copied),
                chunks_open=int(chunks_open),
                is_cut=is_cut == "1",
            )
            for schema, name, estimated, is_cut, copied, chunks_open in rows
        ]

    def ends(self) -> dict[Partition, int]:
        """End offsets of all chunks that are copied: the import is applied when they are passed."""
        ends: dict[Partition, int] = {}
        for (written,) in self._connection.raw(
            f"SELECT log_ends FROM {self._chunks} WHERE pipeline = %s AND log_ends IS NOT NULL",
            (self._pipeline,),
        ):
            for topic, number, end in orjson.loads(written or b"[]"):
                partition = Partition(topic, number)
                ends[partition] = max(end, ends.get(partition, 0))
        return ends

    def _lock(self, chunk: Chunk) -> bool:
        return self._connection.value("SELECT GET_LOCK(%s, 0)", (self._lock_name(chunk),)) == "1"

    def _is_open(self, chunk: Chunk) -> bool:
        return (
            self._connection.value(
                f"SELECT copied_version IS NULL FROM {self._chunks} "
                "WHERE pipeline = %s AND table_schema = %s AND table_name = %s AND chunk = %s",
                self._place(chunk),
            )
            == "1"
        )

    def _lock_name(self, chunk: Chunk) -> str:
        return self._control.lock_name(chunk.table_name, str(chunk.number))

    def _place(self, chunk: Chunk) -> tuple[str, str, str, int]:
        schema, _, name = chunk.table_name.partition(".")
        return (self._pipeline, schema, name, chunk.number)


def _text(value: bytes | None) -> str:
    return (value or b"").decode()
