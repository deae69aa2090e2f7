"""Reading as one member of a consumer group: partitions come and go, offsets are committed by hand."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from changeover.errors import ChangeoverError, ChangeUnreadable, LogTrimmed
from changeover.log import Record
from changeover.log.kafka.client import REQUEST_TIMEOUT_S, Cluster, error_of, translated
from changeover.log.kafka.control import ControlTopic
from changeover.log.kafka.topics import progress_topic
from changeover.log.kafka.wire import HEADER_PART, HEADER_TABLE, CommitNote, Part, decode_watermark
from changeover.progress import AppliedThrough, Offsets, Partition, Watermark
from changeover.table import Table
from changeover.version import Version

log = structlog.get_logger("reader")

POLL_S = 0.05
"""How long a poll waits for records: a part of the lag, since it waits for as many as it may take."""

WATERMARKS_AT_ONCE = 10_000

MOVED_AWAY = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError._STATE,  # noqa: SLF001 - librdkafka's own codes have no other name
        KafkaError._NO_OFFSET,  # noqa: SLF001
    }
)
"""Answers to a commit for partitions that are no longer ours: whoever has them now reads again."""

OUT_OF_RANGE = frozenset({KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET})  # noqa: SLF001


@dataclass(slots=True)
class Ours:
    """A partition that is assigned to this member."""

    committed: int
    note: CommitNote
    join: "Join"

    def behind(self, end: int) -> int:
        """Where to resume after `end`: before the first part of a record whose last part is yet to come."""
        return min(end, end if self.join.oldest is None else self.join.oldest)


class KafkaReader:
    """A member of a consumer group."""

    def __init__(
        self, cluster: Cluster, pipeline: str, group: str, topics: Iterable[str], control: ControlTopic
    ) -> None:
        self._servers = cluster.servers
        self._control = control
        self._ours: dict[Partition, Ours] = {}
        with translated(self._servers):
            self._progress = Progress(cluster, pipeline)
            self._consumer = Consumer(cluster.consumer(f"{pipeline}.{group}"))
            self._consumer.subscribe(
                sorted(topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
            )

    def poll(self, limit: int) -> Sequence[Record]:
        """Up to `limit` records of the partitions that are ours."""
        with translated(self._servers):
            messages = self._consumer.consume(limit, timeout=POLL_S)
        records = (self._record(message) for message in messages)
        return [record for record in records if record]

    def commit(self, offsets: Offsets, *, records: int = 0, stale: int = 0) -> Watermark | None:
        """Move the group's offsets; the watermark that this member's partitions have passed."""
        behind = {
            partition: self._ours[partition].behind(end)
            for partition, end in offsets.items()
            if partition in self._ours  # else it has moved away, and whoever has it now reads again
        }
        committed = {partition: ours.committed for partition, ours in self._ours.items()} | behind
        through = self._progress.advance(committed)
        notes = {
            partition: replace(ours.note, through=through, progress_offset=self._progress.offset)
            for partition, ours in self._ours.items()
            if partition in behind or ours.note.through != through
        }
        for first in list(behind)[:1]:  # counted for the group as a whole, beside any one of its offsets
            note = notes[first]
            notes[first] = replace(note, records=note.records + records, stale=note.stale + stale)
        if notes and self._commit(committed, notes):
            for partition, note in notes.items():
                self._ours[partition].committed = committed[partition]
                self._ours[partition].note = note
        return through

    def close(self) -> None:
        """Leave the group, so that the others need not wait for a time-out."""
        self._consumer.close()
        self._progress.close()

    def _commit(self, committed: Offsets, notes: Mapping[Partition, CommitNote]) -> bool:
        places = [
            TopicPartition(partition.topic, partition.number, committed[partition], note.encode())
            for partition, note in notes.items()
        ]
        try:
            answers = self._consumer.commit(offsets=places, asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() in MOVED_AWAY:
                log.warning("partitions moved away before their offsets were committed")
                return False
            raise error_of(error.args[0], self._servers) from error
        for answer in answers or ():
            if answer.error is not None:
                raise error_of(answer.error, self._servers)
        return True

    def _record(self, message: Message) -> Record | None:
        error = message.error()
        if error is not None:
            raise _error_of(error, self._servers)
        partition = Partition(message.topic() or "", message.partition() or 0)
        offset = message.offset() or 0
        headers = _headers(message)
        value = self._ours[partition].join.take(offset, headers.get(HEADER_PART), message.value() or b"")
        if value is None:
            return None
        table = self._table(partition, headers.get(HEADER_TABLE))
        return Record(partition, offset, table, message.key() or b"", value)

    def _table(self, partition: Partition, fingerprint: bytes | None) -> Table:
        if fingerprint is None:
            message = f"a record in {partition.topic} was not written by changeover: it names no table"
            raise ChangeUnreadable(message)
        table = self._control.table(fingerprint)
        if table is None:
            self._control.refresh()  # definitions are committed before the first record that needs them
            table = self._control.table(fingerprint)
        if table is None:
            message = f"a record in {partition.topic} names a table definition that is not in the log"
            raise ChangeUnreadable(message)
        return table

    def _assigned(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        committed = consumer.committed(places, timeout=REQUEST_TIMEOUT_S)
        self._ours = {}
        for place in committed:
            if place.offset < 0:
                place.offset = self._first_offset(consumer, place)
            ours = Ours(place.offset, CommitNote.decode(place.metadata), Join())
            self._ours[Partition(place.topic, place.partition)] = ours
        consumer.assign(committed)
        self._progress.start({partition: ours.note for partition, ours in self._ours.items()})

    def _first_offset(self, consumer: Consumer, place: TopicPartition) -> int:
        low, _ = consumer.get_watermark_offsets(place, timeout=REQUEST_TIMEOUT_S)
        if low > 0:
            message = (
                f"topic {place.topic} no longer holds its first {low} records, which this group never read"
            )
            raise LogTrimmed(message)
        return low

    def _revoked(self, _: Consumer, places: list[TopicPartition]) -> None:
        self._forget(places)

    def _lost(self, _: Consumer, places: list[TopicPartition]) -> None:
        # Unlike revoked ones, another member may have them already: whatever we hold of them counts no more.
        log.warning("partitions lost", partitions=len(places))
        self._forget(places)

    def _forget(self, places: list[TopicPartition]) -> None:
        for place in places:
            self._ours.pop(Partition(place.topic, place.partition), None)


class Join:
    """Puts the parts of split records of one partition together again."""

    def __init__(self) -> None:
        self._parts: dict[str, list[bytes]] = {}
        self._first: dict[str, int] = {}

    @property
    def oldest(self) -> int | None:
        """The offset of the oldest part that waits for others."""
        return min(self._first.values(), default=None)

    def take(self, offset: int, header: bytes | None, value: bytes) -> bytes | None:
        """The whole value, None while parts of it are missing."""
        if header is None:
            return value
        part = Part.parse(header)
        parts = self._parts.setdefault(part.record, [])
        self._first.setdefault(part.record, offset)
        if part.number != len(parts):
            message = f"part {part.number + 1} of {part.count} of a record comes after {len(parts)} others"
            raise ChangeUnreadable(message)
        parts.append(value)
        if len(parts) < part.count:
            return None
        del self._first[part.record]
        return b"".join(self._parts.pop(part.record))


class Progress:
    """The watermarks, as far as they concern the partitions of one member."""

    def __init__(self, cluster: Cluster, pipeline: str) -> None:
        self._topic = progress_topic(pipeline)
        self._servers = cluster.servers
        self._consumer = Consumer(cluster.consumer(f"{pipeline}.progress"))
        self._partitions: frozenset[Partition] = frozenset()
        self._through = AppliedThrough()
        self._behind: dict[Version, int] = {}
        self.offset = 0
        """The place in the progress topic behind the last watermark that was passed."""

    def start(self, notes: Mapping[Partition, CommitNote]) -> None:
        """Begin again, with these partitions, at the earliest place that one of them has noted."""
        first = min(notes.values(), key=lambda note: note.progress_offset, default=CommitNote())
        self._partitions = frozenset(notes)
        self._through = AppliedThrough(first.through)
        self._behind = {}
        self.offset = first.progress_offset
        self._consumer.assign([TopicPartition(self._topic, 0, self.offset)])

    def advance(self, committed: Offsets) -> Watermark | None:
        """The last watermark that the committed offsets have passed."""
        with translated(self._servers):
            messages = self._consumer.consume(WATERMARKS_AT_ONCE, timeout=0)
        for message in messages:
            error = message.error()
            if error is not None:
                raise _error_of(error, self._servers)
            self._expect(decode_watermark(message.value() or b""), (message.offset() or 0) + 1)
        through = self._through.advance(committed)
        for version in [version for version in self._behind if through and version <= through.version]:
            self.offset = self._behind.pop(version)
        return through

    def close(self) -> None:
        """Hang up."""
        self._consumer.close()

    def _expect(self, watermark: Watermark, behind: int) -> None:
        ends = {partition: end for partition, end in watermark.ends.items() if partition in self._partitions}
        self._through.expect([replace(watermark, ends=ends)])
        self._behind[watermark.version] = behind


def _headers(message: Message) -> dict[str, bytes]:
    pairs: Iterable[tuple[str, object]] = message.headers() or ()  # type: ignore[assignment] # its stub is wide
    return {name: value for name, value in pairs if isinstance(value, bytes)}


def _error_of(error: KafkaError, servers: str) -> ChangeoverError:
    if error.code() in OUT_OF_RANGE:
        return LogTrimmed(f"the log no longer holds what is to be read next: {error.str()}")
    return error_of(error, servers)
