"""Explaining a key: what the source has, what the log still holds of it, what the target holds, and why."""

import enum
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from changeover.change import Op
from changeover.envelope import decode
from changeover.errors import NotApplied
from changeover.log import History, topic_of
from changeover.partition import partition_of
from changeover.progress import Offsets, Partition
from changeover.table import Table
from changeover.targets import UNVERSIONED, Held
from changeover.values import Row
from changeover.verify.applied import Applied
from changeover.verify.comparing import Answer, Pair, answer_of, differing
from changeover.verify.source import Seen
from changeover.verify.verifier import Verifier
from changeover.version import ROW_MAX, Version

CHANGES_MAX = 10_000
"""Of one key, the last ones, 3 MB: a key that changes once a second has them in three hours."""

RECORDS_AT_ONCE = 2_000


class Fate(enum.StrEnum):
    """What has become of a change in the log."""

    HELD = "held: the target holds its version"
    SUPERSEDED = "applied, and superseded since"
    STALE = "stale: this or a later state had come before it"
    WAITING = "waiting: the consumers have not come to it"
    NOT_HELD = "passed by the consumers, and the target holds less"


class Logged(NamedTuple):
    """A change of the key in the log, without its values."""

    offset: int
    op: Op
    version: Version
    at_ms: int
    transaction: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A key on both sides and in between. Rows are masked, as they left the source."""

    key: bytes
    seen: Seen
    through: Version | None
    """What the target had applied through when it was looked at; None: not known."""

    partition: Partition | None
    """Where the log keeps the key; None if the log has nothing of the table yet."""

    committed: int
    """The offset that the consumers have come to there."""

    changes: Sequence[Logged]
    left_out: int
    """Earlier changes, of which there were too many."""

    pair: Pair[Any]
    is_ahead: bool
    """Whether the target's version is one that the source has never committed."""

    @property
    def row(self) -> Row | None:
        """The source's row."""
        return self.seen.rows.get(self.key)

    @property
    def held(self) -> Held[Any] | None:
        """What the target holds."""
        return self.pair.held

    @property
    def fates(self) -> list[Fate]:
        """What has become of each change."""
        return list(fates(self.changes, self.committed, self.held and self.held.version))

    def conclusion(self, *, adopts: bool = False) -> str:
        """What all of it says of the key, in a sentence."""
        answer = answer_of(self.pair, adopts=adopts)
        if self.is_ahead:
            return "ahead: the target holds a version that the source has never committed"
        if answer is Answer.LOOK_AGAIN:
            return "changed meanwhile: the target holds a later state already than the one that was read"
        if answer is Answer.EQUAL:
            return "equal: the target has what the source has"
        if self.through is None or self.through < self.seen.until:
            return "waiting: the target has not applied all that the source has committed"
        if self.held is not None and self.held.version == UNVERSIONED:
            return "no provenance: the target holds what changeover did not write"
        columns = differing(self.pair.source, self.held.body if self.held else None)
        return f"different{': ' if columns else ''}{', '.join(columns)}"


def explain(verifier: Verifier, table: Table, key: bytes, wait_s_max: float) -> Explanation:
    """Look at a key of a table of the source, whose masks hide no key: first the source, the target last.

    Waits in between until the target has applied what was read, for so many seconds at most.
    """
    source, target, log = verifier.source, verifier.target, verifier.log
    applied = Applied(log, verifier.applied.group, wait_s_max)
    seen = source.keys(table, [key])
    with suppress(NotApplied):  # it shows
        applied.wait_for(seen.until)
    committed = log.progress_of(applied.group).committed
    history = log.history()
    partition = partition_in(history.firsts(), topic_of(verifier.settings.pipeline, seen.table), key)
    changes, left_out = _changes(history, partition, key)
    (held,) = target.read_many(seen.table, [key])
    row = seen.rows.get(key)
    body = None if row is None else target.body_of(seen.table, row)
    return Explanation(
        key=key,
        seen=seen,
        through=applied.through.version if applied.through else None,
        partition=partition,
        committed=committed.get(partition, 0) if partition else 0,
        changes=changes,
        left_out=left_out,
        pair=Pair(source=body, bound=seen.bound, held=held),
        is_ahead=held is not None and held.version > source.end()._replace(row=ROW_MAX),
    )


def partition_in(offsets: Offsets, topic: str, key: bytes) -> Partition | None:
    """The partition of the topic in which the key lies; None if there is no such topic."""
    count = sum(partition.topic == topic for partition in offsets)
    return Partition(topic, partition_of(key, count)) if count else None


def fates(changes: Iterable[Logged], committed: int, held: Version | None) -> Iterator[Fate]:
    """What has become of each change, in the order of the log.

    The consumers have passed all before `committed`, and the target holds the version `held`. What the log
    does not hold any more was earlier than all of it, or is told by what the target holds.
    """
    latest: Version | None = None
    for change in changes:
        if change.offset >= committed:
            yield Fate.WAITING
        elif held is None or change.version > held:
            yield Fate.NOT_HELD
        elif latest is not None and change.version <= latest:
            yield Fate.STALE
        elif change.version == held:
            yield Fate.HELD
        else:
            yield Fate.SUPERSEDED
        if change.offset < committed:
            latest = max(change.version, latest or change.version)


def _changes(history: History, partition: Partition | None, key: bytes) -> tuple[list[Logged], int]:
    """The changes of the key in the order of the log, and how many were before them."""
    if partition is None:
        return [], 0
    found: deque[Logged] = deque(maxlen=CHANGES_MAX)
    count = 0
    for records in history.read({partition: history.firsts()[partition]}, RECORDS_AT_ONCE):
        for record in records:
            if record.key != key:
                continue
            change = decode(record.table, record.value)
            origin = change.origin
            found.append(Logged(record.offset, change.op, change.version, origin.at_ms, origin.transaction))
            count += 1
    return list(found), count - len(found)
