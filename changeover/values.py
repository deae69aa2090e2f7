"""Canonical values: one form of each column's value, whichever way it was read.

`docs/values.md` has the whole of it, with each type's form in the log and in the targets.

| kind | canonical value | JSON |
|---|---|---|
| integer, year | `int` | number |
| bit | `int`, its bits without a sign | number |
| decimal | `str`, as the server prints it: all digits of the scale | string |
| float | `float`, the shortest decimal that gives the same 4 bytes | number |
| double | `float` | number |
| text (with MariaDB's JSON), enum, set | `str`, read in the column's character set | string |
| json (of MySQL), uuid, inet4, inet6 | `str`, as the server prints it | string |
| bytes (VARBINARY, BLOB, VECTOR), binary, geometry | `bytes` | base64 string |
| date, time, datetime, timestamp | `str`, as the server prints it in UTC, with all fraction digits | string |

A value that does not fit its column is an error where it is met, never a default.
"""

import base64
import math
import struct
from collections.abc import Callable, Mapping

from changeover.charsets import decoder_of
from changeover.table import BYTES_KINDS, Column, Kind, Table

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


Reader = Callable[[bytes], Value]


def reader_of_text(column: Column) -> Reader:
    """A function from the server's own bytes of a value (never NULL) to its canonical value.

    Texts are in their column's character set, as they are stored; all else is printed in ASCII or is bytes.
    """
    return READERS.get(column.kind) or decoder_of(column.charset)


def _float(text: bytes) -> Value:
    return shortest_float32(float(text))


def _double(text: bytes) -> Value:
    return finite(float(text))


READERS: Mapping[Kind, Reader] = {
    Kind.INTEGER: int,
    Kind.YEAR: int,
    Kind.BIT: int.from_bytes,
    Kind.FLOAT: _float,
    Kind.DOUBLE: _double,
    Kind.JSON: decoder_of("utf8mb4"),
    **dict.fromkeys(BYTES_KINDS, bytes),
    **dict.fromkeys((Kind.DECIMAL, Kind.UUID, Kind.INET4, Kind.INET6), decoder_of("ascii")),
    **dict.fromkeys((Kind.DATE, Kind.TIME, Kind.DATETIME, Kind.TIMESTAMP), decoder_of("ascii")),
}
"""How each kind is read whose values are not text in a character set of their column."""


def row_to_json(table: Table, row: Row) -> Row:
    """The row as JSON can carry it: bytes become base64."""
    if not table.bytes_columns:
        return row
    texts = {
        name: base64.b64encode(value).decode("ascii") for name, value in row.items() if type(value) is bytes
    }
    return {**row, **texts}


def row_from_json(table: Table, row: Row) -> Row:
    """The row that `row_to_json` was given."""
    if not table.bytes_columns:
        return row
    return {**row, **{name: _bytes_from_text(row[name]) for name in table.bytes_columns if name in row}}


def _bytes_from_text(value: Value) -> Value:
    if value is None:
        return None
    if not isinstance(value, str):
        message = f"bytes are written as base64 text, not as {type(value).__name__}"
        raise TypeError(message)
    return base64.b64decode(value, validate=True)
