"""MySQL's binary JSON as the text that a SELECT prints, byte for byte.

A document is a type byte and a value. Objects and arrays have a table of entries, each a type and an offset
from the beginning of the object or array, or the value itself where it is small; an object's keys come first,
by length and then by bytes, which is the order of the text too.
"""

import base64
import math
import struct
from collections.abc import Callable, Mapping
from functools import lru_cache

from cdc.binlog.decimals import decimal_bytes, decimal_reader
from cdc.binlog.table_map import DATE, DATETIME, NEWDECIMAL, TIME, TIMESTAMP
from cdc.binlog.temporal import CLOCKS, datetime_date_text, fraction_text, time_text
from changeover.mysql.framing import Undecodable

SMALL_OBJECT, LARGE_OBJECT, SMALL_ARRAY, LARGE_ARRAY, LITERAL = 0, 1, 2, 3, 4
INT16, UINT16, INT32, UINT32, INT64, UINT64, DOUBLE, STRING, OPAQUE = 5, 6, 7, 8, 9, 10, 11, 12, 15

DEPTH_MAX = 100
"""MySQL lets no document be deeper."""

LITERALS = {0: "null", 1: "true", 2: "false"}

ESCAPES = str.maketrans(
    {code: f"\\u{code:04x}" for code in range(0x20)}
    | {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
)
KEYS_MAX = 10_000
"""A key has 64 kB at most, and most have a few bytes."""

ALIKE_MIN, ALIKE_MAX = 1e-4, 1e15
"""Within them Python and MySQL print a double alike."""

POINT_MIN, POINT_MAX = -14, 15
"""Where the point may stand, counted from the first digit, in a number that has no exponent."""

ZERO_TIME_BITS = 24
"""Microseconds, at the low end of a date or time."""

LENGTH_BYTES_MAX = 5

BASE64_LINE = 76
LINE_BREAK = "\\n"
"""As JSON writes the one that MySQL's base64 has between its lines."""


def json_text(data: bytes) -> str:
    r"""The document's text.

    >>> json_text(b"\x00\x01\x00\x0c\x00\x0b\x00\x01\x00\x05\x07\x00a")
    '{"a": 7}'
    """
    return _text(data, SCALARS)


def json_text_of_57(data: bytes) -> str:
    """The text as MySQL 5.7 prints it: a whole DOUBLE like an integer, base64 with bare line ends."""
    return _text(data, SCALARS_OF_57)


Scalars = Mapping[int, Callable[[bytes, int], str]]
"""By its type how a value that contains no others is printed."""


class Document:
    """What holds for all of a document: how its values are printed, and how many it may still have."""

    __slots__ = ("left", "scalars")

    def __init__(self, scalars: Scalars, left: int) -> None:
        self.scalars = scalars
        self.left = left


def _text(data: bytes, scalars: Scalars) -> str:
    if not data:
        return "null"  # what MySQL stores where it was made to put NULL into NOT NULL
    try:
        return _value(data, data[0], 1, 0, Document(scalars, len(data)))
    except UnicodeDecodeError as error:
        raise Undecodable("JSON with bytes that are not UTF-8") from error
    except (IndexError, struct.error, KeyError) as error:
        raise Undecodable("JSON that ends too early") from error


def _value(data: bytes, kind: int, at: int, depth: int, document: Document) -> str:
    scalar = document.scalars.get(kind)
    if scalar is not None:
        return scalar(data, at)
    if kind not in CONTAINERS:
        message = f"JSON of type {kind}, which is not known"
        raise Undecodable(message)
    if depth >= DEPTH_MAX:
        message = f"JSON deeper than {DEPTH_MAX}"
        raise Undecodable(message)
    return _container(data, CONTAINERS[kind], at, depth + 1, document)


class Layout:
    """How a small or large object or array lies: numbers of 2 or of 4 bytes."""

    def __init__(self, size: int, *, is_object: bool) -> None:
        self.is_object = is_object
        self.head = struct.Struct("<HH" if size == 2 else "<II")  # noqa: PLR2004 - the small kind's
        self.key = struct.Struct("<HH" if size == 2 else "<IH")  # noqa: PLR2004
        self.entry = struct.Struct("<BH" if size == 2 else "<BI")  # noqa: PLR2004
        self.inline = INLINE if size == 2 else {**INLINE, **INLINE_OF_LARGE}  # noqa: PLR2004


INLINE: Mapping[int, Callable[[int], object]] = {
    LITERAL: lambda field: LITERALS[field & 0xFF],
    INT16: lambda field: (field & 0xFFFF ^ 0x8000) - 0x8000,
    UINT16: lambda field: field & 0xFFFF,
}
"""The values that stand in an entry in place of an offset, from the number that it would be."""

INLINE_OF_LARGE: Mapping[int, Callable[[int], object]] = {
    INT32: lambda field: (field ^ 0x80000000) - 0x80000000,
    UINT32: lambda field: field,
}

CONTAINERS = {
    SMALL_OBJECT: Layout(2, is_object=True),
    LARGE_OBJECT: Layout(4, is_object=True),
    SMALL_ARRAY: Layout(2, is_object=False),
    LARGE_ARRAY: Layout(4, is_object=False),
}


def _container(data: bytes, layout: Layout, start: int, depth: int, document: Document) -> str:
    """An object or array. `document.left` counts down the values, of which each takes bytes.

    Without the count, damaged offsets that lead to one value from many would make it grow without end.
    """
    count, size = layout.head.unpack_from(data, start)
    keys = start + layout.head.size
    entries = keys + count * layout.key.size * layout.is_object
    behind = entries + count * layout.entry.size
    if start + size > len(data) or behind > start + size:
        raise Undecodable("JSON that is longer than it is")
    inline = layout.inline
    document.left -= count
    if document.left < 0:
        raise Undecodable("JSON with more values than it has bytes")
    values = [
        str(inline[of](field)) if of in inline else _value(data, of, start + field, depth, document)
        for of, field in layout.entry.iter_unpack(data[entries:behind])
    ]
    if not layout.is_object:
        return f"[{', '.join(values)}]"
    names = (
        _key(_cut(data, start + offset, length))
        for offset, length in layout.key.iter_unpack(data[keys:entries])
    )
    return f"{{{', '.join(map(''.join, zip(names, values, strict=True)))}}}"


@lru_cache(KEYS_MAX)
def _key(stored: bytes) -> str:
    """The same few keys come again and again."""
    return f"{_quoted(stored)}: "


def _string(data: bytes, at: int) -> str:
    length = data[at]
    if length >= 0x80:  # noqa: PLR2004 - the eighth bit: it goes on
        length, at = _length(data, at)
        return _quoted(_cut(data, at, length))
    return _quoted(_cut(data, at + 1, length))


def _double(data: bytes, at: int) -> str:
    (number,) = struct.unpack_from("<d", data, at)
    return double_text(number)


def _double_of_57(data: bytes, at: int) -> str:
    return _double(data, at).removesuffix(".0")


def _integer(code: str) -> Callable[[bytes, int], str]:
    unpack_from = struct.Struct(code).unpack_from
    return lambda data, at: str(unpack_from(data, at)[0])


def _length(data: bytes, at: int) -> tuple[int, int]:
    """Seven bits a byte, the lowest first, the eighth set in all but the last."""
    length = 0
    for place in range(LENGTH_BYTES_MAX):
        byte = data[at + place]
        length |= (byte & 0x7F) << 7 * place
        if byte < 0x80:  # noqa: PLR2004 - the eighth bit
            return length, at + place + 1
    raise Undecodable("JSON with a length beyond 4 GB")


def _cut(data: bytes, at: int, length: int) -> bytes:
    if at + length > len(data):
        raise Undecodable("JSON that ends too early")
    return data[at : at + length]


def _quoted(stored: bytes) -> str:
    text = stored.decode()
    if not text.isprintable() or '"' in text or "\\" in text:
        text = text.translate(ESCAPES)
    return f'"{text}"'


def double_text(number: float) -> str:
    """As MySQL prints a DOUBLE in JSON: the shortest digits that mean it, as `my_gcvt` lays them out.

    >>> double_text(1.0), double_text(1e20), double_text(1.5e-7)
    ('1.0', '1e20', '0.00000015')
    """
    if not math.isfinite(number):
        raise Undecodable("JSON with a number that is none")
    if number == 0 or ALIKE_MIN <= abs(number) < ALIKE_MAX:
        return repr(number)
    sign = "-" if number < 0 else ""
    digits, point = _digits(abs(number))
    if point < POINT_MIN or (point > POINT_MAX and len(digits) <= point):
        rest = f".{digits[1:]}" if digits[1:] else ""
        return f"{sign}{digits[0]}{rest}e{point - 1}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    return f"{sign}{digits[:point]}.{digits[point:]}"


def _digits(number: float) -> tuple[str, int]:
    """The shortest digits that mean the number, and how many of them stand before the point."""
    mantissa, _, power = repr(number).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(digits) - len(fraction) + int(power or 0)
    return digits.rstrip("0"), point


def _opaque(data: bytes, at: int) -> str:
    kind = data[at]
    length, at = _length(data, at + 1)
    value = _cut(data, at, length)
    printer = OPAQUES.get(kind)
    if printer is not None:
        return printer(value)
    code = base64.b64encode(value).decode()
    lines = (code[at : at + BASE64_LINE] for at in range(0, len(code), BASE64_LINE))
    return f'"base64:type{kind}:{LINE_BREAK.join(lines)}"'


def _opaque_of_57(data: bytes, at: int) -> str:
    return _opaque(data, at).replace(LINE_BREAK, "\n")


def _decimal(value: bytes) -> str:
    precision, scale = value[0], value[1]
    if len(value) != 2 + decimal_bytes(precision, scale):
        raise Undecodable("JSON with a DECIMAL that is none")
    return decimal_reader(precision, scale)(value[2:])


def _number(value: bytes) -> int:
    if len(value) != 8:  # noqa: PLR2004 - bytes of all dates and times
        raise Undecodable("JSON with a date that is none")
    return int.from_bytes(value, "little", signed=True)


def _date(value: bytes) -> str:
    return f'"{_date_part(_number(value))}"'


def _datetime(value: bytes) -> str:
    number = _number(value)
    clock = CLOCKS[number >> ZERO_TIME_BITS & 0x1FFFF]
    return f'"{_date_part(number)} {clock}{_micros(number)}"'


def _date_part(number: int) -> str:
    if number < 0:
        raise Undecodable("JSON with a negative date")
    return datetime_date_text(number >> (17 + ZERO_TIME_BITS) | 1 << 22)


def _time(value: bytes) -> str:
    number = _number(value)
    size = abs(number)
    return f'"{time_text(number < 0, size >> ZERO_TIME_BITS)}{_micros(size)}"'


def _micros(number: int) -> str:
    return fraction_text(number & ((1 << ZERO_TIME_BITS) - 1), 6)


OPAQUES: dict[int, Callable[[bytes], str]] = {
    NEWDECIMAL: _decimal,
    DATE: _date,
    DATETIME: _datetime,
    TIMESTAMP: _datetime,
    TIME: _time,
}

SCALARS: Scalars = {
    STRING: _string,
    DOUBLE: _double,
    OPAQUE: _opaque,
    LITERAL: lambda data, at: LITERALS[data[at]],
    INT16: _integer("<h"),
    UINT16: _integer("<H"),
    INT32: _integer("<i"),
    UINT32: _integer("<I"),
    INT64: _integer("<q"),
    UINT64: _integer("<Q"),
}

SCALARS_OF_57: Scalars = {**SCALARS, DOUBLE: _double_of_57, OPAQUE: _opaque_of_57}
