"""Builds the log on Kafka from the settings.

Apart from the other wiring, which imports it for a log of that kind alone: the client library takes its time.
"""

from collections.abc import Sequence

from changeover.errors import SettingsInvalid
from changeover.log.kafka.client import Cluster
from changeover.log.kafka.log import KafkaLog, make_log
from changeover.log.kafka.topics import Topics, Wanted
from changeover.settings import LogSettings, Settings
from changeover.table import Table


def open_log(settings: Settings, writer: str | None) -> KafkaLog:
    """The pipeline's log; see `changeover.wiring.open_log`."""
    return KafkaLog(
        cluster_of(settings.log),
        settings.pipeline,
        writer=writer,
        record_bytes_max=settings.log.record_bytes_max,
    )


def create_topics(settings: Settings, tables: Sequence[Table]) -> list[str]:
    """Make the topics that are missing; their names."""
    return make_log(cluster_of(settings.log), settings.pipeline, tables, wanted_topics(settings.log))


def complaints_about_topics(settings: Settings, tables: Sequence[Table]) -> list[str]:
    """What is wrong with the topics, one line each."""
    topics = Topics(cluster_of(settings.log), settings.pipeline)
    return topics.complaints(tables, wanted_topics(settings.log))


def cluster_of(log: LogSettings) -> Cluster:
    """The Kafka cluster of the settings; `SettingsInvalid` where the log is none."""
    if log.servers is None:
        message = f"log.url is {log.url!r}, which is no Kafka cluster"
        raise SettingsInvalid(message, hint="Topics are for kafka://host:port; a SQLite log makes its own.")
    return Cluster(servers=log.servers, options=log.client_options())


def wanted_topics(log: LogSettings) -> Wanted:
    """What the settings want the topics to be like."""
    return Wanted(
        partitions=log.partitions,
        replication=log.replication,
        min_insync=log.min_insync,
        replay_window_h=log.replay_window_h,
    )
