"""How far the group is, noted in the target: an application sees there what it need not wait for any more."""

import time
from collections.abc import Callable
from typing import Any

from changeover.progress import Watermark
from changeover.targets import Target
from changeover.targets.applied import note_applied

EVERY_S = 0.5
"""Watermarks come about once a second. Asking the log for the whole group takes some milliseconds."""


class Noting:
    """Notes what the whole group has applied through; `through` asks the log, whose members are many."""

    def __init__(
        self,
        target: Target[Any],
        through: Callable[[], Watermark | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._target = target
        self._through = through
        self._clock = clock
        self._noted: Watermark | None = None
        self._next_s = clock()

    def look(self) -> None:
        """Note it, if it is time and there is anything new."""
        if self._clock() < self._next_s:
            return
        through = self._through()
        if through is not None and through != self._noted:
            note_applied(self._target, through.version)
            self._noted = through
        self._next_s = self._clock() + EVERY_S
