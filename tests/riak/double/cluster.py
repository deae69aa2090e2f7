"""A cluster of Riak in memory: three replicas of everything, spread over its nodes.

Get, put and delete as Riak's state machines do them: a quorum of the replicas answers, the rest may come
late, and a read repairs the replicas that it found behind.
"""

import random
import string
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from changeover.riak.buckets import QUORUMS, Properties
from changeover.riak.clock import Clock
from tests.riak.double.objects import (
    Actor,
    Rules,
    Stored,
    Value,
    enforced,
    reconciled,
)
from tests.riak.double.replica import Place, Replica

REPLICAS = 3
"""As n_val has it, unless somebody sets it."""

VTAG_LETTERS = string.digits + string.ascii_letters

TYPE_DEFAULTS = Properties(
    n_val=3,
    allow_mult=False,
    last_write_wins=False,
    has_precommit=True,
    has_postcommit=True,
    pr=0,
    r=QUORUMS["quorum"],
    w=QUORUMS["quorum"],
    pw=0,
    dw=QUORUMS["quorum"],
    rw=QUORUMS["quorum"],
    basic_quorum=False,
    notfound_ok=True,
)
"""As a real node says them (allow_mult is true for a new type there, if nobody says otherwise)."""


class Quorum(NamedTuple):
    """How many replicas have to take a put, `dw` to disk, `pw` no fallbacks; None: as the bucket has it."""

    w: int | None = None
    dw: int | None = None
    pw: int | None = None


DEFAULT_QUORUM = Quorum()


class Failure(Exception):
    """What Riak answers as an error, in its words."""


@dataclass(slots=True)
class Cluster:
    """Everything that the nodes share. Its knobs may be turned at any time.

    `delete_mode_s` is how long a tombstone stays (None: for ever, "keep"). `late_share` of the writes reach a
    replica beyond the quorum only later, in any order. `has_indexes` is a backend with secondary indexes.
    """

    nodes: int = 1
    types: dict[bytes, Properties] = field(default_factory=dict)
    delete_mode_s: float | None = 3
    late_share: float = 0
    has_indexes: bool = True
    seed: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)
    buckets: dict[tuple[bytes, bytes], Properties] = field(default_factory=dict)
    replicas: list[Replica] = field(init=False)
    chance: random.Random = field(init=False)
    _late: list[tuple[Replica, Place, Stored]] = field(default_factory=list)
    _reapings: list[tuple[float, Place, Clock]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.types = {b"default": TYPE_DEFAULTS} | {
            name: _over(TYPE_DEFAULTS, said) for name, said in self.types.items()
        }
        self.replicas = [
            Replica(number % self.nodes, Actor(self._vnode()), fallback_actor=Actor(self._vnode()))
            for number in range(REPLICAS)
        ]

    def _vnode(self) -> bytes:
        """A name for a vnode, of the kind that a real node gives."""
        return b"#\t" + self.chance.randbytes(6)

    # -- properties

    def properties(self, type_: bytes, bucket: bytes = b"") -> Properties:
        """The type's properties, with the bucket's own over them."""
        if type_ not in self.types:
            raise Failure("no_type")
        return _over(self.types[type_], self.buckets.get((type_, bucket), Properties()))

    def add_type(self, type_: bytes, properties: Properties) -> None:
        """Make and activate a bucket type, as riak-admin does."""
        self.types[type_] = _over(TYPE_DEFAULTS, properties)

    def set_properties(self, type_: bytes, bucket: bytes, properties: Properties) -> None:
        """Set what is said of a bucket, or of a type (bucket empty)."""
        self.properties(type_)
        if bucket:
            self.buckets[type_, bucket] = _over(self.buckets.get((type_, bucket), Properties()), properties)
        else:
            self.types[type_] = _over(self.types[type_], properties)

    def rules(self, place: Place) -> Rules:
        """How objects of this place merge. Buckets of the default type have no dots."""
        said = self.properties(place[0], place[1])
        return Rules(bool(said.allow_mult), bool(said.last_write_wins), dots=place[0] != b"default")

    # -- objects

    def get(self, place: Place, r: int | None = None, pr: int | None = None) -> Stored | None:
        """What a quorum holds, tombstones too; None: nothing."""
        with self.lock:
            self._move_on()
            said = self.properties(place[0], place[1])
            primaries = self._satisfied("pr", _first(pr, said.pr), self._primaries())
            wanted = self._satisfied("r", _first(r, said.r), len(self.replicas))
            asked = self.chance.sample(self.replicas, len(self.replicas))
            # Riak answers when it has heard so many, and of them so many that are no fallbacks.
            while sum(replica.is_up for replica in asked[:wanted]) < primaries:
                wanted += 1
            found = self._merged(place, asked[:wanted])
            self._repair(place, asked)
            return found

    def put(
        self,
        place: Place,
        new: Stored,
        *,
        as_is: bool = False,
        node: int = 0,
        quorum: Quorum = DEFAULT_QUORUM,
    ) -> Stored:
        """What a quorum of the replicas holds afterwards."""
        with self.lock:
            self._move_on()
            said = self.properties(place[0], place[1])
            self._satisfied("pw", _first(quorum.pw, said.pw), self._primaries())
            self._satisfied("w", _first(quorum.w, said.w), len(self.replicas))
            durable = self._satisfied("dw", _first(quorum.dw, said.dw), len(self.replicas))
            rules = self.rules(place)
            order = self._preference(place, node)
            if not as_is:
                new = order[0].coordinate(place, new, rules, int(time.time()))
                order, durable = order[1:], durable - 1
            kept = [replica.take(place, new, rules) for replica in order[:durable]]
            for replica in order[durable:]:
                self._hand_on(replica, place, new, rules)
            return _reconciled([*kept, *([] if as_is else [new])], rules)

    def delete(self, place: Place, clock: Clock | None, *, node: int = 0) -> None:
        """Put a tombstone over what the clock has seen; without one over what is there, if anything is."""
        with self.lock:
            if clock is None:
                found = self.get(place)
                if found is None or found.is_deleted:
                    return
                clock = found.clock
            tombstone = Stored(clock, (self.value((), is_tombstone=True),))
            stored = self.put(place, tombstone, node=node)
            if self.delete_mode_s is not None and self._primaries() == len(self.replicas):
                self._reapings.append((time.monotonic() + self.delete_mode_s, place, stored.clock))

    def value(self, fields: tuple[tuple[int, bytes], ...], *, is_tombstone: bool = False) -> Value:
        """A value that has just arrived: it gets a tag and the time."""
        vtag = "".join(self.chance.choices(VTAG_LETTERS, k=22)).encode()
        return Value(fields, vtag, time.time_ns() // 1000, is_tombstone)

    def places(self, type_: bytes, bucket: bytes) -> list[tuple[bytes, Stored]]:
        """Every key of a bucket, as one replica of each knows it: what others hold may be missing."""
        with self.lock:
            self._move_on()
            self.properties(type_, bucket)
            up = [replica for replica in self.replicas if replica.is_up] or self.replicas
            return sorted(self.chance.choice(up).places(type_, bucket))

    # -- what happens to nodes

    def node_died(self, node: int, *, with_disk: bool = False) -> None:
        """kill -9 of a node: its replicas are gone, and fallbacks stand in for them."""
        with self.lock:
            for replica in self.replicas:
                if replica.node == node:
                    replica.die(with_disk=with_disk)

    def node_came_back(self, node: int) -> None:
        """The node runs again; what its fallbacks took is handed over."""
        with self.lock:
            for replica in self.replicas:
                if replica.node == node and not replica.is_up:
                    replica.come_back(self.rules)

    def settle(self) -> None:
        """Let everything that is late arrive."""
        with self.lock:
            while self._late:
                self._arrive()

    # -- within

    def _primaries(self) -> int:
        return sum(replica.is_up for replica in self.replicas)

    def _satisfied(self, name: str, asked: int | None, there: int) -> int:
        """The count of replicas that is asked for, if there are that many."""
        total = len(self.replicas)
        named = {QUORUMS["one"]: 1, QUORUMS["quorum"]: total // 2 + 1, QUORUMS["all"]: total}
        count = named.get(asked or 0, asked or 0)
        if count > total:
            raise Failure(f"{{n_val_violation,{total}}}")
        if count > there:
            raise Failure(f"{{{name}_val_unsatisfied,{count},{there}}}")
        return count

    def _preference(self, place: Place, node: int) -> list[Replica]:
        """The replicas, first the one that coordinates: of the node that was asked, if it has one."""
        start = sum(place[2]) % len(self.replicas)
        turned = self.replicas[start:] + self.replicas[:start]
        return sorted(turned, key=lambda replica: (not replica.is_up, replica.node != node))

    def _hand_on(self, replica: Replica, place: Place, new: Stored, rules: Rules) -> None:
        if self.chance.random() < self.late_share:
            self._late.append((replica, place, new))
        else:
            replica.take(place, new, rules)

    def _move_on(self) -> None:
        """What happens by itself: something late arrives, tombstones that are due are reaped."""
        if self._late and self.chance.random() < 0.5:
            self._arrive()
        while self._reapings and self._reapings[0][0] <= time.monotonic():
            self._reap(*self._reapings.pop(0)[1:])

    def _arrive(self) -> None:
        replica, place, stored = self._late.pop(self.chance.randrange(len(self._late)))
        replica.take(place, stored, self.rules(place))

    def _reap(self, place: Place, clock: Clock) -> None:
        """Forget a tombstone that nothing has followed, where all replicas can be asked."""
        if self._primaries() == len(self.replicas):
            for replica in self.replicas:
                held = replica.own.get(place)
                if held is not None and held.clock == clock:
                    del replica.own[place]

    def _merged(self, place: Place, asked: Sequence[Replica]) -> Stored | None:
        found = [replica.held[place] for replica in asked if place in replica.held]
        return _reconciled(found, self.rules(place)) if found else None

    def _repair(self, place: Place, asked: Sequence[Replica]) -> None:
        best = self._merged(place, asked)
        if best is None:
            return
        for replica in asked:
            if replica.held.get(place) != best:
                replica.take(place, best, self.rules(place))


def _reconciled(found: Iterable[Stored], rules: Rules) -> Stored:
    first, *others = found
    for other in others:
        first = reconciled(first, other, rules) if other != first else first
    return enforced(first, rules)


def _first(asked: int | None, said: int | None) -> int | None:
    return asked if asked is not None else said


def _over(under: Properties, over: Properties) -> Properties:
    said = {name: value for name in Properties.__slots__ if (value := getattr(over, name)) is not None}
    return replace(under, **said)
