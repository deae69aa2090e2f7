"""Builds logs and targets from their settings: backends are chosen by the scheme of the URL."""

from pathlib import Path

from changeover.errors import SettingsInvalid
from changeover.log.sqlite import SQLiteLog
from changeover.log.sqlite import check as check_log
from changeover.settings import Settings, file_of
from changeover.targets.sqlite import SQLiteTarget
from changeover.targets.sqlite import check as check_target

ONLY_SQLITE = "This release has sqlite:FILE only."


def open_log(settings: Settings) -> SQLiteLog:
    """The pipeline's log, made if it is not there."""
    return SQLiteLog(_path(settings.log.url, "log.url"), settings.pipeline)


def has_log(settings: Settings) -> bool:
    """Whether the pipeline has begun: its log is there."""
    return _path(settings.log.url, "log.url").exists()


def open_target(settings: Settings) -> SQLiteTarget:
    """The pipeline's target, made if it is not there."""
    return SQLiteTarget(_path(settings.target.url, "target.url"), settings.pipeline)


def check_stores(settings: Settings) -> None:
    """Return if log and target can be opened for writing, else raise as opening would; makes nothing."""
    check_log(_path(settings.log.url, "log.url"), settings.pipeline)
    check_target(_path(settings.target.url, "target.url"), settings.pipeline)


def _path(url: str, setting: str) -> Path:
    path = file_of(url)
    if path is None:
        message = f"{setting} is {url!r}, which names no kind of store there is"
        raise SettingsInvalid(message, hint=ONLY_SQLITE)
    return path
