"""The pipeline's topics: made by us, and checked before they are used.

A partition count that has changed puts keys into other partitions, and a topic that was made anew has lost
its records: both are refused, by the count and Kafka's topic id that stand in the control topic.
"""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from changeover.errors import LogUnusable
from changeover.log import topic_of
from changeover.log.kafka.client import (
    ATTEMPT_TIMEOUT_S,
    OPEN_S_MAX,
    REQUEST_TIMEOUT_S,
    Cluster,
    patiently,
    reached,
    translated,
    unavailable,
)
from changeover.progress import Partition
from changeover.table import Table

MS_PER_HOUR = 3_600_000

READ_COMMITTED, READ_UNCOMMITTED = IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the topics must be like."""

    partitions: int
    replication: int
    min_insync: int
    replay_window_h: int

    @property
    def retention_ms(self) -> int:
        """How long records must be kept at least."""
        return self.replay_window_h * MS_PER_HOUR


@dataclass(frozen=True, slots=True)
class Found:
    """A topic as the brokers describe it."""

    topic_id: str
    partitions: int
    replication: int


def control_topic(pipeline: str) -> str:
    """The compacted topic of the log's own records."""
    return f"{pipeline}.control"


def progress_topic(pipeline: str) -> str:
    """The topic of watermarks."""
    return f"{pipeline}.progress"


def table_topics(topics: Mapping[str, Found], pipeline: str) -> dict[str, Found]:
    """Those of the topics that hold changes."""
    own = (control_topic(pipeline), progress_topic(pipeline))
    return {name: topic for name, topic in topics.items() if name not in own}


class Topics:
    """Describes and makes a pipeline's topics; `LogUnavailable` or `LogUnusable` if no broker answers."""

    def __init__(self, cluster: Cluster, pipeline: str) -> None:
        self._servers = cluster.servers
        self._pipeline = pipeline
        # Kept, as its requests would be dropped with it.
        self.admin = reached(cluster)

    def describe(self, names: Iterable[str]) -> dict[str, Found]:
        """The topics that there are, of these names."""
        wanted = TopicCollection(list(names))
        return patiently(
            self._servers,
            lambda: _found(self.admin.describe_topics(wanted, request_timeout=ATTEMPT_TIMEOUT_S)),
        )

    def create(self, tables: Sequence[Table], wanted: Wanted) -> dict[str, Found]:
        """Make the topics that are missing; all of the pipeline's topics for these tables."""
        kept = {**COMMON_CONFIG, "cleanup.policy": "delete", "retention.ms": str(wanted.retention_ms)}
        new = [
            self._new(control_topic(self._pipeline), 1, wanted, CONTROL_CONFIG),
            self._new(progress_topic(self._pipeline), 1, wanted, kept),
            *(
                self._new(topic_of(self._pipeline, table), wanted.partitions, wanted, kept)
                for table in tables
            ),
        ]
        names = [topic.topic for topic in new]
        there = self.describe(names)
        missing = [topic for topic in new if topic.topic not in there]
        if missing:
            for answer in self.admin.create_topics(missing, request_timeout=REQUEST_TIMEOUT_S).values():
                self._await_made(answer)
        return self._await_described(names)

    def ends(
        self, partitions: Collection[Partition], isolation: IsolationLevel = READ_UNCOMMITTED
    ) -> dict[Partition, int]:
        """For each partition the offset behind all that was written, or the first that is not committed."""
        places = {TopicPartition(topic, number): OffsetSpec.latest() for topic, number in partitions}  # type: ignore[no-untyped-call]

        def ask() -> dict[Partition, int]:
            for topic in {partition.topic for partition in partitions}:
                # Else the client (2.16) goes on to ask the leader that it knew before an election, and fails.
                self.admin.list_topics(topic, timeout=ATTEMPT_TIMEOUT_S)
            asked = self.admin.list_offsets(
                places, isolation_level=isolation, request_timeout=ATTEMPT_TIMEOUT_S
            )
            return {Partition(at.topic, at.partition): int(end.result().offset) for at, end in asked.items()}

        return patiently(self._servers, ask) if places else {}

    def check_unchanged(self, noted: Mapping[str, Found]) -> None:
        """Return if each topic is the one that was noted; else `LogUnusable` says what became of it."""
        found = self.describe(noted)
        for name, before in noted.items():
            change = _change(name, before, found.get(name))
            if change:
                raise LogUnusable(change, hint=NEW_PIPELINE)

    def complaints(self, tables: Sequence[Table], wanted: Wanted) -> list[str]:
        """What is wrong with the topics as they are, one line each.

        Takes as long as a transaction may be open where one is that no producer goes on with.
        """
        names = [
            control_topic(self._pipeline),
            progress_topic(self._pipeline),
            *(topic_of(self._pipeline, table) for table in tables),
        ]
        found = self.describe(names)
        said = [f"topic {name} is missing" for name in names if name not in found]
        said += [
            f"topic {name} has replication {topic.replication}, below {wanted.replication}"
            for name, topic in found.items()
            if topic.replication < wanted.replication
        ]
        for name, config in self._configs(found).items():
            is_control = name == control_topic(self._pipeline)
            said += _config_complaints(name, config, wanted, "compact" if is_control else "delete")
        return [*said, *self._endless(found)]

    def _endless(self, topics: Mapping[str, Found]) -> Iterable[str]:
        """The transactions that outlast every time-out: Kafka has lost the end of them."""
        places = [
            Partition(name, number) for name, topic in topics.items() for number in range(topic.partitions)
        ]
        first = self.ends(places, READ_COMMITTED)
        written = self.ends(places)
        held = {place: at for place, at in first.items() if at < written[place]}
        deadline = time.monotonic() + OPEN_S_MAX
        while held and time.monotonic() < deadline:
            time.sleep(POLL_S)
            held = {place: at for place, at in self.ends(held, READ_COMMITTED).items() if at == held[place]}
        for (topic, number), offset in held.items():
            yield (
                f"topic {topic}, partition {number}: the transaction at offset {offset} does not end, "
                "and nobody reads past it"
            )

    def _configs(self, names: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]

        def ask() -> dict[str, Mapping[str, Any]]:
            asked = self.admin.describe_configs(resources, request_timeout=ATTEMPT_TIMEOUT_S)
            return {resource.name: answer.result() for resource, answer in asked.items()}

        return patiently(self._servers, ask) if resources else {}

    def _new(self, name: str, partitions: int, wanted: Wanted, config: Mapping[str, str]) -> NewTopic:
        settings = {"min.insync.replicas": str(wanted.min_insync), **config}
        return NewTopic(name, partitions, wanted.replication, config=settings)

    def _await_made(self, answer: Future[None]) -> None:
        with translated(self._servers):
            try:
                answer.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # made by another, meanwhile
                    raise

    def _await_described(self, names: Sequence[str]) -> dict[str, Found]:
        """The topics, once all brokers that we ask have heard of them."""
        deadline = time.monotonic() + REQUEST_TIMEOUT_S
        while len(found := self.describe(names)) < len(set(names)):
            if time.monotonic() > deadline:
                missing = ", ".join(set(names) - set(found))
                raise unavailable(f"topics that were made have not come up: {missing}")
            time.sleep(POLL_S)
        return found


POLL_S = 0.1

NEW_PIPELINE = "Start a pipeline under a new name, with a new target and import."

RECORD_BYTES = 1_048_588
"""Kafka's default for the largest record. Set for each topic, since a broker's own default may be lower."""

COMMON_CONFIG = {
    "max.message.bytes": str(RECORD_BYTES),
    "retention.bytes": "-1",
    # A replica that lags must not become the leader: acknowledged records would be lost.
    "unclean.leader.election.enable": "false",
}

CONTROL_CONFIG = {
    **COMMON_CONFIG,
    "cleanup.policy": "compact",
    # Compaction leaves the segment alone that is being written: small ones keep the topic quick to read.
    "segment.bytes": str(16 * 1024 * 1024),
    # Each append leaves a transaction marker, which compaction keeps for this long; by default a day.
    "delete.retention.ms": "60000",
}


def _found(asked: Mapping[str, Future[Any]]) -> dict[str, Found]:
    found: dict[str, Found] = {}
    for name, answer in asked.items():
        try:
            topic = answer.result()
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                continue
            raise
        replication = min(len(partition.replicas) for partition in topic.partitions)
        found[name] = Found(str(topic.topic_id), len(topic.partitions), replication)
    return found


def _config_complaints(name: str, config: Mapping[str, Any], wanted: Wanted, cleanup: str) -> Iterable[str]:
    value = {key: entry.value for key, entry in config.items()}
    if value["cleanup.policy"] != cleanup:
        yield f"topic {name} has cleanup.policy {value['cleanup.policy']}, not {cleanup}"
    if int(value["min.insync.replicas"]) < wanted.min_insync:
        found = value["min.insync.replicas"]
        yield f"topic {name} has min.insync.replicas {found}, below {wanted.min_insync}"
    if int(value["max.message.bytes"]) < RECORD_BYTES:
        yield f"topic {name} takes records of {value['max.message.bytes']} bytes, below {RECORD_BYTES}"
    if value["unclean.leader.election.enable"] == "true":
        yield f"topic {name} may lose acknowledged records (unclean.leader.election.enable)"
    if cleanup == "delete":
        yield from _retention_complaints(name, value, wanted)


def _retention_complaints(name: str, value: Mapping[str, str], wanted: Wanted) -> Iterable[str]:
    retention_ms = int(value["retention.ms"])
    if 0 <= retention_ms < wanted.retention_ms:
        yield (
            f"topic {name} keeps records for {retention_ms / MS_PER_HOUR:.0f} h, "
            f"less than the replay window of {wanted.replay_window_h} h"
        )
    if int(value["retention.bytes"]) >= 0:
        yield f"topic {name} drops records by size (retention.bytes {value['retention.bytes']})"


def _change(name: str, before: Found, now: Found | None) -> str | None:
    if now is None:
        return f"topic {name} is gone"
    if now.topic_id != before.topic_id:
        return f"topic {name} was made anew: what it held is lost"
    if now.partitions != before.partitions:
        return f"topic {name} has {now.partitions} partitions, not {before.partitions} as at the start"
    return None
