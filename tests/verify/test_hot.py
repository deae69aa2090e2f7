"""Keys that never rest, held against the log."""

import pytest

from changeover.decide import Write
from changeover.targets import Held
from changeover.targets.sqlite import SQLiteTarget
from changeover.values import Row
from changeover.verify.comparing import Answer, Pair
from changeover.verify.hot import paired
from changeover.version import Version
from tests.support.tables import CITIZEN, citizen

TARGET = SQLiteTarget.__new__(SQLiteTarget)  # its `body_of` needs no file
BOUND, UNTIL = Version.of_read(1, 20), Version.of_change(1, 30)


def change(sequence: int, name: str | None, row: int = 1) -> Write:
    """The key's state `name` from transaction `sequence` on; None: deleted."""
    return Write(CITIZEN, b'{"id":1}', Version(1, sequence, row), None if name is None else citizen(1, name))


STATES = [change(18, "a"), change(19, "b"), change(25, "c"), change(28, None), change(40, "d")]


def answer(source: str | None, held: tuple[Version, str | None] | None, states: list[Write]) -> Answer:
    def body(name: str | None) -> Row | None:
        return None if name is None else citizen(1, name)

    pair = Pair(source=body(source), bound=BOUND, held=None if held is None else Held(held[0], body(held[1])))
    return paired(pair, UNTIL, states, TARGET).answer


@pytest.mark.parametrize("source", ["b", "c", None])
def test_the_source_may_have_shown_each_state_that_the_key_had_meanwhile(source: str | None) -> None:
    assert answer(source, (Version.of_change(1, 40), "d"), STATES) is Answer.EQUAL


@pytest.mark.parametrize("source", ["a", "d", "lost"])
def test_a_state_from_before_or_after_or_one_that_the_log_lacks_is_a_difference(source: str) -> None:
    assert answer(source, (Version.of_change(1, 40), "d"), STATES) is Answer.DIFFERS


def test_the_target_must_hold_the_state_of_the_version_that_it_holds_it_under() -> None:
    assert answer("b", (Version.of_change(1, 40), "c"), STATES) is Answer.DIFFERS
    assert answer("b", (Version.of_change(1, 28), None), STATES) is Answer.EQUAL
    assert answer("b", (Version.of_change(1, 28), "c"), STATES) is Answer.DIFFERS


def test_a_direct_write_has_the_state_of_its_change() -> None:
    assert answer("b", (Version(1, 40, 0), "d"), STATES) is Answer.EQUAL
    assert answer("b", (Version(1, 40, 0), "c"), STATES) is Answer.DIFFERS


def test_a_read_of_the_import_is_a_state_of_the_target_and_none_of_the_source() -> None:
    states = [*STATES, change(35, "read", row=2**32 - 1)]
    assert answer("b", (Version.of_read(1, 35), "read"), states) is Answer.EQUAL
    assert answer("b", (Version.of_read(1, 35), "other"), states) is Answer.DIFFERS
    assert answer("read", (Version.of_change(1, 40), "d"), states) is Answer.DIFFERS


@pytest.mark.parametrize(
    ("held", "states"),
    [
        ((Version.of_change(1, 41), "e"), STATES),  # not in what was read of the log
        ((Version.of_change(1, 40), "d"), STATES[2:]),  # what it was at the bound is not known
        ((Version.of_change(1, 40), "d"), []),
        (None, STATES),
    ],
)
def test_where_the_log_does_not_tell_the_key_is_looked_at_again(
    held: tuple[Version, str | None] | None, states: list[Write]
) -> None:
    assert answer("c", held, states) is Answer.LOOK_AGAIN
