"""How a value of each type lies in a row, and the Python expression that makes it canonical."""

import re
import struct
from collections.abc import Callable, Mapping
from typing import NamedTuple

from cdc.binlog import table_map as wire
from cdc.binlog.addresses import INET4_BYTES, INET6_BYTES, UUID_BYTES, inet4_text, inet6_text, uuid_text
from cdc.binlog.compressed import column_value
from cdc.binlog.decimals import decimal_bytes, decimal_reader
from cdc.binlog.json_text import json_text, json_text_of_57
from cdc.binlog.table_map import WireColumn
from cdc.binlog.temporal import (
    DATES,
    HIRES_DATETIME_BYTES,
    HIRES_FRACTION_BYTES,
    HIRES_TIME_BYTES,
    Memo,
    datetime_reader,
    fraction_bytes,
    hires_datetime_reader,
    hires_time_reader,
    hires_timestamp_reader,
    old_datetime_text,
    old_time_text,
    old_timestamp_text,
    time_reader,
    timestamp_reader,
)
from changeover.charsets import decoder_of
from changeover.mysql.framing import Undecodable
from changeover.table import Column
from changeover.values import finite, shortest_float32

BINARY = "binary"


class Plan(NamedTuple):
    """How to read one column's value.

    `codes` are those of `struct` for what stands there first: the value, or its length. In `value` the
    numbers unpacked are `{a}` and `{b}`, the bytes behind a length `{x}`, and `function` is `{f}`.
    """

    codes: str
    value: str
    has_length: bool = False
    function: object = None

    @property
    def size(self) -> int:
        """Bytes of what stands there first."""
        return struct.calcsize(f"<{self.codes}")


def plan_of(column: WireColumn, known: Column | None) -> Plan:
    """The plan for a column; what it is known to be tells some types apart that look alike in the binlog."""
    base = base_of(known.sql_type) if known else ""
    if base in ADDRESSES:
        size, text = ADDRESSES[base]
        return Plan("B", "{f}({x})", has_length=True, function=_sized(text, size))
    if known and known.fraction_digits and column.kind in HIRES:
        sizes, more, reader = HIRES[column.kind]
        size = sizes[known.fraction_digits] + more
        return Plan(f"{size}s", "{f}({a})", function=reader(known.fraction_digits))
    return PLANS[column.kind](column)


def base_of(sql_type: str) -> str:
    """The first word of a type.

    >>> base_of("int(10) unsigned")
    'int'
    """
    return re.split(r"\W", sql_type.lower(), maxsplit=1)[0]


# -- numbers -----------------------------------------------------------------------------------------------


def _integer(codes: str) -> Callable[[WireColumn], Plan]:
    return lambda column: Plan(codes.upper() if column.is_unsigned else codes, "{a}")


def _integer_of_3_bytes(column: WireColumn) -> Plan:
    return Plan("HB" if column.is_unsigned else "Hb", "{a} | {b} << 16")


def _year(_: WireColumn) -> Plan:
    return Plan("B", "{a} and {a} + 1900")


def _bit(column: WireColumn) -> Plan:
    return Plan(f"{column.size}s", "{f}({a})", function=int.from_bytes)


def _decimal(column: WireColumn) -> Plan:
    size = decimal_bytes(column.size, column.scale)
    return Plan(f"{size}s", "{f}({a})", function=decimal_reader(column.size, column.scale))


def _float(_: WireColumn) -> Plan:
    return Plan("f", "{f}({a})", function=shortest_float32)


def _double(_: WireColumn) -> Plan:
    # Infinity less itself is no number, which is true here, as only a finite number's difference is not.
    return Plan("d", "{f}({a}) if {a} - {a} else {a}", function=finite)


# -- dates and times ---------------------------------------------------------------------------------------


def _date(_: WireColumn) -> Plan:
    return Plan("HB", "{f}[{a} | {b} << 16]", function=DATES)


def _with_fraction(
    whole_bytes: int, reader: Callable[[int], Callable[[bytes], str]]
) -> Callable[[WireColumn], Plan]:
    def plan(column: WireColumn) -> Plan:
        if column.size > FRACTION_DIGITS_MAX:
            raise Undecodable("a time with more than 6 digits behind the second")
        return Plan(f"{whole_bytes + fraction_bytes(column.size)}s", "{f}({a})", function=reader(column.size))

    return plan


FRACTION_DIGITS_MAX = 6

HIRES: Mapping[int, tuple[Mapping[int, int], int, Callable[[int], Callable[[bytes], str]]]] = {
    wire.DATETIME: (HIRES_DATETIME_BYTES, 0, hires_datetime_reader),
    wire.TIMESTAMP: (HIRES_FRACTION_BYTES, 4, hires_timestamp_reader),
    wire.TIME: (HIRES_TIME_BYTES, 0, hires_time_reader),
}
"""Sizes by the number of digits, what is added to them, and how they are read."""

# -- texts and bytes ---------------------------------------------------------------------------------------

LENGTHS = {1: "B", 2: "H", 3: "HB", 4: "I"}


def _text(column: WireColumn, *, stored: str = "{x}") -> str:
    if column.charset == BINARY:
        return stored
    return f"{stored}.decode()" if column.charset == "utf8mb4" else f"{{f}}({stored})"


def _decoder(column: WireColumn) -> Callable[[bytes], str] | None:
    return None if column.charset == BINARY else decoder_of(column.charset)


def _string(column: WireColumn) -> Plan:
    if column.charset == BINARY:
        # Zero bytes at the end are left out, and the server puts them there again.
        return Plan(LENGTHS[column.size], f"{{x}}.ljust({column.scale}, b'\\0')", has_length=True)
    # A SELECT gives a CHAR without the spaces at its end.
    value = f"{_text(column)}.rstrip(' ')"
    return Plan(LENGTHS[column.size], value, has_length=True, function=_decoder(column))


def _varying(column: WireColumn) -> Plan:
    return Plan(_length(column), _text(column), has_length=True, function=_decoder(column))


def _compressed(column: WireColumn) -> Plan:
    decode = _decoder(column)
    if decode is None:
        return Plan(_length(column), "{f}({x})", has_length=True, function=column_value)
    return Plan(_length(column), "{f}({x})", has_length=True, function=_after_decompressing(decode))


def _after_decompressing(decode: Callable[[bytes], str]) -> Callable[[bytes], str]:
    return lambda stored: decode(column_value(stored))


def _json(column: WireColumn) -> Plan:
    text = json_text_of_57 if column.kind == wire.JSON_OF_57 else json_text
    return Plan(_length(column), "{f}({x})", has_length=True, function=text)


def _bytes(column: WireColumn) -> Plan:
    return Plan(_length(column), "{x}", has_length=True)


def _length(column: WireColumn) -> str:
    if column.size not in LENGTHS:
        message = f"a length of {column.size} bytes"
        raise Undecodable(message)
    return LENGTHS[column.size]


# -- labels ------------------------------------------------------------------------------------------------


def _enum(column: WireColumn) -> Plan:
    codes = {1: "B", 2: "H"}.get(column.size)
    if codes is None:
        raise Undecodable("an ENUM of neither 1 nor 2 bytes")
    return Plan(codes, "{f}[{a}]", function=column.labels)


def _set(column: WireColumn) -> Plan:
    labels = column.labels

    def text(bits: int) -> str:
        if bits >> len(labels):
            raise Undecodable("a SET with a member that it does not have")
        return ",".join(label for place, label in enumerate(labels) if bits >> place & 1)

    memo = Memo(text)
    return Plan(f"{column.size}s", "{f}({a})", function=lambda stored: memo[int.from_bytes(stored, "little")])


# -- addresses ---------------------------------------------------------------------------------------------


def _sized(text: Callable[[bytes], str], size: int) -> Callable[[bytes], str]:
    """The text of all bytes: zero bytes at the end are left out in the row."""

    def read(stored: bytes) -> str:
        if len(stored) > size:
            raise Undecodable("more bytes than its type has")
        return text(stored.ljust(size, b"\0"))

    return read


ADDRESSES: Mapping[str, tuple[int, Callable[[bytes], str]]] = {
    "uuid": (UUID_BYTES, uuid_text),
    "inet4": (INET4_BYTES, inet4_text),
    "inet6": (INET6_BYTES, inet6_text),
}
"""MariaDB's types that look like BINARY in the binlog."""

PLANS: Mapping[int, Callable[[WireColumn], Plan]] = {
    wire.TINY: _integer("b"),
    wire.SHORT: _integer("h"),
    wire.INT24: _integer_of_3_bytes,
    wire.LONG: _integer("i"),
    wire.LONGLONG: _integer("q"),
    wire.YEAR: _year,
    wire.BIT: _bit,
    wire.NEWDECIMAL: _decimal,
    wire.FLOAT: _float,
    wire.DOUBLE: _double,
    wire.DATE: _date,
    wire.NEWDATE: _date,
    wire.DATETIME2: _with_fraction(5, datetime_reader),
    wire.TIMESTAMP2: _with_fraction(4, timestamp_reader),
    wire.TIME2: _with_fraction(3, time_reader),
    wire.DATETIME: lambda _: Plan("Q", "{f}({a})", function=old_datetime_text),
    wire.TIMESTAMP: lambda _: Plan("I", "{f}({a})", function=old_timestamp_text),
    wire.TIME: lambda _: Plan("Hb", "{f}({a} | {b} << 16)", function=old_time_text),
    wire.STRING: _string,
    wire.VARCHAR: _varying,
    wire.BLOB: _varying,
    wire.VARCHAR_COMPRESSED: _compressed,
    wire.BLOB_COMPRESSED: _compressed,
    wire.JSON: _json,
    wire.JSON_OF_57: _json,
    wire.GEOMETRY: _bytes,
    wire.VECTOR: _bytes,
    wire.ENUM: _enum,
    wire.SET: _set,
}
