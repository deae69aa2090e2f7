"""Apply: the log into the target, each key's newest change first decided upon, then written, then committed.

Offsets move only after the target durably holds the changes before them, so a crash repeats work and loses
none; repeated work is stale and changes nothing.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

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


class Apply:
    """Moves what the reader gives into the target; one `step` handles one batch."""

    def __init__(
        self, reader: Reader, target: Target, *, batch_max: int, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._reader = reader
        self._target = target
        self._batch_max = batch_max
        self._sleep = sleep
        self.counts = Counts()
        self.through: Watermark | None = None

    def run(self, should_stop: Callable[[], bool]) -> None:
        """Apply until told to stop."""
        while not should_stop():
            if not self.step():
                self._sleep(IDLE_WAIT_S)

    def step(self) -> bool:
        """Apply one batch; whether there was one."""
        records = self._reader.poll(self._batch_max)
        outcomes = self._target.write(newest_per_key(writes_of(records))) if records else ()
        stale = len(records) - sum(outcome is not Outcome.STALE for outcome in outcomes)
        # First held by the target, then committed. Without records too: an idle source still moves on.
        self.through = self._reader.commit(_behind(records), records=len(records), stale=stale)
        self.counts.records += len(records)
        self.counts.stale += stale
        return bool(records)


def _behind(records: Iterable[Record]) -> dict[Partition, int]:
    return {record.partition: record.offset + 1 for record in records}
