"""The lag and the pace of the last hours."""

import orjson

from changeover.page.history import COARSE, FINE, History, Point


def seen(at_ms: int, lag_ms: int | None, captured: int | None = 0) -> Point:
    return Point(at_ms=at_ms, lag_ms=lag_ms, captured=captured, applied=captured)


def fine(*looks: Point) -> list[tuple[int, int | None]]:
    history = History()
    for look in looks:
        history.see(look)
    return [(point.at_ms, point.lag_ms) for point in history.all()["fine"]]


def test_a_stretch_shows_its_worst_lag() -> None:
    assert fine(seen(4_000, 10), seen(4_900, 900), seen(5_999, 20), seen(6_000, 30)) == [
        (4_000, 900),
        (6_000, 30),
    ]


def test_a_stretch_of_which_a_part_is_unknown_is_unknown() -> None:
    assert fine(seen(4_000, 10), seen(5_000, None)) == [(4_000, None)]
    assert fine(seen(4_000, None), seen(5_000, 10)) == [(4_000, None)]


def test_a_stretch_ends_with_the_last_count() -> None:
    history = History()
    history.see(seen(4_000, 1, captured=5))
    history.see(seen(5_000, 1, captured=9))
    assert history.last()["fine"] == Point(at_ms=4_000, lag_ms=1, captured=9, applied=9)


def test_a_clock_that_is_set_back_makes_no_point_before_the_last() -> None:
    assert fine(seen(8_000, 5), seen(2_000, 7)) == [(8_000, 7)]


def test_nothing_was_seen_at_the_start() -> None:
    assert History().last() == {"fine": None, "coarse": None}


def test_weeks_of_looks_take_no_more_room_than_some_hours() -> None:
    history = History()
    for at_s in range(0, 14 * 86_400, 15):
        history.see(seen(at_s * 1_000, 3_600_000, captured=10**12))
    kept = history.all()
    assert [len(kept[name]) for name in ("fine", "coarse")] == [FINE.points_max, COARSE.points_max]
    assert len(orjson.dumps(kept)) < 200_000
    assert FINE.width_ms * FINE.points_max == 15 * 60_000
    assert COARSE.width_ms * COARSE.points_max == 6 * 3_600_000
