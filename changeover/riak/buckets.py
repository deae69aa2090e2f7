"""Buckets' properties: what Riak does with siblings, and how many replicas it keeps and asks."""

from dataclasses import dataclass
from typing import NamedTuple

from changeover.riak.request import Bucket, as_bytes, as_number, body_of, only, text_in, type_field
from changeover.riak.wire import Frame, bytes_field, fields, frame, number_field

GET_BUCKET, BUCKET_SAID = 19, 20
SET_BUCKET, BUCKET_SET = 21, 22
GET_TYPE, SET_TYPE = 31, 32

QUORUMS = {"one": 0xFFFFFFFE, "quorum": 0xFFFFFFFD, "all": 0xFFFFFFFC, "default": 0xFFFFFFFB}
"""Numbers that stand for a share of the replicas, wherever a count of them is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Properties:
    """The properties of a bucket that matter to us; None: not said, or to be left as it is.

    `r`, `w` and the like are counts of replicas, or one of `QUORUMS`.
    """

    n_val: int | None = None
    allow_mult: bool | None = None
    last_write_wins: bool | None = None
    has_precommit: bool | None = None
    has_postcommit: bool | None = None
    pr: int | None = None
    r: int | None = None
    w: int | None = None
    pw: int | None = None
    dw: int | None = None
    rw: int | None = None
    basic_quorum: bool | None = None
    notfound_ok: bool | None = None
    backend: str | None = None
    datatype: str | None = None
    consistent: bool | None = None
    write_once: bool | None = None


NUMBERS = {1: "n_val", 14: "pr", 15: "r", 16: "w", 17: "pw", 18: "dw", 19: "rw"}
FLAGS = {
    2: "allow_mult",
    3: "last_write_wins",
    5: "has_precommit",
    7: "has_postcommit",
    20: "basic_quorum",
    21: "notfound_ok",
    27: "consistent",
    28: "write_once",
}
TEXTS = {22: "backend", 26: "datatype"}


class GetBucket(NamedTuple):
    """Ask for a bucket's properties: its type's, with its own over them. `name` empty: the type's alone."""

    bucket: Bucket

    def frame(self) -> bytes:
        """As it goes over the wire."""
        if not self.bucket.name:
            return frame(GET_TYPE, bytes_field(1, self.bucket.type))
        return frame(GET_BUCKET, bytes_field(1, self.bucket.name) + type_field(2, self.bucket.type))

    def answer(self, frame: Frame, /) -> Properties:
        """The properties."""
        return decode_properties(only(fields(body_of(frame, BUCKET_SAID)), 1))


class SetBucket(NamedTuple):
    """Set some of a bucket's properties. `name` empty: the type's, which has to exist."""

    bucket: Bucket
    properties: Properties

    def frame(self) -> bytes:
        """As it goes over the wire."""
        properties = bytes_field(2, encode_properties(self.properties))
        if not self.bucket.name:
            return frame(SET_TYPE, bytes_field(1, self.bucket.type) + properties)
        return frame(
            SET_BUCKET, bytes_field(1, self.bucket.name) + properties + type_field(3, self.bucket.type)
        )

    def answer(self, frame: Frame, /) -> None:
        """Nothing: they are set."""
        body_of(frame, BUCKET_SET)


def decode_properties(message: bytes) -> Properties:
    """The properties in a message; those that do not matter to us are passed over."""
    found: dict[str, int | bool | str] = {}
    for field, value in fields(message):
        if field in NUMBERS:
            found[NUMBERS[field]] = as_number(value)
        elif field in FLAGS:
            found[FLAGS[field]] = bool(as_number(value))
        elif field in TEXTS:
            found[TEXTS[field]] = text_in(as_bytes(value))
    return Properties(**found)  # type: ignore[arg-type] # the tables above give each name its kind


def encode_properties(properties: Properties) -> bytes:
    """The message of the properties that are said."""
    message = b""
    for field, name in sorted((NUMBERS | FLAGS | TEXTS).items()):
        value = getattr(properties, name)
        if isinstance(value, str):
            message += bytes_field(field, value.encode())
        elif value is not None:
            message += number_field(field, value)
    return message
