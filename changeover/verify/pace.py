"""Pace: how fast a scan may go, so that neither side nor the pipeline feels it."""

import time
from collections.abc import Callable

SLOW_READ_S = 0.25
"""A read that takes longer than this is answered by as long a rest: the server has other work."""

LAG_POLL_S = 0.5


class Pace:
    """Rests between chunks: by the rate, by how long reads take, and while the target is too far behind.

    `lag_ms` gives the age of what the target has applied through, None where that is not known.
    """

    def __init__(  # noqa: PLR0913 - a composition root hands in what it works with
        self,
        *,
        rows_per_s: float | None,
        lag_s_max: float,
        wait_s_max: float,
        lag_ms: Callable[[], int | None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rows_per_s = rows_per_s
        self._lag_s_max = lag_s_max
        self._wait_s_max = wait_s_max
        self._lag_ms = lag_ms
        self._clock = clock
        self._sleep = sleep
        self._due_s: float | None = None
        self._looked_s = clock()

    def rest(self, rows: int, took_s: float) -> None:
        """Rest after a read of so many rows that took so long."""
        now_s = self._clock()
        rest_s = max(0.0, took_s - SLOW_READ_S)
        if self._rows_per_s:
            # What was not used of the rate is not saved up: after a wait there is no rush.
            self._due_s = max(now_s - took_s, self._due_s or 0.0) + rows / self._rows_per_s
            rest_s = max(rest_s, self._due_s - now_s)
        if rest_s > 0:
            self._sleep(rest_s)
        self._wait_for_the_target()

    def _wait_for_the_target(self) -> None:
        """Wait while the target lags by more than it may. A lag that stays is for the judging to tell."""
        if self._clock() - self._looked_s < LAG_POLL_S:
            return
        self._looked_s = self._clock()
        waited_s = 0.0
        while waited_s < self._wait_s_max:
            lag_ms = self._lag_ms()
            if lag_ms is None or lag_ms <= self._lag_s_max * 1000:
                return
            self._sleep(LAG_POLL_S)
            waited_s += LAG_POLL_S
