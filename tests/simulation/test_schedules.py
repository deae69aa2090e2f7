"""Ten thousand schedules, always the same: every invariant holds, whatever fails and whoever is first."""

from collections import Counter

import pytest

from tests.simulation.chance import Replayed, Seeded
from tests.simulation.controls import CONTROLS, switched_off
from tests.simulation.schedule import Shape, run
from tests.simulation.story import complaint, shrunk, told

SEEDS_IN_ALL = 10_000
PARTS = 10


@pytest.mark.parametrize("part", range(PARTS))
def test_every_invariant_holds_in_every_schedule(part: int) -> None:
    ends: Counter[str] = Counter()
    for seed in range(part, SEEDS_IN_ALL, PARTS):
        outcome = run(Seeded(seed))
        assert outcome.broken is None, complaint(f"seed {seed}", outcome, Shape())
        ends["stopped" if outcome.stopped else "equal"] += 1
    # Most go to their end; some must stop, where the source has lost what was captured or is another server.
    assert ends["equal"] > 3 * ends["stopped"] > 0


def test_a_seed_is_a_schedule_and_so_are_its_choices() -> None:
    one, other = run(Seeded(7)), run(Seeded(7))
    assert one.events == other.events
    assert run(Replayed(one.choices)).events == one.events
    assert run(Seeded(8)).events != one.events


def test_a_failure_is_told_as_a_story_of_a_few_lines() -> None:
    with switched_off(CONTROLS["guard off"]) as shape:
        seed, broken = next(
            (seed, outcome) for seed in range(100) if (outcome := run(Seeded(seed), shape)).broken
        )
        short = shrunk(broken, shape, runs_max=400)
    assert short.broken == broken.broken
    assert len(short.events) <= len(broken.events)
    lines = told(short).splitlines()
    assert len(lines) < 30, seed
    assert lines[-1].startswith("I2 monotone: ('records.")
    assert any(line.startswith("  target ") for line in lines)
