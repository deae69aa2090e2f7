"""How each long-running program here starts, stops and fails: signals, log, health and exit statuses."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import structlog

from changeover import __version__
from changeover.crashpoints import arm
from changeover.errors import ChangeoverError, Stopped, Unavailable
from changeover.exits import OK, status_of
from changeover.health import Health
from changeover.metrics import names
from changeover.metrics.exposition import Exposition
from changeover.metrics.http import Pages
from changeover.metrics.metric import Sample
from changeover.notify import Notifier
from changeover.process import give_back_memory
from changeover.settings import LogsSettings, Settings
from changeover.settings.logs import LogFormat

log = structlog.get_logger("daemon")

ShouldStop = Callable[[], bool]

LOOK_S = 1.0
"""How often it is looked whether there is progress."""

REFUSAL_HOLD_S_MAX = 60.0
"""A refusal has touched nothing and may be over at the next start: it is shown for a scrape, no longer."""


class Duty:
    """What a daemon's work is given: its settings, when it is to stop, and where it tells how it is."""

    def __init__(self, settings: Settings, part: str, is_over: ShouldStop) -> None:
        self.settings = settings
        self.part = part
        self.health = Health(settings.metrics.stalled_s)
        self.exposition = Exposition(settings.pipeline, part)
        self.rows: Callable[[], int] = lambda: 0
        """How many rows are done; whoever works says how to know."""

        self.is_over = is_over
        """Whether somebody has asked the process to end."""

    def should_stop(self) -> bool:
        """Whether the work is to end; asked at each round of its loop, which is how progress is seen."""
        self.health.rounds += 1
        return self.is_over()

    def at_once_max(self, wanted: int) -> int:
        """How many rows to take at once at most, where the settings want so many."""
        return wanted


def run_daemon(part: str, config: Path, work: Callable[[Duty], None], member: int = 1) -> int:
    """Run `work` until it ends or SIGTERM or SIGINT asks it to; the exit status that tells how it went.

    An error of ours becomes one line with its mend. Any other is a fault of this program, and keeps its
    traceback. `member` tells apart those of one part on one host.
    """
    give_back_memory()
    configure_logging()
    log = structlog.get_logger().bind(part=part)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        for armed in arm(os.environ):
            log.warning("crash point armed", point=armed.point, hit=armed.hit, action=armed.action)
        duty = Duty(Settings.load(config), part, stop.is_set)
        configure_logging(logs=duty.settings.logs)
        with _pages(duty, member), _watched(duty.health, Notifier(os.environ)) as notifier:
            try:
                work(duty)
                # What is over before anybody has looked was ready, too: an end without that is a failure to
                # systemd, which would start a finished import again and again.
                notifier.ready()
            except ChangeoverError as error:
                _tell(log, error, duty.health.place())
                if not isinstance(error, Unavailable):
                    _hold(duty, error, notifier, stop)
                return status_of(error)
            finally:
                notifier.stopping()
    except ChangeoverError as error:
        _tell(log, error)
        return status_of(error)
    log.info("ended", asked_to_stop=stop.is_set())
    return OK


def _tell(log: structlog.typing.FilteringBoundLogger, error: ChangeoverError, place: str = "") -> None:
    tell = log.warning if isinstance(error, Unavailable) else log.error
    where = {"place": place} if place else {}
    tell("stopped", kind=type(error).__name__, reason=str(error), **where)


def _hold(duty: Duty, error: ChangeoverError, notifier: Notifier, stop: threading.Event) -> None:
    """Let those that watch see the reason, before the process that could tell them is gone."""
    duty.health.stop(str(error))
    notifier.status(f"stopped: {error}")
    if duty.settings.metrics.listen:
        hold_s = duty.settings.metrics.hold_stop_s
        stop.wait(hold_s if isinstance(error, Stopped) else min(hold_s, REFUSAL_HOLD_S_MAX))


def _samples_of(health: Health) -> Iterator[Sample]:
    yield names.INFO.of(1, __version__)
    yield names.READY.of(not any(health.unreadiness()))
    yield names.STOPPED.of(health.is_stopped)
    yield names.PROGRESS_AGE.of(health.progress_age_s)


@contextmanager
def _pages(duty: Duty, member: int) -> Iterator[None]:
    """Answer over HTTP, if the settings say so."""
    metrics = duty.settings.metrics
    if metrics.listen is None:
        yield
        return
    with (
        duty.exposition.telling(lambda: _samples_of(duty.health)),
        Pages(metrics.host, metrics.port(duty.part, member), duty.exposition, duty.health) as pages,
    ):
        log.info("listening", part=duty.part, address=pages.address)
        yield


@contextmanager
def _watched(health: Health, notifier: Notifier) -> Iterator[Notifier]:
    """Look every second whether there is progress, and tell the service manager."""
    over = threading.Event()

    def watch() -> None:
        is_ready = False
        while not over.wait(min(LOOK_S, (notifier.watchdog_s or LOOK_S) / 4)):
            if health.look() or health.is_stopped:
                notifier.progress()
            if health.rounds and not is_ready:
                is_ready = True
                notifier.ready()
            notifier.status("; ".join(health.unreadiness()) or "ready")

    thread = threading.Thread(target=watch, name="watch", daemon=True)
    thread.start()
    try:
        yield notifier
    finally:
        over.set()
        thread.join(timeout=LOOK_S)


def configure_logging(output: TextIO | None = None, logs: LogsSettings | None = None) -> None:
    """One event a line, on standard error by default; before the settings are read, as their defaults say."""
    output, logs = output or sys.stderr, logs or LogsSettings()
    is_terminal = output.isatty()
    is_for_people = logs.format is LogFormat.CONSOLE or (logs.format is LogFormat.AUTO and is_terminal)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if logs.debug else logging.INFO),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=is_terminal)
            if is_for_people
            else structlog.processors.JSONRenderer(),
        ],
        # One write a line, so that the lines of several processes never mix.
        logger_factory=structlog.WriteLoggerFactory(output),
    )
