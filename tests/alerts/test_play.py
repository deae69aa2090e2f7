"""Stories are told side by side, and one that fails is let go and named."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.alerts import play as playing
from tests.alerts.play import Story, Teller, Wait, play


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playing, "POLL_S", 0)


def never() -> bool:
    return False


def at_once() -> bool:
    return True


class Room:
    """Whether somebody is in it."""

    is_held = False

    @contextmanager
    def held(self) -> Iterator[None]:
        self.is_held = True
        try:
            yield
        finally:
            self.is_held = False


def test_stories_go_on_when_what_they_wait_for_has_come_from_one_another() -> None:
    told: list[str] = []

    def first() -> Story:
        yield Wait("the other", lambda: "other" in told)
        told.append("first")

    def other() -> Story:
        yield Wait("nothing", at_once)
        told.append("other")
        yield Wait("the first", lambda: "first" in told)
        told.append("end")

    assert not play({"first": Teller(first()), "other": Teller(other())})
    assert told == ["other", "first", "end"]


def test_a_wait_in_vain_says_for_what_and_the_other_stories_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playing, "WAIT_S_MAX", 0.05)
    room, told = Room(), list[str]()

    def in_vain() -> Story:
        with room.held():
            yield Wait("rain", never, lambda: "sunshine")

    def other() -> Story:
        while room.is_held:
            yield Wait("nothing", at_once)
        told.append("other")

    failed = play({"in vain": Teller(in_vain()), "other": Teller(other())})
    assert [*failed] == ["in vain"]
    assert str(failed["in vain"]).startswith("waited 0 s for rain, and saw sunshine")
    assert told == ["other"]


def test_what_fails_meanwhile_is_the_storys_failure() -> None:
    room = Room()

    def waiting() -> Story:
        with room.held():
            yield Wait("long", never)

    def meanwhile() -> None:
        raise ZeroDivisionError

    failed = play({"waiting": Teller(waiting(), meanwhile)})
    assert isinstance(failed["waiting"], ZeroDivisionError)
    assert not room.is_held
