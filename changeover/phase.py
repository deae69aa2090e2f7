"""Phases: which database the application writes and reads."""

import enum
from dataclasses import dataclass, replace
from typing import Self

from changeover.version import Version


class Phase(enum.StrEnum):
    """Where the application is on its way from the old database to the new one.

    Phases that are next to each other are safe together: processes may learn of a move one after the other.
    """

    OLD = "OLD"
    """Writes and reads the old one; import and binlog bring the new one in step."""

    BOTH_READ_OLD = "BOTH_READ_OLD"
    """Writes both, the old one first, and reads the old one."""

    BOTH_READ_NEW = "BOTH_READ_NEW"
    """Writes both, the old one first, and reads the new one; the old one stands in for it."""

    FENCED = "FENCED"
    """On the way into NEW, for seconds: nobody writes, and the new one gets the last of the old one."""

    NEW = "NEW"
    """Writes and reads the new one; the old one is frozen. There is no way back."""

    @property
    def is_frozen(self) -> bool:
        """Whether the old database is frozen by us, or is being so: no new epoch begins in it."""
        return self in {Phase.FENCED, Phase.NEW}


LEFT_STANDING = "writers wait, and nobody undoes the fence: changeover phase back finishes or undoes it"
"""What to say of a FENCED that was left standing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseState:
    """A pipeline's phase as its row in the control schema says.

    `attempt` grows with each move, `since_ms` is the source's clock at the last one. `deadline_ms` is when
    FENCED is undone, None in other phases. `new_epoch` is the one reserved for NEW.

    `fence` is a place in the source's commit order. In BOTH_READ_OLD and BOTH_READ_NEW all that sessions
    wrote in OLD, of which they remember nothing, lies before it; once FENCED has taken hold, nobody writes
    behind it. None in OLD, and where the place is not known.
    """

    phase: Phase
    attempt: int
    since_ms: int
    deadline_ms: int | None = None
    new_epoch: int | None = None
    fence: Version | None = None

    @property
    def epoch_in_use(self) -> int | None:
        """The epoch of what the application writes in NEW; None in every other phase."""
        return self.new_epoch if self.phase is Phase.NEW else None

    def is_left_standing(self, now_ms: int) -> bool:
        """Whether it is FENCED though its time is over: who moved it has died, or could not undo it."""
        return self.phase is Phase.FENCED and now_ms > (self.deadline_ms or 0)

    def at_fence(self, fence: Version) -> Self:
        """The same, with that place known."""
        return replace(self, fence=fence)

    def for_epoch(self, epoch: int) -> Self:
        """The same, with an epoch reserved for NEW."""
        return replace(self, new_epoch=epoch)
