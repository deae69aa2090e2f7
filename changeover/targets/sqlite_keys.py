"""Many keys of a SQLite target at once: looked up, or met on a walk over all that it holds.

A row and its version are rows of two tables. Whoever looks at both does so in one read transaction, and is
told what an application sees: a row that stands beside its delete marker is a row.
"""

from collections.abc import Callable, Iterator, Sequence

from changeover.envelope import decode_key, encode_key
from changeover.errors import TargetUnusable
from changeover.table import Column, Table
from changeover.targets import KEYS_PER_PAGE, UNVERSIONED, Found, Held, Page
from changeover.targets.sqlite_columns import canonical, quoted, stored_key
from changeover.values import Row, Value
from changeover.version import Version

Rows = Callable[[str, Sequence[Value]], list[tuple[Value, ...]]]
"""The rows of a statement with parameters, all of those in one block out of one state of the file."""

PARAMETERS_MAX = 900
"""Of one statement: every SQLite takes 999."""

ROWS, MARKERS = b"r", b"m"
"""The two halves of a walk, and the first byte of a place in each; the key follows."""


class Keys:
    """The keys of one table of the file."""

    def __init__(self, table: Table, table_id: int, rows: Rows) -> None:
        self._table = table
        self._table_id = table_id
        self._rows = rows
        self._name = quoted(table.name)

    def held(self, keys: Sequence[bytes]) -> list[Held[Row] | None]:
        """What is held for each key."""
        versions = self._versions(keys)
        rows = {encode_key(self._table, row): row for row in self._select(keys, self._table.columns)}
        return [_held(versions.get(key), rows.get(key)) for key in keys]

    def page(self, place: bytes | None) -> Page:
        """The walk's next page: all rows come first, then all markers."""
        place = place or ROWS
        key = place[1:]
        return self._rows_behind(key) if place.startswith(ROWS) else self._markers_behind(key)

    def _rows_behind(self, key: bytes) -> Page:
        names = ", ".join(quoted(name) for name in self._table.key)
        where, parameters = "1", list[Value]()
        if key:
            parameters = stored_key(self._table, decode_key(self._table, key))
            where = f"({names}) > ({', '.join('?' * len(parameters))})"
        keys = self._keys_in(
            f"SELECT {names} FROM {self._name} WHERE {where} ORDER BY {names} LIMIT {KEYS_PER_PAGE}",
            parameters,
        )
        versions = self._versions(keys)
        found = [Found(key, key.decode(), versions.get(key, UNVERSIONED), is_row=True) for key in keys]
        return Page(found, ROWS + keys[-1] if len(keys) == KEYS_PER_PAGE else MARKERS)

    def _markers_behind(self, key: bytes) -> Page:
        """Delete markers behind this key, but for those that have a row beside them, which was met as one."""
        marked = self._rows(MARKERS_BEHIND, (self._table_id, key))
        keys = [key for key, _ in marked if isinstance(key, bytes)]
        beside = {encode_key(self._table, row) for row in self._select(keys, self._table.key_columns)}
        found = [
            Found(key, key.decode(), Version.parse(str(version)), is_row=False)
            for key, version in marked
            if isinstance(key, bytes) and key not in beside
        ]
        return Page(found, MARKERS + keys[-1] if len(keys) == KEYS_PER_PAGE else None)

    def _versions(self, keys: Sequence[bytes]) -> dict[bytes, Version]:
        found: dict[bytes, Version] = {}
        for some in _parts(keys, PARAMETERS_MAX - 1):
            sql = (
                f"SELECT key, version FROM changeover_version WHERE table_id = ? AND key IN ({_marks(some)})"
            )
            for key, version in self._rows(sql, (self._table_id, *some)):
                assert isinstance(key, bytes)  # noqa: S101 - as the column's type has it
                found[key] = Version.parse(str(version))
        return found

    def _select(self, keys: Sequence[bytes], columns: Sequence[Column]) -> Iterator[Row]:
        """These columns of the rows that have one of the keys."""
        names = ", ".join(quoted(column.name) for column in columns)
        one = " AND ".join(f"{quoted(name)} = ?" for name in self._table.key)
        for some in _parts(keys, PARAMETERS_MAX // len(self._table.key)):
            where = " OR ".join([f"({one})"] * len(some))  # each by the index; a list of pairs is scanned for
            values = [
                value
                for key in some
                for value in stored_key(self._table, decode_key(self._table, key))
            ]  # fmt: skip
            for found in self._rows(f"SELECT {names} FROM {self._name} WHERE {where}", values):
                yield _row(columns, found)

    def _keys_in(self, sql: str, parameters: Sequence[Value]) -> list[bytes]:
        columns = self._table.key_columns
        try:
            return [encode_key(self._table, _row(columns, found)) for found in self._rows(sql, parameters)]
        except TypeError as error:  # a text that is no text: see text_of
            message = f"the target's table {self._table.name} has a row whose key is damaged text"
            raise TargetUnusable(message, hint="Remove that row: verification finds it missing.") from error


MARKERS_BEHIND = (
    "SELECT key, version FROM changeover_version WHERE table_id = ? AND key > ? AND deleted "
    f"ORDER BY key LIMIT {KEYS_PER_PAGE}"
)


def _held(version: Version | None, row: Row | None) -> Held[Row] | None:
    if version is None and row is None:
        return None
    return Held(version or UNVERSIONED, row)


def _row(columns: Sequence[Column], values: Sequence[Value]) -> Row:
    return {column.name: canonical(column, value) for column, value in zip(columns, values, strict=True)}


def _parts(keys: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(keys), size):
        yield keys[start : start + size]


def _marks(keys: Sequence[bytes]) -> str:
    return ", ".join("?" * len(keys))
