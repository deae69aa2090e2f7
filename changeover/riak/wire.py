"""Protocol buffers as Riak uses them, written by hand: fields of numbers and bytes, in frames with a code.

A frame is four bytes of length, one of message code, and the message. Whatever bytes come in, they end in
values or in `Malformed`.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

FRAME_BYTES_MAX = 256 * 1024 * 1024
"""Far above any object that Riak stores well (its own advice is 1 MB); a longer length is no Riak's."""

VARINT_BYTES_MAX = 10
"""What 64 bits take, seven a byte."""

VARINT, FIXED_64, BYTES, FIXED_32 = 0, 1, 2, 5

_HEAD = struct.Struct(">IB")
_ONE_BYTE = tuple(bytes((number,)) for number in range(0x80))


class Malformed(ValueError):
    """These bytes are no message of Riak's."""


class Frame(NamedTuple):
    """A message as it came: its code, and its fields not yet read."""

    code: int
    body: bytes


def frame(code: int, body: bytes = b"") -> bytes:
    """The message as it goes over the wire.

    >>> frame(1).hex()
    '0000000101'
    """
    return _HEAD.pack(len(body) + 1, code) + body


def varint(number: int) -> bytes:
    """The number in seven bits a byte, lowest first.

    >>> varint(300).hex()
    'ac02'
    """
    if number < 0x80:
        return _ONE_BYTE[number]
    if number < 0x4000:
        return bytes((number & 0x7F | 0x80, number >> 7))
    parts = bytearray()
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def number_field(field: int, number: int) -> bytes:
    """A field that holds a number, or a boolean as 0 or 1."""
    return varint(field << 3 | VARINT) + varint(number)


def bytes_field(field: int, value: bytes) -> bytes:
    """A field that holds bytes: a text, or a message within the message."""
    return varint(field << 3 | BYTES) + varint(len(value)) + value


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Each field of a message, its number and its value, in the order in which they stand."""
    place, end = 0, len(message)
    while place < end:
        tag, place = _varint_at(message, place)
        field, kind = tag >> 3, tag & 7
        if kind == VARINT:
            number, place = _varint_at(message, place)
            yield field, number
            continue
        if kind == BYTES:
            length, place = _varint_at(message, place)
        elif kind in {FIXED_32, FIXED_64}:
            length = 4 if kind == FIXED_32 else 8  # Riak sends none; a newer one's are passed over
        else:
            raise Malformed(f"field {field} has the unknown kind {kind}")
        if length > end - place:
            raise Malformed(f"field {field} has {length} bytes and the message {end - place} left")
        yield field, message[place : place + length]
        place += length


def _varint_at(message: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    for byte in message[place : place + VARINT_BYTES_MAX]:
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place
        shift += 7
    raise Malformed("a number has no end")


EMPTY_FRAMES = tuple(Frame(code, b"") for code in range(0x100))
"""Frames without a message, most answers among them: to make one takes ten times as long as to look it up."""


class FrameSplitter:
    """Makes frames of a connection's bytes, however they come cut."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._held = 0
        self._needed = _HEAD.size
        """Bytes from the beginning of the rest that complete its frame, as far as that is known."""

    @property
    def is_between_frames(self) -> bool:
        """Whether all that came was whole frames."""
        return not self._held

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that these bytes complete. `Malformed` for a length that no frame of Riak's has."""
        if self._held:
            self._rest.append(data)
            self._held += len(data)
            if self._held < self._needed:
                return []  # joined once and not at every piece: a frame may be a thousand of them
            data = b"".join(self._rest)
        found: list[Frame] = []
        place, end, needed = 0, len(data), _HEAD.size
        while end - place >= _HEAD.size:
            length, code = _HEAD.unpack_from(data, place)
            if not 0 < length <= FRAME_BYTES_MAX:
                raise Malformed(f"a frame of {length:,} bytes")
            needed = 4 + length
            if needed > end - place:
                break
            body = data[place + _HEAD.size : place + needed]
            found.append(Frame(code, body) if body else EMPTY_FRAMES[code])
            place += needed
            needed = _HEAD.size
        self._rest, self._held, self._needed = [data[place:]], end - place, needed
        return found
