"""MariaDB's UUID, INET4 and INET6 as the server prints them, from all the bytes that it stores."""

from uuid import UUID

UUID_BYTES, INET4_BYTES, INET6_BYTES = 16, 4, 16


def uuid_text(stored: bytes) -> str:
    """A UUID. In the binlog its bytes stand in the order of its text, other than in MariaDB's own files."""
    return str(UUID(bytes=stored))


def inet4_text(stored: bytes) -> str:
    r"""An IPv4 address.

    >>> inet4_text(b"\x7f\x00\x00\x01")
    '127.0.0.1'
    """
    return ".".join(map(str, stored))


def inet6_text(stored: bytes) -> str:
    r"""An IPv6 address: its longest run of zeros, the first of several, is left out, be it of one.

    >>> inet6_text(bytes(10) + b"\xff\xff\x7f\x00\x00\x01")
    '::ffff:127.0.0.1'
    """
    words = [int.from_bytes(stored[at : at + 2]) for at in range(0, INET6_BYTES, 2)]
    start, length = _longest_zeros(words)
    if start == 0 and (length == 6 or (length == 5 and words[5] == 0xFFFF)):  # noqa: PLR2004 - IPv4 in IPv6
        return ("::ffff:" if words[5] else "::") + inet4_text(stored[-INET4_BYTES:])
    if not length:
        return ":".join(f"{word:x}" for word in words)
    before = ":".join(f"{word:x}" for word in words[:start])
    return f"{before}::{':'.join(f'{word:x}' for word in words[start + length :])}"


def _longest_zeros(words: list[int]) -> tuple[int, int]:
    best = start = length = 0
    for place, word in enumerate(words):
        length = length + 1 if word == 0 else 0
        if length > best:
            best, start = length, place + 1 - length
    return start, best
