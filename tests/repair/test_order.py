"""What no ordered write goes over, and writers that are faster: a repair never makes a state older."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from changeover.decide import Write
from changeover.errors import LogUnavailable
from changeover.log import Entry, Log
from changeover.mysql.control import PHASE
from changeover.mysql.phases import make_row
from changeover.repair.forced import Outcome
from changeover.repair.plan import Step
from changeover.repair.repair import Repair
from changeover.table import Table
from changeover.targets import UNVERSIONED, Target
from changeover.verify.findings import Kind
from changeover.verify.source import Seen, Source
from changeover.version import Version
from tests.repair.planting import Moved, changed, with_value


def into(*targets: str) -> pytest.MarkDecorator:
    """For these targets alone."""
    return pytest.mark.parametrize("place", targets, indirect=True)


def test_what_somebody_else_wrote_is_replaced_and_the_replacing_is_written_down(place: Moved) -> None:
    key = place.key(21)
    place.store.put_foreign(place.table, key, changed(place.row(21), name="theirs"))
    assert [(found.key, found.kind) for found in place.verify()] == [(key, Kind.NO_PROVENANCE)]
    (done,) = place.repair()
    assert (done.replaced, done.is_mended) == (1, True)
    forced = place.forced_writes()[-1]
    assert (forced.key, forced.held, forced.who) == (key, UNVERSIONED, "tester@here")
    assert "did not write" in forced.reason
    assert place.verify() == []
    assert place.store.values(place.table, key) == 1
    place.execute("UPDATE thing SET name = 'goes on' WHERE id = 21")
    place.pipeline.drain()
    assert place.verify() == []


@into("siblings")
def test_a_sibling_that_nobody_has_resolved_is_found_and_resolved(place: Moved) -> None:
    key = place.key(22)
    place.store.put_sibling(place.table, key, Version.of_change(1, 1))
    assert place.store.values(place.table, key) == 2
    assert [(found.key, found.columns) for found in place.verify()] == [(key, ("siblings",))]
    (done,) = place.repair()
    assert done.is_mended
    assert place.store.values(place.table, key) == 1
    assert place.verify() == []


FAR_AHEAD = Version(1, 2**50, 1)


def put_ahead(place: Moved, number: int) -> None:
    """The target has a state that the source has never committed, and skips a change of the source for it."""
    place.plant(number, changed(place.row(number), name="never committed"), FAR_AHEAD)
    place.execute(f"UPDATE thing SET name = 'skipped' WHERE id = {number}")
    place.pipeline.drain()


def test_what_is_ahead_of_the_source_is_told_and_left_alone_without_a_persons_word(place: Moved) -> None:
    put_ahead(place, 23)
    assert [(found.key, found.kind) for found in place.verify()] == [(place.key(23), Kind.AHEAD)]
    before = place.held(23)
    (done,) = place.repair()
    assert done.left == {place.key(23): (Step.AHEAD, before)}
    assert not done.is_mended
    assert place.held(23) == before
    assert [finding.key for finding in place.findings.open()] == [place.key(23)]
    place.plant(23, place.row(23), before_now(place))
    assert place.verify() == []


@into("merge")
def test_riaks_merge_refuses_to_go_back_and_says_what_to_do(place: Moved) -> None:
    put_ahead(place, 24)
    before = place.held(24)
    (done,) = place.repair(24, reason="a test")
    assert re.search(r"never goes back.*another bucket type", done.refused)
    assert done.left[place.key(24)] == (Step.AHEAD, before)
    assert place.held(24) == before
    assert place.forced_writes()[-1].outcome is Outcome.NOT_DONE
    place.plant(24, place.row(24), before_now(place))
    assert place.verify() == []


@into("sqlite", "siblings")
def test_what_is_ahead_is_overwritten_by_a_persons_word_which_is_written_down(place: Moved) -> None:
    put_ahead(place, 25)
    place.verify()
    (done,) = place.repair(reason="ticket 17")
    assert (done.replaced, done.is_mended) == (1, True)
    forced = place.forced_writes()[-1]
    assert (forced.key, forced.held, forced.reason) == (place.key(25), FAR_AHEAD, "ticket 17")
    assert forced.outcome is Outcome.DONE
    assert forced.written < FAR_AHEAD
    assert place.verify() == []
    place.execute("UPDATE thing SET name = 'goes on' WHERE id = 25")
    place.pipeline.drain()
    assert place.verify() == []


class ChangedJustBefore:
    """A target at which a state is replaced just after it has skipped one more change because of it."""

    def __init__(self, place: Moved, number: int) -> None:
        self._place = place
        self._number = number

    def __getattr__(self, name: str) -> object:
        return getattr(self._place.target, name)

    def replace(self, write: Write, held: Version) -> bool:
        self._place.execute(f"UPDATE thing SET other = 'in between' WHERE id = {self._number}")
        self._place.pipeline.drain()
        return self._place.target.replace(write, held)


@into("sqlite", "siblings")
@pytest.mark.parametrize("reads_again", [True, False])
def test_a_change_that_was_skipped_while_a_state_is_replaced_is_not_lost(
    place: Moved, monkeypatch: pytest.MonkeyPatch, *, reads_again: bool
) -> None:
    put_ahead(place, 26)
    repair = place.repairing("a test")
    repair._target = cast("Target[Any]", ChangedJustBefore(place, 26))
    if not reads_again:  # the rule switched off
        replace_all = Repair._replace
        monkeypatch.setattr(Repair, "_replace", lambda *given: bool(replace_all(*given)) and False)
    (done,) = repair.repair(place.table, [place.key(26)])
    assert done.is_mended is reads_again
    monkeypatch.undo()
    place.repair(26)
    assert place.verify() == []


@into("sqlite")
def test_a_repair_that_dies_behind_the_replacing_has_closed_nothing_and_is_repeated(place: Moved) -> None:
    put_ahead(place, 27)
    place.verify()
    repair = place.repairing("a test")
    repair._log = cast("Log", BrokenLog())
    with pytest.raises(LogUnavailable):
        list(repair.repair(place.table, [place.key(27)]))
    assert [finding.key for finding in place.findings.open()] == [place.key(27)]
    (done,) = place.repair()
    assert done.is_mended
    assert place.verify() == []


@into("sqlite")
def test_what_was_written_in_new_is_never_overwritten_by_the_frozen_source(place: Moved) -> None:
    new_epoch = 50
    control = place.verifier.control
    make_row(control)
    row = place.row(30)
    place.plant(30, changed(row, name="of NEW"), Version(new_epoch, 0, 0))
    place.store.put_foreign(place.table, place.key(31), changed(place.row(31), name="of NEW"))
    before = [place.held(number) for number in (30, 31)]
    control.connection.execute(f"UPDATE {control.table(PHASE)} SET phase = 'NEW', new_epoch = {new_epoch}")
    (done,) = place.repair(30, 31, reason="a test")
    assert {step for step, _ in done.left.values()} == {Step.NEW}
    assert [place.held(number) for number in (30, 31)] == before
    control.connection.execute(f"UPDATE {control.table(PHASE)} SET phase = 'OLD', new_epoch = NULL")
    place.repair(30, 31, reason="a test")
    assert place.verify() == []


class BrokenLog:
    """A log that takes nothing."""

    def append(self, entries: Sequence[Entry]) -> None:
        del entries
        raise LogUnavailable("the log is away")


def before_now(place: Moved) -> Version:
    """A version that every change from now on is later than."""
    bound = place.verifier.source.keys(place.table, [place.key(1)]).bound
    return bound._replace(row=1)


# -- races


class WrittenToMeanwhile:
    """A source whose row is changed as soon as it was read; unless `is_bounded`, the version hides that."""

    def __init__(self, place: Moved, number: int, *, is_bounded: bool) -> None:
        self._place = place
        self._number = number
        self._is_bounded = is_bounded

    def __getattr__(self, name: str) -> object:
        return getattr(self._place.verifier.source, name)

    def keys(self, table: Table, keys: Sequence[bytes]) -> Seen:
        seen = self._place.verifier.source.keys(table, keys)
        self._place.execute(f"UPDATE thing SET name = 'newer', other = UUID() WHERE id = {self._number}")
        later = self._place.verifier.source.keys(table, keys)
        return seen if self._is_bounded else replace(seen, bound=later.bound)


@pytest.mark.parametrize("is_bounded", [True, False])
def test_a_repair_never_puts_an_older_state_over_a_newer_one(place: Moved, *, is_bounded: bool) -> None:
    with_value(28, name="wrong")(place)
    repair = place.repairing()
    repair._source = cast("Source", WrittenToMeanwhile(place, 28, is_bounded=is_bounded))
    list(repair.repair(place.table, [place.key(28)]))
    place.pipeline.drain()
    found = [finding.kind for finding in place.verify()]
    assert found == ([] if is_bounded else [Kind.DIFFERENT])  # an unbounded read loses the change for good
    place.repair(28)
    assert place.verify() == []
