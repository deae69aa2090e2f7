"""Direct writes: what a transaction has committed goes to the new database at once, within a bound.

What does not get there in time is left to the binlog, which has it anyway: nothing is queued or repeated
here.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from changeover.decide import Write
from changeover.dualwrite.counts import Counts
from changeover.dualwrite.workers import TookTooLong, Workers
from changeover.errors import ChangeoverError
from changeover.phase import Phase
from changeover.settings import ApplicationSettings
from changeover.version import Version

log = structlog.get_logger("dualwrite")

LOOK_AGAIN_S = 0.05
"""Between two looks whether the binlog has delivered: about the pace of the consumers."""


class Direct:
    """Writes of one process, made by its workers."""

    def __init__(  # noqa: PLR0913 - a composition root hands in what it works with
        self,
        workers: Workers,
        settings: ApplicationSettings,
        counts: Counts,
        *,
        is_allowed: Callable[[], bool],
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._workers = workers
        self._settings = settings
        self._counts = counts
        self._is_allowed = is_allowed
        self._sleep = sleep
        self._clock = clock

    def deliver(self, writes: Sequence[Write], *, left: int, is_doubtful: bool, phase: Phase) -> None:
        """Write, or leave it to the binlog; in BOTH_READ_NEW wait for that, if the settings say so.

        It never raises: the transaction is committed. `left` counts keys that cannot be written directly.
        """
        if not self._is_allowed():
            return
        if is_doubtful:
            self._counts.add("direct_doubtful", left)
        self._counts.add("direct_failed", left)
        if not writes or self._write(writes):
            return
        if phase is Phase.BOTH_READ_NEW and self._settings.when_new_fails == "wait":
            self._wait(writes)

    def _write(self, writes: Sequence[Write]) -> bool:
        try:
            self._workers.do(lambda target: target.write(writes), self._settings.write_timeout_s)
        except ChangeoverError as error:
            self._counts.add("direct_failed", len(writes))
            self._counts.add("direct_timed_out", len(writes) * isinstance(error, TookTooLong))
            log.info("direct write is left to the binlog", keys=len(writes), why=str(error))
            return False
        self._counts.add("direct_writes", len(writes))
        return True

    def _wait(self, writes: Sequence[Write]) -> None:
        deadline = self._clock() + self._settings.wait_s_max
        waiting = list(writes)
        while waiting and self._clock() < deadline:
            self._sleep(LOOK_AGAIN_S)
            waiting = [write for write in waiting if not self._has(write)]
        if waiting:
            self._counts.add("waits_expired")

    def _has(self, write: Write) -> bool:
        def held(target: Any) -> Version | None:  # noqa: ANN401
            found = target.read(write.table, write.key)
            return found.version if found else None

        try:
            version = self._workers.do(held, self._settings.read_timeout_s)
        except ChangeoverError:
            return False
        return version is not None and version >= write.version
