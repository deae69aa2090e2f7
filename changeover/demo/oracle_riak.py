"""The oracle's look into Riak: what the buckets hold, read with code of its own.

It speaks as much of Riak's protocol buffers as it needs: list the keys of a bucket (17, 18), get an object
(9, 10). It knows on its own what an object of the default mapping is: a bucket named as the table, a JSON
object with a member for each column, bytes as base64, the key made of the key columns; an object that is
marked `changeover-deleted` is no row. Of siblings the one with the highest `changeover-version` counts.

An object that lies under another key than its row's is given a key of that kind, and so is found as extra.
"""

import base64
import json
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from changeover.demo.oracle import BYTES, INTEGER_MAX, Column, Key, Rows, Table, Uncomparable, bits32, bits64

TIMEOUT_S = 60.0
OBJECTS_PER_BATCH = 500
"""Gets that are sent before their answers are read."""

QUORUM = 0xFFFFFFFD
LIST_KEYS, KEYS_LISTED, GET, GOT = 17, 18, 9, 10

PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


class RiakSide:
    """The buckets of one type, by one node; `prefix` is what stands before a table's name in a bucket's."""

    def __init__(self, host: str, port: int, bucket_type: str = "default", *, prefix: str = "") -> None:
        self._prefix = prefix
        self._socket = socket.create_connection((host, port), TIMEOUT_S)
        self._stream = self._socket.makefile("rb")
        self._type = bucket_type.encode()

    def rows(self, table: Table) -> Iterator[Rows]:
        """See `oracle.Target`."""
        bucket = f"{self._prefix}{table.name}".encode()
        keys = sorted(self._keys(bucket))
        for start in range(0, len(keys), OBJECTS_PER_BATCH):
            some = keys[start : start + OBJECTS_PER_BATCH]
            held = zip(some, self._objects(bucket, some), strict=True)
            yield [_row(table, key, value) for key, value in held if value is not None]

    def close(self) -> None:
        """Hang up."""
        self._stream.close()
        self._socket.close()

    def _keys(self, bucket: bytes) -> set[bytes]:
        self._send(LIST_KEYS, _field(1, bucket) + self._of_type(3))
        found: set[bytes] = set()
        while True:
            answer = self._answer(KEYS_LISTED)
            found.update(answer.get(1, ()))
            if any(answer.get(2, ())):
                return found

    def _objects(self, bucket: bytes, keys: Iterable[bytes]) -> Iterator[bytes | None]:
        quorum = _number(3, QUORUM) + _number(4, QUORUM)
        for key in keys:
            self._send(GET, _field(1, bucket) + _field(2, key) + quorum + self._of_type(13))
        for _ in keys:
            yield _value([_fields(content) for content in self._answer(GOT).get(1, ())])

    def _of_type(self, field: int) -> bytes:
        return b"" if self._type == b"default" else _field(field, self._type)

    def _send(self, code: int, body: bytes) -> None:
        self._socket.sendall(struct.pack(">IB", len(body) + 1, code) + body)

    def _answer(self, code: int) -> Mapping[int, list[Any]]:
        length, got = struct.unpack(">IB", self._stream.read(5))
        body = self._stream.read(length - 1)
        if got != code:
            raise Uncomparable(f"Riak answers {got} where {code} belongs: {body!r}")
        return _fields(body)


def _value(contents: Sequence[Mapping[int, list[Any]]]) -> bytes | None:
    """The value that counts, None for no object and for a delete marker."""
    pairs = [
        (dict(_pair(one) for one in content.get(9, ())), content.get(1, [b""])[-1])
        for content in contents
        if not any(content.get(11, ()))
    ]
    if not pairs:
        return None
    metadata, value = max(pairs, key=lambda pair: pair[0].get(b"changeover-version", b""))
    found: bytes = value
    return None if b"changeover-deleted" in metadata else found


def _row(table: Table, key: bytes, value: bytes) -> tuple[Key, str]:
    try:
        members = json.loads(value)
        own_key = ".".join(_key_part(column, members[column.name]) for column in table.key)
        if own_key.encode() != key:
            return f"t{key.hex()}", "misplaced"
        joined_key = ",".join(_cell(column, members[column.name]) for column in table.key)
        columns = (*table.exact, *table.reals)
        cells = ",".join(_cell(column, members.get(column.name, ...)) for column in columns)
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"t{key.hex()}", "unreadable"
    return joined_key, cells


def _key_part(column: Column, value: object) -> str:
    """A key column as it stands in the object's key."""
    if isinstance(value, str) and column.data_type in BYTES:
        return base64.b64decode(value).hex() or "~"
    return "".join(chr(byte) if byte in PLAIN else f"~{byte:02X}" for byte in str(value).encode()) or "~"


def _cell(column: Column, value: object) -> str:
    """The cell of a member's value."""
    if value is None:
        return "n"
    if type(value) is int:
        return f"i{value}" if value <= INTEGER_MAX else _text(str(value))
    if isinstance(value, float):
        return bits32(value) if column.data_type == "float" else bits64(value)
    if not isinstance(value, str):
        return "other"  # a boolean, a list, an object, or no such member
    if column.data_type in BYTES:
        return f"b{base64.b64decode(value, validate=True).hex().upper()}"
    return _text(value)


def _text(value: str) -> str:
    return f"t{value.encode().hex().upper()}"


def _fields(message: bytes) -> dict[int, list[Any]]:
    """Each field's values, numbers or bytes."""
    found: dict[int, list[Any]] = {}
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        value: int | bytes
        value, place = _varint(message, place)
        if tag & 7 == 2:
            end = place + value
            value, place = message[place:end], end
        found.setdefault(tag >> 3, []).append(value)
    return found


def _pair(message: bytes) -> tuple[bytes, bytes]:
    found = _fields(message)
    return found[1][-1], found.get(2, [b""])[-1]


def _varint(message: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = message[place]
        place += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, place
        shift += 7


def _number(field: int, number: int) -> bytes:
    return _as_varint(field << 3) + _as_varint(number)


def _field(field: int, value: bytes) -> bytes:
    return _as_varint(field << 3 | 2) + _as_varint(len(value)) + value


def _as_varint(number: int) -> bytes:
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes((*parts, number))
