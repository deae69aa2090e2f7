"""Progress: how far a consumer group has applied the source's commit order.

Capture writes a watermark about once a second: "all changes up to this version lie before these end
offsets". A group has *applied through* a version when its committed offsets have passed the end offsets
of every watermark up to it. Lag, gates, verification and waiting all use this one definition; an empty
queue never counts as "no lag".
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from changeover.version import Version


class Partition(NamedTuple):
    """One ordered part of a topic."""

    topic: str
    number: int


Offsets = Mapping[Partition, int]
"""For each partition the offset of the next record: all before it are meant."""


@dataclass(frozen=True, slots=True)
class Watermark:
    """All changes up to `version` are in the log, before `ends`.

    `source_ms` is a time on the source's clock, taken before that version's commit: all that had been
    committed by then is included. `ends` names the partitions written since the watermark before.
    """

    version: Version
    source_ms: int
    ends: Offsets


MarkT = TypeVar("MarkT")


class AppliedThrough(Generic[MarkT]):
    """Follows marks and committed offsets, and knows the last mark that was passed.

    A mark is a watermark, with whatever the log needs to find its way on behind it. It is `passed` by offsets
    that are about to be committed, and counts only once that is durable: then it is to be settled.
    """

    def __init__(self, mark: MarkT) -> None:
        self.mark = mark
        """The last one that was passed, durably."""
        self._ahead: deque[tuple[MarkT, Offsets]] = deque()

    @property
    def newest(self) -> MarkT:
        """The last mark taken note of."""
        return self._ahead[-1][0] if self._ahead else self.mark

    @property
    def ahead(self) -> int:
        """How many marks were taken note of and are not settled."""
        return len(self._ahead)

    def expect(self, mark: MarkT, ends: Offsets) -> None:
        """Take note of a mark that lies ahead, in the log's order."""
        self._ahead.append((mark, ends))

    def passed(self, committed: Offsets) -> MarkT:
        """The last mark that these offsets pass, together with all before it."""
        mark = self.mark
        for ahead, ends in self._ahead:
            if not has_passed(committed, ends):
                break
            mark = ahead
        return mark

    def settle(self, mark: MarkT) -> None:
        """That this mark was passed is durable."""
        while self.mark != mark:
            self.mark, _ = self._ahead.popleft()


def has_passed(committed: Offsets, ends: Offsets) -> bool:
    """Whether every record before `ends` lies before `committed`."""
    return all(committed.get(partition, 0) >= end for partition, end in ends.items())
