"""How it is seen to that no state replaces a later one: by Riak's own merge, or by siblings.

**Merge.** Each object carries a vector clock of one actor, `changeover`, whose counter is the version itself,
and is put *as it is*. Each replica then keeps the later of its own and this one, as it does when replicas
exchange objects: an older write is dropped, a repeated one changes nothing, and nobody reads before. It is
Riak's replication path and no documented contract for applications, so doctor proves it first.

**Siblings.** With `allow_mult` Riak loses nothing: what was written side by side is kept side by side.
Whoever reads takes the sibling with the highest version; whoever writes puts the latest of all under the
clock that he read, which is how siblings are joined. That takes a read before each write.

Both ask for a majority of the replicas' own nodes (see `QUORUM`).
"""

from collections.abc import Sequence
from typing import Protocol

from changeover.decide import Outcome, decide
from changeover.errors import StateNewer, TargetUnusable, UnversionedObject
from changeover.riak import clock
from changeover.riak.buckets import QUORUMS
from changeover.riak.client import Client
from changeover.riak.objects import Content, Fetched, Get, Put
from changeover.targets.riak.objects import Object, foreign, held_or_foreign, is_unreadable, latest
from changeover.version import Version

QUORUM = QUORUMS["quorum"]
"""As R and PR, as W, DW and PW: a majority of the nodes that are an object's own, given to their storage.

Riak would count the answers of substitutes too (R, W), and while nodes are away a substitute may have never
seen an object that is there. Two majorities of the same nodes share one of them: so "not found" means that no
acknowledged write has been there, and an acknowledged write survives all that a majority of its nodes does.
With fewer of them at hand Riak refuses, and the work waits.
"""

READ_AT_ONCE = 200
"""Objects read before they are written, at a time: with objects of 1 MB that is what memory has to hold."""


class Ordering(Protocol):
    """A way of writing objects so that none replaces a later one."""

    def write(self, objects: Sequence[Object]) -> list[Outcome]:
        """Return once each object or a later state of it is durable; what became of each."""

    def replace(self, one: Object, held: Version) -> bool:
        """Return once the object is in place of a state with exactly this version; False: that is not there.

        Raises `TargetUnusable` where this order cannot go back.
        """


class ByMerge:
    """Riak's merge orders; with `adopt` each object is looked at first, for clocks that others left."""

    def __init__(self, client: Client, *, adopt: bool) -> None:
        self._client = client
        self._adopt = adopt

    def write(self, objects: Sequence[Object]) -> list[Outcome]:
        """See `Ordering`. Riak does not say which of the two it was."""
        clocks = self._clocks(objects) if self._adopt else [clock.of_version(one.version) for one in objects]
        self._client.call_many([ordered_put(one, under) for one, under in zip(objects, clocks, strict=True)])
        return [Outcome.ACCEPTED] * len(objects)

    def replace(self, one: Object, held: Version) -> bool:
        """See `Ordering`. A replica that missed a write of a lower clock would bring the higher one back."""
        found = self._client.call(get(one))
        if _held_version(found, adopt=self._adopt) != held:
            return False
        was = clock.version_in(found.clock) if found.clock else None
        if held > one.version or (was is not None and was > one.version):
            message = (
                f"{shown(one.key)} in the bucket {one.bucket} is ahead, and Riak's merge never goes back"
            )
            raise TargetUnusable(message, hint=AHEAD_BY_MERGE)
        self._client.call(ordered_put(one, _beside(found.clock, one.version)))
        return True

    def _clocks(self, objects: Sequence[Object]) -> list[bytes]:
        """Our version beside the clocks of others, whose rivals our writes would be without them."""
        asked = [get(one, head=True) for one in objects]
        return [
            _beside(found.clock, one.version)
            for one, found in zip(objects, self._client.call_many(asked), strict=True)
        ]


class BySiblings:
    """Siblings are kept, and the latest of them counts; without `adopt` a foreign one is a stop."""

    def __init__(self, client: Client, *, adopt: bool) -> None:
        self._client = client
        self._adopt = adopt

    def write(self, objects: Sequence[Object]) -> list[Outcome]:
        """See `Ordering`. An object comes once only."""
        return [
            outcome
            for start in range(0, len(objects), READ_AT_ONCE)
            for outcome in self._write(objects[start : start + READ_AT_ONCE])
        ]

    def replace(self, one: Object, held: Version) -> bool:
        """See `Ordering`. Put under the clock that was read, it joins all siblings that were there."""
        found = self._client.call(get(one))
        if _held_version(found, adopt=self._adopt) != held:
            return False
        self._client.call(Put(one.bucket, one.key, one.content, found.clock, w=QUORUM, dw=QUORUM, pw=QUORUM))
        return True

    def _write(self, objects: Sequence[Object]) -> list[Outcome]:
        found = self._client.call_many([get(one) for one in objects])
        decided = [self._decide(one, held) for one, held in zip(objects, found, strict=True)]
        # What was there is put again where it is the later one: it may have been seen on one replica alone.
        self._client.call_many(
            [
                Put(one.bucket, one.key, content, held.clock, w=QUORUM, dw=QUORUM, pw=QUORUM)
                for one, held, (_, content) in zip(objects, found, decided, strict=True)
            ]
        )
        return [outcome for outcome, _ in decided]

    def _decide(self, one: Object, held: Fetched) -> tuple[Outcome, Content]:
        if any(map(is_unreadable, held.contents)):
            message = f"the bucket {one.bucket} has an object {shown(one.key)} whose version cannot be read"
            raise StateNewer(message, hint=UNREADABLE)
        if not self._adopt and foreign(held.contents):
            raise not_ours(one.bucket, one.key)
        later = latest(held.contents)
        outcome = decide(later and later[0], one.version)
        return outcome, later[1] if later and outcome is Outcome.STALE else one.content


def ordered_put(one: Object, under: bytes) -> Put:
    """The put that Riak's merge orders by its clock."""
    return Put(one.bucket, one.key, one.content, under, as_is=True, w=QUORUM, dw=QUORUM, pw=QUORUM)


def overwrite(client: Client, one: Object) -> None:
    """Put the object over whatever is there, as any client of Riak does, with our entry in its clock raised.

    Once raised, whatever is still on its way the ordered way is older, and Riak drops it. It is put once:
    where no answer comes, it may have happened, and another's put may have followed.
    """
    found = client.call(get(one, head=True))
    under = clock.raised_to(found.clock, one.version)
    client.call(Put(one.bucket, one.key, one.content, under, w=QUORUM, dw=QUORUM, pw=QUORUM))


def get(one: Object, *, head: bool = False) -> Get:
    """The question what is held in the object's place."""
    return Get(one.bucket, one.key, head=head, deleted_clock=True, r=QUORUM, pr=QUORUM)


def not_ours(bucket: object, key: bytes) -> UnversionedObject:
    """The stop at an object that changeover did not write."""
    hint = (
        "Remove it, move into an empty bucket, or set target.adopt = true: then it is older than any change."
    )
    return UnversionedObject(
        f"the bucket {bucket} has an object {shown(key)} that changeover did not write", hint=hint
    )


UNREADABLE = "Run the newer release that wrote it; if another program did, remove it."

AHEAD_BY_MERGE = (
    "It follows the source again as soon as that has passed the version. To be rid of it at once, move into "
    "another bucket type."
)


def shown(key: bytes) -> str:
    """An object's name for people."""
    return key.decode(errors="backslashreplace")


def _held_version(found: Fetched, *, adopt: bool) -> Version | None:
    """The version that `read_many` tells of it."""
    held = held_or_foreign(found.contents, adopt=adopt)
    return held and held.version


def _beside(held: bytes, version: Version) -> bytes:
    if not held:
        return clock.of_version(version)
    ours = clock.decode(clock.of_version(version))
    return clock.encode({**clock.decode(held), **ours})
