"""Runs a pipeline's parts as processes of their own, as systemd would: starts, restarts, stops in order."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import structlog

from changeover.exits import NOT_RESTARTED, OK, UNAVAILABLE
from changeover.process import die_with_parent
from changeover.settings import Settings

log = structlog.get_logger("run")

RESTART_DELAY_S_FIRST = 0.5
RESTART_DELAY_S_MAX = 30.0
STEADY_S = 60.0
"""A part that ran this long begins again with the first delay."""

CRASHES_IN_A_ROW_MAX = 5

STOP_WAIT_S_MAX = 20.0
"""How long a part may take to finish its batch before it is killed, which loses nothing either."""


@dataclass(slots=True)
class Part:
    """One process of the pipeline, and how often it had to be started again."""

    name: str
    arguments: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    exit_status: int | None = None
    restarts: int = 0
    crashes: int = 0
    """How often in a row it ended soon, by a fault of its own."""

    delay_s: float = RESTART_DELAY_S_FIRST
    started_s: float = 0.0
    start_at_s: float = field(default=0.0)

    @property
    def is_running(self) -> bool:
        """Whether the process lives."""
        return self.process is not None and self.process.poll() is None

    @property
    def is_hopeless(self) -> bool:
        """Whether it has crashed so often in a row that to start it again would only hide the fault."""
        return self.crashes >= CRASHES_IN_A_ROW_MAX

    @property
    def is_over(self) -> bool:
        """Whether it has ended in a way after which it is not started again."""
        return self.exit_status in NOT_RESTARTED


def parts_of(settings: Settings, config: Path) -> list[Part]:
    """The processes of a pipeline, in the order in which they are to be stopped."""
    python = (sys.executable, "-P", "-m")
    rest = ("--config", str(config.resolve()))
    return [
        *(
            Part(f"snapshot-{number}", (*python, "cdc", "snapshot", *rest, "--worker", str(number)))
            for number in range(1, settings.snapshot.workers + 1)
        ),
        Part("capture", (*python, "cdc", "capture", *rest)),
        Part("apply", (*python, "consumers", "apply", *rest)),
    ]


class Supervisor:
    """Keeps the parts running; `poll` often, and `stop` at the end."""

    def __init__(
        self,
        parts: Sequence[Part],
        output: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.parts = parts
        self._output = output
        self._clock = clock

    def poll(self) -> None:
        """Notice what has ended, and start what is due."""
        for part in self.parts:
            if part.process is not None and not part.is_running:
                self._ended(part)
            is_wanted = not (part.is_over or part.is_hopeless)
            if part.process is None and is_wanted and self._clock() >= part.start_at_s:
                self._start(part)

    def failed(self) -> list[Part]:
        """The parts that have stopped for good, and not because their work was done."""
        return [part for part in self.parts if part.is_hopeless or (part.is_over and part.exit_status != OK)]

    def part(self, name: str) -> Part:
        """The part of this name."""
        return next(part for part in self.parts if part.name == name)

    def stop(self) -> None:
        """Stop every part, one after the other, each with time to finish what it has begun."""
        for part in self.parts:
            if part.process is None:
                continue
            part.process.terminate()
            try:
                part.process.wait(STOP_WAIT_S_MAX)
            except subprocess.TimeoutExpired:
                log.warning("part killed: it did not stop in time", part=part.name, waited_s=STOP_WAIT_S_MAX)
                part.process.kill()
                part.process.wait()
            part.process = None

    def _start(self, part: Part) -> None:
        part.process = subprocess.Popen(
            part.arguments,
            stdin=subprocess.DEVNULL,
            stderr=self._output,
            # So that no orphan goes on unwatched.
            preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - a supervisor has one thread
        )
        part.started_s = self._clock()
        log.info("part started", part=part.name, pid=part.process.pid)

    def _ended(self, part: Part) -> None:
        status = part.process.returncode if part.process else None
        part.process = None
        part.exit_status = status
        if part.is_over:
            log.info("part ended", part=part.name, exit_status=status)
            return
        if self._clock() - part.started_s >= STEADY_S:
            part.delay_s, part.crashes = RESTART_DELAY_S_FIRST, 0
        if status is not None and status > 0 and status != UNAVAILABLE:
            part.crashes += 1  # a traceback: unlike an outage or a kill, it will come again
        part.start_at_s = self._clock() + part.delay_s
        part.restarts += 1
        log.warning("part will be started again", part=part.name, exit_status=status, in_s=part.delay_s)
        part.delay_s = min(part.delay_s * 2, RESTART_DELAY_S_MAX)
