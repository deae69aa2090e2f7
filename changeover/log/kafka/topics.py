"""The pipeline's topics: made by us, and checked before they are used.

A partition count that has changed puts keys into other partitions, and a topic that was made anew has lost
its records: both are refused, by the count and Kafka's topic id that stand in the control topic.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from changeover.errors import LogUnusable
from changeover.log import topic_of
from changeover.log.kafka.client import REQUEST_TIMEOUT_S, Cluster, translated
from changeover.table import Table

MS_PER_HOUR = 3_600_000


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


class Topics:
    """Describes and makes a pipeline's topics."""

    def __init__(self, cluster: Cluster, pipeline: str) -> None:
        self._servers = cluster.servers
        self._pipeline = pipeline
        with translated(self._servers):
            self._admin = AdminClient(cluster.admin())

    def describe(self, names: Iterable[str]) -> dict[str, Found]:
        """The topics that there are, of these names."""
        asked = self._admin.describe_topics(TopicCollection(list(names)), request_timeout=REQUEST_TIMEOUT_S)
        found: dict[str, Found] = {}
        for name, answer in asked.items():
            try:
                topic = answer.result()
            except KafkaException as error:
                if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    continue
                with translated(self._servers):
                    raise
            replication = min(len(partition.replicas) for partition in topic.partitions)
            found[name] = Found(str(topic.topic_id), len(topic.partitions), replication)
        return found

    def create(self, tables: Sequence[Table], wanted: Wanted) -> list[str]:
        """Make the topics that are missing; their names."""
        new = [
            self._new(control_topic(self._pipeline), 1, wanted, CONTROL_CONFIG),
            self._new(progress_topic(self._pipeline), 1, wanted, _kept(wanted)),
            *(
                self._new(topic_of(self._pipeline, table), wanted.partitions, wanted, _kept(wanted))
                for table in tables
            ),
        ]
        there = self.describe(topic.topic for topic in new)
        missing = [topic for topic in new if topic.topic not in there]
        if missing:
            for answer in self._admin.create_topics(missing, request_timeout=REQUEST_TIMEOUT_S).values():
                with translated(self._servers):
                    answer.result()
        return [topic.topic for topic in missing]

    def complaints(self, tables: Sequence[Table], wanted: Wanted) -> list[str]:
        """What is wrong with the topics as they are, one line each."""
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
        return said

    def _configs(self, names: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        if not resources:
            return {}
        asked = self._admin.describe_configs(resources, request_timeout=REQUEST_TIMEOUT_S)
        with translated(self._servers):
            return {resource.name: answer.result() for resource, answer in asked.items()}

    def _new(self, name: str, partitions: int, wanted: Wanted, config: Mapping[str, str]) -> NewTopic:
        settings = {"min.insync.replicas": str(wanted.min_insync), **config}
        return NewTopic(name, partitions, wanted.replication, config=settings)


CONTROL_CONFIG = {
    "cleanup.policy": "compact",
    # Compaction leaves the segment alone that is being written: small ones keep the topic quick to read.
    "segment.bytes": str(16 * 1024 * 1024),
}


def _kept(wanted: Wanted) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(wanted.retention_ms), "retention.bytes": "-1"}


def _config_complaints(name: str, config: Mapping[str, Any], wanted: Wanted, cleanup: str) -> Iterable[str]:
    value = {key: entry.value for key, entry in config.items()}
    if value["cleanup.policy"] != cleanup:
        yield f"topic {name} has cleanup.policy {value['cleanup.policy']}, not {cleanup}"
    if int(value["min.insync.replicas"]) < wanted.min_insync:
        found = value["min.insync.replicas"]
        yield f"topic {name} has min.insync.replicas {found}, below {wanted.min_insync}"
    retention_ms = int(value["retention.ms"])
    if cleanup == "delete" and 0 <= retention_ms < wanted.retention_ms:
        yield (
            f"topic {name} keeps records for {retention_ms / MS_PER_HOUR:.0f} h, "
            f"less than the replay window of {wanted.replay_window_h} h"
        )
    if cleanup == "delete" and int(value["retention.bytes"]) >= 0:
        yield f"topic {name} drops records by size (retention.bytes {value['retention.bytes']})"


def check_unchanged(noted: Mapping[str, Found], found: Mapping[str, Found]) -> None:
    """Return if each topic is the one that was made; else `LogUnusable` says what became of it."""
    for name, before in noted.items():
        now = found.get(name)
        if now is None:
            message = f"topic {name} is gone"
        elif now.topic_id != before.topic_id:
            message = f"topic {name} was made anew: what it held is lost"
        elif now.partitions != before.partitions:
            message = f"topic {name} has {now.partitions} partitions, not {before.partitions} as at the start"
        else:
            continue
        raise LogUnusable(message, hint="Start a pipeline under a new name, with a new target and import.")
