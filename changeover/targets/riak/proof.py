"""The proof that a cluster orders writes by their versions, made on the live cluster with scratch keys.

What is proved is what the move rests on: a newer state goes over an older one, and nothing else ever does,
whichever node each write went to, and also after an application has written in its own way.
"""

import random
import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from changeover.errors import OrderFailed
from changeover.riak import clock
from changeover.riak.access import Access
from changeover.riak.client import Client
from changeover.riak.objects import Content, Delete, Get, Put
from changeover.riak.request import Bucket
from changeover.targets.riak.objects import DELETED_MARK, VERSION, Object, latest
from changeover.targets.riak.ordering import QUORUM, ordered_put
from changeover.version import ROW_MAX, Version

KEYS = 12
"""Scratch keys that are written in an order of their own each."""

TIMES = 2
"""How often each version is written to each of them."""

CALLS = 8
"""Into how many calls the writes are cut, each over several connections, and each to the next node."""

LADDER = (
    Version(1, 4, 1),
    Version(1, 5, 0),
    Version(1, 5, 1),
    Version(1, 5, ROW_MAX),
    Version(1, 6, 1),
    Version(1, 255, 1),
    Version(1, 256, 1),
    Version(1, 2**40, 1),
    Version(1, 2**64 - 1, ROW_MAX),
    Version(2, 0, 0),
    Version(2, 1, 1),
    Version(2**32 - 1, 2**64 - 1, ROW_MAX),
)
"""Versions in their order, where epoch, sequence and row each make the difference, and the edges of each."""


def prove(access: Access, bucket: Bucket) -> None:
    """Return if all of it holds, else raise `OrderFailed`; the scratch keys are gone in both cases.

    `access` names the nodes to write by: each is used by itself, in turn.
    """
    with ExitStack() as stack:
        nodes = [stack.enter_context(Client(replace(access, nodes=(node,)))) for node in access.nodes]
        Proof(nodes, bucket).run()


class Proof:
    """One proof over the nodes' clients, under keys that nobody else has."""

    def __init__(self, nodes: Sequence[Client], bucket: Bucket) -> None:
        self._nodes = list(nodes)
        self._bucket = bucket
        self._prefix = f"scratch.{secrets.token_hex(8)}."
        self._chance = random.Random(self._prefix)  # noqa: S311 - any order will do
        self._keys: list[bytes] = []

    def run(self) -> None:
        """Try everything, and clean up."""
        try:
            self._in_order()
            self._shuffled()
            self._after_an_application()
        finally:
            self._remove()

    def _in_order(self) -> None:
        """Newer, older, repeated, and a marker, one after the other."""
        key = self._new_key()
        for version in LADDER:
            self._put([self._object(key, version)])
            self._expect(key, version, "a newer state did not go over an older one")
        for version in reversed(LADDER):
            self._put([self._object(key, version)])
        self._expect(key, LADDER[-1], "an older state went over a newer one")
        key = self._new_key()
        self._put([self._object(key, LADDER[5], is_marker=True)])
        self._put([self._object(key, version) for version in LADDER[:5]])
        self._expect(key, LADDER[5], "an older state went over a delete marker", is_marker=True)

    def _shuffled(self) -> None:
        """Every version several times, in any order, by every node."""
        keys = [self._new_key() for _ in range(KEYS)]
        writes = [self._object(key, version) for key in keys for version in LADDER] * TIMES
        self._chance.shuffle(writes)
        for start in range(CALLS):
            self._put(writes[start::CALLS])
        for key in keys:
            self._expect(key, LADDER[-1], "of many states in any order another than the newest is held")

    def _after_an_application(self) -> None:
        """An ordinary write that has read ours stays, whatever of older writes comes late."""
        key = self._new_key()
        self._put([self._object(key, LADDER[4])])
        found = self._nodes[0].call(Get(self._bucket, key, r=QUORUM, pr=QUORUM))
        theirs = Content(b"an application's", b"text/plain")
        self._nodes[0].call(Put(self._bucket, key, theirs, found.clock, w=QUORUM, dw=QUORUM, pw=QUORUM))
        self._put([self._object(key, version) for version in LADDER[:5]])
        for node in self._nodes:
            held = node.call(Get(self._bucket, key, r=QUORUM, pr=QUORUM)).contents
            if [content.value for content in held] != [theirs.value]:
                raise _failed("a late write went over an application's that had read it")

    def _put(self, objects: Sequence[Object]) -> None:
        """By the node whose turn it is."""
        self._nodes.append(self._nodes.pop(0))
        self._nodes[0].call_many([ordered_put(one, clock.of_version(one.version)) for one in objects])

    def _expect(self, key: bytes, version: Version, otherwise: str, *, is_marker: bool = False) -> None:
        """Whichever node is asked."""
        for node in self._nodes:
            contents = node.call(Get(self._bucket, key, r=QUORUM, pr=QUORUM)).contents
            held = latest(contents)
            wanted = self._object(key, version, is_marker=is_marker).content
            if len(contents) != 1 or held is None or held[0] != version or held[1].value != wanted.value:
                found = held[0].text if held else "nothing"
                raise _failed(f"{otherwise} ({found} is held for {version.text})")

    def _object(self, key: bytes, version: Version, *, is_marker: bool = False) -> Object:
        metadata: tuple[tuple[bytes, bytes], ...] = ((VERSION, version.text.encode()),)
        if is_marker:
            content = Content(b"", metadata=(*metadata, DELETED_MARK))
        else:
            content = Content(version.text.encode(), metadata=metadata)
        return Object(self._bucket, key, version, content)

    def _new_key(self) -> bytes:
        key = f"{self._prefix}{len(self._keys)}".encode()
        self._keys.append(key)
        return key

    def _remove(self) -> None:
        node = self._nodes[0]
        found = node.call_many([Get(self._bucket, key, head=True) for key in self._keys])
        node.call_many(
            [Delete(self._bucket, key, held.clock) for key, held in zip(self._keys, found, strict=True)]
        )


def _failed(why: str) -> OrderFailed:
    return OrderFailed(f"Riak does not order writes by their versions: {why}")
