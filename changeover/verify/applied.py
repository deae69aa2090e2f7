"""Waiting until the target has applied through a place, within a bound."""

import time
from collections.abc import Callable

from changeover.errors import NotApplied
from changeover.log import Log
from changeover.progress import Watermark
from changeover.version import Version

POLL_S = 0.05


class Applied:
    """Follows how far a consumer group has applied the source's commit order."""

    def __init__(
        self,
        log: Log,
        group: str,
        wait_s_max: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.log = log
        self.group = group
        self.wait_s_max = wait_s_max
        self._clock = clock
        self._sleep = sleep
        self.through: Watermark | None = None
        """As it was when it was last asked for."""

    def refresh(self) -> None:
        """Ask for it."""
        self.through = self.log.progress_of(self.group).through

    def has(self, version: Version) -> bool:
        """Whether the group has applied through the version."""
        if self.through is None or self.through.version < version:
            self.refresh()
        return self.through is not None and self.through.version >= version

    def wait_for(self, version: Version) -> None:
        """Return once the group has applied through the version; raises `NotApplied` if not in time."""
        deadline = self._clock() + self.wait_s_max
        while not self.has(version):
            if self._clock() >= deadline:
                reached = f"only through {self.through.version.text}" if self.through else "nothing so far"
                message = f"within {self.wait_s_max:g} s the target has not applied through {version.text}"
                raise NotApplied(f"{message}: {reached}")
            self._sleep(POLL_S)
