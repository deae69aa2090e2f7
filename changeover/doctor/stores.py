"""Whether the log and the target can be written, are ours, and have room; nothing is made."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from changeover.doctor.estimate import Estimate
from changeover.errors import ChangeoverError
from changeover.finding import Finding, Severity
from changeover.settings import Settings, file_of
from changeover.table import Table
from changeover.wiring import check_log_of, check_target_of, complaints_about_topics

LOG, TARGET = "log", "target"

TOPICS_MEND = "changeover topics create makes what is missing; change the others, or the settings under log"

FreeBytes = Callable[[Path], int]


def free_bytes(folder: Path) -> int:
    """What is free where the folder is."""
    return shutil.disk_usage(folder).free


def log_findings(settings: Settings, tables: Sequence[Table]) -> Iterator[Finding]:
    """What stands against the log."""
    try:
        complaints = complaints_about_topics(settings, tables) if settings.log.servers else []
        if not complaints:
            check_log_of(settings)
    except ChangeoverError as error:
        yield _of(error, LOG)
        return
    for complaint in complaints:
        yield Finding(severity=Severity.REFUSE, subject=LOG, what=complaint, mend=TOPICS_MEND)


def target_findings(settings: Settings) -> Iterator[Finding]:
    """What stands against the target."""
    try:
        check_target_of(settings)
    except ChangeoverError as error:
        yield _of(error, TARGET)


def space_findings(settings: Settings, estimate: Estimate, free: FreeBytes = free_bytes) -> Iterator[Finding]:
    """Whether the files of log and target have the room that they are likely to take."""
    wanted: dict[Path, dict[str, int]] = {}
    for subject, url, size in (
        (LOG, settings.log.url, estimate.log_bytes),
        (TARGET, settings.target.url, estimate.target_bytes),
    ):
        file = file_of(url)
        if file and file.parent.is_dir():
            there = file.stat().st_size if file.is_file() else 0
            wanted.setdefault(_device(file.parent), {})[subject] = max(0, size - there)
    for folder, sizes in wanted.items():
        has, needed = free(folder), sum(sizes.values())
        if has < needed:
            what = f"{' and '.join(sizes)} may take {_gb(needed)}, and {folder} has {_gb(has)} free"
            mend = "make room, or choose files elsewhere; what is full stops the work and loses nothing"
            yield Finding(severity=Severity.WARN, subject=next(iter(sizes)), what=what, mend=mend)


def _device(folder: Path) -> Path:
    """The folder where the folder's file system begins."""
    while not folder.is_mount():
        folder = folder.parent
    return folder


def _gb(size: int) -> str:
    return f"{size / 1e9:,.1f} GB"


def _of(error: ChangeoverError, subject: str) -> Finding:
    return Finding(severity=Severity.REFUSE, subject=subject, what=str(error.args[0]), mend=error.mend)
