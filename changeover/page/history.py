"""History: the lag and the pace of the last hours, in memory, in rings of fixed size."""

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One stretch of time. `lag_ms` is the worst that was seen in it, None if it was unknown once."""

    at_ms: int
    lag_ms: int | None
    captured: int | None
    """Changes captured since the pipeline began, at the end of the stretch; None if unknown."""

    applied: int | None


@dataclass(frozen=True, slots=True)
class Ring:
    """The last `points_max` stretches of `width_ms` each."""

    width_ms: int
    points_max: int

    def start_of(self, at_ms: int) -> int:
        """When the stretch began in which this moment lies."""
        return at_ms - at_ms % self.width_ms


FINE = Ring(2_000, 450)
"""A quarter of an hour."""

COARSE = Ring(20_000, 1_080)
"""Six hours."""


class History:
    """What was seen, once finely and once for long; 1,530 points at most, some 200 kB."""

    def __init__(self) -> None:
        self._points: dict[Ring, deque[Point]] = {
            ring: deque(maxlen=ring.points_max) for ring in (FINE, COARSE)
        }

    def see(self, seen: Point) -> None:
        """Take a look into the stretches that it lies in."""
        for ring, points in self._points.items():
            start_ms = ring.start_of(seen.at_ms)
            if points and points[-1].at_ms >= start_ms:  # also when the clock was set back
                points[-1] = _worse(points[-1], seen)
            else:
                points.append(_begun(start_ms, seen))

    def last(self) -> dict[str, Point | None]:
        """The newest stretch of each, which still grows."""
        return {name: points[-1] if points else None for name, points in self._named()}

    def all(self) -> dict[str, list[Point]]:
        """Every stretch that is kept, in order."""
        return {name: list(points) for name, points in self._named()}

    def _named(self) -> list[tuple[str, deque[Point]]]:
        return [("fine", self._points[FINE]), ("coarse", self._points[COARSE])]


def _begun(start_ms: int, seen: Point) -> Point:
    return Point(at_ms=start_ms, lag_ms=seen.lag_ms, captured=seen.captured, applied=seen.applied)


def _worse(before: Point, seen: Point) -> Point:
    unknown = before.lag_ms is None or seen.lag_ms is None
    lag_ms = None if unknown else max(before.lag_ms or 0, seen.lag_ms or 0)
    return Point(at_ms=before.at_ms, lag_ms=lag_ms, captured=seen.captured, applied=seen.applied)
