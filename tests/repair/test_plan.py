"""How a key is repaired, by what the target holds and how far the source was read."""

import pytest

from changeover.repair.plan import Step, step_for
from changeover.targets import UNVERSIONED, Held
from changeover.version import Version

BOUND = Version.of_read(1, 7)


@pytest.mark.parametrize(
    ("held", "step"),
    [
        (None, Step.LOG),
        (Version.of_change(1, 7), Step.LOG),
        (Version.of_read(1, 6), Step.LOG),
        (Version.of_read(1, 7), Step.AHEAD),  # a write of that very version would be skipped: read again
        (Version.of_change(1, 8), Step.AHEAD),
        (Version.of_change(2, 1), Step.AHEAD),
        (UNVERSIONED, Step.REPLACE),
    ],
)
def test_a_key_is_repaired_by_what_is_held(held: Version | None, step: Step) -> None:
    assert step_for(held and Held(held, None), BOUND) is step


def test_where_rows_of_another_tool_are_adopted_every_write_goes_over_them() -> None:
    assert step_for(Held(UNVERSIONED, {}), BOUND, adopts=True) is Step.LOG


@pytest.mark.parametrize("held", [UNVERSIONED, Version(3, 0, 0), Version.of_change(4, 1)])
def test_in_new_what_may_have_been_written_in_it_is_left_alone(held: Version) -> None:
    assert step_for(Held(held, {}), BOUND, new_epoch=3, adopts=True) is Step.NEW


@pytest.mark.parametrize(
    ("held", "step"), [(Version.of_change(1, 7), Step.LOG), (Version.of_change(2, 9), Step.AHEAD)]
)
def test_in_new_what_is_of_before_is_repaired_from_the_frozen_source(held: Version, step: Step) -> None:
    assert step_for(Held(held, {}), BOUND, new_epoch=3) is step
