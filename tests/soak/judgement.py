"""Judges a soak: whether memory stays where it is once all is warm, and lag within its bounds."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

GROWTH_MB_MAX = 1.0
"""In ten minutes, by the line that fits the samples best: a leak that matters in a month shows far below."""

WINDOW_S = 600.0

LAG_S_MAX = 15.0
"""On a machine that is busy with all parts, a server and a writer. Steady state is well below a second."""

MEGABYTE = 1_000_000


class Sample(NamedTuple):
    """One look: memory of each part in bytes, and the lag in seconds."""

    at_s: float
    memory: Mapping[str, float]
    lag_s: float


def complaints(samples: Sequence[Sample]) -> Iterator[str]:
    """What is wrong with a soak, from samples that were taken when all was warm; nothing if it went well.

    >>> flat = [Sample(float(at), {"apply": 50e6}, 0.3) for at in range(0, 600, 5)]
    >>> list(complaints(flat))
    []
    """
    for part in samples[0].memory:
        growth = growth_mb(samples, part)
        if growth >= GROWTH_MB_MAX:
            yield f"{part} grows by {growth:.2f} MB in 10 minutes, which is {GROWTH_MB_MAX} or more"
    worst = max(sample.lag_s for sample in samples)
    if worst > LAG_S_MAX:
        yield f"lag was {worst:.1f} s, which is more than {LAG_S_MAX}"
    first, last = _halves(samples)
    if last > 2 * first + 1.0:
        yield f"lag grows: its median was {first:.1f} s in the first half and {last:.1f} s in the second"


def growth_mb(samples: Sequence[Sample], part: str) -> float:
    """By how many megabytes the part grows in ten minutes: the slope of the line that fits best."""
    times = [sample.at_s for sample in samples]
    sizes = [sample.memory[part] for sample in samples]
    time_mean, size_mean = sum(times) / len(times), sum(sizes) / len(sizes)
    spread = sum((at - time_mean) ** 2 for at in times)
    together = sum((at - time_mean) * (size - size_mean) for at, size in zip(times, sizes, strict=True))
    return together / spread * WINDOW_S / MEGABYTE if spread else 0.0


def _halves(samples: Sequence[Sample]) -> tuple[float, float]:
    middle = len(samples) // 2
    first, last = (sorted(sample.lag_s for sample in half) for half in (samples[:middle], samples[middle:]))
    return (first[len(first) // 2], last[len(last) // 2]) if first else (0.0, last[len(last) // 2])
