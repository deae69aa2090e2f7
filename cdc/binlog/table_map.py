"""A table map: how the rows of a table lie in the rows events that follow it."""

from typing import NamedTuple

from cdc.binlog.integers import cut, packed
from cdc.binlog.metadata import Metadata, charset, is_unsigned, labels, parse_metadata
from changeover.mysql.framing import Undecodable

TINY, SHORT, LONG, FLOAT, DOUBLE, TIMESTAMP, LONGLONG, INT24 = 1, 2, 3, 4, 5, 7, 8, 9
DATE, TIME, DATETIME, YEAR, NEWDATE, VARCHAR, BIT = 10, 11, 12, 13, 14, 15, 16
TIMESTAMP2, DATETIME2, TIME2 = 17, 18, 19
BLOB_COMPRESSED, VARCHAR_COMPRESSED = 140, 141  # of MariaDB
VECTOR, JSON, NEWDECIMAL, ENUM, SET, BLOB, STRING, GEOMETRY = 242, 245, 246, 247, 248, 252, 254, 255

JSON_OF_57 = JSON | 0x100
"""A JSON that MySQL 5.7 has written and prints otherwise. No byte says so, but the server's version."""

NUMBERS = frozenset({TINY, SHORT, INT24, LONG, LONGLONG, NEWDECIMAL, FLOAT, DOUBLE})
"""The types that have a sign, and a bit for it in the metadata."""

TEXTS = frozenset({STRING, VARCHAR, BLOB, VARCHAR_COMPRESSED, BLOB_COMPRESSED})
"""The types that have a collation in the metadata, the binary one for bytes."""

TWO_BYTES = frozenset({BIT, VARCHAR, VARCHAR_COMPRESSED, NEWDECIMAL, STRING, ENUM, SET})
ONE_BYTE = frozenset(
    {FLOAT, DOUBLE, TIMESTAMP2, DATETIME2, TIME2, BLOB, BLOB_COMPRESSED, JSON, GEOMETRY, VECTOR}
)
NO_BYTES = frozenset({TINY, SHORT, INT24, LONG, LONGLONG, YEAR, DATE, NEWDATE, TIME, DATETIME, TIMESTAMP})


class WireColumn(NamedTuple):
    """A column as the binlog has it. `size` is of the length prefix, the value, or the fraction's digits.

    `name` is empty where the server does not tell it; `charset` and `labels` where there are none.
    """

    kind: int
    size: int
    scale: int = 0
    is_unsigned: bool = False
    charset: str = ""
    labels: tuple[str, ...] = ()
    name: str = ""


class TableMap(NamedTuple):
    """A table's names and columns."""

    schema: str
    table: str
    columns: tuple[WireColumn, ...]


def names_of(body: bytes) -> tuple[str, str, int]:
    """Schema and name of the table of a table map, and the place behind them."""
    at = 8
    found = []
    for _ in range(2):
        length, at = packed(body, at)
        name, at = cut(body, at, length + 1)  # a zero byte ends it
        found.append(name[:-1].decode())
    return found[0], found[1], at


class Dialect(NamedTuple):
    """Whose columns have a sign or a collation, which servers see differently and nothing there tells.

    A YEAR has a sign on MariaDB and newer MySQL, and on MySQL 8.0.15 has none. A GEOMETRY has a collation on
    MariaDB.
    """

    with_sign: frozenset[int]
    with_collation: frozenset[int]


MYSQL = Dialect(NUMBERS | {YEAR}, TEXTS)
MARIADB = Dialect(NUMBERS | {YEAR}, TEXTS | {GEOMETRY})
MYSQL_OF_OLD = Dialect(NUMBERS, TEXTS)


def parse_table_map(body: bytes, dialect: Dialect) -> TableMap:
    """The table map, whole."""
    schema, table, at = names_of(body)
    count, at = packed(body, at)
    kinds, at = cut(body, at, count)
    length, at = packed(body, at)
    widths, at = cut(body, at, length)
    _, at = cut(body, at, (count + 7) // 8)  # which columns may be NULL; the rows tell which are
    columns = _described(_bare_columns(kinds, widths), parse_metadata(body[at:]), dialect)
    return TableMap(schema, table, columns)


def _bare_columns(kinds: bytes, widths: bytes) -> list[WireColumn]:
    found = []
    at = 0
    for kind in kinds:
        size = 2 if kind in TWO_BYTES else 1 if kind in ONE_BYTE else 0 if kind in NO_BYTES else None
        if size is None:
            message = f"a column has type {kind}, which is not known"
            raise Undecodable(message)
        width, at = cut(widths, at, size)
        found.append(_bare(kind, width))
    if at != len(widths):
        raise Undecodable("a table is described with too much")
    return found


def _bare(kind: int, width: bytes) -> WireColumn:
    if kind == STRING:
        return _string(*width)
    if kind == NEWDECIMAL:
        return WireColumn(kind, width[0], width[1])
    if kind == BIT:
        return WireColumn(kind, (8 * width[1] + width[0] + 7) // 8)
    if kind in {VARCHAR, VARCHAR_COMPRESSED}:
        return WireColumn(kind, _prefix(int.from_bytes(width, "little")))
    return WireColumn(kind, int.from_bytes(width, "little"))


def _string(first: int, second: int) -> WireColumn:
    """CHAR, BINARY, ENUM or SET: the first byte has the true type, and two bits of a long CHAR's length.

    Where the length goes beyond a byte, the two bits stand there inverted (MySQL's bug 37426).
    """
    if first in {ENUM, SET}:
        return WireColumn(first, second)
    length = second | ((first & 0x30) ^ 0x30) << 4
    return WireColumn(first | 0x30, _prefix(length), length)


def _prefix(length: int) -> int:
    return 1 if length <= 0xFF else 2  # noqa: PLR2004 - what a byte can count


def _described(bare: list[WireColumn], metadata: Metadata, dialect: Dialect) -> tuple[WireColumn, ...]:
    if not metadata.names:
        return tuple(bare)  # nobody can tell what they are; whoever knows the table's columns will miss them
    if len(metadata.names) != len(bare):
        raise Undecodable("a table is described with names for some columns only")
    numbers = texts = enums = sets = 0
    found = []
    for place, column in enumerate(bare):
        told = column._replace(name=metadata.names[place])
        if column.kind in dialect.with_sign:
            told = told._replace(is_unsigned=is_unsigned(metadata, numbers))
            numbers += 1
        elif column.kind in dialect.with_collation:
            told = told._replace(charset=charset(metadata.text_collations, texts))
            texts += 1
        elif column.kind == ENUM:
            of = charset(metadata.label_collations, enums + sets)
            told = told._replace(charset=of, labels=("", *labels(metadata.enums, enums, of)))
            enums += 1
        elif column.kind == SET:
            of = charset(metadata.label_collations, enums + sets)
            told = told._replace(charset=of, labels=tuple(labels(metadata.sets, sets, of)))
            sets += 1
        found.append(told)
    return tuple(found)
