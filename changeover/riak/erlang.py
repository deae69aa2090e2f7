"""Erlang's external terms, as far as Riak shows them to clients: integers, binaries, tuples of two, lists."""

import struct

from changeover.riak.wire import Malformed

START, LIST, NIL, TUPLE, BINARY = 131, 108, 106, 104, 109
_BYTE, _INTEGER, _BIG, _LARGE_BIG = 97, 98, 110, 111

PAIR = bytes((TUPLE, 2))
"""What stands before the two terms of a pair."""


def integer(number: int) -> bytes:
    """The number as Erlang writes it: the shortest of its forms.

    >>> integer(5).hex(), integer(300).hex(), integer(1 << 32).hex()
    ('6105', '620000012c', '6e05000000000001')
    """
    if 0 <= number < 1 << 8:
        return bytes((_BYTE, number))
    if -(1 << 31) <= number < 1 << 31:
        return struct.pack(">Bi", _INTEGER, number)
    size = (number.bit_length() + 7) // 8
    head = struct.pack(">BB" if size < 1 << 8 else ">BI", _BIG if size < 1 << 8 else _LARGE_BIG, size)
    return head + bytes((number < 0,)) + abs(number).to_bytes(size, "little")


def binary(value: bytes) -> bytes:
    """The bytes as a term."""
    return struct.pack(">BI", BINARY, len(value)) + value


class Terms:
    """Reads terms from bytes, each as what it has to be; `Malformed` where it is something else."""

    def __init__(self, terms: bytes) -> None:
        self._terms = terms
        self._place = 0

    @property
    def is_at_end(self) -> bool:
        """Whether all has been read."""
        return self._place == len(self._terms)

    def peek(self) -> int:
        """What kind of term comes next."""
        if self.is_at_end:
            raise Malformed("a term is cut off")
        return self._terms[self._place]

    def take(self, count: int) -> bytes:
        """The next bytes."""
        taken = self._terms[self._place : self._place + count]
        if len(taken) < count:
            raise Malformed("a term is cut off")
        self._place += count
        return taken

    def expect(self, *expected: int) -> None:
        """Pass over these bytes, which have to be the next."""
        if tuple(self.take(len(expected))) != expected:
            raise Malformed("a term has another shape than it has to")

    def count(self) -> int:
        """A count of four bytes."""
        return int.from_bytes(self.take(4), "big")

    def binary(self) -> bytes:
        """A term of bytes."""
        self.expect(BINARY)
        return self.take(self.count())

    def integer(self) -> int:
        """A term that is a number."""
        kind = self.take(1)[0]
        if kind == _BYTE:
            return self.take(1)[0]
        if kind == _INTEGER:
            return int.from_bytes(self.take(4), "big", signed=True)
        if kind not in {_BIG, _LARGE_BIG}:
            raise Malformed(f"a term of kind {kind} where a number belongs")
        size = self.take(1)[0] if kind == _BIG else self.count()
        sign = -1 if self.take(1)[0] else 1
        return sign * int.from_bytes(self.take(size), "little")
