"""How each long-running program here starts, stops and fails: signals, log lines and exit statuses."""

import logging
import signal
import sys
import threading
from collections.abc import Callable
from typing import TextIO

import structlog

from changeover.errors import ChangeoverError, Unavailable
from changeover.exits import OK, status_of

ShouldStop = Callable[[], bool]


def run_daemon(part: str, work: Callable[[ShouldStop], None]) -> int:
    """Run `work` until it ends or SIGTERM or SIGINT asks it to; the exit status that tells how it went.

    An error of ours becomes one line with its mend. Any other is a fault of this program, and keeps its
    traceback.
    """
    configure_logging()
    log = structlog.get_logger().bind(part=part)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        work(stop.is_set)
    except ChangeoverError as error:
        tell = log.warning if isinstance(error, Unavailable) else log.error
        tell("stopped", kind=type(error).__name__, reason=str(error))
        return status_of(error)
    log.info("ended", asked_to_stop=stop.is_set())
    return OK


def configure_logging(output: TextIO | None = None) -> None:
    """One event a line, on standard error by default: for people on a terminal, JSON elsewhere."""
    output = output or sys.stderr
    is_terminal = output.isatty()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer() if is_terminal else structlog.processors.JSONRenderer(),
        ],
        # One write a line, so that the lines of several processes never mix.
        logger_factory=structlog.WriteLoggerFactory(output),
    )
