"""`python -m tests.simulation 1-1000000`: plays the schedules of these seeds, on all processors.

At the first that breaks an invariant: its seed, the invariant, and a story of a few lines. Exit status 1.
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing import Pool
from typing import NamedTuple

from tests.simulation.chance import Seeded
from tests.simulation.controls import CONTROLS, switched_off
from tests.simulation.schedule import EVERYTHING, Shape, run
from tests.simulation.story import shrunk, told

SEEDS_AT_ONCE = 500
SAYS_EVERY_S = 60.0


class Part(NamedTuple):
    """What came of some seeds: how many ended how, and the first that broke an invariant."""

    ends: Counter[str]
    broken: int | None


def main() -> int:
    """Play what the command line says; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seeds", type=_seeds, help="a seed, or FIRST-LAST")
    parser.add_argument("--off", choices=CONTROLS, metavar="RULE", help="a rule that is switched off")
    arguments = parser.parse_args()
    if arguments.off:
        with switched_off(CONTROLS[arguments.off]) as shape:
            return _play_all(arguments.seeds, shape, processes=1)
    return _play_all(arguments.seeds, EVERYTHING, processes=os.cpu_count() or 1)


def _play_all(seeds: range, shape: Shape, processes: int) -> int:
    parts = [
        range(first, min(first + SEEDS_AT_ONCE, seeds.stop))
        for first in range(seeds.start, seeds.stop, SEEDS_AT_ONCE)
    ]
    ends: Counter[str] = Counter()
    said = started = time.monotonic()
    pool = Pool(processes) if processes > 1 and len(parts) > 1 else None
    results: Iterator[Part] = pool.imap(_Player(shape), parts) if pool else map(_Player(shape), parts)
    try:
        for part in results:
            ends += part.ends
            if part.broken is not None:
                break
            if time.monotonic() - said > SAYS_EVERY_S:
                said = time.monotonic()
                print(f"{ends.total():,} schedules", flush=True)
    finally:
        if pool:
            pool.terminate()
    if part.broken is not None:
        return _tell(part.broken, shape)
    took_s = time.monotonic() - started
    told_seeds = f"seeds {seeds.start}-{seeds.stop - 1}"
    print(f"{ends.total():,} schedules in {took_s:.0f} s, {told_seeds}: every invariant holds")
    for end, count in ends.most_common():
        print(f"{count:>12,}  {end}")
    return 0


class _Player:
    """Plays some seeds; made once, to be sent to other processes."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape

    def __call__(self, seeds: range) -> Part:
        ends: Counter[str] = Counter()
        for seed in seeds:
            outcome = run(Seeded(seed), self._shape)
            if outcome.broken:
                return Part(ends, seed)
            ends[f"stopped, as it must: {outcome.stopped[0]}" if outcome.stopped else "equal"] += 1
        return Part(ends, None)


def _tell(seed: int, shape: Shape) -> int:
    outcome = run(Seeded(seed), shape)
    print(f"seed {seed} breaks {outcome.why}", flush=True)
    short = shrunk(outcome, shape)
    print(f"The shortest such story found, of {len(short.choices)} choices:")
    print(told(short))
    return 1


def _seeds(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


if __name__ == "__main__":
    sys.exit(main())
