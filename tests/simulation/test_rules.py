"""Each rule, switched off, is noticed within a thousand schedules; and the page on the proof names it."""

from pathlib import Path

import pytest

from tests.simulation.chance import Seeded
from tests.simulation.controls import CONTROLS, switched_off
from tests.simulation.schedule import Shape, run
from tests.simulation.story import complaint

SCHEDULES_TO_CATCH = 1_000


@pytest.mark.parametrize("name", CONTROLS)
def test_a_rule_that_is_switched_off_is_caught_and_with_it_the_same_schedule_is_right(name: str) -> None:
    control = CONTROLS[name]
    with switched_off(control) as shape:
        for seed in range(SCHEDULES_TO_CATCH):
            outcome = run(Seeded(seed), shape)
            if outcome.broken is not None and outcome.broken.startswith("I"):
                break
        else:
            pytest.fail(f"{name} was not noticed in {SCHEDULES_TO_CATCH} schedules")
    allowed = Shape(**{field: getattr(control.shape, field) for field in SETTINGS})
    again = run(Seeded(seed), allowed)
    assert again.broken is None, complaint(f"seed {seed}", again, allowed)


SETTINGS = (
    "kinds",
    "events",
    "workers_max",
    "consumers_max",
    "writers_max",
    "transactions_max",
    "keys",
    "faults_max",
    "operated_within_steps",
    "lingers",
    "verifies",
    "moves",
)
"""What a shape says of the case; the others are rules."""


def test_the_page_on_the_proof_names_every_rule_that_can_be_switched_off() -> None:
    page = (Path(__file__).parents[2] / "docs" / "proof.md").read_text()
    assert [name for name, control in CONTROLS.items() if f"| {name} | {control.story} |" not in page] == []
