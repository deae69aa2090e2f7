"""A log in memory, with partitions, transactions, fencing and consumer groups whose members come and go.

What is kept is a `Store`; a `SimLog` is one process's connection to it. Members of a group learn of a
rebalance when they poll; until then they go on with partitions that others may have by now, and only their
commits are refused, as on Kafka.
"""

import threading
import zlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from changeover.errors import Fenced, LogUnavailable
from changeover.log import Beat, Checkpoint, Entry, GroupProgress, Record, topic_of
from changeover.progress import AppliedThrough, Offsets, Partition, Watermark
from tests.simulation.history import History
from tests.simulation.sql import Steps
from tests.simulation.world import Action

IDENTITY = "0123456789abcdef" * 2


@dataclass(slots=True)
class Group:
    """A consumer group: who has which partition, and what is committed."""

    committed: dict[Partition, int] = field(default_factory=dict)
    notes: dict[Partition, Watermark | None] = field(default_factory=dict)
    """Beside each offset the last watermark that its member had passed."""
    records: int = 0
    stale: int = 0
    members: list["SimReader"] = field(default_factory=list)
    generation: int = 0

    def rebalance(self) -> None:
        """Give the partitions out anew; each member learns of it at its next poll."""
        self.generation += 1

    def leave(self, member: "SimReader") -> None:
        """The member is gone, or was silent for too long."""
        if member in self.members:
            self.members.remove(member)
            self.rebalance()


class Store:
    """All that a log holds."""

    def __init__(self, pipeline: str, topics: Collection[str], partitions: int, history: History) -> None:
        self.pipeline = pipeline
        self.history = history
        self.partitions = [Partition(topic, number) for topic in topics for number in range(partitions)]
        self.records: dict[Partition, list[Record]] = {partition: [] for partition in self.partitions}
        self.watermarks: list[Watermark] = []
        self.checkpoint: Checkpoint | None = None
        self.generation = 0
        self.unnamed: dict[Partition, int] = {}
        """Ends of what capture wrote since the last watermark."""
        self.groups: dict[str, Group] = defaultdict(Group)
        self.version = 0
        """Rises with everything that a reader may want to know."""
        self._count = partitions
        self._lock = threading.Lock()  # for contract tests, whose writers are threads

    def insert(self, entries: Sequence[Entry], generation: int | None = None) -> dict[Partition, int]:
        """The entries' end offsets, once they are there: all of them or none."""
        made: list[tuple[Partition, Entry]] = []
        for entry in entries:
            if type(entry.value) is not bytes:
                message = "a value is bytes"
                raise TypeError(message)
            made.append((self._partition(entry), entry))
        with self._lock:
            for partition, (table, key, value) in made:
                records = self.records[partition]
                self._note(partition, len(records), table.full_name, key, value, generation)
                records.append(Record(partition, len(records), table, key, value))
            self.version += 1
            return {partition: len(self.records[partition]) for partition, _ in made}

    def happens(self) -> list[Action]:
        """A member of a group may be taken for dead: one that is, or one that is halted for too long."""
        return [
            (f"{member.name} is taken for dead", lambda group=group, member=member: group.leave(member))  # type: ignore[misc]
            for group in self.groups.values()
            for member in group.members
            if member.is_dead or member.is_halted
        ]

    def _partition(self, entry: Entry) -> Partition:
        return Partition(topic_of(self.pipeline, entry.table), zlib.crc32(entry.key) % self._count)

    def _note(  # noqa: PLR0913, PLR0917 - one field of the event each
        self, partition: Partition, offset: int, table: str, key: bytes, value: bytes, generation: int | None
    ) -> None:
        fields = {} if generation is None else {"generation": generation}
        self.history.note(
            "logged",
            partition=f"{partition.topic}/{partition.number}",
            offset=offset,
            table=table,
            key=key.decode("latin1"),
            value=value.decode("latin1"),
            **fields,
        )


class SimLog:
    """One process's connection to the log."""

    identity = IDENTITY

    def __init__(self, store: Store, process: Steps, name: str = "somebody") -> None:
        self.store = store
        self.process = process
        self.name = name
        self._readers: list[SimReader] = []
        process.at_death(self._die)

    def capture(self) -> "SimCaptureLog":
        """Take over as the one live capture."""
        return self.process.step("take the log over", lambda: SimCaptureLog(self), LogUnavailable)

    def append(self, entries: Sequence[Entry]) -> Offsets:
        """Return once the entries are there."""
        if not entries:
            return {}
        return self.process.step(
            f"append {len(entries)} rows", lambda: self.store.insert(entries), LogUnavailable
        )

    def reader(self, group: str) -> "SimReader":
        """Read on where the group has committed."""
        reader = SimReader(self, self.store.groups[group], group)
        self._readers.append(reader)
        return reader

    def history(self) -> "SimHistory":
        """What the log holds now."""
        return SimHistory(self.store)

    def progress_of(self, group: str) -> GroupProgress:
        """How far the group is."""
        found = self.store.groups.get(group, Group())
        return GroupProgress(dict(found.committed), through_of(self.store, found), found.records, found.stale)

    def checkpoint(self) -> Checkpoint | None:
        """Capture's last checkpoint."""
        return self.store.checkpoint

    def close(self) -> None:
        """Leave the groups."""
        for reader in self._readers:
            reader.group.leave(reader)

    def __enter__(self) -> Self:
        """The log itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _die(self) -> None:
        for reader in self._readers:
            reader.is_dead = True  # its group learns of it later


def through_of(store: Store, group: Group) -> Watermark | None:
    """The last watermark that every partition's member has noted as passed; unknown while one has not."""
    notes = [group.notes.get(partition) for partition in store.partitions]
    passed = [note for note in notes if note is not None]
    return min(passed, key=lambda note: note.version) if passed and len(passed) == len(notes) else None


class SimCaptureLog:
    """The log in the hands of one capture."""

    def __init__(self, log: SimLog) -> None:
        self._log = log
        self._store = log.store
        self._store.generation += 1
        self._generation = self._store.generation
        self._store.history.note("takeover", who=log.name, generation=self._generation)
        self.checkpoint = self._store.checkpoint

    def append(self, entries: Sequence[Entry], checkpoint: Checkpoint | None, beat: Beat | None) -> None:
        """Return once all of it is there."""
        self._log.process.step(
            f"append {len(entries)} changes", lambda: self._append(entries, checkpoint, beat), LogUnavailable
        )

    def _append(self, entries: Sequence[Entry], checkpoint: Checkpoint | None, beat: Beat | None) -> None:
        store = self._store
        if store.generation != self._generation:
            message = "a newer capture has taken over this log"
            raise Fenced(message)
        store.unnamed |= store.insert(entries, self._generation)
        if checkpoint:
            store.checkpoint = self.checkpoint = checkpoint
            store.history.note("checkpoint", version=checkpoint.version.text, position=checkpoint.position)
        if beat:
            store.watermarks.append(Watermark(beat.version, beat.source_ms, dict(store.unnamed)))
            store.unnamed.clear()
            store.version += 1


class SimReader:
    """One member of a group."""

    def __init__(self, log: SimLog, group: Group, group_name: str) -> None:
        self.group = group
        self.name = log.name
        self.is_dead = False
        self._group_name = group_name
        self._store = log.store
        self._process = log.process
        self._generation = -1
        self._ours: list[Partition] = []
        self._position: dict[Partition, int] = {}
        self._through: AppliedThrough[Watermark | None] = AppliedThrough(None)
        self._expected = 0
        self._seen = -1
        """The store's version when all was polled and committed."""

    @property
    def is_halted(self) -> bool:
        """Whether its process is."""
        return self._process.is_halted

    def poll(self, limit: int) -> Sequence[Record]:
        """Up to `limit` records of the partitions that are ours."""
        return self._process.step("poll", lambda: self._poll(limit), LogUnavailable)

    def commit(self, offsets: Offsets, *, records: int = 0, stale: int = 0) -> Watermark | None:
        """Move the group's offsets."""
        if not offsets and not self._has_news():
            return self._through.mark
        return self._process.step(
            "commit offsets", lambda: self._commit(offsets, records, stale), LogUnavailable
        )

    def has_news(self) -> bool:
        """Whether a poll or a commit would do something."""
        return self._seen != self._store.version or self._is_stale()

    def _is_stale(self) -> bool:
        return self._generation != self.group.generation or self not in self.group.members

    def _has_news(self) -> bool:
        return len(self._store.watermarks) > self._expected or self._through.ahead > 0

    def _poll(self, limit: int) -> Sequence[Record]:
        if self._is_stale():
            self._join()
        records: list[Record] = []
        behind = [one for one in self._ours if self._position[one] < len(self._store.records[one])]
        for place, partition in enumerate(behind):
            left = limit - len(records)
            start = self._position[partition]
            share = min(left, max(1, left // (len(behind) - place)))
            taken = self._store.records[partition][start : start + share]
            self._position[partition] = start + len(taken)
            records += taken
        if not records and not self._has_news():
            self._seen = self._store.version
        return records

    def _join(self) -> None:
        group = self.group
        if self not in group.members:
            group.members.append(self)
            group.rebalance()
        self._generation = group.generation
        place, count = group.members.index(self), len(group.members)
        self._ours = [one for number, one in enumerate(self._store.partitions) if number % count == place]
        self._position = {partition: group.committed.get(partition, 0) for partition in self._ours}
        notes = [group.notes.get(partition) for partition in self._ours]
        known = [note for note in notes if note is not None]
        first = min(known, key=lambda note: note.version) if len(known) == len(notes) and known else None
        self._through = AppliedThrough(first)
        self._expected = 0
        if first is not None:
            marks = self._store.watermarks
            self._expected = next(
                (n for n, mark in enumerate(marks) if mark.version > first.version), len(marks)
            )

    def _commit(self, offsets: Offsets, records: int, stale: int) -> Watermark | None:
        group = self.group
        if self._is_stale() or not self._ours:
            return self._through.mark  # refused: whoever has the partitions now reads them again
        own = {partition: offset for partition, offset in offsets.items() if partition in self._ours}
        for mark in self._store.watermarks[self._expected :]:
            self._through.expect(mark, {p: end for p, end in mark.ends.items() if p in self._ours})
        self._expected = len(self._store.watermarks)
        group.committed |= own
        through = self._through.passed(group.committed)
        self._through.settle(through)
        group.notes |= dict.fromkeys(self._ours, through)
        group.records += records
        group.stale += stale
        self._note(own)
        return through

    def _note(self, own: Offsets) -> None:
        note = self._store.history.note
        for (topic, number), offset in own.items():
            note("offsets", group=self._group_name, partition=f"{topic}/{number}", offset=offset)
        whole = through_of(self._store, self.group)
        if whole:
            note("through", group=self._group_name, version=whole.version.text, source_ms=whole.source_ms)


class SimHistory:
    """What the log held when this was made."""

    def __init__(self, store: Store) -> None:
        self._records = {partition: list(records) for partition, records in store.records.items() if records}

    def firsts(self) -> dict[Partition, int]:
        """The first record of each partition that has any."""
        return dict.fromkeys(self._records, 0)

    def read(self, starts: Offsets, limit: int) -> Iterator[Sequence[Record]]:
        """The records from the starts on."""
        for partition, start in starts.items():
            for place in range(start, len(self._records[partition]), limit):
                yield self._records[partition][place : place + limit]


OpenLog = Callable[[], SimLog]
