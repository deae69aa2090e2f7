"""Canonical rows straight from the bytes of a result, by a function that is written for the table's columns.

A driver makes an object of each packet and a tuple of each row before our own reading can begin. A function
that knows the columns needs neither, and no driver in C.

MySQL's text protocol: a packet is 3 bytes of length, 1 of sequence, and its payload. In a row the values
follow one another, each behind its length: one byte up to 250, 251 for NULL, and 252, 253 or 254 before a
length of 2, 3 or 8 bytes. A short packet that begins with 254 ends the rows, one that begins with 255 is an
error.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from changeover.charsets import NotInCharset, decoder_of
from changeover.errors import ChangeoverError, ValueUnreadable
from changeover.table import Column
from changeover.values import Reader, Row, Value, reader_of_text

HEADER = 4
"""Bytes before a packet's payload."""

PACKET_FULL = 0xFFFFFF
"""The length of a packet whose payload goes on in the next one."""

END, ERROR = 254, 255
END_SIZE_MAX = 8
"""Bytes of a packet that ends the rows: a row that begins with 254 has a value of 16 MB."""

NULL = 251
LENGTH_SIZES = {252: 2, 253: 3, 254: 8}

INLINE: dict[Reader, str] = {
    int: "int({})",
    bytes: "{}",
    decoder_of("ascii"): "str({}, 'ascii')",
    decoder_of("utf8mb4"): "str({}, 'utf-8')",
}
"""Readers that are written out, since to call them takes longer than what they do."""

VALUE = """
        size = data[at]
        if size < 251:
            at += 1 + size
            v{place} = {short}
        elif size == 251:
            at += 1
            v{place} = None
        else:
            value, at = long_value(data, at)
            v{place} = {long}"""

FUNCTION = """
def read(data, at, rows):
    end = len(data)
    append = rows.append
    while end - at >= 5:
        size = data[at] | data[at + 1] << 8 | data[at + 2] << 16
        stop = at + 4 + size
        if stop > end or size == 0xFFFFFF or data[at + 4] == 255 or (data[at + 4] == 254 and size <= 8):
            return at
        at += 4{values}
        if at != stop:
            raise ValueError("a row that does not end where its packet does")
        append({{{row}}})
    return at
"""

ReadRows = Callable[[bytes, int, list[Row]], int]
"""Appends the rows of the packets that begin at a place, are whole and no larger than one packet can be.

Its answer is the place of the first packet that is not of this kind.
"""


class ResultFailed(Exception):
    """The server ended a result by an error, whose packet this is."""

    def __init__(self, packet: bytes) -> None:
        super().__init__("the server ended a result by an error")
        self.packet = packet


@lru_cache(maxsize=1_000)  # tables of a pipeline; each function takes a millisecond to write
def rows_reader(columns: tuple[Column, ...]) -> ReadRows:
    """A function that reads rows of these columns, as `SELECT` gives them in `changeover.mysql.chunks`."""
    namespace: dict[str, Any] = {"long_value": _long_value}
    values = ""
    for place, column in enumerate(columns):
        read = reader_of_text(column)
        namespace[f"read{place}"] = read
        expression = INLINE.get(read, f"read{place}({{}})")
        short, long = (expression.format(value) for value in ("data[at - size : at]", "value"))
        values += VALUE.format(place=place, short=short, long=long)
    row = ", ".join(f"{column.name!r}: v{place}" for place, column in enumerate(columns))
    exec(FUNCTION.format(values=values, row=row), namespace)  # noqa: S102 - of names that repr has quoted
    read_rows: ReadRows = namespace["read"]
    return read_rows


def rows_of_result(receive: Callable[[], bytes], name: str, columns: tuple[Column, ...]) -> list[Row]:
    """The rows of the result whose bytes `receive` gives, up to its end.

    `name` is the table's, for `ValueUnreadable`; `ResultFailed` if the server ends the result by an error.
    """
    read = rows_reader(columns)
    rows: list[Row] = []
    data = b""
    while True:
        try:
            data = data[read(data, 0, rows) :]
        except (ValueError, LookupError) as error:
            raise _blamed(data, name, columns) from error
        found = _whole_packet(data)
        if found is None:
            data += receive()
            continue
        payload, data = found
        if payload[0] == ERROR and len(payload) < PACKET_FULL:
            raise ResultFailed(payload)
        if payload[0] == END and len(payload) <= END_SIZE_MAX:
            return rows
        rows.append(_row(payload, name, columns))


def _whole_packet(data: bytes) -> tuple[bytes, bytes] | None:
    """The first packet's payload, with those it goes on in, and what is behind; None if it is not whole."""
    payload, at = b"", 0
    while len(data) - at >= HEADER:
        size = int.from_bytes(data[at : at + 3], "little")
        begin, at = at + HEADER, at + HEADER + size
        if at > len(data):
            return None
        payload += data[begin:at]
        if size < PACKET_FULL:
            return payload, data[at:]
    return None


def _row(payload: bytes, name: str, columns: Sequence[Column]) -> Row:
    """The row of a payload of any size, value by value; `ValueUnreadable` names the column."""
    row: dict[str, Value] = {}
    at = 0
    for column in columns:
        value, at = _any_value(payload, at)
        try:
            row[column.name] = None if value is None else reader_of_text(column)(value)
        except ValueError as error:
            said = error if isinstance(error, NotInCharset) else "a value that it cannot have"
            raise ValueUnreadable(f"{name}.{column.name} ({column.sql_type}) has {said}") from None
    if at != len(payload):
        raise LookupError
    return row


def _blamed(data: bytes, name: str, columns: Sequence[Column]) -> ChangeoverError:
    """The error that says which column's value cannot be read."""
    try:
        while found := _whole_packet(data):
            payload, data = found
            _row(payload, name, columns)
    except ValueUnreadable as error:
        return error
    except LookupError:
        pass
    return ValueUnreadable(f"{name} was sent in rows that have other columns than it has")


def _any_value(data: bytes, at: int) -> tuple[bytes | None, int]:
    size = data[at]
    if size > NULL:
        return _long_value(data, at)
    if size == NULL:
        return None, at + 1
    return data[at + 1 : at + 1 + size], at + 1 + size


def _long_value(data: bytes, at: int) -> tuple[bytes, int]:
    """A value with a length of more than one byte, and the place behind it."""
    begin = at + 1 + LENGTH_SIZES[data[at]]
    end = begin + int.from_bytes(data[at + 1 : begin], "little")
    return data[begin:end], end
