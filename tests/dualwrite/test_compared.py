"""Compared reads: a difference counts, lag does not."""

import pytest

from changeover.dualwrite import DualStore
from changeover.dualwrite.compared import Budget, Compared
from changeover.phase import Phase
from changeover.values import Row
from tests.support.processes import wait_until
from tests.support.ward import Ward

ROW: Row = {"id": 1, "dose": "1.000", "note": None}


def counted(store: DualStore, name: str) -> int:
    return store.counts.now()[name]


def test_a_read_that_is_the_same_in_both_is_counted_once_it_is_applied(ward: Ward) -> None:
    ward.move(Phase.BOTH_READ_OLD)
    ward.run("INSERT INTO prescription VALUES (1, 1, NULL)")
    ward.deliver(ward.newest_sequence, ROW)
    store = ward.store(compared_share=1.0)
    assert store.get("prescription", id=1).value == ROW
    assert wait_until(lambda: settled(ward, store, "compared"))
    assert counted(store, "compared_mismatch") == 0


def settled(ward: Ward, store: DualStore, name: str) -> bool:
    """Whether something was counted by now, while the consumers are as far as the source."""
    ward.applied()
    return counted(store, name) > 0


@pytest.mark.parametrize("planted", [{**ROW, "dose": "1.001"}, {**ROW, "note": ""}])
def test_a_difference_is_found(ward: Ward, planted: Row) -> None:
    ward.move(Phase.BOTH_READ_OLD)
    ward.run("INSERT INTO prescription VALUES (1, 1, NULL)")
    ward.deliver(ward.newest_sequence, planted)
    store = ward.store(compared_share=1.0)
    store.get("prescription", id=1)
    assert wait_until(lambda: settled(ward, store, "compared_mismatch"))


@pytest.mark.parametrize("is_on", [True, False], ids=["rule on", "rule off"])
def test_a_target_that_is_behind_is_no_difference(
    ward: Ward, monkeypatch: pytest.MonkeyPatch, *, is_on: bool
) -> None:
    if not is_on:
        monkeypatch.setattr(Compared, "_wait_for", lambda *_: None)
    ward.move(Phase.BOTH_READ_OLD)
    ward.run("INSERT INTO prescription VALUES (1, 9, NULL)")
    ward.deliver(ward.newest_sequence, {**ROW, "dose": "9.000"})
    ward.applied()
    ward.run("UPDATE prescription SET dose = 1 WHERE id = 1")
    changed_at = ward.newest_sequence
    store = ward.store(compared_share=1.0)
    store.get("prescription", id=1)
    # Long enough to see it where it comes.
    assert wait_until(lambda: counted(store, "compared_mismatch") > 0, 1.0 if is_on else 60.0) is not is_on
    ward.deliver(changed_at, ROW)
    assert wait_until(lambda: settled(ward, store, "compared"))
    assert counted(store, "compared_mismatch") == (not is_on)


def test_the_budget_bounds_how_many_are_compared() -> None:
    now_s = [0.0]
    budget = Budget(10, lambda: now_s[0])
    assert [budget.spend() for _ in range(12)] == [True] * 10 + [False] * 2
    now_s[0] = 0.25
    assert [budget.spend() for _ in range(3)] == [True, True, False]
    now_s[0] = 100
    assert sum(budget.spend() for _ in range(50)) == 10
