"""The handover: what the new store itself remembers of the way into NEW, and which word of it counts.

On the way into NEW two databases must agree although either can be cut off at any moment. The source's row
says FENCED, and then the new store is told `new`; only after that the row says NEW. Whoever comes upon FENCED
later asks the new store: where it says `new`, the move is finished forward; where it does not, `back` is
written under a higher attempt first, so that a `new` which is still on its way loses, and the move is undone.
"""

import enum
from dataclasses import dataclass
from typing import Self

import orjson

from changeover.errors import TargetUnusable
from changeover.version import Version

NAME = "phase"
"""The note's name in the target (`Target.remembered`)."""

DECIDED, COMMITTED = 1, 2
"""Steps of an attempt. COMMITTED is written once the source's row says NEW: from then on a process that
cannot reach the source may go by the note alone."""


class Word(enum.StrEnum):
    """Which way it goes."""

    NEW = "new"
    BACK = "back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """What the new store remembers: the last word on whether the new database has taken over.

    `epoch` is the one reserved for NEW, `attempt` the phase row's at that word.
    """

    word: Word
    epoch: int
    attempt: int
    step: int

    @property
    def version(self) -> Version:
        """The note's place in the order of notes: a later attempt beats an earlier one, however late."""
        return Version(self.epoch, self.attempt, self.step)

    @property
    def text(self) -> str:
        """The note's text."""
        return orjson.dumps({"word": self.word.value}).decode()

    @property
    def is_new(self) -> bool:
        """Whether the new database has taken over, or will: the move can only be finished."""
        return self.word is Word.NEW

    @property
    def is_settled(self) -> bool:
        """Whether the source's row says NEW too."""
        return self.is_new and self.step >= COMMITTED

    @classmethod
    def parse(cls, version: Version, text: str) -> Self:
        """The handover that a note says; `TargetUnusable` for a note that is none."""
        try:
            word = Word(orjson.loads(text)["word"])
        except (ValueError, TypeError, KeyError) as error:
            message = f"the target's note {NAME!r} cannot be read"
            raise TargetUnusable(message, hint="Only changeover may write it.") from error
        return cls(word=word, epoch=version.epoch, attempt=version.sequence, step=version.row)
