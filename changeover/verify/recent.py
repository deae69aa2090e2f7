"""Recently changed keys: what the log got since the last look is judged soon after, and not by the next scan.

The log says which keys, and under which version the target must hold each of them at least: so a delete
marker that was lost is found too, which no other comparison can see.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from changeover.decide import Write
from changeover.log import Log, topic_of, writes_of
from changeover.progress import Offsets
from changeover.table import Table
from changeover.targets import Target
from changeover.verify.applied import Applied
from changeover.verify.findings import LOST_MARKER, Difference, Kind
from changeover.verify.judge import Judge, Judgement
from changeover.verify.source import Source
from changeover.version import Version

RECORDS_AT_ONCE = 500

KEYS_MAX = 2_000
"""Keys of one look at most, the newest ones; the full scan has the others."""


class Recent:
    """Looks at what has changed since the last look."""

    def __init__(  # noqa: PLR0913 - a composition root hands in what it works with
        self,
        log: Log,
        pipeline: str,
        tables: Sequence[Table],
        *,
        source: Source,
        target: Target[Any],
        judge: Judge,
        applied: Applied,
    ) -> None:
        self._log = log
        self._tables = {topic_of(pipeline, source.mask(table).to): table for table in tables}
        self._source = source
        self._target = target
        self._judge = judge
        self._applied = applied
        self._starts: Offsets = dict(log.progress_of(applied.group).committed)

    def look(self) -> Iterator[tuple[Table, Judgement]]:
        """Judge the keys that the group has applied changes of since the last look, a table at a time."""
        ends = self._log.progress_of(self._applied.group).committed
        for topic, table in self._tables.items():
            if not self._source.mask(table).hides_key:
                changed = self._changed(topic, ends)
                if changed:
                    judgement = self._judge.judge(table, list(changed))
                    self._hold_to_the_log(table, changed, judgement)
                    yield table, judgement
        self._starts = {**self._starts, **ends}

    def _changed(self, topic: str, ends: Offsets) -> dict[bytes, Write]:
        """The last applied write of each key whose changes lie before the ends."""
        history = self._log.history()
        starts = {
            partition: max(first, self._starts.get(partition, 0))
            for partition, first in history.firsts().items()
            if partition.topic == topic
        }
        changed: dict[bytes, Write] = {}
        for records in history.read(starts, RECORDS_AT_ONCE):
            for write in writes_of(one for one in records if one.offset < ends.get(one.partition, 0)):
                held = changed.pop(write.key, write)
                newer = write if held.version <= write.version else held
                changed[write.key] = newer._replace(row=None)  # for its version; the rows may be large
            while len(changed) > KEYS_MAX:
                changed.pop(next(iter(changed)))
        return changed

    def _hold_to_the_log(self, table: Table, changed: dict[bytes, Write], judgement: Judgement) -> None:
        """Move keys from equal to different that the target holds under less than what was applied there."""
        keys = [key for key in judgement.equal if key in changed]
        held = self._target.read_many(self._source.mask(table).to, keys)
        fallen = {
            key: one and one.version
            for key, one in zip(keys, held, strict=True)
            if one is None or one.version < changed[key].version
        }
        judgement.equal = [key for key in judgement.equal if key not in fallen]
        judgement.differences += [_fallen(table, changed[key], version) for key, version in fallen.items()]


def _fallen(table: Table, write: Write, held: Version | None) -> Difference:
    return Difference(
        table_name=table.full_name,
        key=write.key,
        kind=Kind.MISSING if held is None else Kind.DIFFERENT,
        columns=LOST_MARKER if held is None else ("version",),
        source_version=write.version,
        target_version=held,
        source_digest=None,
        target_digest=None,
        last_writer=write.position,
    )
