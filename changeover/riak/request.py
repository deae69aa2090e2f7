"""What a request to Riak is: a frame to send, and how to read what is answered."""

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple, Protocol, TypeVar

from changeover.riak.wire import Frame, Malformed, bytes_field, fields

ERROR = 0

NAMES_REMEMBERED = 4_096
"""Encoded names of buckets, types and content types: a pipeline has a few hundred at most."""

A_co = TypeVar("A_co", covariant=True)


class Bucket(NamedTuple):
    """A bucket: its name, and the bucket type that gives it its properties."""

    name: bytes
    type: bytes = b"default"

    def __str__(self) -> str:
        """As people write it: type/name."""
        return f"{self.type.decode(errors='replace')}/{self.name.decode(errors='replace')}"


class Request(Protocol[A_co]):
    """A request with one answer."""

    def frame(self) -> bytes:
        """As it goes over the wire."""

    def answer(self, frame: Frame, /) -> A_co:
        """What the frame says. `ErrorSaid` if it is an error, `Malformed` if it is no answer to this."""


class ErrorSaid(Exception):
    """Riak answered with an error, in its own words."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said


def body_of(frame: Frame, code: int) -> bytes:
    """The message of an answer that has to have this code."""
    if frame.code == code:
        return frame.body
    if frame.code == ERROR:
        raise ErrorSaid(text_in(only(fields(frame.body), 1)))
    raise Malformed(f"an answer of code {frame.code} where {code} belongs")


def only(found: Iterable[tuple[int, int | bytes]], field: int, default: bytes = b"") -> bytes:
    """The bytes of one field, the last if it comes more than once."""
    for number, value in found:
        if number == field:
            default = as_bytes(value)
    return default


def as_bytes(value: int | bytes) -> bytes:
    """The value of a field that has to be bytes."""
    if isinstance(value, bytes):
        return value
    raise Malformed("a number where bytes belong")


def as_number(value: int | bytes) -> int:
    """The value of a field that has to be a number."""
    if isinstance(value, int):
        return value
    raise Malformed("bytes where a number belongs")


def text_in(value: bytes) -> str:
    """A text for people; what is no UTF-8 in it is escaped."""
    return value.decode(errors="backslashreplace")


@lru_cache(NAMES_REMEMBERED)
def remembered_field(field: int, name: bytes) -> bytes:
    """A field with a name that comes again and again."""
    return bytes_field(field, name)


def type_field(field: int, bucket_type: bytes) -> bytes:
    """The bucket's type; left out for the default one, as clients do that know no types."""
    return remembered_field(field, bucket_type) if bucket_type != b"default" else b""
