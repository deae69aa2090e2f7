"""A replica: what a vnode holds of all keys, and what another one takes for it while its node is down."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.riak.double.objects import Actor, Rules, Stored, coordinated, replicated

Place = tuple[bytes, bytes, bytes]
"""Type, bucket and key."""


@dataclass(slots=True)
class Replica:
    """One of the copies of everything.

    While its node is down, another node stands in with an empty vnode of its own (a fallback, as a sloppy
    quorum has it); what that took is handed over when the node is back, and merged like any late write.
    """

    node: int
    actor: Actor
    own: dict[Place, Stored] = field(default_factory=dict)
    fallback: dict[Place, Stored] = field(default_factory=dict)
    fallback_actor: Actor = field(default_factory=lambda: Actor(b"fallback"))
    is_up: bool = True

    @property
    def held(self) -> dict[Place, Stored]:
        """What answers for this replica now."""
        return self.own if self.is_up else self.fallback

    def coordinate(self, place: Place, new: Stored, rules: Rules, now_s: int) -> Stored:
        """Take an ordinary put; what it has become is what the others are handed."""
        held = self.held.get(place)
        actor = (self.actor if self.is_up else self.fallback_actor).for_key(held, new)
        self.held[place] = stored = coordinated(held, new, rules, actor, now_s)
        return stored

    def take(self, place: Place, new: Stored, rules: Rules) -> Stored:
        """Take an object as it is."""
        self.held[place] = stored = replicated(self.held.get(place), new, rules)
        return stored

    def die(self, *, with_disk: bool = False) -> None:
        """The node is gone, as by kill -9; its disk too, or what is on it waits."""
        self.is_up = False
        if with_disk:
            self.own.clear()

    def come_back(self, rules_of: Callable[[Place], Rules]) -> None:
        """The node is back, and is handed what the fallback took for it."""
        self.is_up = True
        for place, stored in self.fallback.items():
            self.take(place, stored, rules_of(place))
        self.fallback.clear()

    def places(self, bucket_type: bytes, bucket: bytes) -> Iterator[tuple[bytes, Stored]]:
        """Each key of a bucket with its object, tombstones too."""
        for (type_, name, key), stored in self.held.items():
            if (type_, name) == (bucket_type, bucket):
                yield key, stored
