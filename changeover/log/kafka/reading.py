"""Reading as one member of a consumer group: partitions come and go, offsets are committed by hand."""

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from changeover.errors import ChangeUnreadable, LogTrimmed, LogUnavailable
from changeover.log import Record
from changeover.log.kafka.client import ATTEMPT_TIMEOUT_S, Cluster, bounded, error_of, patiently, translated
from changeover.log.kafka.control import ControlTopic
from changeover.log.kafka.groups import committed_of, note_of
from changeover.log.kafka.parts import HEADER_PART, Join
from changeover.log.kafka.topics import Topics, table_topics
from changeover.log.kafka.watermarks import Watermarks
from changeover.log.kafka.wire import HEADER_TABLE, CommitNote
from changeover.progress import Offsets, Partition, Watermark
from changeover.table import Table

log = structlog.get_logger("reader")

POLL_S = 0.05
"""How long a poll waits for records: a part of the lag, since it waits for as many as it may take."""

LOOK_S = 10.0
"""How often a reader looks for new topics; and whether a broker that sends nothing still answers."""

MOVED_AWAY = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError._ASSIGNMENT_LOST,  # noqa: SLF001 - librdkafka's own codes have no other name
        KafkaError._STATE,  # noqa: SLF001
    }
)
"""Answers to a commit for partitions that are no longer ours: whoever has them now reads again."""

OUT_OF_RANGE = frozenset({KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET})  # noqa: SLF001


@dataclass(slots=True)
class Ours:
    """A partition that is assigned to this member, and how far it has come."""

    committed: int
    note: CommitNote
    join: Join
    polled: int
    """Behind the last message."""
    end: int = 0
    """Where the partition ended when its end was last reached."""

    def applied(self, end: int) -> int:
        """The place before which all is applied, when our caller says that all before `end` is.

        No later than what was polled since the partition became ours: the caller may speak of what it got
        when we had it before, and then we may not know what lies there.
        """
        applied = max(self.note.applied, min(end, self.polled))
        # Behind the last record lie markers of transactions. To commit a place before them would be to find
        # it gone once they are too old to be kept, though nothing was missed.
        return max(applied, self.end) if applied >= self.polled else applied


class KafkaReader:
    """A member of a consumer group."""

    def __init__(
        self, cluster: Cluster, pipeline: str, group: str, topics: Topics, control: ControlTopic
    ) -> None:
        self._servers = cluster.servers
        self._pipeline = pipeline
        self._topics = topics
        self._control = control
        self._subscribed: set[str] = set()
        self._ours: dict[Partition, Ours] = {}
        self._coming: list[TopicPartition] | None = None
        self._looked_at = time.monotonic()
        with translated(self._servers):
            self._watermarks = Watermarks(cluster, pipeline)
            self._consumer = Consumer(cluster.consumer(f"{pipeline}.{group}"))
        self._subscribe()

    def poll(self, limit: int) -> Sequence[Record]:
        """Up to `limit` records of the partitions that are ours."""
        self._look()
        with translated(self._servers):
            messages = self._consumer.consume(limit, timeout=POLL_S)
        records = [record for message in messages if (record := self._record(message)) is not None]
        if self._coming is not None:
            coming, self._coming = self._coming, None
            self._begin(coming)
        return records

    def commit(self, offsets: Offsets, *, records: int = 0, stale: int = 0) -> Watermark | None:
        """Move the group's offsets; the watermark that this member's partitions have passed."""
        if not self._ours:  # where nothing is read, nothing is known; what is named has moved away
            return None
        applied = {
            partition: ours.applied(offsets.get(partition, 0)) for partition, ours in self._ours.items()
        }
        places = {
            partition: max(ours.committed, ours.join.resume_at(applied[partition]))
            for partition, ours in self._ours.items()
        }
        mark = self._watermarks.passed(places)
        notes = {
            partition: replace(
                ours.note, through=mark.through, progress_offset=mark.offset, applied=applied[partition]
            )
            for partition, ours in self._ours.items()
        }
        for first in [partition for partition in offsets if partition in notes][:1]:
            # Counted for the group as a whole, beside any one of its offsets.
            note = notes[first]
            notes[first] = replace(note, records=note.records + records, stale=note.stale + stale)
        if self._commit(places, notes):
            self._watermarks.settle(mark)
        return self._watermarks.mark.through

    def close(self) -> None:
        """Leave the group, so that the others need not wait for a time-out."""
        with suppress(
            LogUnavailable
        ):  # a commit that still hangs holds it up, and then both go on unobserved
            bounded(self._servers, self._consumer.close)
        self._watermarks.close()

    def _commit(self, places: Offsets, notes: Mapping[Partition, CommitNote]) -> bool:
        """Whether all of it is durable. If not, or not known to be, all stays as it was with us."""
        changed = [
            TopicPartition(partition.topic, partition.number, places[partition], notes[partition].encode())
            for partition, ours in self._ours.items()
            if places[partition] != ours.committed or notes[partition] != ours.note
        ]
        if changed and not self._send(changed):
            return False
        for partition, ours in self._ours.items():
            ours.committed, ours.note = places[partition], notes[partition]
            ours.join.forget(ours.note.applied)
        return True

    def _send(self, places: list[TopicPartition]) -> bool:
        try:
            answers = bounded(
                self._servers, lambda: self._consumer.commit(offsets=places, asynchronous=False)
            )
        except KafkaException as refusal:
            errors = [refusal.args[0]]
        else:
            errors = [answer.error for answer in answers or () if answer.error is not None]
        for error in errors:
            if error.code() not in MOVED_AWAY:
                raise error_of(error, self._servers)
        if errors:
            log.warning("partitions moved away before their offsets were committed")
        return not errors

    def _look(self) -> None:
        if time.monotonic() - self._looked_at > LOOK_S:
            self._control.refresh()
            self._subscribe()
            self._looked_at = time.monotonic()

    def _subscribe(self) -> None:
        wanted = set(table_topics(self._control.topics, self._pipeline))
        if wanted == self._subscribed:
            return
        with translated(self._servers):
            self._consumer.subscribe(
                sorted(wanted), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
            )
        self._subscribed = wanted

    # What the client calls while it is asked for records. An error that is raised here would take the records
    # with it, so these only take note.

    def _assigned(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        consumer.assign([])  # nothing is to be read before we know where from
        self._coming = places

    def _revoked(self, _: Consumer, __: list[TopicPartition]) -> None:
        # All of them, as it is with this kind of assignment: those that stay are assigned anew.
        self._ours = {}
        self._coming = None

    def _lost(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        # Unlike revoked ones, another member may have them already: what we hold of them counts no more, and
        # what is committed for them is refused.
        log.warning("partitions lost", partitions=len(places))
        self._revoked(consumer, places)

    def _begin(self, places: list[TopicPartition]) -> None:
        """Read on in these partitions from what is committed."""
        self._topics.check_unchanged(self._control.topics)  # partitions that were added end up here too
        partitions = [Partition(place.topic, place.partition) for place in places]
        committed = committed_of(self._servers, self._consumer, partitions) if partitions else []
        self._control.refresh()  # behind the notes, which may be a newer release's: that is refused here
        ours = {Partition(place.topic, place.partition): self._resumed(place) for place in committed}
        self._watermarks.start({partition: one.note for partition, one in ours.items()}, self._topics.ends)
        with translated(self._servers):
            self._consumer.assign(
                [TopicPartition(topic, number, one.committed) for (topic, number), one in ours.items()]
            )
        self._ours = ours

    def _resumed(self, place: TopicPartition) -> Ours:
        start = place.offset if place.offset >= 0 else self._first_offset(place)
        note = note_of(place)
        note = replace(note, applied=max(note.applied, start))
        return Ours(start, note, Join(note.applied), polled=start)

    def _first_offset(self, place: TopicPartition) -> int:
        low, _ = patiently(
            self._servers, lambda: self._consumer.get_watermark_offsets(place, timeout=ATTEMPT_TIMEOUT_S)
        )
        if low > 0:
            raise LogTrimmed(
                f"topic {place.topic} no longer holds its first {low} records, which this group never read"
            )
        return low

    def _record(self, message: Message) -> Record | None:
        """The record that is complete with this message, if one is, in a partition that is ours."""
        topic, number, offset = message.topic() or "", message.partition() or 0, message.offset() or 0
        error = message.error()
        partition = Partition(topic, number)
        ours = self._ours.get(partition)
        if error is not None:
            self._take_error(error, ours, offset)
            return None
        if ours is None:  # taken away while these records were on their way
            return None
        ours.polled = offset + 1
        headers = headers_of(message)
        value = message.value() or b""
        part = headers.get(HEADER_PART)
        if part is not None:
            joined = ours.join.take(offset, part, value)
            if joined is None:
                return None
            value = joined
        return Record(partition, offset, table_of(self._control, topic, headers), message.key() or b"", value)

    def _take_error(self, error: KafkaError, ours: Ours | None, offset: int) -> None:
        match error.code():
            case KafkaError._PARTITION_EOF:  # noqa: SLF001
                if ours is not None:
                    ours.end = offset
            case KafkaError._MAX_POLL_EXCEEDED:  # noqa: SLF001
                log.warning("the target took so long that the partitions were given to others")
            case code if code in OUT_OF_RANGE:
                raise LogTrimmed(f"the log no longer holds what is to be read next: {error.str()}")
            case _:
                raise error_of(error, self._servers)


def table_of(control: ControlTopic, topic: str, headers: Mapping[str, bytes]) -> Table:
    """The definition under which a record was written; `ChangeUnreadable` if it names none."""
    fingerprint = headers.get(HEADER_TABLE)
    if fingerprint is None:
        raise ChangeUnreadable(f"a record in {topic} was not written by changeover: it names no table")
    table = control.table(fingerprint)
    if table is None:
        raise ChangeUnreadable(f"a record in {topic} names a table definition that is not in the log")
    return table


def headers_of(message: Message) -> dict[str, bytes]:
    """The message's headers by name."""
    pairs: Iterable[tuple[str, object]] = message.headers() or ()  # type: ignore[assignment] # its stub is wide
    return {name: value for name, value in pairs if isinstance(value, bytes)}
