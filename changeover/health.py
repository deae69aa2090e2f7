"""Health: whether a daemon gets on with its work, and why it is not ready where it is not.

Alive is not enough: a thread that answers proves nothing about the loop beside it. So the loop counts its
rounds and the pieces of work inside a long one, as plain integers, and health looks whether they move.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

STARTING = "starting"

Moving = Callable[[], int]
"""Gives a number that changes whenever there is progress."""

Reasons = Callable[[], Iterable[str]]
"""Gives sentences that say why a part is not ready; none if it is."""


class Health:
    """What a daemon's work tells and its watchers ask, from different threads; each field has one writer."""

    def __init__(self, stalled_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rounds = 0
        """How often the work's loop came round."""
        self.place: Callable[[], str] = lambda: ""
        """Where the work is, for whoever asks why it stopped; the work says how to know."""

        self._stalled_s = stalled_s
        self._clock = clock
        self._moving: list[Moving] = [lambda: self.rounds]
        self._reasons: list[Reasons] = []
        self._seen: tuple[int, ...] = ()
        self._moved_s = clock()
        self._stopped: str | None = None

    @contextmanager
    def following(self, moving: Moving) -> Iterator[None]:
        """Count this as progress too, while the block runs."""
        self._moving.append(moving)
        try:
            yield
        finally:
            self._moving.remove(moving)

    @contextmanager
    def asking(self, reasons: Reasons) -> Iterator[None]:
        """Ask this too whether the part is ready, while the block runs."""
        self._reasons.append(reasons)
        try:
            yield
        finally:
            self._reasons.remove(reasons)

    def stop(self, reason: str) -> None:
        """Say that the work has stopped loudly."""
        self._stopped = reason

    @property
    def is_stopped(self) -> bool:
        """Whether the work has stopped loudly."""
        return self._stopped is not None

    def look(self) -> bool:
        """Look whether there was progress since the last look; to be called every second or so."""
        seen = tuple(moving() for moving in list(self._moving))
        has_moved = seen != self._seen
        if has_moved:
            self._seen, self._moved_s = seen, self._clock()
        return has_moved

    @property
    def progress_age_s(self) -> float:
        """Time since the last progress."""
        self.look()
        return self._clock() - self._moved_s

    def illness(self) -> Iterator[str]:
        """Why it should be started anew; nothing if it is well, or if starting anew would not help."""
        age_s = self.progress_age_s
        if age_s > self._stalled_s and not self.is_stopped:
            yield f"no progress for {age_s:.0f} s"

    def unreadiness(self) -> Iterator[str]:
        """Why it does not do its work now; nothing if it does."""
        if self._stopped is not None:
            yield f"stopped: {self._stopped}"
            return
        if not self.rounds:
            yield STARTING
        for reasons in list(self._reasons):
            yield from reasons()
        yield from self.illness()
