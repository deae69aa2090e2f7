"""Canonical values: one form of each column's value, whichever way it was read.

| kind | canonical value | JSON |
|---|---|---|
| integer | `int` | number |
| decimal | `str`, as the server prints it: all digits of the scale | string |
| float | `float`, the shortest decimal that gives the same 4 bytes | number |
| double | `float` | number |
| text (CHAR, VARCHAR, TEXT, ENUM, JSON of MariaDB) | `str` | string |
| bytes (VARBINARY, BLOB) | `bytes` | base64 string |
| date, datetime, timestamp | `str`, as the server prints it in UTC, with all fraction digits | string |

A value that does not fit its column is an error where it is met, never a default.
"""

import base64
import math
import struct
from collections.abc import Callable, Mapping

from changeover.table import Column, Kind, Table

Value = None | int | float | str | bytes
Row = Mapping[str, Value]

FLOAT32_DIGITS = range(6, 10)
"""How many decimal digits a float32 can need: 6 always survive, 9 always suffice."""

FLOAT32_DIGITS_BELOW_NORMAL = range(1, 10)
FLOAT32_NORMAL_MIN = 2.0**-126
"""Numbers below it have fewer bits, the last of them one."""

_float32 = struct.Struct("<f")


def shortest_float32(number: float) -> float:
    """The float whose shortest text stands for the same 4-byte float as `number`.

    >>> shortest_float32(0.10000000149011612)
    0.1
    """
    try:
        wanted = _float32.pack(number)
    except OverflowError as error:
        message = f"not a 4-byte float: {number!r}"
        raise ValueError(message) from error
    (number,) = _float32.unpack(wanted)
    is_normal = abs(number) >= FLOAT32_NORMAL_MIN
    for digits in FLOAT32_DIGITS if is_normal else FLOAT32_DIGITS_BELOW_NORMAL:
        short = float(f"{number:.{digits}g}")
        if _float32.pack(short) == wanted:
            return finite(short)
    message = f"not a number: {number!r}"
    raise ValueError(message)


def finite(number: float) -> float:
    """The number; `ValueError` for NaN and infinity, which MySQL does not have and JSON cannot carry."""
    if not math.isfinite(number):
        message = f"not a number: {number!r}"
        raise ValueError(message)
    return number


def reader_of_text(column: Column) -> Callable[[bytes], Value]:
    """A function from the server's own text of a value (never NULL) to its canonical value."""
    match column.kind:
        case Kind.INTEGER:
            return int
        case Kind.FLOAT:
            return lambda text: shortest_float32(float(text))
        case Kind.DOUBLE:
            return lambda text: finite(float(text))
        case Kind.BYTES:
            return bytes
        case Kind.TEXT | Kind.DECIMAL | Kind.DATE | Kind.DATETIME | Kind.TIMESTAMP:
            return bytes.decode


def row_to_json(table: Table, row: Row) -> Row:
    """The row as JSON can carry it: bytes become base64."""
    if not table.bytes_columns:
        return row
    return {name: _bytes_to_text(value) for name, value in row.items()}


def row_from_json(table: Table, row: Row) -> Row:
    """The row that `row_to_json` was given."""
    if not table.bytes_columns:
        return row
    return {**row, **{name: _bytes_from_text(row[name]) for name in table.bytes_columns if name in row}}


def _bytes_to_text(value: Value) -> Value:
    return base64.b64encode(value).decode("ascii") if isinstance(value, bytes) else value


def _bytes_from_text(value: Value) -> Value:
    if value is None:
        return None
    if not isinstance(value, str):
        message = f"bytes are written as base64 text, not as {type(value).__name__}"
        raise TypeError(message)
    return base64.b64decode(value, validate=True)
