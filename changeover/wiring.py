"""Builds logs and targets from their settings: backends are chosen by the scheme of the URL."""

from collections.abc import Sequence
from pathlib import Path

from changeover.errors import SettingsInvalid
from changeover.log import Log
from changeover.log.kafka.client import Cluster
from changeover.log.kafka.log import KafkaLog, make_log
from changeover.log.kafka.topics import Topics, Wanted
from changeover.log.sqlite import SQLiteLog
from changeover.log.sqlite import check as check_log
from changeover.settings import LogSettings, Settings, file_of
from changeover.table import Table
from changeover.targets.sqlite import SQLiteTarget
from changeover.targets.sqlite import check as check_target


def open_log(settings: Settings, writer: str | None = None) -> Log:
    """The pipeline's log; a SQLite file is made if it is not there, Kafka's topics are not.

    `writer` names who appends beside capture: of two that have one name, the later fences the earlier.
    """
    if settings.log.servers:
        return KafkaLog(
            cluster_of(settings.log),
            settings.pipeline,
            writer=writer,
            record_bytes_max=settings.log.record_bytes_max,
        )
    return SQLiteLog(_log_file(settings), settings.pipeline, replay_window_h=settings.log.replay_window_h)


def has_log(settings: Settings) -> bool:
    """Whether the pipeline has begun: its log is there."""
    return settings.log.servers is not None or _log_file(settings).exists()


def has_checkpoint(settings: Settings) -> bool:
    """Whether capture has begun, so that it goes on from its checkpoint."""
    if not has_log(settings):
        return False
    with open_log(settings) as log:
        return log.checkpoint() is not None


def open_target(settings: Settings) -> SQLiteTarget:
    """The pipeline's target, made if it is not there."""
    return SQLiteTarget(_target_file(settings), settings.pipeline, adopt=settings.target.adopt)


def check_stores(settings: Settings) -> None:
    """Return if log and target can be opened for writing, else raise as opening would; makes nothing."""
    check_log_of(settings)
    check_target_of(settings)


def check_log_of(settings: Settings) -> None:
    """As `check_stores`, for the log alone."""
    if settings.log.servers:
        open_log(settings).close()
    else:
        check_log(_log_file(settings), settings.pipeline)


def check_target_of(settings: Settings) -> None:
    """As `check_stores`, for the target alone."""
    check_target(_target_file(settings), settings.pipeline, adopt=settings.target.adopt)


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


def _log_file(settings: Settings) -> Path:
    return _path(settings.log.url, "log.url", "sqlite:FILE or kafka://host:port")


def _target_file(settings: Settings) -> Path:
    return _path(settings.target.url, "target.url", "sqlite:FILE")


def _path(url: str, setting: str, kinds: str) -> Path:
    path = file_of(url)
    if path is None:
        message = f"{setting} is {url!r}, which names no kind of store there is"
        raise SettingsInvalid(message, hint=f"This release has {kinds}.")
    return path
