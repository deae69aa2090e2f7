"""The target in a Riak cluster."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, Self, TypeVar

import structlog

from changeover.decide import Outcome, Write, newest_per_key
from changeover.envelope import encode_key
from changeover.errors import ObjectTooLarge, TargetClosed, TargetUnavailable
from changeover.mapping import Body, ObjectMapping, Place
from changeover.riak.access import Access
from changeover.riak.client import Client
from changeover.riak.objects import Content, Delete, Get
from changeover.riak.request import Bucket
from changeover.table import Table
from changeover.targets import CLOSED, KEYS_AT_ONCE, Held, Note, Page
from changeover.targets.riak import fitness
from changeover.targets.riak.control import Control
from changeover.targets.riak.fitness import keys_of
from changeover.targets.riak.objects import (
    OF_MARKER,
    Object,
    content_at,
    content_of,
    found_in,
    held_in,
    held_or_foreign,
    is_marker,
)
from changeover.targets.riak.ordering import QUORUM, ByMerge, BySiblings, Ordering, overwrite
from changeover.values import Row
from changeover.version import Version

log = structlog.get_logger("riak")

PAUSES_S = (0.05, 0.2, 1.0, 3.0)
"""Between tries of a whole batch. Where a connection was cut nobody knows what was written, and it does no
harm: by their versions writes that come twice are as one. Longer troubles are for whoever runs us."""

OPEN_S = 5.0
"""How long a target that was found open counts as open: to look costs one more request."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a target in Riak is like."""

    bucket_type: str = "default"
    ordering: Literal["merge", "siblings"] = "merge"
    adopt: bool = False
    object_bytes_warn: int = 1_000_000
    object_bytes_max: int = 50_000_000
    pauses_s: Sequence[float] = PAUSES_S


class RiakTarget:
    """A target in a Riak cluster; buckets are looked at and claimed when they are first written to."""

    def __init__(
        self,
        access: Access,
        pipeline: str,
        mapping: ObjectMapping,
        options: Options,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.retries = 0
        self._sleep = sleep
        self._pipeline = pipeline
        self.closing_s = OPEN_S + access.answer_timeout_s
        self._open_until_s = 0.0
        self._mapping = mapping
        self._options = options
        self._client = Client(access)
        self._control = Control(self._client, pipeline, options.bucket_type, options.ordering)
        order = ByMerge if options.ordering == "merge" else BySiblings
        self._order: Ordering = order(self._client, adopt=options.adopt)
        self._buckets: dict[str, Bucket] = {}
        """By the fingerprint of a table: those that may be written to."""

        try:
            require_fit(access, self._client, self._control, options)
        except BaseException:
            self.close()
            raise

    def write(self, batch: Sequence[Write]) -> list[Outcome]:
        """Write the batch, each key's newest alone; see `changeover.targets.Target`."""
        newest = newest_per_key(batch)
        outcomes = self._tried(partial(self._write, newest))
        if len(newest) == len(batch):
            return outcomes
        became = {id(write): outcome for write, outcome in zip(newest, outcomes, strict=True)}
        return [became.get(id(write), Outcome.STALE) for write in batch]

    def read(self, table: Table, key: bytes) -> Held[Body] | None:
        """What the target holds for the key; of siblings the latest."""
        get = Get(self._bucket(table), self._mapping.place(table, key).key.encode(), r=QUORUM, pr=QUORUM)
        return held_in(self._tried(lambda: self._client.call(get)).contents)

    def read_many(self, table: Table, keys: Sequence[bytes]) -> list[Held[Body] | None]:
        """What a reader gets for each key; see `changeover.targets.Target`."""
        bucket = self._bucket(table)
        places = [self._mapping.place(table, key).key.encode() for key in keys]
        return [
            held_or_foreign(contents, adopt=self._options.adopt)
            for contents in self._contents(bucket, places)
        ]

    def walk(self, table: Table, place: bytes | None = None) -> Iterator[Page]:
        """Every object in the table's bucket that is not another table's; see `changeover.targets.Target`.

        Without secondary indexes Riak lists its keys in no order, and no place can be gone on from.
        """
        bucket = self._bucket(table)
        for keys in keys_of(self._client, bucket, place or b""):
            found = [
                found_in(self._key_at(table, bucket, name), name, contents)
                for name, contents in zip(
                    keys.keys, self._contents(bucket, keys.keys, head=True), strict=True
                )
                if not self._mapping.is_of_another(table, Place(bucket.name.decode(), _text(name)))
            ]
            yield Page([one for one in found if one], keys.continuation or None)

    def replace(self, write: Write, held: Version) -> bool:
        """Write over exactly the version `held`; see `changeover.targets.Target`."""
        return self._tried(lambda: self._order.replace(self._object(write), held))

    def overwrite(self, table: Table, key: bytes, held: Held[Body]) -> None:
        """An ordinary put, which every client of Riak could make; see `changeover.targets.Target`."""
        bucket = self._buckets.get(table.fingerprint) or self._open_bucket(table)
        content = content_at(held.version, held.body or OF_MARKER, is_marker=held.body is None)
        name = self._mapping.place(table, key).key.encode()
        overwrite(self._client, Object(bucket, name, held.version, content))

    def body_of(self, table: Table, row: Row) -> Body:
        """What the mapping makes of the row, its indexes in the order in which `read` gives them."""
        return self._mapping.body_as_read(table, row)

    def remember(self, name: str, note: Note) -> None:
        """Remember the note under the order in which all our objects are."""
        one = self._control.note(name, note)
        self._tried(lambda: self._order.write([one]))

    def remembered(self, name: str) -> Note | None:
        """The note of that name."""
        return self._tried(lambda: self._control.noted(name))

    def let_go(self, table: Table) -> int:
        """Remove the table's delete markers. Versions stay in the objects' metadata, where nobody meets them.

        To take one out, its object would have to be written anew, and the application writes it too.
        """
        bucket = self._bucket(table)
        markers = 0
        for page in self.walk(table):
            names = [found.name.encode() for found in page.found if found.key and not found.is_row]
            gets = [Get(bucket, name, head=True, r=QUORUM, pr=QUORUM) for name in names]
            held = self._tried(partial(self._client.call_many, gets))
            gone = [
                Delete(bucket, name, one.clock)
                for name, one in zip(names, held, strict=True)
                if one.contents and all(is_marker(content) for content in one.contents)
            ]
            self._tried(partial(self._client.call_many, gone))
            markers += len(gone)
        return markers

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        """The target itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _write(self, newest: Sequence[Write]) -> list[Outcome]:
        looked_s = time.monotonic()
        if looked_s >= self._open_until_s:
            if self._control.noted(CLOSED):
                raise TargetClosed(f"the move of pipeline {self._pipeline} is finished")
            self._open_until_s = looked_s + OPEN_S
        return self._order.write([self._object(write) for write in newest])

    def _tried(self, work: Callable[[], T]) -> T:
        for pause_s in self._options.pauses_s:
            try:
                return work()
            except TargetUnavailable as error:
                log.info("target is tried again", why=str(error.args[0]), in_s=pause_s)
                self.retries += 1
                self._sleep(pause_s)
        return work()

    def _contents(
        self, bucket: Bucket, names: Sequence[bytes], *, head: bool = False
    ) -> Iterator[Sequence[Content]]:
        """The contents of each object, few objects at a time; with `head` without their values."""
        for start in range(0, len(names), KEYS_AT_ONCE):
            gets = [
                Get(bucket, name, head=head, r=QUORUM, pr=QUORUM)
                for name in names[start : start + KEYS_AT_ONCE]
            ]
            yield from [found.contents for found in self._tried(partial(self._client.call_many, gets))]

    def _key_at(self, table: Table, bucket: Bucket, name: bytes) -> bytes | None:
        """The key of the table's row whose object has this name, None if none has."""
        row = self._mapping.key_at(table, Place(bucket.name.decode(), _text(name)))
        return None if row is None else encode_key(table, row)

    def _bucket(self, table: Table) -> Bucket:
        return Bucket(self._mapping.bucket(table).encode(), self._options.bucket_type.encode())

    def _object(self, write: Write) -> Object:
        table = write.table
        bucket = self._buckets.get(table.fingerprint) or self._open_bucket(table)
        place = self._mapping.place(table, write.key)
        body = OF_MARKER if write.row is None else self._mapping.body(table, write.row)
        if len(body.value) >= self._options.object_bytes_warn:
            self._judge_size(table, place.key, len(body.value))
        return Object(bucket, place.key.encode(), write.version, content_of(write, body))

    def _judge_size(self, table: Table, key: str, size: int) -> None:
        if size > self._options.object_bytes_max:
            message = f"the row {key} of {table.full_name} makes an object of {size:,} bytes"
            raise ObjectTooLarge(message)
        log.warning("object is large", table=table.full_name, key=key, bytes=size)

    def _open_bucket(self, table: Table) -> Bucket:
        """The table's bucket, found fit and ours: once it is claimed, it has been looked through."""
        name = self._mapping.bucket(table)
        bucket = self._bucket(table)
        fitness.require(self._client, bucket, self._options.ordering)
        fingerprint = self._mapping.fingerprint(table)
        is_made_so = self._control.check_mapping(table.full_name, fingerprint)
        if not self._control.is_claimed(name):
            if not self._options.adopt:
                fitness.require_no_foreign(self._client, bucket)
            self._control.claim(name)
        if not is_made_so:
            self._control.keep_mapping(table.full_name, fingerprint)
        self._buckets[table.fingerprint] = bucket
        return bucket


def _text(name: bytes) -> str:
    """An object's name as text; one that is none becomes what no key of ours can be."""
    return name.decode(errors="backslashreplace")


def check(access: Access, pipeline: str, options: Options) -> None:
    """Return if the cluster answers, and is as `require_fit` says; makes nothing."""
    with Client(access) as client:
        control = Control(client, pipeline, options.bucket_type, options.ordering)
        require_fit(access, client, control, options)


def require_fit(access: Access, client: Client, control: Control, options: Options) -> None:
    """Return if no newer release has written there, the type is there and fits the order, else raise.

    Merge must be proved for every release of Riak that runs.
    """
    fitness.require(client, control.bucket, options.ordering)
    control.require_known()
    if options.ordering == "merge":
        for release in sorted(fitness.releases(access)):
            control.require_proof(release)
