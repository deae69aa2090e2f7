"""Rows out of rows events, by functions that are written for each table and pattern of NULLs.

A row is its NULLs, one bit a column, and then the values that are not NULL. For each pattern that occurs one
function is generated, whose steps are fixed: neighbours of known length are unpacked at once, and the row is
one dict display. That is several times as fast as a loop over columns.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from cdc.binlog import kinds
from cdc.binlog import table_map as wire
from cdc.binlog.integers import packed
from cdc.binlog.plans import ADDRESSES, BINARY, Plan, base_of, plan_of
from cdc.binlog.table_map import TableMap, WireColumn
from cdc.events import Images
from changeover.charsets import NotInCharset
from changeover.mysql.framing import Undecodable
from changeover.table import Column, Table
from changeover.values import Row

PATTERNS_MAX = 64
"""Patterns of NULLs of a table with a function of their own, each 1 ms to write and some kB to keep."""

WHAT_BYTES_CAN_CAUSE = (ValueError, IndexError, KeyError, OverflowError, struct.error)

Reader = Callable[[bytes, int], tuple[Row, int]]
"""From the bytes and the place of the first value to the row and the place behind it."""


class RowsReader:
    """Reads the rows events behind one table map."""

    def __init__(self, described: TableMap, table: Table | None) -> None:
        self.schema, self.table = described.schema, described.table
        self._name = f"{described.schema}.{described.table}"
        if table is not None:
            check_fits(described, table)
        self._known = table
        self._names = [column.name for column in described.columns]
        known = table.columns if table else [None] * len(self._names)
        self._plans = [plan_of(*columns) for columns in zip(described.columns, known, strict=True)]
        self._count = len(self._plans)
        self._width = (self._count + 7) // 8
        once = bytes([self._count]) if self._count < 0xFB else b"\xff"  # noqa: PLR2004 - then it has more bytes
        all_present = b"\xff" * self._width
        self._usual = (once + all_present, once + all_present * 2)
        self._readers: dict[bytes, Reader] = {}
        self._readers_of_one: dict[int, Reader] = {}

    def images(self, data: bytes, at: int, stop: int, change: str) -> list[Images]:
        """The rows between the places, before and after each change."""
        rows = self._rows(data, at, stop)
        if change == kinds.INSERT:
            return [(None, row) for row in rows]
        if change == kinds.DELETE:
            return [(row, None) for row in rows]
        if len(rows) % 2:
            raise Undecodable(f"an update of {self._name} lacks its row after")
        return list(zip(rows[::2], rows[1::2], strict=True))

    def check_whole(self, data: bytes, at: int, change: str) -> int:
        """The place of the first row, if the rows have all columns."""
        usual = self._usual[change == kinds.UPDATE]
        if data.startswith(usual, at):
            return at + len(usual)
        count, at = packed(data, at)
        if count != self._count:
            message = f"a row of {self._name} has {count} columns, where {self._count} were described"
            raise Undecodable(message)
        for _ in range(1 + (change == kinds.UPDATE)):
            present = int.from_bytes(data[at : at + self._width], "little")
            if ~present & ((1 << count) - 1):
                message = f"a row of {self._name} lacks columns: binlog_row_image was not FULL"
                raise Undecodable(message)
            at += self._width
        return at

    def _rows(self, data: bytes, at: int, stop: int) -> list[Row]:
        readers, width = self._readers, self._width
        rows = []
        try:
            while at < stop:
                start = at
                pattern = data[at : at + width]
                read = readers.get(pattern) or self._reader(pattern)
                row, at = read(data, at + width)
                rows.append(row)
        except WHAT_BYTES_CAN_CAUSE as error:
            raise Undecodable(self._blame(data, start, stop)) from error
        if at != stop:
            raise Undecodable(self._blame(data, start, stop))
        return rows

    def _reader(self, pattern: bytes) -> Reader:
        nulls = int.from_bytes(pattern, "little")
        self._check_nulls(nulls)
        if len(self._readers) < PATTERNS_MAX:
            read = self._readers[pattern] = _compiled(self._names, self._plans, nulls)
            return read
        return partial(self._any_pattern, nulls=nulls)

    def _any_pattern(self, data: bytes, at: int, nulls: int) -> tuple[Row, int]:
        """As a generated function does, one column after another."""
        row: dict[str, Any] = {}
        for place, name in enumerate(self._names):
            row[name] = None
            if not nulls >> place & 1:
                row[name], at = self._value(data, at, place)
        return row, at

    def _value(self, data: bytes, at: int, place: int) -> tuple[Any, int]:
        name = self._names[place]
        read = self._readers_of_one.get(place)
        if read is None:
            read = self._readers_of_one[place] = _compiled([name], [self._plans[place]], 0)
        row, at = read(data, at)
        return row[name], at

    def _check_nulls(self, nulls: int) -> None:
        for place, column in enumerate(self._known.columns if self._known else ()):
            if nulls >> place & 1 and not column.nullable:
                message = f"{self._name}.{column.name} ({column.sql_type}) is NULL, which it cannot be"
                raise Undecodable(message)

    def _blame(self, data: bytes, at: int, stop: int) -> str:
        """The row's first column that cannot be read, and why. No value is shown."""
        nulls = int.from_bytes(data[at : at + self._width], "little")
        at += self._width
        try:
            self._check_nulls(nulls)
        except Undecodable as error:
            return str(error)
        for place, name in enumerate(self._names):
            if nulls >> place & 1:
                continue
            sql_type = f" ({self._known.columns[place].sql_type})" if self._known else ""
            try:
                _, at = self._value(data, at, place)
            except (Undecodable, NotInCharset) as error:
                return f"{self._name}.{name}{sql_type} has {error}"
            except UnicodeDecodeError:
                return f"{self._name}.{name}{sql_type} has bytes that its character set does not have"
            except WHAT_BYTES_CAN_CAUSE:
                return f"{self._name}.{name}{sql_type} has a value that it cannot have"
            if at > stop:
                break
        return f"the rows of {self._name} do not end where their event does"


# -- what fits ---------------------------------------------------------------------------------------------


def check_fits(described: TableMap, table: Table) -> None:
    """Return if the binlog describes the columns that the table had when capture started."""
    names = tuple(column.name for column in described.columns)
    if names != table.column_names:
        message = (
            f"{table.full_name} has the columns {_listed(names)}, "
            f"not {_listed(table.column_names)} as when capture started"
        )
        raise Undecodable(message)
    for found, column in zip(described.columns, table.columns, strict=True):
        if not _fits(found, column):
            sign = " unsigned" * found.is_unsigned
            comes = f"type {found.kind}{sign} {found.charset}".strip()
            was = f"{column.sql_type} {column.charset}".strip()
            message = (
                f"{table.full_name}.{column.name} comes as {comes}, not as {was} as when capture started"
            )
            raise Undecodable(message)


def _fits(found: WireColumn, column: Column) -> bool:
    base = base_of(column.sql_type)
    if base in ADDRESSES:
        return found.kind == wire.STRING and found.charset == BINARY
    if found.kind in wire.NUMBERS and found.is_unsigned != ("unsigned" in column.sql_type):
        return False
    if found.kind in wire.TEXTS and (found.charset == BINARY) != (base in BYTES):
        return False
    known = CHARSET_NAMES.get(column.charset, column.charset)
    return found.kind in FITTING.get(base, ()) and (not known or found.charset == known)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(name or "?" for name in names)


BYTES = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "vector"})
CHARSET_NAMES = {"utf8": "utf8mb3"}
"""Of MySQL 8.0 the older name."""

BLOBS = frozenset({wire.BLOB, wire.BLOB_COMPRESSED})
STRINGS = frozenset({wire.VARCHAR, wire.VARCHAR_COMPRESSED})
GEOMETRIES = (
    *("geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon"),
    *("geometrycollection", "geomcollection"),
)

FITTING: Mapping[str, frozenset[int]] = {
    "tinyint": frozenset({wire.TINY}),
    "smallint": frozenset({wire.SHORT}),
    "mediumint": frozenset({wire.INT24}),
    "int": frozenset({wire.LONG}),
    "bigint": frozenset({wire.LONGLONG}),
    "year": frozenset({wire.YEAR}),
    "bit": frozenset({wire.BIT}),
    "decimal": frozenset({wire.NEWDECIMAL}),
    "float": frozenset({wire.FLOAT}),
    "double": frozenset({wire.DOUBLE}),
    "date": frozenset({wire.DATE, wire.NEWDATE}),
    "datetime": frozenset({wire.DATETIME, wire.DATETIME2}),
    "timestamp": frozenset({wire.TIMESTAMP, wire.TIMESTAMP2}),
    "time": frozenset({wire.TIME, wire.TIME2}),
    "char": frozenset({wire.STRING}),
    "binary": frozenset({wire.STRING}),
    "varchar": STRINGS,
    "varbinary": STRINGS,
    **dict.fromkeys(("tinytext", "text", "mediumtext", "longtext"), BLOBS),
    **dict.fromkeys(("tinyblob", "blob", "mediumblob", "longblob"), BLOBS),
    "enum": frozenset({wire.ENUM}),
    "set": frozenset({wire.SET}),
    "json": frozenset({wire.JSON, wire.JSON_OF_57, wire.BLOB}),
    "vector": frozenset({wire.VECTOR, wire.VARCHAR}),
    **dict.fromkeys(GEOMETRIES, frozenset({wire.GEOMETRY})),
}
"""The binlog's types by the first word of the source's."""

# -- functions that are written ----------------------------------------------------------------------------


def _compiled(names: Sequence[str], plans: Sequence[Plan], nulls: int) -> Reader:
    """A function that reads a row in which these columns are NULL, one bit each."""
    written = Written()
    for place, (name, plan) in enumerate(zip(names, plans, strict=True)):
        if nulls >> place & 1:
            written.add_null(name)
        else:
            written.add(name, plan, place)
    return written.compiled()


class Written:
    """The source of a function while it grows."""

    def __init__(self) -> None:
        self._lines = ["def read(d, p):"]
        self._items: list[str] = []
        self._codes = ""
        self._unpacked: list[str] = []
        self._known: dict[str, object] = {}

    def add_null(self, name: str) -> None:
        """A column that is NULL has no bytes."""
        self._items.append(f"{name!r}: None")

    def add(self, name: str, plan: Plan, place: int) -> None:
        """A column that is not."""
        a, b, x, f = f"a{place}", f"b{place}", f"x{place}", f"f{place}"
        has_two = len(plan.codes.lstrip("0123456789")) > 1
        self._codes += plan.codes
        self._unpacked += [a, b] if has_two else [a]
        if plan.has_length:
            self._unpack()
            length = f"{a} | {b} << 16" if has_two else a
            self._lines += [f" q = p + ({length})", f" {x} = d[p:q]", " p = q"]
        self._known[f] = plan.function
        self._items.append(f"{name!r}: {plan.value.format(a=a, b=b, x=x, f=f)}")

    def compiled(self) -> Reader:
        """The function."""
        self._unpack()
        self._lines.append(f" return {{{', '.join(self._items)}}}, p")
        code = compile("\n".join(self._lines), "<rows>", "exec")
        exec(code, self._known)  # noqa: S102 - of our own words and the quoted names of columns
        return self._known["read"]  # type: ignore[return-value] # which the source defines

    def _unpack(self) -> None:
        if self._codes:
            unpacker = struct.Struct(f"<{self._codes}")
            name = f"u{len(self._lines)}"
            self._known[name] = unpacker.unpack_from
            self._lines += [f" {', '.join(self._unpacked)}, = {name}(d, p)", f" p += {unpacker.size}"]
            self._codes, self._unpacked = "", []
