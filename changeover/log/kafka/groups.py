"""What consumer groups have committed, asked by somebody who is no member of them."""

from collections.abc import Sequence

from confluent_kafka import Consumer, KafkaException, TopicPartition

from changeover.log.kafka.client import ATTEMPT_TIMEOUT_S, Cluster, patiently, translated
from changeover.log.kafka.wire import CommitNote, readable
from changeover.progress import Partition


class Groups:
    """Asks for the offsets of a pipeline's groups.

    By consumers that never join: librdkafka's own question for them (2.16, `list_consumer_group_offsets`)
    goes unanswered after a restart of the broker now and then, or aborts the process.
    """

    def __init__(self, cluster: Cluster, pipeline: str) -> None:
        self._cluster = cluster
        self._pipeline = pipeline
        self._consumers: dict[str, Consumer] = {}

    def committed(self, group: str, partitions: Sequence[Partition]) -> list[TopicPartition]:
        """Offset and metadata of each of the partitions of which the group has committed any."""
        if not partitions:
            return []
        consumer = self._consumers.get(group) or self._consumer(group)
        return [
            place for place in committed_of(self._cluster.servers, consumer, partitions) if place.offset >= 0
        ]

    def close(self) -> None:
        """Hang up."""
        for consumer in self._consumers.values():
            consumer.close()

    def _consumer(self, group: str) -> Consumer:
        with translated(self._cluster.servers):
            self._consumers[group] = Consumer(self._cluster.consumer(f"{self._pipeline}.{group}"))
        return self._consumers[group]


def note_of(place: TopicPartition) -> CommitNote:
    """What stands beside the offset that was committed there; `ChangeUnreadable` if it is none of ours."""
    with readable(f"the note beside the committed offset of {place.topic}/{place.partition}"):
        return CommitNote.decode(place.metadata)


def committed_of(servers: str, consumer: Consumer, partitions: Sequence[Partition]) -> list[TopicPartition]:
    """What the consumer's group has committed for these partitions; an offset below 0 where nothing."""

    def ask() -> list[TopicPartition]:
        places = consumer.committed(
            [TopicPartition(*partition) for partition in partitions], timeout=ATTEMPT_TIMEOUT_S
        )
        for place in places:
            if place.error is not None:
                raise KafkaException(place.error)
        return places

    return patiently(servers, ask)
