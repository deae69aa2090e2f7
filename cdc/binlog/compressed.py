"""What servers compress: MariaDB's events and columns, and whole transactions of MySQL."""

import sys
import zlib
from collections.abc import Iterator

from cdc.binlog.integers import cut, packed
from changeover.mysql.framing import BODY, HEADER, RawEvent, Undecodable

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ZLIB_OF_EVENTS = 0
ZLIB_OF_COLUMNS = 8
RAW_DEFLATE = 0x08

PAYLOAD_END, PAYLOAD_SIZE, PAYLOAD_KIND, PAYLOAD_PLAIN_SIZE = 0, 1, 2, 3
ZSTD, PLAIN = 0, 255

PIECE_BYTES = 1 << 18
"""Decompressed at once, so that a transaction of any size takes the memory of its largest event."""


def event_data(data: bytes) -> bytes:
    """What a compressed event of MariaDB holds: a byte of how, the plain length, and zlib's bytes."""
    head = data[0] if data else 0
    size = head & 0x07
    if not head & 0x80 or head >> 4 & 0x07 != ZLIB_OF_EVENTS:
        raise Undecodable("an event is compressed in a way that is not known")
    length = int.from_bytes(data[1 : 1 + size])
    return _inflated(data[1 + size :], length, zlib.MAX_WBITS)


def column_value(stored: bytes) -> bytes:
    """The value of a COMPRESSED column of MariaDB: a byte of how, the plain length, and zlib's bytes."""
    if not stored:
        return stored
    head = stored[0]
    if not head:
        return stored[1:]
    size = head & 0x07
    if head >> 4 != ZLIB_OF_COLUMNS:
        raise Undecodable("bytes that are compressed in a way that is not known")
    length = int.from_bytes(stored[1 : 1 + size])
    bits = -zlib.MAX_WBITS if head & RAW_DEFLATE else zlib.MAX_WBITS
    return _inflated(stored[1 + size :], length, bits)


def _inflated(stored: bytes, length: int, bits: int) -> bytes:
    inflating = zlib.decompressobj(bits)
    try:
        plain = inflating.decompress(stored, length + 1)
    except zlib.error as error:
        raise Undecodable("bytes that zlib cannot decompress") from error
    if len(plain) != length or not inflating.eof or inflating.unused_data:
        raise Undecodable("bytes that zlib decompresses to another length than they say")
    return plain


def payload_events(event: RawEvent) -> Iterator[RawEvent]:
    """The events in a compressed transaction of MySQL. They have no sums: that of the whole covers them.

    Their place behind is that of the whole, for they are not in the file one by one.
    """
    at, kind = BODY, PLAIN
    body = event.data[: event.stop]
    while True:
        field, at = packed(body, at)
        if field == PAYLOAD_END:
            break
        length, at = packed(body, at)
        value, at = cut(body, at, length)
        if field == PAYLOAD_KIND:
            kind, _ = packed(value, 0)
        elif field not in {PAYLOAD_SIZE, PAYLOAD_PLAIN_SIZE}:
            message = f"a compressed transaction has a field of type {field}, which is not known"
            raise Undecodable(message)
    yield from _cut_events(_pieces(body[at:], kind), event.end)


def _pieces(stored: bytes, kind: int) -> Iterator[bytes]:
    if kind == PLAIN:
        yield stored
        return
    if kind != ZSTD:
        message = f"a transaction is compressed in way {kind}, which is not known"
        raise Undecodable(message)
    decompressor = zstd.ZstdDecompressor()
    try:
        yield decompressor.decompress(stored, PIECE_BYTES)
        while not decompressor.eof:
            if decompressor.needs_input:
                raise Undecodable("a compressed transaction ends too early")
            yield decompressor.decompress(b"", PIECE_BYTES)
    except zstd.ZstdError as error:
        raise Undecodable("bytes that zstd cannot decompress") from error
    if decompressor.unused_data:
        raise Undecodable("a compressed transaction has more behind its end")


def _cut_events(pieces: Iterator[bytes], end: int) -> Iterator[RawEvent]:
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        at = 0
        while len(waiting) - at >= BODY:
            at_s, kind, _, size, _, _ = HEADER.unpack_from(waiting, at)
            if size < BODY:
                raise Undecodable("a compressed transaction has an event without a header")
            if len(waiting) - at < size:
                break
            yield RawEvent(at_s, kind, end, bytes(waiting[at : at + size]), size)
            at += size
        del waiting[:at]
    if waiting:
        raise Undecodable("a compressed transaction ends in the middle of an event")
