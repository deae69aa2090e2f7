"""The demo's clinic as a whole: four processes, what they had acknowledged, and what they measured."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from changeover.errors import ChangeoverError
from changeover.process import die_with_parent

PLACES = 4
OLD_PLACES = (2, 3)
"""Those that are old code until BOTH_READ_NEW."""

STOP_S_MAX = 60.0


class ClinicFailed(ChangeoverError):
    """A process of the clinic ended by itself."""


@dataclass(slots=True)
class Books:
    """What all processes together have done; `took` by whether it was old code."""

    requests: int = 0
    failed: int = 0
    stale: int = 0
    failures: list[str] = field(default_factory=list)
    took: dict[bool, list[tuple[float, float]]] = field(default_factory=lambda: {True: [], False: []})
    acknowledged: dict[int, str | None] = field(default_factory=dict)

    def p99_ms(self, *, is_old: bool, since: float, until: float) -> float | None:
        """The 99th percentile of the writes that began in that time."""
        return percentile_99([ms for moment, ms in self.took[is_old] if since <= moment < until])


def percentile_99(values: list[float]) -> float | None:
    """The 99th percentile, None of nothing.

    >>> percentile_99([float(n) for n in range(1, 101)]), percentile_99([])
    (99.0, None)
    """
    if not values:
        return None
    return sorted(values)[max(0, -(-len(values) * 99 // 100) - 1)]


@dataclass(frozen=True, slots=True)
class Process:
    """One process, and where it is."""

    place: int
    is_old: bool
    process: subprocess.Popen[str]


class Practice:
    """The processes; all end with the `with` block."""

    def __init__(self, config: Path, errors: TextIO) -> None:
        self.books = Books()
        self._config = config
        self._errors = errors
        self._running: list[Process] = []

    def __enter__(self) -> Self:
        """Nobody works yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Whoever still works is ended."""
        for one in self._running:
            one.process.kill()
            one.process.communicate()

    def open(self) -> None:
        """Begin: two processes with the library, two of old code."""
        for place in range(PLACES):
            self._start(place, is_old=place in OLD_PLACES)

    def replace_old_code(self) -> None:
        """Old code ends its transaction, and new code goes on with its keys."""
        for one in [one for one in self._running if one.is_old]:
            self._stop(one)
            self._start(one.place, is_old=False)

    def close(self) -> None:
        """Every process ends its transaction and tells what it did."""
        for one in list(self._running):
            self._stop(one)

    def check(self) -> None:
        """Raise `ClinicFailed` if a process has ended."""
        for one in self._running:
            if one.process.poll() is not None:
                message = f"process {one.place} of the clinic ended with {one.process.returncode}"
                raise ClinicFailed(message, hint="Its last lines are in clinic.log; run with --keep.")

    def _start(self, place: int, *, is_old: bool) -> None:
        command = [sys.executable, "-P", "-m", "changeover.demo.clinic", str(self._config)]
        command += ["--place", str(place), *(["--old"] if is_old else [])]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - a demo that is killed leaves no clinic
        )
        self._running.append(Process(place, is_old, process))

    def _stop(self, one: Process) -> None:
        self.check()
        one.process.terminate()
        said, _ = one.process.communicate(timeout=STOP_S_MAX)
        self._running.remove(one)
        if one.process.returncode != 0:
            message = f"process {one.place} of the clinic ended with {one.process.returncode}"
            raise ClinicFailed(message, hint="Its last lines are in clinic.log; run with --keep.")
        day = json.loads(said.splitlines()[-1])
        self.books.requests += day["requests"]
        self.books.failed += day["failed"]
        self.books.stale += day["stale"]
        self.books.failures += day["failures"]
        self.books.took[one.is_old] += [(moment, ms) for moment, ms in day["took"]]
        self.books.acknowledged.update({int(key): note for key, note in day["acknowledged"].items()})


@contextmanager
def practice(config: Path) -> Iterator[Practice]:
    """The clinic of these settings, with nobody at work yet."""
    with config.with_name("clinic.log").open("a") as errors, Practice(config, errors) as opened:
        yield opened
