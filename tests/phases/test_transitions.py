"""The table of transitions: every pair of phases, and no way out of NEW."""

import itertools

import pytest

from changeover.phase import Phase
from changeover.phases.transitions import TRANSITIONS, Step, after, way_ahead, why_not

ORDER = list(Phase)


@pytest.mark.parametrize(("phase", "step"), [*itertools.product(Phase, Step)])
def test_a_step_goes_to_the_neighbour_and_none_leaves_new(phase: Phase, step: Step) -> None:
    place = ORDER.index(phase) + (1 if step is Step.ADVANCE else -1)
    is_there = 0 <= place < len(ORDER) and phase is not Phase.NEW
    assert after(phase, step) is (ORDER[place] if is_there else None)


def test_every_phase_but_new_can_be_reached_again_from_every_other_but_new() -> None:
    reached = {Phase.OLD}
    for _ in ORDER:
        reached |= {to for (here, _), to in TRANSITIONS.items() if here in reached}
    assert reached == set(Phase)
    back = {Phase.FENCED}
    for _ in ORDER:
        back |= {to for (here, step), to in TRANSITIONS.items() if here in back and step is Step.BACK}
    assert back == set(Phase) - {Phase.NEW}


def test_the_way_ahead_names_stays_and_not_the_fence() -> None:
    assert way_ahead(Phase.OLD) == [Phase.BOTH_READ_OLD, Phase.BOTH_READ_NEW, Phase.NEW]
    assert way_ahead(Phase.FENCED) == [Phase.NEW]
    assert way_ahead(Phase.NEW) == []


def test_a_step_that_is_not_there_says_why() -> None:
    assert "no way back from NEW" in why_not(Phase.NEW, Step.BACK)
    assert "OLD is the first phase" in why_not(Phase.OLD, Step.BACK)
    assert "NEW is the last phase" in why_not(Phase.NEW, Step.ADVANCE)
