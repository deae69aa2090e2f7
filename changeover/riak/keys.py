"""Keys of a bucket: by a secondary index, page by page, or by Riak's listing of all."""

from typing import NamedTuple, Protocol

from changeover.riak.request import Bucket, as_bytes, as_number, body_of, type_field
from changeover.riak.wire import Frame, bytes_field, fields, frame, number_field

LIST_KEYS, KEYS_LISTED = 17, 18
INDEX, INDEX_SAID = 25, 26

EQUAL, RANGE = 0, 1

ALL_KEYS = b"$bucket"
"""The index that every object is in, by the name of its bucket."""

BY_KEY = b"$key"
"""The index of every object by its key."""


class Keys(NamedTuple):
    """One frame of keys. `continuation` asks for the keys behind these; empty: there are none."""

    keys: tuple[bytes, ...] = ()
    continuation: bytes = b""
    is_last: bool = False


class Walk(Protocol):
    """A request whose answer comes in several frames."""

    def frame(self) -> bytes:
        """As it goes over the wire."""

    def part(self, frame: Frame, /) -> Keys:
        """What one frame of the answer says; errors as for a request."""


class ListKeys(NamedTuple):
    """List all keys of a bucket, in no order. Riak reads every key of every bucket for it: slow, and heavy.

    For where there are no secondary indexes. The answer comes in many frames and may name a key twice.
    """

    bucket: Bucket

    def frame(self) -> bytes:
        """As it goes over the wire."""
        return frame(LIST_KEYS, bytes_field(1, self.bucket.name) + type_field(3, self.bucket.type))

    def part(self, frame: Frame, /) -> Keys:
        """Some of the keys."""
        keys, is_last = [], False
        for field, value in fields(body_of(frame, KEYS_LISTED)):
            if field == 1:
                keys.append(as_bytes(value))
            elif field == 2:
                is_last = bool(as_number(value))
        return Keys(tuple(keys), is_last=is_last)


class IndexQuery(NamedTuple):
    """Ask for the keys under one value of an index, or under a range of values, both ends included.

    In the order of the index if `max_results` is given: then `continuation`, from the answer, gets the next
    ones. With `stream` the answer comes in several frames (`Client.walk`), else in one (`Client.call`).
    """

    bucket: Bucket
    name: bytes
    low: bytes
    high: bytes | None = None
    max_results: int | None = None
    continuation: bytes = b""
    stream: bool = False

    def frame(self) -> bytes:
        """As it goes over the wire."""
        parts = [bytes_field(1, self.bucket.name), bytes_field(2, self.name)]
        if self.high is None:
            parts += [number_field(3, EQUAL), bytes_field(4, self.low)]
        else:
            parts += [number_field(3, RANGE), bytes_field(5, self.low), bytes_field(6, self.high)]
        parts += [number_field(8, 1)] if self.stream else []
        parts += [number_field(9, self.max_results)] if self.max_results is not None else []
        parts += [bytes_field(10, self.continuation)] if self.continuation else []
        return frame(INDEX, b"".join(parts) + type_field(12, self.bucket.type))

    def part(self, frame: Frame, /) -> Keys:
        """Some of the keys; those of one frame where it is not streamed."""
        keys, continuation, is_last = [], b"", not self.stream
        for field, value in fields(body_of(frame, INDEX_SAID)):
            if field == 1:
                keys.append(as_bytes(value))
            elif field == 3:
                continuation = as_bytes(value)
            elif field == 4:
                is_last = bool(as_number(value))
        return Keys(tuple(keys), continuation, is_last)

    def answer(self, frame: Frame, /) -> Keys:
        """The keys of an answer that is not streamed."""
        return self.part(frame)
