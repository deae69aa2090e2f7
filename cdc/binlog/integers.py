"""The binlog's integers of varying length."""

from changeover.mysql.framing import Undecodable


def packed(data: bytes, at: int) -> tuple[int, int]:
    r"""A length-encoded integer and the place behind it.

    >>> packed(b"\xfb", 0)
    Traceback (most recent call last):
    changeover.mysql.framing.Undecodable: a length is missing
    >>> packed(b"\xfc\x01\x02", 0)
    (513, 3)
    """
    if at >= len(data):
        raise Undecodable("a length is missing")
    first = data[at]
    if first < ONE_BYTE_END:
        return first, at + 1
    size = LENGTHS.get(first, 0)
    stop = at + 1 + size
    if not size or stop > len(data):
        raise Undecodable("a length is missing")
    return int.from_bytes(data[at + 1 : stop], "little"), stop


ONE_BYTE_END = 0xFB
LENGTHS = {0xFC: 2, 0xFD: 3, 0xFE: 8}


def serialized(data: bytes, at: int) -> tuple[int, int]:
    r"""An unsigned integer of MySQL's serialization library, and the place behind it.

    As many bytes follow the first as it has ones at its low end; the other bits are the number.

    >>> serialized(b"\x02", 0), serialized(b"\x01\x01", 0)
    ((1, 1), (64, 2))
    """
    if at >= len(data):
        raise Undecodable("an integer is missing")
    first = data[at]
    more = 0
    while first >> more & 1:
        more += 1
    stop = at + 1 + more
    if stop > len(data):
        raise Undecodable("an integer is cut off")
    high = int.from_bytes(data[at + 1 : stop], "little")
    return high << (7 - more) | first >> (more + 1) if more < 7 else high, stop  # noqa: PLR2004 - a byte has 8 bits


def cut(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    """So many bytes, and the place behind them."""
    stop = at + size
    if stop > len(data):
        raise Undecodable("it ends too early")
    return data[at:stop], stop
