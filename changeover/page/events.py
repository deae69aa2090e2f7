"""Events: what has happened while the page's server looked, found by comparing one picture with the next."""

from collections import deque
from collections.abc import Iterator

from changeover.page.picture import Event, Picture, Tone
from changeover.phase import LEFT_STANDING

EVENTS_MAX = 200
"""Some days of an ordinary move; older ones are in the logs."""


class Events:
    """The last events, newest first."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=EVENTS_MAX)
        self._before: Picture | None = None
        self._number = 0

    def see(self, picture: Picture) -> None:
        """Note what is different from the picture before."""
        for tone, words in happened(self._before, picture):
            self._number += 1
            event = Event(number=self._number, at_ms=picture.taken_ms, tone=tone, words=words)
            self._events.appendleft(event)
        self._before = picture

    def all(self) -> list[Event]:
        """The events that are kept."""
        return list(self._events)


def happened(before: Picture | None, now: Picture) -> Iterator[tuple[Tone, str]]:
    """What happened between two pictures; what is known of the first one is how things stand."""
    if before is None:
        yield Tone.BUSY, "The page began to look"
    if now.trouble is not None:
        if before is None or before.trouble != now.trouble:
            yield Tone.WARN, f"{now.headline.words}: {now.trouble}"
        return
    if before is not None and before.trouble is not None:
        yield Tone.GOOD, "The pipeline can be read again"
    yield from _of_phase(before, now)
    yield from _of_import(before, now)
    yield from _of_verdict(before, now)
    yield from _of_processes(before, now)


def _of_phase(before: Picture | None, now: Picture) -> Iterator[tuple[Tone, str]]:
    if now.phase and before and before.phase and now.phase.now != before.phase.now:
        yield Tone.BUSY, f"The phase is now {now.phase.now}, it was {before.phase.now}"
    if (
        now.phase
        and now.phase.is_left_standing
        and not (before and before.phase and before.phase.is_left_standing)
    ):
        yield Tone.BAD, f"The fence was left standing: {LEFT_STANDING}"


def _of_import(before: Picture | None, now: Picture) -> Iterator[tuple[Tone, str]]:
    if not (before and before.progress and now.progress):
        return
    done = {table.name for table in before.progress.tables if table.is_done}
    for table in now.progress.tables:
        if table.is_done and table.name not in done:
            yield Tone.GOOD, f"{table.name} is copied: {table.rows_copied:,} rows"
    if now.progress.is_import_applied and not before.progress.is_import_applied:
        yield Tone.GOOD, "Every row of the import is in the new database"


def _of_verdict(before: Picture | None, now: Picture) -> Iterator[tuple[Tone, str]]:
    if not (before and before.verified and now.verified):
        return
    for name, verdict in now.verified.tables.items():
        said = before.verified.tables.get(name)
        if said is not None and (verdict.words, verdict.tone) != (said.words, said.tone):
            yield verdict.tone, f"The verdict of {name} is now: {verdict.words}"


def _of_processes(before: Picture | None, now: Picture) -> Iterator[tuple[Tone, str]]:
    if not (before and before.processes is not None and now.processes is not None):
        return
    tones = {process.name: process.tone for process in before.processes}
    for process in now.processes:
        if process.name not in tones:
            yield Tone.GOOD, f"{process.name} is heard of for the first time"
        elif process.tone is Tone.BAD and tones[process.name] is not Tone.BAD:
            yield Tone.BAD, f"{process.name} has fallen silent"
        elif process.tone is not Tone.BAD and tones[process.name] is Tone.BAD:
            yield Tone.GOOD, f"{process.name} is heard of again"
