"""Cuts binlog events out of what the server sends, and checks each one's sum.

Pure: bytes in, events out. Whoever follows the binlog and whoever only looks into it share it.
"""

import struct
import zlib
from typing import NamedTuple

HEADER = struct.Struct("<IBIIIH")
"""Of an event: time in seconds, type, server id, size, place behind it, flags."""

BODY = HEADER.size
CHECKSUM_BYTES = 4

STOP, ROTATE, FORMAT_DESCRIPTION = 3, 4, 15
GTID, ANONYMOUS_GTID, PREVIOUS_GTIDS, MARIADB_GTID = 33, 34, 35, 162

HEADER_LENGTHS = {2: 13, 19: 8, 23: 8, 24: 8, 25: 8, 30: 10, 31: 10, 32: 10, 39: 10}
"""Of QUERY, TABLE_MAP and the rows events: how long their own headers are in every server that we read."""

AT_HEADER_LENGTH = 2 + 50 + 4
"""In a format description, behind the versions of the binlog and of the server and the time."""


class Undecodable(ValueError):
    """Bytes that are not what the binlog says of itself, or that cannot be read exactly.

    The words say what and where, never a value: it may be somebody's secret.
    """


class RawEvent(NamedTuple):
    """An event by its header; its body is `data[BODY:stop]`. `end` is 0 for one that is not in the file."""

    at_s: int
    kind: int
    end: int
    data: bytes
    stop: int

    @property
    def size(self) -> int:
        """Its bytes in the file."""
        return len(self.data)

    @property
    def body(self) -> bytes:
        """The body alone."""
        return self.data[BODY : self.stop]


class Framing:
    """Events from what the server sends, each as one piece of bytes.

    Whether events carry a sum is said by the format description of their file, and for the events before
    the first one by the server's setting, which the caller knows.
    """

    def __init__(self, *, has_checksums: bool) -> None:
        self.has_checksums = has_checksums

    def event(self, data: bytes) -> RawEvent:
        """The event; `Undecodable` if its size or its sum is wrong."""
        if len(data) < BODY + CHECKSUM_BYTES * self.has_checksums:
            message = f"an event of {len(data)} bytes ends too early"
            raise Undecodable(message)
        at_s, kind, _, size, end, _ = HEADER.unpack_from(data)
        if size != len(data):
            message = f"an event of {size} bytes came with {len(data)}"
            raise Undecodable(message)
        if kind == FORMAT_DESCRIPTION:
            self.has_checksums = _describes_checksums(data)
            _check_header_lengths(data)
        if self.has_checksums:
            return RawEvent(at_s, kind, end, data, _checked(data))
        # A format description has room for a sum in any case.
        return RawEvent(at_s, kind, end, data, size - CHECKSUM_BYTES * (kind == FORMAT_DESCRIPTION))


def _checked(data: bytes) -> int:
    """Where the event's body ends and its sum begins."""
    stop = len(data) - CHECKSUM_BYTES
    if zlib.crc32(memoryview(data)[:stop]) != int.from_bytes(data[stop:], "little"):
        message = "an event's checksum is wrong: the bytes were damaged on the way, or on the source's disk"
        raise Undecodable(message)
    return stop


def _describes_checksums(data: bytes) -> bool:
    algorithm = data[-CHECKSUM_BYTES - 1]
    if algorithm > 1:
        message = f"checksums of kind {algorithm} are not known"
        raise Undecodable(message)
    return algorithm == 1


def _check_header_lengths(data: bytes) -> None:
    start = BODY + AT_HEADER_LENGTH
    lengths = data[start : -CHECKSUM_BYTES - 1]
    if lengths[:1] != bytes([BODY]):
        message = "the headers of events are not 19 bytes long"
        raise Undecodable(message)
    for kind, length in HEADER_LENGTHS.items():
        # lengths[kind] is that of the type, as the first one is of the common header.
        if kind < len(lengths) and lengths[kind] not in {length, 0}:
            message = f"events of type {kind} have headers of {lengths[kind]} bytes, not {length}"
            raise Undecodable(message)
