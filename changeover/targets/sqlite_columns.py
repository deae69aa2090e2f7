"""How the columns of a source's table stand in a SQLite file, each value kept as it is."""

from changeover.table import BYTES_KINDS, Column, Kind, Table
from changeover.values import Row, Value

INTEGER_MAX = 2**63 - 1

AFFINITIES = {
    Kind.INTEGER: "INTEGER",
    Kind.YEAR: "INTEGER",
    Kind.BIT: "INTEGER",
    Kind.FLOAT: "",  # REAL would store -0.0 as 0
    Kind.DOUBLE: "",
    **dict.fromkeys(BYTES_KINDS, "BLOB"),
}
"""Declared types that keep a canonical value as it is; TEXT for the kinds not named."""


def quoted(name: str) -> str:
    """The name as an identifier in SQL."""
    return '"' + name.replace('"', '""') + '"'


def affinity(column: Column) -> str:
    """The type that the column is declared with."""
    if column.exceeds_int64:
        return ""  # values beyond SQLite's integers are text, and INTEGER would make them floats
    return AFFINITIES.get(column.kind, "TEXT")


def stored(value: Value) -> Value:
    """The value as it is stored."""
    if isinstance(value, int) and value > INTEGER_MAX:
        return str(value)
    return value


def stored_key(table: Table, row: Row) -> list[Value]:
    """The values of the row's key as they are stored, in the key's order."""
    return [stored(row[name]) for name in table.key]


def text_of(stored: bytes) -> str:
    """The text of bytes as they lie in the file; bytes that are no UTF-8 become halves of UTF-16 pairs.

    No source has such a text: so it differs from every row, where else it could not be read at all.
    """
    return stored.decode("utf-8", "surrogateescape")


def canonical(column: Column, value: Value) -> Value:
    """The value that was stored; what `stored` would not have made of one stays as it is."""
    if column.exceeds_int64 and isinstance(value, str) and value.isdecimal() and stored(int(value)) == value:
        return int(value)
    return value
