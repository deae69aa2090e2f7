"""What is to be done about a key: decided from what the target holds and how far the source was read."""

import enum
from typing import Any

from changeover.targets import UNVERSIONED, Held
from changeover.version import Version


class Step(enum.StrEnum):
    """How a key is repaired."""

    LOG = "through the log"
    """What the target holds is older than the read, so the read goes over it as any write does."""

    REPLACE = "in place of what changeover did not write"
    """No write may go over it by itself; the source is the truth, so it is replaced at the target first."""

    NEW = "not at all: it was written after the move into NEW"
    """The target is the truth then, and the source a frozen past."""

    AHEAD = "not at all: it is ahead of the source"
    """What the target holds is later than the read: every ordered write would be skipped as stale."""


def step_for(
    held: Held[Any] | None, bound: Version, *, adopts: bool = False, new_epoch: int | None = None
) -> Step:
    """How a key is repaired of which the target holds this and that the source was read at `bound` for.

    With `adopts` what has no version gives way to every write by itself. In NEW there is a `new_epoch`: what
    has a version of it, or none at all, may be what the application has written since.

    >>> step_for(Held(Version(1, 7, 1), None), Version(1, 6, 1)).name
    'AHEAD'
    """
    if held is None:
        return Step.LOG
    if held.version == UNVERSIONED:
        if new_epoch is not None:
            return Step.NEW
        return Step.LOG if adopts else Step.REPLACE
    if new_epoch is not None and held.version.epoch >= new_epoch:
        return Step.NEW
    return Step.LOG if held.version < bound else Step.AHEAD
