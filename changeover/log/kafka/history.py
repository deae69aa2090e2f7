"""Reading what the topics hold, as no member of any group."""

import time
from collections.abc import Iterator, Sequence

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from changeover.errors import LogTrimmed, LogUnavailable
from changeover.log import Record
from changeover.log.kafka.client import REQUEST_TIMEOUT_S, Cluster, error_of, translated
from changeover.log.kafka.control import ControlTopic
from changeover.log.kafka.parts import HEADER_PART, Join
from changeover.log.kafka.reading import OUT_OF_RANGE, headers_of, table_of
from changeover.log.kafka.topics import table_topics
from changeover.progress import Offsets, Partition

POLL_S = 0.5

PARTS_REACH = 10_000
"""How many records before a start are looked at for first parts of a split record that ends behind it."""


class KafkaHistory:
    """What the tables' topics held when this was made."""

    def __init__(self, cluster: Cluster, pipeline: str, control: ControlTopic) -> None:
        self._cluster = cluster
        self._pipeline = pipeline
        self._control = control
        control.refresh()
        consumer = self._consumer()
        try:
            with translated(cluster.servers):
                self._held = {
                    place: self._ends_of(consumer, place)
                    for name, topic in table_topics(control.topics, pipeline).items()
                    for place in (Partition(name, number) for number in range(topic.partitions))
                }
        finally:
            consumer.close()

    def firsts(self) -> dict[Partition, int]:
        """For each partition the offset of the first record that is still there."""
        return {partition: first for partition, (first, _) in self._held.items()}

    def read(self, starts: Offsets, limit: int) -> Iterator[Sequence[Record]]:
        """Up to `limit` records at a time of these partitions, each in order."""
        open_ends = {
            partition: self._held[partition][1]
            for partition, start in starts.items()
            if start < self._held[partition][1]
        }
        joins = {partition: Join(starts[partition]) for partition in open_ends}
        consumer = self._consumer()
        try:
            with translated(self._cluster.servers):
                consumer.assign([self._place(partition, starts[partition]) for partition in open_ends])
            while open_ends:
                records = [
                    record
                    for message in self._messages(consumer, limit)
                    if (record := self._record(message, open_ends, joins)) is not None
                    and record.offset >= starts[record.partition]
                ]
                if records:
                    yield records
        finally:
            consumer.close()

    def _consumer(self) -> Consumer:
        with translated(self._cluster.servers):
            # The client wants a group's name; nothing is committed and nothing subscribed to under it.
            return Consumer(self._cluster.consumer(f"{self._pipeline}.history"))

    def _ends_of(self, consumer: Consumer, place: Partition) -> tuple[int, int]:
        first, end = consumer.get_watermark_offsets(
            TopicPartition(place.topic, place.number), timeout=REQUEST_TIMEOUT_S
        )
        return first, end

    def _place(self, partition: Partition, start: int) -> TopicPartition:
        first, _ = self._held[partition]
        return TopicPartition(partition.topic, partition.number, max(first, start - PARTS_REACH))

    def _messages(self, consumer: Consumer, limit: int) -> list[Message]:
        deadline = time.monotonic() + REQUEST_TIMEOUT_S
        with translated(self._cluster.servers):
            while not (messages := consumer.consume(limit, timeout=POLL_S)):
                if time.monotonic() > deadline:
                    message = f"Kafka at {self._cluster.servers} gave nothing for {REQUEST_TIMEOUT_S:.0f} s"
                    raise LogUnavailable(message)
        return messages

    def _record(
        self, message: Message, open_ends: dict[Partition, int], joins: dict[Partition, Join]
    ) -> Record | None:
        """The record that is complete with this message; a partition that has come to its end is closed."""
        partition, offset = Partition(message.topic() or "", message.partition() or 0), message.offset() or 0
        error = message.error()
        if error is not None:
            self._take_error(error, partition, open_ends)
            return None
        end = open_ends.get(partition, 0)
        if offset + 1 >= end:
            open_ends.pop(partition, None)
        if offset >= end:
            return None
        headers, value = headers_of(message), message.value() or b""
        part = headers.get(HEADER_PART)
        if part is not None:
            joined = joins[partition].take(offset, part, value)
            if joined is None:
                return None
            joins[partition].forget(offset + 1)
            value = joined
        table = table_of(self._control, partition.topic, headers)
        return Record(partition, offset, table, message.key() or b"", value)

    def _take_error(self, error: KafkaError, partition: Partition, open_ends: dict[Partition, int]) -> None:
        match error.code():
            case KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's own codes have no other name
                # Behind the last record there are markers of transactions, and nothing that will come.
                open_ends.pop(partition, None)
            case code if code in OUT_OF_RANGE:
                raise LogTrimmed(f"the log drops what is to be read next: {error.str()}")
            case _:
                raise error_of(error, self._cluster.servers)
