"""Every schedule of a small case, up to so many deviations from the plainest one.

The plainest schedule goes on with a process until it waits, and nothing fails in it. A deviation is any other
choice: another process goes first, a step fails, a process dies, a copy catches up early. All schedules with
one deviation are every order with one switch and every single fault at every step; with two, all pairs.
"""

from collections.abc import Iterator

from tests.simulation.chance import Replayed
from tests.simulation.schedule import Outcome, Shape, run


def all_within(setup: list[int], shape: Shape, deviations: int) -> Iterator[Outcome]:
    """The outcomes of all schedules that begin with the choices of `setup`, and deviate so often at most."""
    yield from _behind(setup, len(setup), shape, deviations)


def _behind(choices: list[int], start: int, shape: Shape, deviations: int) -> Iterator[Outcome]:
    """The schedule of these choices, and those that deviate from it behind `start`."""
    played = Replayed(choices)
    yield run(played, shape)
    if not deviations:
        return
    for place in range(start, len(played.counts)):
        for number in range(1, played.counts[place]):
            yield from _behind([*played.drawn[:place], number], place + 1, shape, deviations - 1)
