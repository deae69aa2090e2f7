"""Riak's vector clocks: who has changed an object how often, as clients see them.

On the wire a clock is the raw deflate of an Erlang external term: a list of `{Actor, {Counter, Time}}`,
where the actor is a binary and the time is of no matter to the order. Counters may be as big as one likes,
so ours is the whole version of a state: 128 bits of epoch, sequence and row, as one number.
"""

import struct
import zlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from changeover.riak import erlang
from changeover.riak.wire import Malformed
from changeover.version import Version

ACTOR = b"changeover"
"""The one actor in whose name every ordered write is made."""

CLOCK_BYTES_MAX = 1024 * 1024
"""Unpacked. Riak prunes a clock at 50 entries of some 50 bytes; more is damage, or meant to fill memory."""


class Entry(NamedTuple):
    """How often an actor has changed the object, and when last (Gregorian seconds; 0: not said)."""

    counter: int
    time: int = 0


Clock = Mapping[bytes, Entry]
"""A vector clock: each actor's entry."""

_ORDERED_HEAD = (
    bytes((erlang.START, erlang.LIST, 0, 0, 0, 1)) + erlang.PAIR + erlang.binary(ACTOR) + erlang.PAIR
)
_ORDERED_TAIL = erlang.integer(0) + bytes((erlang.NIL,))


def of_version(version: Version) -> bytes:
    """The clock of an ordered write, as it goes over the wire.

    Its deflate is of the kind that stores and does not pack: 51 bytes and not 39, in a twentieth of the time.

    >>> f"{decode(of_version(Version(1, 5, 2)))[ACTOR].counter:x}"
    '1000000000000000500000002'
    """
    term = _ORDERED_HEAD + erlang.integer(_counter(version)) + _ORDERED_TAIL
    size = len(term)
    return b"\x01" + struct.pack("<HH", size, size ^ 0xFFFF) + term


def raised_to(clock: bytes, version: Version) -> bytes:
    """The clock with our own entry raised to this version at least: it descends from what it was."""
    entries = dict(decode(clock)) if clock else {}
    counter = max(_counter(version), entries.get(ACTOR, Entry(0)).counter)
    return encode(entries | {ACTOR: Entry(counter)})


def version_in(clock: bytes) -> Version | None:
    """The version that our entry in this clock says, None if it has none of ours."""
    entry = decode(clock).get(ACTOR)
    if entry is None or entry.counter >> 128:
        return None
    counter = entry.counter
    return Version(counter >> 96, counter >> 32 & 0xFFFF_FFFF_FFFF_FFFF, counter & 0xFFFF_FFFF)


def descends(later: Clock, earlier: Clock) -> bool:
    """Whether `later` has seen all that `earlier` has; so it is of equal ones, both ways."""
    return all(actor in later and later[actor].counter >= entry.counter for actor, entry in earlier.items())


def merged(clocks: Iterable[Clock]) -> Clock:
    """The clock that has seen all that any of these has."""
    entries: dict[bytes, Entry] = {}
    for clock in clocks:
        for actor, entry in clock.items():
            entries[actor] = max(entry, entries.get(actor, entry))
    return entries


def encode(clock: Clock) -> bytes:
    """The clock as it goes over the wire."""
    term = bytearray((erlang.START,))
    if clock:
        term += struct.pack(">BI", erlang.LIST, len(clock))
        for actor, entry in clock.items():
            term += erlang.PAIR + erlang.binary(actor)
            term += erlang.PAIR + erlang.integer(entry.counter) + erlang.integer(entry.time)
    term.append(erlang.NIL)
    return zlib.compress(bytes(term), wbits=-15)


def decode(packed: bytes) -> Clock:
    """The clock that came over the wire; `Malformed` for whatever is none."""
    unpacking = zlib.decompressobj(wbits=-15)
    try:
        term = unpacking.decompress(packed, CLOCK_BYTES_MAX)
    except zlib.error as error:
        raise Malformed(f"a clock cannot be unpacked: {error}") from error
    if not unpacking.eof or unpacking.unused_data:
        raise Malformed("a clock is cut off, or longer than a clock can be")
    return _entries(erlang.Terms(term))


def _entries(terms: erlang.Terms) -> Clock:
    entries: dict[bytes, Entry] = {}
    terms.expect(erlang.START)
    if terms.peek() == erlang.LIST:
        terms.expect(erlang.LIST)
        for _ in range(terms.count()):
            terms.expect(*erlang.PAIR)
            actor = terms.binary()
            terms.expect(*erlang.PAIR)
            entry = Entry(terms.integer(), terms.integer())
            if entry.counter < 0 or actor in entries:
                raise Malformed("a clock names an actor twice, or counts below nothing")
            entries[actor] = entry
    terms.expect(erlang.NIL)
    if not terms.is_at_end:
        raise Malformed("a clock goes on behind its end")
    return entries


def _counter(version: Version) -> int:
    return version.epoch << 96 | version.sequence << 32 | version.row
