"""What the new database itself remembers of how far it is: an application sees it there, without the log."""

from typing import Any

from changeover.targets import Note, Target
from changeover.version import Version

NAME = "applied"


def note_applied(target: Target[Any], through: Version) -> None:
    """Return once the target durably remembers that all changes up to `through` are applied to it."""
    target.remember(NAME, Note(through, ""))


def applied_through(target: Target[Any]) -> Version | None:
    """What was noted last, None if nothing was. A `read` that begins behind it shows all up to there."""
    note = target.remembered(NAME)
    return note.version if note else None
