"""Comparing: the one rule by which a key is equal, is to be looked at again, or differs.

Pure. What source and target hold is compared as the target writes it down (`Target.body_of`), exactly: -0.0
is not 0.0, 1 is not 1.0, a text is not bytes, NULL is not the empty text.
"""

import base64
import enum
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson

from changeover.mapping import Body
from changeover.mapping.body import JSON
from changeover.targets import UNVERSIONED, Held
from changeover.verify.findings import Kind
from changeover.version import Version

B = TypeVar("B")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair(Generic[B]):
    """Both sides of a key. `source` is the body that the source's row makes, None where it has no row.

    The source was read at or after `bound`. The target was read once it had applied through all that this
    read could have seen.
    """

    source: B | None
    bound: Version
    held: Held[B] | None


class Answer(enum.Enum):
    """What a pair says of its key."""

    EQUAL = "equal"
    LOOK_AGAIN = "look again"
    """The target holds a state from behind the bound: source and target were read at two places."""

    DIFFERS = "differs"


def answer_of(pair: Pair[B], *, adopts: bool = False) -> Answer:
    """What the pair says; `adopts` where rows of another tool, which have no version, are as good as ours.

    A state from behind the bound says nothing, whether its value is equal or not: the row may have been other
    at the bound, been changed to this value and on from it.
    """
    held = pair.held
    if held is not None and held.version > pair.bound:
        return Answer.LOOK_AGAIN
    if held is not None and held.version == UNVERSIONED and not adopts:
        return Answer.DIFFERS
    body = held.body if held else None
    return Answer.EQUAL if canonical(pair.source) == canonical(body) else Answer.DIFFERS


def kind_of(pair: Pair[Any], *, adopts: bool = False) -> Kind:
    """How the two sides of a pair that differs do so."""
    held = pair.held
    if held is not None and held.version == UNVERSIONED and not adopts:
        return Kind.NO_PROVENANCE
    if held is None or held.body is None:
        return Kind.MISSING
    return Kind.EXTRA if pair.source is None else Kind.DIFFERENT


def differing(one: object, other: object) -> tuple[str, ...]:
    """The names of columns, or of a JSON object's members, at which two bodies differ; none if one is None.

    >>> differing({"id": 1, "name": ""}, {"id": 1, "name": None})
    ('name',)
    """
    if isinstance(one, Body) and isinstance(other, Body):
        return _differing_bodies(one, other)
    if not isinstance(one, Mapping) or not isinstance(other, Mapping):
        return ()
    return tuple(
        name
        for name in {**one, **other}
        if name not in one or name not in other or canonical(one[name]) != canonical(other[name])
    )


def _differing_bodies(one: Body, other: Body) -> tuple[str, ...]:
    names: tuple[str, ...] = ()
    if one.value != other.value:
        members = [_members(body) for body in (one, other)]
        names = (differing(*members) if None not in members else ()) or ("value",)
    if one.content_type != other.content_type:
        names += ("content type",)
    return names + (("indexes",) if one.indexes != other.indexes else ())


def _members(body: Body) -> Mapping[str, Any] | None:
    try:
        value = orjson.loads(body.value) if body.content_type == JSON else None
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def digest_of(body: object) -> str | None:
    """What stands for a body in a finding, None for no body. It tells nobody who cannot guess the body."""
    return None if body is None else hashlib.blake2b(canonical(body), digest_size=16).hexdigest()


def canonical(body: object) -> bytes:
    """Bytes that are equal if and only if two bodies, or two values, are the same exactly.

    >>> canonical(0.0) == canonical(-0.0), canonical(1) == canonical(1.0), canonical("a") == canonical(b"a")
    (False, False, False)
    """
    try:
        text = orjson.dumps(body, default=_tagged)
    except TypeError:  # half of a UTF-16 pair, or an integer that no source has: the target was given it
        return _as_python_says(body)
    # JSON has no infinity and makes null of it: no source has one, but the target may have been given it.
    return text if b"null" not in text or _is_finite(body) else _as_python_says(body)


def _as_python_says(body: object) -> bytes:
    return repr(body).encode("utf-8", "backslashreplace")


def _is_finite(body: object) -> bool:
    values = body.values() if isinstance(body, Mapping) else (body,)
    return all(math.isfinite(value) for value in values if isinstance(value, float))


def _tagged(value: object) -> object:
    """What JSON has no form for, in one that no value of a row has."""
    match value:
        case bytes():
            return {"bytes": base64.b64encode(value).decode()}
        case tuple():
            return list(value)
        case Mapping():
            return dict(value)
        case _:
            message = f"no value is a {type(value).__name__}"
            raise TypeError(message)
