"""A log in memory, as far as a consumer sees it: for properties that need thousands of runs."""

from collections.abc import Iterable, Sequence

from changeover.change import Change
from changeover.envelope import encode, encode_key
from changeover.errors import LogUnavailable
from changeover.log import Record, topic_of
from changeover.progress import Offsets, Partition, Watermark

PIPELINE = "moving"


def records_of(changes: Iterable[Change]) -> list[Record]:
    """The changes as records of one partition for each topic, in the order given."""
    records: list[Record] = []
    ends: dict[Partition, int] = {}
    for change in changes:
        partition = Partition(topic_of(PIPELINE, change.table), 0)
        offset = ends.get(partition, 0)
        key = encode_key(change.table, change.image)
        records.append(Record(partition, offset, change.table, key, encode(change, PIPELINE)))
        ends[partition] = offset + 1
    return records


class MemoryReader:
    """A `changeover.log.Reader` over records; the commits whose turns are in `lost_commits` do not arrive."""

    def __init__(self, records: Sequence[Record], lost_commits: Iterable[int] = ()) -> None:
        self.committed: dict[Partition, int] = {}
        self.applied = 0
        self.stale = 0
        self._records = records
        self._waiting = list(records)
        self._lost_commits = frozenset(lost_commits)
        self._commits = 0

    def poll(self, limit: int) -> Sequence[Record]:
        polled, self._waiting = self._waiting[:limit], self._waiting[limit:]
        return polled

    def commit(self, offsets: Offsets, *, records: int = 0, stale: int = 0) -> Watermark | None:
        self._commits += 1
        if self._commits in self._lost_commits:
            message = "the log did not answer"
            raise LogUnavailable(message)
        self.committed |= offsets
        self.applied += records
        self.stale += stale
        return None

    def restart(self) -> None:
        """Read again from where the group has committed, as a new process does."""
        self._waiting = [
            record for record in self._records if record.offset >= self.committed.get(record.partition, 0)
        ]

    @property
    def is_done(self) -> bool:
        """Whether every record was polled and committed."""
        return all(record.offset < self.committed.get(record.partition, 0) for record in self._records)
