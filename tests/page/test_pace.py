"""How fast the import copies, and when it will be done."""

from collections.abc import Sequence

from changeover.mysql.imports import TableProgress
from changeover.page.pace import WINDOW_S, Pace, etas_s


def table(name: str, expected: int, copied: int, *, done: bool = False) -> TableProgress:
    return TableProgress(
        table_name=name,
        rows_estimated=expected,
        rows_copied=copied,
        chunks_open=0 if done else 1,
        is_cut=done,
    )


def after(looks: Sequence[tuple[float, int]]) -> float | None:
    pace = Pace()
    return [pace.see(at_s, rows) for at_s, rows in looks][-1]


def test_the_pace_of_one_look_is_unknown() -> None:
    assert after([(0, 500)]) is None


def test_the_pace_of_a_moment_is_unknown() -> None:
    assert after([(0, 0), (1, 5_000)]) is None


def test_the_pace_is_that_of_the_last_minute() -> None:
    assert after([(0, 0), (10, 100_000), (10 + WINDOW_S, 106_000)]) == 100


def test_an_import_that_stands_still_has_no_pace_and_so_no_end() -> None:
    assert after([(0, 500), (30, 500)]) is None


def test_another_import_begins_with_an_unknown_pace() -> None:
    assert after([(0, 0), (10, 900), (20, 0)]) is None


def test_a_table_is_done_after_those_before_it() -> None:
    tables = [table("a", 100, 100, done=True), table("b", 100, 50), table("c", 200, 0)]
    assert list(etas_s(tables, 10)) == [0, 5, 25]


def test_nobody_knows_the_end_without_a_pace() -> None:
    assert list(etas_s([table("a", 5, 5, done=True), table("b", 10, 0)], None)) == [0, None]


def test_a_table_with_more_rows_than_were_estimated_has_no_known_end() -> None:
    assert list(etas_s([table("a", 100, 120)], 10)) == [None]
