"""Apply: the log into the target, each key's newest change first decided upon, then written, then committed.

Offsets move only after the target durably holds the changes before them, so a crash repeats work and loses
none; repeated work is stale and changes nothing.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from changeover.crashpoints import reach
from changeover.decide import Outcome, newest_per_key
from changeover.log import Reader, Record, writes_of
from changeover.progress import Partition, Watermark
from changeover.targets import Target

IDLE_WAIT_S = 0.05
"""How long the loop rests when there is nothing to apply: a part of the lag on a quiet source."""


@dataclass(slots=True)
class Counts:
    """What this consumer has done since it started."""

    records: int = 0
    stale: int = 0
    """Records that changed nothing: the target, or a newer one in their batch, was already ahead of them."""

    batches: int = 0
    bytes: int = 0
    """Of keys and envelopes of these records."""

    write_s: float = 0.0
    """Time spent waiting for the target."""


class Apply:
    """Moves what the reader gives into the target; one `step` handles one batch."""

    def __init__(  # noqa: PLR0913 - a composition root hands in what it works with
        self,
        reader: Reader,
        target: Target[Any],
        *,
        batch_max: int,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        behind: Callable[[], None] = lambda: None,
    ) -> None:
        self._reader = reader
        self._target = target
        self._batch_max = batch_max
        self._sleep = sleep
        self._clock = clock
        self._behind = behind
        """Called when a batch is done, or there was none."""
        self.counts = Counts()
        self._under_way: Sequence[Record] = ()
        self.through: Watermark | None = None

    @property
    def under_way(self) -> int:
        """How many records the batch has that is being applied."""
        return len(self._under_way)

    def place(self) -> str:
        """Which records it applies, for people; empty at rest."""
        spans: dict[Partition, tuple[int, int]] = {}
        for partition, offset, *_ in self._under_way:
            first, _ = spans.get(partition, (offset, offset))
            spans[partition] = (first, offset)
        return ", ".join(
            f"{topic}/{number} offsets {first}-{last}" for (topic, number), (first, last) in spans.items()
        )

    @property
    def target_retries(self) -> int:
        """How often the target was tried again."""
        return self._target.retries

    def run(self, should_stop: Callable[[], bool]) -> None:
        """Apply until told to stop."""
        while not should_stop():
            if not self.step():
                self._sleep(IDLE_WAIT_S)
            self._behind()

    def step(self) -> bool:
        """Apply one batch; whether there was one."""
        records = self._reader.poll(self._batch_max)
        self._under_way = records
        outcomes = self._write(records) if records else ()
        stale = len(records) - sum(outcome is not Outcome.STALE for outcome in outcomes)
        # First held by the target, then committed. Without records too: an idle source still moves on.
        self.through = self._reader.commit(_behind(records), records=len(records), stale=stale)
        if records:
            reach("apply.offsets_committed")
            self.counts.batches += 1
            self.counts.bytes += sum(len(record.key) + len(record.value) for record in records)
        self._under_way = ()
        self.counts.records += len(records)
        self.counts.stale += stale
        return bool(records)

    def _write(self, records: Sequence[Record]) -> Sequence[Outcome]:
        reach("apply.polled")
        newest = newest_per_key(writes_of(records))
        began_s = self._clock()
        outcomes = self._target.write(newest)
        self.counts.write_s += self._clock() - began_s
        reach("apply.batch_written")
        return outcomes


def _behind(records: Iterable[Record]) -> dict[Partition, int]:
    return {record.partition: record.offset + 1 for record in records}
