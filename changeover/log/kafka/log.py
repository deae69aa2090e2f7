"""A pipeline's log on a Kafka cluster."""

import secrets
from collections.abc import Sequence
from dataclasses import asdict
from typing import Self

import orjson
from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka.admin import AdminClient

from changeover.errors import LogUnusable
from changeover.log import Checkpoint, Entry, GroupProgress
from changeover.log.kafka.client import REQUEST_TIMEOUT_S, Cluster, translated
from changeover.log.kafka.control import KEY_CAPTURE, KEY_IDENTITY, KEY_TOPIC, ControlTopic
from changeover.log.kafka.producing import Appender, KafkaCaptureLog
from changeover.log.kafka.reading import KafkaReader
from changeover.log.kafka.topics import Topics, Wanted, check_unchanged, control_topic, progress_topic
from changeover.log.kafka.wire import CaptureState, CommitNote
from changeover.progress import Partition, Watermark
from changeover.table import Table

RECORD_BYTES_MAX = 900_000
"""Larger records are split: a broker takes 1,048,588 bytes by default, with key and headers."""


class KafkaLog:
    """A log on Kafka; its topics are made beforehand (`make_log`)."""

    def __init__(
        self,
        cluster: Cluster,
        pipeline: str,
        *,
        writer: str | None = None,
        record_bytes_max: int = RECORD_BYTES_MAX,
    ) -> None:
        self._cluster = cluster
        self._pipeline = pipeline
        self._writer = writer or secrets.token_hex(8)
        self._bytes_max = record_bytes_max
        self._appender: Appender | None = None
        self._readers: list[KafkaReader] = []
        topics = Topics(cluster, pipeline)
        if not topics.describe([control_topic(pipeline)]):
            message = f"Kafka at {cluster.servers} has no topics of pipeline {pipeline!r}"
            raise LogUnusable(message, hint="Make them: changeover topics create.")
        self._control = ControlTopic(cluster, pipeline)
        self._control.refresh()
        noted = self._control.topics()
        check_unchanged(noted, topics.describe(noted))
        if self._control.identity is None:
            message = f"the topics of pipeline {pipeline!r} were not made by changeover"
            raise LogUnusable(message, hint="Make them: changeover topics create.")
        self.identity = self._control.identity
        self._tables = [name for name in noted if name not in _own_topics(pipeline)]

    def capture(self) -> KafkaCaptureLog:
        """Take over as the one live capture."""
        return KafkaCaptureLog(self._new_appender("capture"), self._control, self._pipeline)

    def append(self, entries: Sequence[Entry]) -> dict[Partition, int]:
        """Return once the entries are durable, with the end offsets of their partitions."""
        if self._appender is None:
            self._appender = self._new_appender(f"writer.{self._writer}")
        return self._appender.append(entries)

    def reader(self, group: str) -> KafkaReader:
        """Read on where the group has committed."""
        reader = KafkaReader(self._cluster, self._pipeline, group, self._tables, self._control)
        self._readers.append(reader)
        return reader

    def progress_of(self, group: str) -> GroupProgress:
        """How far the group is, from what its members wrote beside their offsets."""
        with translated(self._cluster.servers):
            admin = AdminClient(self._cluster.admin())
            asked = admin.list_consumer_group_offsets(
                [ConsumerGroupTopicPartitions(f"{self._pipeline}.{group}")],
                request_timeout=REQUEST_TIMEOUT_S,
            )
            places = next(answer.result() for answer in asked.values()).topic_partitions or []
        offsets = {Partition(place.topic, place.partition): place.offset for place in places}
        notes = {
            Partition(place.topic, place.partition): CommitNote.decode(place.metadata) for place in places
        }
        return GroupProgress(
            committed=offsets,
            through=self._through(notes),
            records=sum(note.records for note in notes.values()),
            stale=sum(note.stale for note in notes.values()),
        )

    def checkpoint(self) -> Checkpoint | None:
        """Capture's last durable checkpoint."""
        self._control.refresh()
        value = self._control.values.get(KEY_CAPTURE)
        return CaptureState.decode(value).checkpoint if value else None

    def close(self) -> None:
        """Hang up."""
        for reader in self._readers:
            reader.close()
        self._control.close()

    def __enter__(self) -> Self:
        """The log itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _through(self, notes: dict[Partition, CommitNote]) -> Watermark | None:
        """The last watermark that every partition has passed; unknown while one has not said."""
        topics = self._control.topics()
        partitions = [
            Partition(name, number) for name in self._tables for number in range(topics[name].partitions)
        ]
        said = [notes.get(partition, CommitNote()).through for partition in partitions]
        passed = [through for through in said if through is not None]
        if not passed or len(passed) < len(said):
            return None
        return min(passed, key=lambda through: through.version)

    def _new_appender(self, name: str) -> Appender:
        return Appender(self._cluster, self._pipeline, name, self._control, self._bytes_max)


def make_log(cluster: Cluster, pipeline: str, tables: Sequence[Table], wanted: Wanted) -> list[str]:
    """Make what is missing of the pipeline's topics, and note them; the names of those that were made.

    Raises `LogUnusable` if a topic that was noted before is gone or has changed.
    """
    topics = Topics(cluster, pipeline)
    has_control = bool(topics.describe([control_topic(pipeline)]))
    made = topics.create(tables, wanted)
    control = ControlTopic(cluster, pipeline)
    control.refresh()
    noted = control.topics()
    found = topics.describe([*noted, *made])
    if has_control:
        check_unchanged(noted, found)
    appender = Appender(cluster, pipeline, "topics", control, RECORD_BYTES_MAX)
    appender.begin([])
    if control.identity is None:
        appender.produce(control.name, KEY_IDENTITY, secrets.token_hex(16).encode())
    for name in made:
        appender.produce(control.name, KEY_TOPIC + name.encode(), orjson.dumps(asdict(found[name])))
    appender.flush()
    appender.commit()
    control.close()
    return made


def _own_topics(pipeline: str) -> tuple[str, str]:
    return control_topic(pipeline), progress_topic(pipeline)
