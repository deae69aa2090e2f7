"""A pipeline's log on a Kafka cluster."""

import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Self

import orjson

from changeover.errors import Fenced, LogUnusable
from changeover.log import Checkpoint, Entry, GroupProgress
from changeover.log.kafka import client
from changeover.log.kafka.client import Cluster
from changeover.log.kafka.control import FORMAT, KEY_FORMAT, KEY_IDENTITY, KEY_TOPIC, ControlTopic
from changeover.log.kafka.groups import Groups, note_of
from changeover.log.kafka.history import KafkaHistory
from changeover.log.kafka.producing import Appender, KafkaCaptureLog
from changeover.log.kafka.reading import KafkaReader
from changeover.log.kafka.topics import NEW_PIPELINE, Found, Topics, Wanted, control_topic, table_topics
from changeover.log.kafka.wire import CommitNote
from changeover.progress import Partition, Watermark
from changeover.table import Table

RECORD_BYTES_MAX = 900_000
"""Larger values are split: a broker takes 1,048,588 bytes by default, with key and headers."""


class KafkaLog:
    """A log on Kafka, for one thread; its topics are made beforehand (`make_log`).

    `writer` names who appends beside capture: of two that have one name, the later fences the earlier.
    """

    identity: str

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
        self._writer = writer
        self._writer_id = writer or secrets.token_hex(8)
        self._bytes_max = record_bytes_max
        self._appender: Appender | None = None
        self._readers: list[KafkaReader] = []
        self._topics = Topics(cluster, pipeline)
        self._groups = Groups(cluster, pipeline)
        if not self._topics.describe([control_topic(pipeline)]):
            raise self._not_made()
        self._control = ControlTopic(cluster, pipeline, self._topics)
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    def capture(self) -> KafkaCaptureLog:
        """Take over as the one live capture."""
        return KafkaCaptureLog(self._new_appender("capture"), self._control, self._pipeline)

    def append(self, entries: Sequence[Entry]) -> dict[Partition, int]:
        """Return once the entries are durable, with the end offsets of their partitions."""
        if not entries:
            return {}
        appender = self._appender or self._new_appender(f"writer.{self._writer_id}")
        self._appender = None  # one that fails is thrown away, and the next one ends what it has left open
        begun_s = time.monotonic()
        try:
            ends = appender.append(entries)
        except Fenced as error:
            if self._writer and time.monotonic() - begun_s < client.TRANSACTION_TIMEOUT_MS / 1000:
                raise  # too soon for Kafka to have ended it by itself: another one has our name
            raise client.open_for_too_long() from error
        self._appender = appender
        return ends

    def reader(self, group: str) -> KafkaReader:
        """Read on where the group has committed."""
        reader = KafkaReader(self._cluster, self._pipeline, group, self._topics, self._control)
        self._readers.append(reader)
        return reader

    def history(self) -> KafkaHistory:
        """What the tables' topics hold now."""
        return KafkaHistory(self._cluster, self._pipeline, self._control)

    def progress_of(self, group: str) -> GroupProgress:
        """How far the group is, from what its members wrote beside their offsets."""
        self._control.refresh()  # for topics that were added since
        topics = table_topics(self._control.topics, self._pipeline)
        partitions = [
            Partition(name, number) for name, topic in topics.items() for number in range(topic.partitions)
        ]
        places = self._groups.committed(group, partitions)
        notes = {Partition(place.topic, place.partition): note_of(place) for place in places}
        return GroupProgress(
            committed={Partition(place.topic, place.partition): place.offset for place in places},
            through=_through(notes.get(partition) for partition in partitions),
            records=sum(note.records for note in notes.values()),
            stale=sum(note.stale for note in notes.values()),
        )

    def checkpoint(self) -> Checkpoint | None:
        """Capture's last durable checkpoint."""
        self._control.refresh()
        return self._control.capture.checkpoint

    def close(self) -> None:
        """Hang up."""
        for reader in self._readers:
            reader.close()
        self._groups.close()
        self._control.close()

    def __enter__(self) -> Self:
        """The log itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _check(self) -> None:
        # Not the whole: a capture that died may have left a transaction open, for us to end.
        self._control.refresh()
        if self._control.identity is None:
            self._control.refresh(whole=True)
        if self._control.identity is None:
            raise self._not_made()
        self._topics.check_unchanged(self._control.topics)
        self.identity = self._control.identity

    def _not_made(self) -> LogUnusable:
        message = f"Kafka at {self._cluster.servers} has no log of pipeline {self._pipeline!r}"
        return LogUnusable(message, hint="Make it: changeover topics create.")

    def _new_appender(self, name: str) -> Appender:
        return Appender(self._cluster, self._pipeline, name, self._control, self._bytes_max)


def _through(notes: Iterable[CommitNote | None]) -> Watermark | None:
    """The last watermark that every partition has passed; unknown while one has not said."""
    said = [note.through if note else None for note in notes]
    passed = [through for through in said if through is not None]
    if not passed or len(passed) < len(said):
        return None
    return min(passed, key=lambda through: through.version)


def make_log(cluster: Cluster, pipeline: str, tables: Sequence[Table], wanted: Wanted) -> list[str]:
    """Make what is missing of the pipeline's topics, and note them; the names of those noted.

    Topics that were made beforehand are taken up, if nothing was ever written to them. Raises `LogUnusable`
    if one is not empty, or if one that was noted before is gone or has changed.
    """
    topics = Topics(cluster, pipeline)
    control = ControlTopic(cluster, pipeline, topics)
    try:
        if topics.describe([control.name]):
            control.refresh()  # which refuses a log of a newer release, before anything is made
        found = topics.create(tables, wanted)
        # Before anything is read: of two that make the log at once, one is fenced.
        appender = Appender(cluster, pipeline, "topics", control, RECORD_BYTES_MAX)
        control.refresh(whole=True)
        topics.check_unchanged(control.topics)
        new = {name: topic for name, topic in found.items() if name not in control.topics}
        _check_empty(topics, {name: topic for name, topic in new.items() if name != control.name})
        appender.begin()
        if control.identity is None:
            appender.produce(control.name, KEY_FORMAT, str(FORMAT).encode())
            appender.produce(control.name, KEY_IDENTITY, secrets.token_hex(16).encode())
        for name, topic in new.items():
            appender.produce(control.name, KEY_TOPIC + name.encode(), orjson.dumps(asdict(topic)))
        appender.flush()
        appender.commit()
    finally:
        control.close()
    return list(new)


def _check_empty(topics: Topics, found: Mapping[str, Found]) -> None:
    partitions = [
        Partition(name, number) for name, topic in found.items() for number in range(topic.partitions)
    ]
    for partition, end in topics.ends(partitions).items():
        if end > 0:
            message = f"topic {partition.topic} holds records that are not of this log"
            raise LogUnusable(message, hint=NEW_PIPELINE)
