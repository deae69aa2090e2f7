"""The watermarks, as far as they concern the partitions of one member of a group."""

from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from changeover.log.kafka.client import ATTEMPT_TIMEOUT_S, Cluster, error_of, patiently, translated
from changeover.log.kafka.topics import progress_topic
from changeover.log.kafka.wire import CommitNote, decode_watermark
from changeover.progress import Offsets, Partition, Watermark, has_passed

AHEAD_MAX = 10_000
"""Watermarks held until they are passed, about 10 MB: three hours of them. The others wait in the log."""

QUEUE_KBYTES_MAX = 1024


class Mark(NamedTuple):
    """A watermark that was passed, and the place in the progress topic behind it."""

    through: Watermark | None
    offset: int


class _Ahead(NamedTuple):
    mark: Mark
    ends: Offsets


class Watermarks:
    """What this member's partitions have passed, and what lies ahead of them."""

    def __init__(self, cluster: Cluster, pipeline: str) -> None:
        self._servers = cluster.servers
        self._topic = progress_topic(pipeline)
        self._partitions: Collection[Partition] = ()
        self._ahead: deque[_Ahead] = deque()
        self._missed: Offsets = {}
        self.mark = Mark(None, 0)
        """The last one that was passed, durably."""
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
        self._ahead.clear()
        self.mark = Mark(first.through, first.progress_offset)
        place = TopicPartition(self._topic, 0)
        low, _ = patiently(
            self._servers, lambda: self._consumer.get_watermark_offsets(place, timeout=ATTEMPT_TIMEOUT_S)
        )
        with translated(self._servers):
            self._missed = ends(self._partitions) if low > first.progress_offset else {}
            self._consumer.assign([TopicPartition(self._topic, 0, max(low, first.progress_offset))])

    def passed(self, committed: Offsets) -> Mark:
        """The last watermark that these offsets pass, together with all before it."""
        self._read()
        mark = self.mark
        for ahead in self._ahead:
            if not has_passed(committed, ahead.ends):
                break
            mark = ahead.mark
        return mark

    def settle(self, mark: Mark) -> None:
        """That the mark was passed is durable."""
        while self._ahead and self._ahead[0].mark.offset <= mark.offset:
            self._ahead.popleft()
        self.mark = mark

    def close(self) -> None:
        """Hang up."""
        self._consumer.close()

    def _read(self) -> None:
        room = AHEAD_MAX - len(self._ahead)
        if room <= 0:
            return
        with translated(self._servers):
            messages = self._consumer.consume(room, timeout=0)
        for message in messages:
            self._take(message)

    def _take(self, message: Message) -> None:
        error = message.error()
        if error is None:
            self._expect(decode_watermark(message.value() or b""), (message.offset() or 0) + 1)
        elif error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - it has no other name
            raise error_of(error, self._servers)

    def _expect(self, watermark: Watermark, offset: int) -> None:
        own = {partition: end for partition, end in watermark.ends.items() if partition in self._partitions}
        through = Watermark(watermark.version, watermark.source_ms, {})
        self._ahead.append(_Ahead(Mark(through, offset), {**own, **self._missed}))
        self._missed = {}
