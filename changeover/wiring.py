"""Builds logs and targets from their settings: backends are chosen by the scheme of the URL."""

from collections.abc import Sequence
from pathlib import Path

from changeover.errors import StartRefused
from changeover.log import Log
from changeover.log.sqlite import SQLiteLog
from changeover.log.sqlite import check as check_log
from changeover.settings import Settings, path_in
from changeover.table import Table
from changeover.targets.wiring import (
    check_mapping,
    check_target_of,
    mapping_of,
    open_target,
    riak_access,
    riak_options,
)

__all__ = [
    "check_log_of",
    "check_mapping",
    "check_stores",
    "check_target_of",
    "complaints_about_topics",
    "create_topics",
    "has_checkpoint",
    "has_log",
    "mapping_of",
    "open_log",
    "open_target",
    "riak_access",
    "riak_options",
]


def open_log(settings: Settings, writer: str | None = None) -> Log:
    """The pipeline's log; a SQLite file is made if it is not there, Kafka's topics are not.

    `writer` names who appends beside capture: of two that have one name, the later fences the earlier.
    """
    if settings.log.servers:
        from changeover.log.kafka import wiring as kafka  # noqa: PLC0415 - who has no log there loads none of it

        return kafka.open_log(settings, writer)
    return SQLiteLog(_log_file(settings), settings.pipeline, replay_window_h=settings.log.replay_window_h)


def has_log(settings: Settings) -> bool:
    """Whether the pipeline has begun: its log is there."""
    return settings.log.servers is not None or _log_file(settings).exists()


def require_log(settings: Settings) -> None:
    """Return if the pipeline has begun, else raise `StartRefused`; makes nothing."""
    if not has_log(settings):
        message = f"pipeline {settings.pipeline} has not begun: there is no log yet"
        raise StartRefused(message, hint="Start it with `changeover run`.")


def has_checkpoint(settings: Settings) -> bool:
    """Whether capture has begun, so that it goes on from its checkpoint."""
    if not has_log(settings):
        return False
    with open_log(settings) as log:
        return log.checkpoint() is not None


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


def create_topics(settings: Settings, tables: Sequence[Table]) -> list[str]:
    """Make the topics that are missing; their names."""
    from changeover.log.kafka import wiring as kafka  # noqa: PLC0415 - as in open_log

    return kafka.create_topics(settings, tables)


def complaints_about_topics(settings: Settings, tables: Sequence[Table]) -> list[str]:
    """What is wrong with the topics, one line each."""
    from changeover.log.kafka import wiring as kafka  # noqa: PLC0415 - as in open_log

    return kafka.complaints_about_topics(settings, tables)


def _log_file(settings: Settings) -> Path:
    return path_in(settings.log.url, "log.url", "sqlite:FILE or kafka://host:port")
