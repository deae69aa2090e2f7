"""What has happened between two pictures."""

from dataclasses import replace

from changeover.mysql.imports import TableProgress
from changeover.page.events import EVENTS_MAX, Events
from changeover.page.facts import Facts, Heartbeat
from changeover.page.painter import SILENT_MS_MAX, Painter
from changeover.page.picture import Picture
from changeover.phase import Phase, PhaseState
from tests.page.seen import FACTS, STATUS

NAMES = ("shop", "db:3306", "SQLite shop.db")


def painted(facts: Facts = FACTS) -> Picture:
    return Painter(*NAMES).paint(facts, 1_800_000_000_000)


def blank(trouble: str) -> Picture:
    return Painter(*NAMES).blank(trouble, 1_800_000_000_000)


def words(*pictures: Picture) -> list[str]:
    """What the pictures tell after the first, newest first."""
    events = Events()
    for picture in pictures:
        events.see(picture)
    return [event.words for event in events.all()][:-1]


def test_the_first_picture_tells_that_the_page_began_to_look_and_nothing_else() -> None:
    events = Events()
    events.see(painted())
    assert [(event.number, event.words) for event in events.all()] == [(1, "The page began to look")]


def test_nothing_happens_where_nothing_is_different() -> None:
    assert words(painted(), painted()) == []


def test_a_trouble_is_told_once_and_its_end_too() -> None:
    away = blank("the source did not answer.")
    assert words(painted(), away, away, painted()) == [
        "The pipeline can be read again",
        "Nothing is known: the source did not answer.",
    ]


def test_a_move_of_phase_is_told() -> None:
    moved = replace(FACTS, phase=PhaseState(phase=Phase.BOTH_READ_OLD, attempt=1, since_ms=1))
    assert words(painted(), painted(moved)) == ["The phase is now BOTH_READ_OLD, it was OLD"]


def test_each_table_that_is_copied_is_told_and_the_whole_import_when_it_is_applied() -> None:
    half = TableProgress("shop.customer", 1_000, 400, 1, is_cut=False)
    copying = replace(
        FACTS, status=replace(STATUS, tables=[half], is_import_logged=False, is_import_applied=False)
    )
    assert words(painted(copying), painted()) == [
        "Every row of the import is in the new database",
        "shop.customer is copied: 1,000 rows",
    ]


def test_a_capture_that_falls_silent_is_told_and_when_it_is_back() -> None:
    def beating(silent_ms: int) -> Picture:
        return painted(
            replace(FACTS, heartbeats=[Heartbeat(beater="capture", at_ms=FACTS.now_ms - silent_ms)])
        )

    assert words(painted(), beating(0), beating(SILENT_MS_MAX + 1), beating(0)) == [
        "capture is heard of again",
        "capture has fallen silent",
        "capture is heard of for the first time",
    ]


def test_events_are_bounded_and_their_numbers_go_on() -> None:
    events = Events()
    for number in range(EVENTS_MAX + 10):
        events.see(blank(f"trouble {number}"))
    assert len(events.all()) == EVENTS_MAX
    assert events.all()[0].words == f"Nothing is known: trouble {EVENTS_MAX + 9}"
    assert events.all()[0].number - events.all()[-1].number == EVENTS_MAX - 1
