"""Rows of the new database that changeover did not write: a copying tool did, or another client in NEW."""

import sqlite3
from contextlib import closing

import pytest

from changeover.dualwrite import Origin
from changeover.phase import Phase
from changeover.values import Row
from tests.support.processes import wait_until
from tests.support.ward import Ward

ADOPTING = 'url = "sqlite:target.db"\nadopt = true'
ROW: Row = {"id": 1, "dose": "1.000", "note": None}


def copied(ward: Ward) -> None:
    """Another tool makes the copy, in a table of its own, of the one row that there is."""
    ward.run("INSERT INTO prescription VALUES (1, 1, NULL)")
    by_another(
        ward,
        "CREATE TABLE prescription (id INTEGER PRIMARY KEY, dose TEXT NOT NULL, note TEXT)",
        "INSERT INTO prescription VALUES (1, '1.000', NULL)",
    )


def by_another(ward: Ward, *statements: str) -> None:
    with closing(sqlite3.connect(ward.folder / "target.db")) as file, file:
        for statement in statements:
            file.execute(statement)


@pytest.mark.parametrize("phase", [Phase.BOTH_READ_NEW, Phase.NEW])
def test_a_row_that_was_adopted_and_never_changed_is_read_from_the_new_database(
    ward: Ward, phase: Phase
) -> None:
    copied(ward)
    ward.move(phase, target=ADOPTING)
    store = ward.store(target=ADOPTING)
    answer = store.get("prescription", id=1)
    assert (answer.value, answer.origin, answer.version) == (ROW, Origin.NEW, None)
    if phase is Phase.NEW:
        with store.transaction() as tx:
            assert tx.get("prescription", id=1).value == ROW


def test_a_row_that_was_adopted_is_no_difference_to_compared_reads(ward: Ward) -> None:
    copied(ward)
    ward.move(Phase.BOTH_READ_OLD)
    store = ward.store(target=ADOPTING, compared_share=1.0)
    store.get("prescription", id=1)

    def is_compared() -> bool:
        ward.applied(target=ADOPTING)
        return store.counts.now()["compared"] > 0

    assert wait_until(is_compared)
    assert store.counts.now()["compared_mismatch"] == 0


def test_where_nothing_is_adopted_a_foreign_row_is_no_answer_until_new(ward: Ward) -> None:
    ward.run("INSERT INTO prescription VALUES (1, 1, NULL)")
    ward.deliver(ward.newest_sequence, {**ROW, "id": 2})
    by_another(ward, "INSERT INTO prescription VALUES (1, '9.000', 'foreign')")
    ward.move(Phase.BOTH_READ_NEW)
    store = ward.store()
    answer = store.get("prescription", id=1)
    assert (answer.value, answer.origin) == (ROW, Origin.OLD)
    ward.move(Phase.NEW)
    assert store.get("prescription", id=1).value == {"id": 1, "dose": "9.000", "note": "foreign"}
