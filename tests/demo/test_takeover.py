"""The demo's second half: it ends well where all is well, and each of its checks can fail."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from changeover.demo import clinic
from changeover.demo.clinic import Clerk, Day
from changeover.demo.oracle import Comparison, Difference, DifferenceKind
from changeover.demo.practice import Books
from changeover.demo.takeover import not_kept, unlike

DEMO_S_MAX = 280

MOVES = (
    "1. OLD -> BOTH_READ_OLD",
    "2. BOTH_READ_OLD -> BOTH_READ_NEW",
    "3. BOTH_READ_NEW -> BOTH_READ_OLD",
    "4. BOTH_READ_OLD -> BOTH_READ_NEW",
    "5. BOTH_READ_NEW -> NEW",
)


def test_the_demo_takes_the_application_from_old_to_new_without_a_failed_request(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "changeover", "demo", "--rows", "3000", "--rate", "100", "--steady", "1"]
    ended = subprocess.run(
        [*command, "--keep", str(tmp_path)], capture_output=True, text=True, check=False, timeout=DEMO_S_MAX
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    table = ended.stdout.split("taken over while it was in use")[1]
    for row in (*MOVES, "requests of 4 processes", "added write latency, p99"):
        assert row in table
    assert "unknown" not in table
    assert (tmp_path / "changeover-demo.html").exists()


class Forgetful:
    """A desk that acknowledges what it does not write."""

    def write(self, key: int, room: int, note: str | None) -> None:
        pass

    def read(self, key: int) -> str | None:
        return f"{key} as it was"


class Shut(Forgetful):
    """A desk that takes no write."""

    def write(self, key: int, room: int, note: str | None) -> None:
        del key, room, note
        message = "shut"
        raise OSError(message)


@pytest.mark.parametrize(
    ("desk", "is_caught"),
    [
        (Forgetful, lambda day: day.stale == 1 and day.failed == 0),
        (Shut, lambda day: day.failed == 1 and not day.acknowledged and not day.took),
    ],
)
def test_a_clerk_counts_what_a_desk_does_wrong(
    desk: type[Forgetful], is_caught: Callable[[Day], bool]
) -> None:
    clerk = Clerk(desk(), 3, Day())
    clerk.serve()
    assert is_caught(clerk.day)


def test_an_acknowledged_write_that_the_target_does_not_hold_is_told(tmp_path: Path) -> None:
    target = tmp_path / "target.db"
    with closing(sqlite3.connect(target)) as file:
        file.execute(f"CREATE TABLE {clinic.TABLE} (id INTEGER PRIMARY KEY, note TEXT)")
        file.executemany(
            f"INSERT INTO {clinic.TABLE} VALUES (?, ?)", [(1, "kept"), (2, "older"), (3, "back")]
        )
        file.commit()
    assert not_kept(target, {1: "kept", 2: "newer", 3: None, 4: "lost", 5: None}) == [2, 3, 4]


def test_only_what_the_clinic_has_rewritten_may_differ_from_the_frozen_source() -> None:
    rewritten, moved, other = (
        Difference(table=table, key=(key,), kind=DifferenceKind.DIFFERENT)
        for table, key in ((clinic.TABLE, 7), (clinic.TABLE, 1_007), ("medicine", 7))
    )
    found = (rewritten, moved, other)
    compared = Comparison(rows_source={}, rows_target={}, differences=found, difference_count=3)
    assert unlike(compared, {7: "new"}) == [moved, other]


def test_the_latency_is_that_of_the_time_asked_for() -> None:
    books = Books()
    books.took[True] += [(moment, float(moment)) for moment in range(1, 101)]
    assert books.p99_ms(is_old=True, since=1, until=101) == 99
    assert books.p99_ms(is_old=True, since=1, until=11) == 10
    assert books.p99_ms(is_old=False, since=1, until=101) is None
