"""The watermarks, as far as they concern the partitions of one member of a group."""

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from changeover.log.kafka.client import ATTEMPT_TIMEOUT_S, Cluster, error_of, patiently, translated
from changeover.log.kafka.topics import progress_topic
from changeover.log.kafka.wire import KEY_WATERMARK, CommitNote, decode_watermark, readable
from changeover.progress import AppliedThrough, Offsets, Partition, Watermark

AHEAD_MAX = 10_000
"""Watermarks held until they are passed, about 10 MB: three hours of them. The others wait in the log."""

QUEUE_KBYTES_MAX = 1024


class Mark(NamedTuple):
    """A watermark that was passed, and the place in the progress topic behind it."""

    through: Watermark | None
    offset: int


class Watermarks:
    """What this member's partitions have passed, and what lies ahead of them."""

    def __init__(self, cluster: Cluster, pipeline: str) -> None:
        self._servers = cluster.servers
        self._topic = progress_topic(pipeline)
        self._partitions: Collection[Partition] = ()
        self._through = AppliedThrough(Mark(None, 0))
        self._missed: Offsets = {}
        settings = cluster.consumer(f"{pipeline}.progress") | {"queued.max.messages.kbytes": QUEUE_KBYTES_MAX}
        with translated(self._servers):
            self._consumer = Consumer(settings)

    def start(
        self, notes: Mapping[Partition, CommitNote], ends: Callable[[Collection[Partition]], Offsets]
    ) -> None:
        """Begin with these partitions at the earliest place that one of them has noted.

        Where watermarks from that place on were dropped for their age, they may have named any partition, so
        nothing more is claimed before all that is in the partitions now was passed: up to their `ends`.
        """
        first = min(notes.values(), key=lambda note: note.progress_offset, default=CommitNote())
        self._partitions = frozenset(notes)
        self._through = AppliedThrough(Mark(first.through, first.progress_offset))
        place = TopicPartition(self._topic, 0)
        low, _ = patiently(
            self._servers, lambda: self._consumer.get_watermark_offsets(place, timeout=ATTEMPT_TIMEOUT_S)
        )
        with translated(self._servers):
            self._missed = ends(self._partitions) if low > first.progress_offset else {}
            self._consumer.assign([TopicPartition(self._topic, 0, max(low, first.progress_offset))])

    @property
    def mark(self) -> Mark:
        """The last one that was passed, durably."""
        return self._through.mark

    def passed(self, committed: Offsets) -> Mark:
        """The last watermark that these offsets pass, together with all before it."""
        self._read()
        return self._through.passed(committed)

    def settle(self, mark: Mark) -> None:
        """That the mark was passed is durable."""
        self._through.settle(mark)

    def close(self) -> None:
        """Hang up."""
        self._consumer.close()

    def _read(self) -> None:
        room = AHEAD_MAX - self._through.ahead
        if room <= 0:
            return
        with translated(self._servers):
            messages = self._consumer.consume(room, timeout=0)
        for message in messages:
            self._take(message)

    def _take(self, message: Message) -> None:
        error = message.error()
        if error is None:
            offset = message.offset() or 0
            with readable(f"the topic {self._topic} at offset {offset}"):
                if message.key() != KEY_WATERMARK:
                    raise ValueError(f"a record with the key {message.key()!r}")
                watermark = decode_watermark(message.value() or b"")
            self._expect(watermark, offset + 1)
        elif error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - it has no other name
            raise error_of(error, self._servers)

    def _expect(self, watermark: Watermark, offset: int) -> None:
        own = {partition: end for partition, end in watermark.ends.items() if partition in self._partitions}
        through = Watermark(watermark.version, watermark.source_ms, {})
        self._through.expect(Mark(through, offset), {**own, **self._missed})
        self._missed = {}
