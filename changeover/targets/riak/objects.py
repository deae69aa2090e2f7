"""Our objects: the value clean, and all that is ours beside it in the user metadata."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from changeover.decide import Write
from changeover.mapping import Body
from changeover.riak.objects import Content
from changeover.riak.request import Bucket
from changeover.targets import UNVERSIONED, Found, Held
from changeover.version import Version

VERSION = b"changeover-version"
"""The version of the state, as text."""

DELETED = b"changeover-deleted"
"""There, as `true`, on a delete marker: an object without value that says that the row is gone."""

POSITION = b"changeover-position"
"""The source transaction that made the state, such as its GTID; a bounded read has none."""

OF_MARKER = Body(b"", "application/octet-stream")
DELETED_MARK = (DELETED, b"true")


class Object(NamedTuple):
    """An object that is to be written, with its version."""

    bucket: Bucket
    key: bytes
    version: Version
    content: Content


def content_of(write: Write, body: Body) -> Content:
    """The write as Riak keeps it."""
    return content_at(write.version, body, write.position, is_marker=write.row is None)


def content_at(version: Version, body: Body, position: str | None = None, *, is_marker: bool) -> Content:
    """A state of that version as Riak keeps it."""
    metadata: tuple[tuple[bytes, bytes], ...] = ((VERSION, version.text.encode()),)
    if is_marker:
        metadata += (DELETED_MARK,)
    if position is not None:
        metadata += ((POSITION, position.encode()),)
    indexes = tuple((name.encode(), value.encode()) for name, value in body.indexes)
    return Content(body.value, body.content_type.encode(), metadata, indexes)


def version_of(content: Content) -> Version | None:
    """The version of a content, None if we did not write it."""
    for name, value in content.metadata:
        if name == VERSION:
            try:
                return Version.parse(value.decode())
            except ValueError:
                return None
    return None


def latest(contents: Iterable[Content]) -> tuple[Version, Content] | None:
    """Of an object's contents the one with the highest version, and that; None if none has a version.

    Several contents are siblings: whoever reads them takes the latest state, and never what is older.
    """
    found = [(version, content) for content in contents if (version := version_of(content)) is not None]
    # Of one version are writes of NEW alone, of which the last counts.
    return max(found, key=lambda one: (one[0], one[1].modified_us), default=None)


def foreign(contents: Iterable[Content]) -> Content | None:
    """One of the contents that we did not write, None if all are ours; Riak's own tombstone is nobody's."""
    return next((one for one in contents if not one.is_tombstone and version_of(one) is None), None)


def is_unreadable(content: Content) -> bool:
    """Whether the content has a version of a form that we do not know, as a newer release may write it."""
    return version_of(content) is None and VERSION in dict(content.metadata)


def held_in(contents: Iterable[Content]) -> Held[Body] | None:
    """What the object holds, None if nothing of ours."""
    found = latest(contents)
    if found is None:
        return None
    version, content = found
    return Held(version, None if is_marker(content) else _body_of(content), _position_of(content))


def held_or_foreign(contents: Sequence[Content], *, adopt: bool) -> Held[Body] | None:
    """What a reader gets, None if nothing: as `held_in`, and what we did not write as `UNVERSIONED`.

    Beside a sibling of ours it is one too, unless with `adopt`: then it is older than any of ours.
    """
    held, other = held_in(contents), foreign(contents)
    return Held(UNVERSIONED, _body_of(other)) if other and not (adopt and held) else held


def found_in(key: bytes | None, name: bytes, contents: Sequence[Content]) -> Found | None:
    """What a walk meets in this object, None if it is deleted; the values may have been left out."""
    values = [content for content in contents if not content.is_tombstone]
    if not values:
        return None
    held = latest(values)
    return Found(
        key,
        _text(name),
        UNVERSIONED if held is None or foreign(values) else held[0],
        is_row=not all(is_marker(content) for content in values),
        siblings=len(values),
        position=_position_of(held[1]) if held else None,
    )


def is_marker(content: Content) -> bool:
    """Whether the content says that the row is gone."""
    return DELETED_MARK in content.metadata


def _position_of(content: Content) -> str | None:
    position = dict(content.metadata).get(POSITION)
    return None if position is None else _text(position)


def _body_of(content: Content) -> Body:
    indexes = sorted((_text(name), _text(value)) for name, value in content.indexes)
    return Body(content.value, _text(content.content_type), tuple(indexes))


def _text(said: bytes) -> str:
    """Ours is UTF-8, and what others write may be anything."""
    return said.decode(errors="backslashreplace")
