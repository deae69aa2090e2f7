"""Whether a cluster and its buckets are fit to be written to."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from changeover.errors import TargetUnavailable, TargetUnusable
from changeover.riak.access import Access
from changeover.riak.buckets import GetBucket, Properties
from changeover.riak.client import Client
from changeover.riak.keys import ALL_KEYS, IndexQuery, Keys, ListKeys
from changeover.riak.objects import Get
from changeover.riak.request import Bucket
from changeover.riak.session import ServerInfo
from changeover.targets import KEYS_PER_PAGE
from changeover.targets.riak.objects import foreign
from changeover.targets.riak.ordering import QUORUM, not_ours

Way = Literal["merge", "siblings"]

WANTED: dict[Way, dict[str, bool]] = {
    "merge": {"allow_mult": False, "last_write_wins": False},
    "siblings": {"allow_mult": True, "last_write_wins": False},
}
"""What a bucket's properties have to be. They also keep the two orders out of each other's buckets."""

NEVER = ("consistent", "write_once", "datatype")
"""Properties that make a bucket another kind of thing."""

REPLICAS_ENOUGH = 3


def require(client: Client, bucket: Bucket, way: Way) -> None:
    """Return if the bucket's properties are fit for this order, else raise `TargetUnusable`."""
    if wrong := complaints(client.call(GetBucket(bucket)), way):
        raise TargetUnusable(f"the bucket {bucket} is not fit: {'; '.join(wrong)}", hint=mend(bucket, way))


def complaints(properties: Properties, way: Way) -> list[str]:
    """What is wrong with the properties.

    >>> complaints(Properties(allow_mult=True, last_write_wins=False), "merge")
    ['allow_mult is true, and ordering by merge needs false']
    """
    found = [
        f"{name} is {_shown(getattr(properties, name))}, and ordering by {way} needs {_shown(wanted)}"
        for name, wanted in WANTED[way].items()
        if getattr(properties, name) is not wanted
    ]
    return found + [f"{name} is set" for name in NEVER if getattr(properties, name)]


def doubts(properties: Properties) -> Iterator[str]:
    """What can be worked with, and should be thought about."""
    if properties.n_val is not None and properties.n_val < REPLICAS_ENOUGH:
        yield f"n_val is {properties.n_val}: a write that is acknowledged may lie on one disk alone"


def mend(bucket: Bucket, way: Way) -> str:
    """How to make a bucket type that is fit."""
    wanted = ",".join(f'"{name}":{_shown(value)}' for name, value in WANTED[way].items())
    name = bucket.type.decode() if bucket.type != b"default" else "moved"
    return (
        f"Make a bucket type and name it as target.bucket_type: riak admin bucket-type create {name} "
        f"'{{\"props\":{{{wanted}}}}}' && riak admin bucket-type activate {name} "
        f"(update in place of create, if it is there)."
    )


def require_no_foreign(client: Client, bucket: Bucket) -> None:
    """Return if every object in the bucket is ours, else raise `UnversionedObject`.

    An ordered write does not look at what it replaces, and against another program's object the wall clock
    would decide. So the bucket is looked through once, before its first write.
    """
    for page in keys_of(client, bucket):
        found = client.call_many([Get(bucket, key, head=True, r=QUORUM, pr=QUORUM) for key in page.keys])
        for key, held in zip(page.keys, found, strict=True):
            if foreign(held.contents):
                raise not_ours(bucket, key)


def keys_of(client: Client, bucket: Bucket, continuation: bytes = b"") -> Iterator[Keys]:
    """All keys of the bucket, some at a time: by the index of buckets, without indexes by a listing.

    By the index from a continuation on, which says how to go on from there; a listing has none.
    """
    query = IndexQuery(bucket, ALL_KEYS, bucket.name, max_results=KEYS_PER_PAGE, continuation=continuation)
    try:
        page = client.call(query)
    except TargetUnusable:
        yield from client.walk(ListKeys(bucket))
        return
    yield page
    while page.continuation:
        page = client.call(query._replace(continuation=page.continuation))
        yield page


def releases(access: Access) -> set[str]:
    """The releases of Riak that the nodes run, those that answer; `TargetUnavailable` if none does."""
    found: set[str] = set()
    last: TargetUnavailable | None = None
    for node in access.nodes:
        try:
            with Client(replace(access, nodes=(node,))) as client:
                found.add(client.call(ServerInfo()).version)
        except TargetUnavailable as error:
            last = error
    if not found and last:
        raise last
    return found


def _shown(value: object) -> str:
    return "not said" if value is None else str(value).lower()
