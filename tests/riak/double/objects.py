"""Objects as replicas hold them, and how Riak merges two of one key (riak_object.erl, riak_kv_vnode.erl).

All of it is pure: clocks decide what follows what; only what is concurrent is merged, by dots where the
bucket has them, and by time where it allows no siblings.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from changeover.riak.clock import Clock, Entry, descends, merged

GREGORIAN_S = 62_167_219_200
"""From year 0 to 1970, in seconds: Riak's clocks count from there."""


class Dot(NamedTuple):
    """The change by which a value came to be: the actor, and his count then."""

    actor: bytes
    counter: int


@dataclass(frozen=True, slots=True)
class Value:
    """One value of an object: fields as the client sent them, and what Riak puts beside them."""

    fields: tuple[tuple[int, bytes], ...]
    vtag: bytes
    modified_us: int
    is_tombstone: bool = False
    dot: Dot | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """An object: its clock, and its values (more than one: siblings)."""

    clock: Clock
    values: tuple[Value, ...]

    @property
    def is_deleted(self) -> bool:
        return all(value.is_tombstone for value in self.values)


class Rules(NamedTuple):
    """What the properties of a bucket say about merging, and about the entries of a clock that has grown.

    An ordinary put that finds more than `clock_small` entries drops the oldest, unless that one is younger
    than `young_s`, or it finds no more than `clock_big` and none older than `old_s`.
    """

    allow_mult: bool
    last_write_wins: bool = False
    dots: bool = True
    clock_small: int = 50
    clock_big: int = 50
    young_s: int = 20
    old_s: int = 86_400


@dataclass(slots=True)
class Actor:
    """A vnode's name in clocks. With a key that is new to it, it counts under a name made for that key."""

    base: bytes
    keys: int = 80_000

    def for_key(self, local: Stored | None, incoming: Stored) -> bytes:
        """The name under which this vnode changes the object of which it holds `local`."""
        held = self._newest_name(local.clock if local else {})
        if local is None or self._newest_name(incoming.clock)[:2] > held[:2]:
            self.keys += 1
            return self.base + self.keys.to_bytes(4, "big")
        return held[2]

    def _newest_name(self, clock: Clock) -> tuple[int, int, bytes]:
        names = [actor for actor in clock if actor.startswith(self.base)]
        found = [(int.from_bytes(name[len(self.base) :], "big"), clock[name].counter, name) for name in names]
        return max(found, default=(0, 0, self.base))


def coordinated(held: Stored | None, new: Stored, rules: Rules, actor: bytes, now_s: int) -> Stored:
    """What the replica stores that takes an ordinary put: the put is an event of its own."""
    seen = held.clock if held and not rules.last_write_wins else {}
    count = max(clock[actor].counter if actor in clock else 0 for clock in (seen, new.clock)) + 1
    frontier = {**merged([seen, new.clock]), actor: Entry(count, now_s + GREGORIAN_S)}
    dot = Dot(actor, count) if rules.dots else None
    stored = Stored(new.clock, tuple(replace(value, dot=dot) for value in new.values))
    if held is not None and not rules.last_write_wins and not descends(new.clock, held.clock):
        stored = merge(held, stored, rules)
    return enforced(Stored(pruned(frontier, now_s, rules), stored.values), rules)


def replicated(held: Stored | None, new: Stored, rules: Rules) -> Stored:
    """What a replica stores that is handed an object as it is: by `asis`, read repair or handoff."""
    if held is None or rules.last_write_wins:
        return new
    return enforced(reconciled(held, new, rules), rules)


def reconciled(held: Stored, new: Stored, rules: Rules) -> Stored:
    """The one that has seen the other; what neither has seen is merged. Equal clocks are no exception."""
    held_is_later, new_is_later = descends(held.clock, new.clock), descends(new.clock, held.clock)
    if held_is_later and not new_is_later:
        return held
    if new_is_later and not held_is_later:
        return new
    return merge(held, new, rules)


def merge(held: Stored, new: Stored, rules: Rules) -> Stored:
    """Both, less the values of each that the other has seen and dropped."""
    values: list[Value] = []
    for mine, other in ((held, new), (new, held)):
        dots = {value.dot for value in other.values}
        for value in mine.values:
            is_dropped = (
                rules.dots
                and value.dot is not None
                and value.dot not in dots
                and other.clock.get(value.dot.actor, Entry(0)).counter >= value.dot.counter
            )
            if not is_dropped and value not in values:
                values.append(value)
    return Stored(merged([held.clock, new.clock]), tuple(values))


def enforced(stored: Stored, rules: Rules) -> Stored:
    """The object as the bucket allows it: without siblings the newest by the wall clock stays."""
    if rules.allow_mult or len(stored.values) == 1:
        return stored
    return replace(stored, values=(newest(stored.values),))


def newest(values: Iterable[Value]) -> Value:
    """The value that was changed last, by the wall clocks of who took them; of two the one that lives."""
    return max(values, key=lambda value: (value.modified_us, not value.is_tombstone, value.fields))


def pruned(clock: Clock, now_s: int, rules: Rules) -> Clock:
    """The clock in the order of its entries' age, without the oldest where it has grown too long."""
    entries = sorted(clock.items(), key=lambda item: (item[1].time, item[0]))
    while len(entries) > rules.clock_small:
        age_s = now_s + GREGORIAN_S - entries[0][1].time
        if age_s < rules.young_s or (len(entries) <= rules.clock_big and age_s <= rules.old_s):
            break
        del entries[0]
    return dict(entries)
