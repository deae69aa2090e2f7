"""Objects: get, put and delete one, with their contents and clocks."""

from typing import NamedTuple

from changeover.riak.request import (
    Bucket,
    ErrorSaid,
    as_bytes,
    as_number,
    body_of,
    only,
    remembered_field,
    type_field,
)
from changeover.riak.wire import EMPTY_FRAMES, Frame, bytes_field, fields, frame, number_field, varint

GET, GOT = 9, 10
PUT, PUT_DONE = 11, 12
DELETE, DELETED = 13, 14

CONDITIONS = frozenset({"modified", "match_found", "notfound"})
"""What Riak answers, as an error, to a put whose condition did not hold."""


class Content(NamedTuple):
    """One value of an object, with what is kept beside it.

    A NamedTuple because one is made for each object that is written. `modified_us` is the server's clock in
    microseconds since 1970, 0 in what we send; no order rests on it.
    """

    value: bytes
    content_type: bytes = b"application/octet-stream"
    metadata: tuple[tuple[bytes, bytes], ...] = ()
    indexes: tuple[tuple[bytes, bytes], ...] = ()
    vtag: bytes = b""
    modified_us: int = 0
    is_tombstone: bool = False


class Fetched(NamedTuple):
    """What a get found: the object's contents (none: absent; several: siblings), and its clock as it came.

    Where a deleted object's clock was asked for, there is a clock and no content.
    """

    contents: tuple[Content, ...] = ()
    clock: bytes = b""


class Get(NamedTuple):
    """Ask for an object. `head` leaves the value out; `deleted_clock` asks for a tombstone's clock."""

    bucket: Bucket
    key: bytes
    head: bool = False
    deleted_clock: bool = False
    r: int | None = None
    pr: int | None = None

    def frame(self) -> bytes:
        """As it goes over the wire."""
        parts = [bytes_field(1, self.bucket.name), bytes_field(2, self.key)]
        parts += [number_field(3, self.r)] if self.r is not None else []
        parts += [number_field(4, self.pr)] if self.pr is not None else []
        parts += [number_field(8, 1)] if self.head else []
        parts += [number_field(9, 1)] if self.deleted_clock else []
        parts.append(type_field(13, self.bucket.type))
        return frame(GET, b"".join(parts))

    def answer(self, frame: Frame, /) -> Fetched:
        """What was found."""
        return _fetched(body_of(frame, GOT))


class Stored(NamedTuple):
    """What became of a put: acknowledged, or refused because its condition did not hold.

    `refused` is Riak's word: modified, match_found, notfound; empty if acknowledged. `contents` and `clock`
    are there if the put asked for them; `key` if it left the key to Riak.
    """

    refused: str = ""
    contents: tuple[Content, ...] = ()
    clock: bytes = b""
    key: bytes = b""


STORED = Stored()
_PLAINLY_DONE = EMPTY_FRAMES[PUT_DONE]


class Put(NamedTuple):
    """Store an object.

    With `clock` and without `as_is` it is an ordinary put: the object follows what that clock has seen. With
    `as_is` the object and its clock are taken as they are, and each replica keeps the later of its own and
    this one; without a clock such a put is acknowledged and reads as absent, so it cannot be made.

    `if_none_match` and `if_not_modified` are checked by Riak before it writes and not while: they are no
    lock (two of them can both win).
    """

    bucket: Bucket
    key: bytes
    content: Content
    clock: bytes = b""
    as_is: bool = False
    if_none_match: bool = False
    if_not_modified: bool = False
    return_body: bool = False
    return_head: bool = False
    w: int | None = None
    dw: int | None = None
    pw: int | None = None

    def frame(self) -> bytes:
        """As it goes over the wire."""
        bucket, key, content, clock, as_is, *rest = self
        if as_is and not clock:
            raise ValueError("a put as it is needs a clock: without one it is acknowledged and lost")
        body = b"".join(
            (
                remembered_field(1, bucket.name),
                b"\x12", varint(len(key)), key,
                b"\x1a" + varint(len(clock)) + clock if clock else b"",
                _content_field(content),
                self._options() if any(rest) else b"",
                b"\x68\x01" if as_is else b"",
                type_field(16, bucket.type),
            )
        )  # fmt: skip
        return frame(PUT, body)

    def answer(self, frame: Frame, /) -> Stored:
        """What became of it."""
        if frame is _PLAINLY_DONE:
            return STORED
        try:
            body = body_of(frame, PUT_DONE)
        except ErrorSaid as error:
            if error.said in CONDITIONS and (self.if_none_match or self.if_not_modified):
                return Stored(error.said)
            raise
        contents, clock = _fetched(body)
        return Stored("", contents, clock, only(fields(body), 3))

    def _options(self) -> bytes:
        """Fields 5 to 11, in their order."""
        numbers = (
            (5, self.w),
            (6, self.dw),
            (7, self.return_body or None),
            (8, self.pw),
            (9, self.if_not_modified or None),
            (10, self.if_none_match or None),
            (11, self.return_head or None),
        )
        return b"".join(number_field(field, number) for field, number in numbers if number is not None)


class Delete(NamedTuple):
    """Delete an object. Its tombstone is reaped soon, and then nothing keeps a late write out."""

    bucket: Bucket
    key: bytes
    clock: bytes = b""

    def frame(self) -> bytes:
        """As it goes over the wire."""
        clock = bytes_field(4, self.clock) if self.clock else b""
        key = bytes_field(1, self.bucket.name) + bytes_field(2, self.key)
        return frame(DELETE, key + clock + type_field(13, self.bucket.type))

    def answer(self, frame: Frame, /) -> None:
        """Nothing: deleted, or never there."""
        body_of(frame, DELETED)


def _fetched(body: bytes) -> Fetched:
    contents: list[Content] = []
    clock = b""
    for field, value in fields(body):
        if field == 1:
            contents.append(_content(as_bytes(value)))
        elif field == 2:
            clock = as_bytes(value)
    return Fetched(tuple(contents), clock)


def _content(message: bytes) -> Content:
    texts = {1: b"", 2: b"", 5: b""}
    numbers = {7: 0, 8: 0, 11: 0}
    pairs: dict[int, list[tuple[bytes, bytes]]] = {9: [], 10: []}
    for field, value in fields(message):
        if field in texts:
            texts[field] = as_bytes(value)
        elif field in numbers:
            numbers[field] = as_number(value)
        elif field in pairs:
            pairs[field].append(_pair(as_bytes(value)))
    return Content(
        value=texts[1],
        content_type=texts[2],
        metadata=tuple(pairs[9]),
        indexes=tuple(pairs[10]),
        vtag=texts[5],
        modified_us=numbers[7] * 1_000_000 + numbers[8],
        is_tombstone=bool(numbers[11]),
    )


def _pair(message: bytes) -> tuple[bytes, bytes]:
    found = dict(fields(message))
    return as_bytes(found.get(1, b"")), as_bytes(found.get(2, b""))


def _content_field(content: Content) -> bytes:
    value, content_type, metadata, indexes, *_ = content
    parts = [b"\x0a", varint(len(value)), value, remembered_field(2, content_type)]
    for tag, pairs in ((b"\x4a", metadata), (b"\x52", indexes)):
        for name, text in pairs:
            pair = b"\x0a" + varint(len(name)) + name + b"\x12" + varint(len(text)) + text
            parts += (tag, varint(len(pair)), pair)
    message = b"".join(parts)
    return b"\x22" + varint(len(message)) + message
