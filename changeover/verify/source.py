"""The source's side: rows by bounded reads, masked as everything that leaves the source.

It reads as the import does (`changeover.mysql.chunks`), and shares no code with the reader of the binlog.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from changeover.envelope import encode_key
from changeover.masks import Mask, Masks
from changeover.mysql.bounded import BoundedReader
from changeover.mysql.chunks import Query, key_after, rows_between, rows_of
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.table import Table
from changeover.values import Row
from changeover.version import Version

BEATER = "verify"
"""Whose heartbeats in the control schema are ours."""

READ_BYTES = 4_000_000
"""What one read should have: tables with large rows are read in fewer of them at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one bounded read saw of a table: rows by their keys, both masked, as the target knows them.

    All of it was there at or after `bound`, whose time on the source's clock was at or after `at_ms`; nothing
    of it is from behind `until`.
    """

    table: Table
    rows: dict[bytes, Row]
    bound: Version
    at_ms: int
    until: Version


def rows_of_size(row_bytes: int) -> int:
    """How many rows of that size one read should have.

    >>> rows_of_size(1_000), rows_of_size(16_000_000)
    (4000, 1)
    """
    return max(1, READ_BYTES // max(1, row_bytes))


class Source:
    """Reads the source over one connection; tables are those of the source, what it gives is masked."""

    def __init__(
        self,
        connection: Connection,
        pipeline: str,
        masks: Masks,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.control = ControlSchema(connection, pipeline)
        self._connection = connection
        self._reader = BoundedReader(connection, pipeline, BEATER, sleep)
        self._masks = masks

    def mask(self, table: Table) -> Mask:
        """The table's mask."""
        return self._masks.of(table)

    def rows_at_once(self, table: Table) -> int:
        """How many rows one read should have, by the server's estimate of a row's size."""
        row_bytes = self._connection.value(
            "SELECT coalesce(max(avg_row_length), 0) FROM information_schema.tables "
            "WHERE table_schema = %s AND table_name = %s",
            (table.schema, table.name),
        )
        return rows_of_size(int(row_bytes))

    def chunk_end(self, table: Table, above: bytes | None, rows: int) -> bytes | None:
        """The key `rows` rows above another, None where there are not as many."""
        found = self._connection.rows(*key_after(table, above, rows), table.full_name, table.key_columns)
        return encode_key(table, found[0]) if found else None

    def chunk(self, table: Table, above: bytes | None, up_to: bytes | None) -> Seen:
        """The rows above one key and up to another."""
        return self._seen(table, rows_between(table, above, up_to))

    def keys(self, table: Table, keys: Sequence[bytes]) -> Seen:
        """The rows of these keys; of a table whose masks hide no key."""
        seen = self._seen(table, rows_of(table, keys, table.columns))
        wanted = frozenset(
            keys
        )  # a collation finds 'a' under 'A' as well, which is another key to the target
        return replace(seen, rows={key: row for key, row in seen.rows.items() if key in wanted})

    def are_there(self, table: Table, keys: Sequence[bytes]) -> set[bytes]:
        """Those of the keys that have rows; of a table whose masks hide no key."""
        query = rows_of(table, keys, table.key_columns)
        found = self._connection.rows(*query, table.full_name, table.key_columns)
        return {encode_key(table, row) for row in found}.intersection(keys)

    def masked_keys(self, table: Table, rows: int) -> Iterator[bytes]:
        """The masked keys of all rows, in reads of so many rows."""
        mask = self._masks.of(table)
        above, is_last = None, False
        while not is_last:
            up_to = self.chunk_end(table, above, rows)
            query = rows_between(table, above, up_to, table.key_columns)
            for row in self._connection.rows(*query, table.full_name, table.key_columns):
                yield mask.key(table, encode_key(table, row))
            above, is_last = up_to, up_to is None

    def bound(self) -> Version:
        """A version that a read which begins after this has seen all of."""
        return self._reader.bound()

    def end(self) -> Version:
        """A version that is not below anything that the target has been given by now."""
        return self._reader.end()

    def _seen(self, table: Table, query: Query) -> Seen:
        at_ms = self.control.now_ms()
        bound = self._reader.bound()
        rows = self._connection.rows(*query, table.full_name, table.columns)
        until = self._reader.end()
        mask = self._masks.of(table)
        masked = (mask.row(row) for row in rows)
        return Seen(
            table=mask.to,
            rows={encode_key(mask.to, row): row for row in masked},
            bound=bound,
            at_ms=at_ms,
            until=until,
        )
