"""Threads that work on the new database, so that nobody waits for it longer than he wants to."""

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from changeover.errors import TargetUnavailable
from changeover.targets import Target

T = TypeVar("T")

WAITING_PER_WORKER = 8
"""Pieces of work that wait for each thread at most: more would be too late when their turn comes."""

REST_S_FIRST, REST_S_MAX = 0.2, 5.0
"""A database that failed is left alone for this long, each time for twice as long."""

Work = tuple[Callable[[Target[Any]], Any], "Future[Any]"]


class Workers:
    """A few threads, each with a target of its own, opened when it is first needed."""

    def __init__(
        self,
        name: str,
        open_target: Callable[[], Target[Any]],
        count: int,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_target = open_target
        self._waiting: queue.Queue[Work | None] = queue.Queue(count * WAITING_PER_WORKER)
        self._rest = Rest(clock)
        self._threads = [
            threading.Thread(target=self._run, name=f"changeover-{name}-{number}", daemon=True)
            for number in range(1, count + 1)
        ]
        for thread in self._threads:
            thread.start()

    def do(self, work: Callable[[Target[Any]], T], timeout_s: float, *, is_patient: bool = False) -> T:
        """What the work gives, within the time; `TargetUnavailable` if it fails, is late or has no chance.

        Late work may still happen. What has not begun by then does not. Who `is_patient` tries a database too
        that has just failed.
        """
        if self._rest.is_on and not is_patient:
            message = "the new database has just failed, and is left alone for a moment"
            raise TargetUnavailable(message)
        done: Future[T] = Future()
        try:
            self._waiting.put_nowait((work, done))
        except queue.Full:
            message = f"{self._waiting.maxsize} pieces of work wait for the new database already"
            raise TargetUnavailable(message) from None
        try:
            result = done.result(timeout_s)
        except TimeoutError:
            done.cancel()
            self._rest.begin()
            message = f"the new database took longer than {timeout_s} s"
            raise TookTooLong(message) from None
        except TargetUnavailable:
            self._rest.begin()
            raise
        self._rest.end()
        return result

    def close(self) -> None:
        """Let the threads end; what waits is not done any more."""
        with suppress(queue.Empty):
            while True:
                work = self._waiting.get_nowait()
                if work:
                    work[1].cancel()
        for _ in self._threads:
            with suppress(queue.Full):
                self._waiting.put_nowait(None)
        for thread in self._threads:
            thread.join(timeout=1)

    def _run(self) -> None:
        target: Target[Any] | None = None
        while (one := self._waiting.get()) is not None:
            work, done = one
            if not done.set_running_or_notify_cancel():
                continue
            try:
                target = target or self._open_target()
                done.set_result(work(target))
            except BaseException as error:  # noqa: BLE001 - whoever waits is told
                done.set_exception(error)
        if target:
            target.close()


class TookTooLong(TargetUnavailable):
    """The new database did not answer in time: what was asked of it may have happened."""


class Rest:
    """How long a part that failed is left alone."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._until = 0.0

    @property
    def is_on(self) -> bool:
        """Whether it is left alone now."""
        return self._clock() < self._until

    def begin(self) -> None:
        """It has failed."""
        with self._lock:
            self._until = self._clock() + min(REST_S_FIRST * 2**self._failures, REST_S_MAX)
            self._failures = min(self._failures + 1, 10)

    def end(self) -> None:
        """It has answered."""
        if self._failures:
            with self._lock:
                self._failures = 0
                self._until = 0.0
