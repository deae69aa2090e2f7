"""Progress: how far a consumer group has applied the source's commit order.

Capture writes a watermark about once a second: "all changes up to this version lie before these end
offsets". A group has *applied through* a version when its committed offsets have passed the end offsets
of every watermark up to it. Lag, gates, verification and waiting all use this one definition; an empty
queue never counts as "no lag".
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

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


class AppliedThrough:
    """Follows watermarks and committed offsets, and knows the last watermark that was passed."""

    def __init__(self, watermark: Watermark | None = None) -> None:
        self.watermark = watermark
        self._ahead: deque[Watermark] = deque()

    def expect(self, watermarks: Iterable[Watermark]) -> None:
        """Take note of watermarks that lie ahead, in the log's order."""
        self._ahead.extend(watermarks)

    @property
    def seen(self) -> Version | None:
        """The version of the last watermark taken note of."""
        newest = self._ahead[-1] if self._ahead else self.watermark
        return None if newest is None else newest.version

    def advance(self, committed: Offsets) -> Watermark | None:
        """The last watermark that `committed` has passed, together with all before it."""
        while self._ahead and has_passed(committed, self._ahead[0].ends):
            self.watermark = self._ahead.popleft()
        return self.watermark


def has_passed(committed: Offsets, ends: Offsets) -> bool:
    """Whether every record before `ends` lies before `committed`."""
    return all(committed.get(partition, 0) >= end for partition, end in ends.items())
