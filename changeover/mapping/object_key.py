"""An object's key: the row's primary key as a text that can stand in a URL, and be read back.

Two rows of a table have the same key here if and only if `envelope.encode_key` gives them the same bytes.

| value | in the key |
|---|---|
| integer, bit, year | its decimal digits, `-` before a negative one |
| text, decimal, date … | its UTF-8 bytes: letters, digits, `-`, `_` as they are, others as `~` and hex |
| float, double | its shortest decimal text, likewise |
| bytes | two hex digits for each |
| the empty text, no bytes | `~` |

The columns of a key follow each other in the key's order, with `.` between them. So no key is empty, `.` or
`..`, none has a `/`, and none is changed by URL quoting.
"""

import re

from changeover.envelope import JSON_TYPES
from changeover.table import Column, Table
from changeover.values import Row, Value

FORM = 1
"""Of this definition; part of every mapping's fingerprint."""

SEPARATOR = "."
EMPTY = "~"
PLAIN = re.compile(r"[A-Za-z0-9_-]+").fullmatch
ESCAPE = re.compile(rb"~([0-9A-F]{2})")
ESCAPED = tuple(chr(byte) if PLAIN(chr(byte)) else f"~{byte:02X}" for byte in range(256))


def encode(table: Table, row: Row) -> str:
    """The key of the row's object; `row` has the key columns at least.

    >>> from changeover.table import Kind
    >>> names = {"cpr": Kind.TEXT, "number": Kind.INTEGER}
    >>> columns = [Column(name=name, kind=kind, sql_type="", nullable=False) for name, kind in names.items()]
    >>> table = Table(schema="records", name="prescription", columns=(*columns,), key=(*names,))
    >>> encode(table, {"cpr": "010125-0000", "number": 17})
    '010125-0000.17'
    >>> encode(table, {"cpr": "Ø/1", "number": -1})
    '~C3~98~2F1.-1'
    """
    return SEPARATOR.join([part_of(row[name]) for name in table.key])


def decode(table: Table, key: str) -> Row:
    """The key columns of the row whose object has this key; `ValueError` if no row of the table could."""
    parts = key.split(SEPARATOR)
    if len(parts) != len(table.key):
        message = f"{key!r} has {len(parts)} parts, and the key of {table.full_name} {len(table.key)}"
        raise ValueError(message)
    row = {
        column.name: _value(table, column, part)
        for column, part in zip(table.key_columns, parts, strict=True)
    }
    if encode(table, row) != key:
        message = f"{key!r} is no key of {table.full_name}"
        raise ValueError(message)
    return row


def part_of(value: Value) -> str:
    """One value, never NULL, as it stands in a key.

    >>> part_of(bytes([255, 0])), part_of(""), part_of(-0.5)
    ('ff00', '~', '-0~2E5')
    """
    if type(value) is int:
        return str(value)
    text = value.hex() if isinstance(value, bytes) else str(value)
    if PLAIN(text):
        return text
    return "".join([ESCAPED[byte] for byte in text.encode()]) or EMPTY


def _value(table: Table, column: Column, part: str) -> Value:
    if column.name in table.bytes_columns:
        return b"" if part == EMPTY else bytes.fromhex(part)
    text = "" if part == EMPTY else ESCAPE.sub(_byte, part.encode()).decode()
    kind = JSON_TYPES.get(column.kind, str)
    value: Value = kind(text)
    return value


def _byte(found: re.Match[bytes]) -> bytes:
    return bytes((int(found[1], 16),))
