"""A move is one durable compare-and-set: made once, on record, and only past those who hold the phase."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from changeover.epoch import Epoch
from changeover.errors import ChangeoverError, PhaseHeld, PhaseMoved
from changeover.mysql.bounded import BoundedReader
from changeover.mysql.control import ControlSchema
from changeover.mysql.numbering import numbering_of
from changeover.mysql.phases import SHARED, moves_of, phase_now
from changeover.phase import Phase, PhaseState
from changeover.phases.gates import Gate
from changeover.phases.move import PATIENCE_S, Mover

OpenControl = Callable[[], ControlSchema]
OpenMover = Callable[[], Mover]

LAG = Gate(name="lag", holds=False, figure="7,000 ms", limit="at most 5,000 ms", reason="late", mend="wait")


@contextmanager
def reading(control: ControlSchema) -> Iterator[PhaseState]:
    """A transaction of the application, which holds the phase that it has read."""
    with control.connection.transaction():
        yield phase_now(control, lock=SHARED)


def stands(control: ControlSchema) -> PhaseState:
    return phase_now(control)


def open_epoch(control: ControlSchema) -> None:
    """The epoch of this server, as capture opens it."""
    place = numbering_of(control.connection).here(lambda: control.beat("capture"))
    control.open_epoch(Epoch(1, place.identity, place.sequence, None))


def test_a_move_changes_the_row_and_is_on_record_with_its_evidence(open_mover: OpenMover) -> None:
    mover = open_mover()
    before = stands(mover.control)
    assert (before.phase, before.attempt) == (Phase.OLD, 0)
    after = mover.move(before, Phase.BOTH_READ_OLD, [LAG], forced="tonight's window")
    assert (after.phase, after.attempt, after.deadline_ms) == (Phase.BOTH_READ_OLD, 1, None)
    assert before.since_ms <= after.since_ms <= mover.control.now_ms()
    (move,) = moves_of(mover.control)
    assert (move.before, move.after, move.attempt) == (Phase.OLD, Phase.BOTH_READ_OLD, 1)
    assert move.forced == "tonight's window"
    assert move.evidence[0]["figure"] == "7,000 ms"
    assert "@" in move.who


def test_what_was_judged_before_another_move_is_not_made(open_mover: OpenMover) -> None:
    first, second = open_mover(), open_mover()
    judged = stands(first.control)
    first.move(judged, Phase.BOTH_READ_OLD, [])
    with pytest.raises(PhaseMoved, match="BOTH_READ_OLD by now, and not OLD"):
        second.move(judged, Phase.BOTH_READ_OLD, [])
    # There and back is the same phase, and not the same state: what was judged before it is judged anew.
    first.move(stands(first.control), Phase.OLD, [])
    with pytest.raises(PhaseMoved, match="move 2 came first"):
        second.move(judged, Phase.BOTH_READ_OLD, [])
    assert [move.attempt for move in moves_of(first.control)] == [1, 2]


def test_of_movers_at_one_moment_one_wins_and_the_others_say_so(open_mover: OpenMover) -> None:
    movers = [open_mover() for _ in range(4)]
    judged = stands(movers[0].control)
    together, said = threading.Barrier(len(movers)), list[str]()

    def move(mover: Mover) -> None:
        together.wait()
        try:
            mover.move(judged, Phase.BOTH_READ_OLD, [])
            said.append("moved")
        except ChangeoverError as error:
            said.append(type(error).__name__)

    threads = [threading.Thread(target=move, args=(mover,)) for mover in movers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == ["PhaseMoved", "PhaseMoved", "PhaseMoved", "moved"]
    assert stands(movers[0].control).attempt == 1


def test_a_move_waits_for_the_transactions_of_the_old_phase(
    open_mover: OpenMover, open_control: OpenControl
) -> None:
    mover, application = open_mover(), open_control()
    order = list[str]()

    def move() -> None:
        mover.move(judged, Phase.BOTH_READ_OLD, [])
        order.append("moved")

    judged = stands(mover.control)
    moving = threading.Thread(target=move)
    with reading(application) as held:
        moving.start()
        time.sleep(PATIENCE_S + 0.5)  # longer than one try
        assert held.phase is Phase.OLD
        order.append("committed")
    moving.join()
    assert order == ["committed", "moved"]


def test_who_holds_the_phase_for_too_long_is_named_and_nothing_is_moved(
    open_mover: OpenMover, open_control: OpenControl
) -> None:
    mover, application, other = open_mover(), open_control(), open_control()
    judged = stands(mover.control)
    waited_s = list[float]()
    is_over = threading.Event()

    def transactions() -> None:
        """Of an application that goes on meanwhile."""
        while not is_over.is_set():
            begun_s = time.monotonic()
            with reading(other):
                pass
            waited_s.append(time.monotonic() - begun_s)
            time.sleep(0.01)

    going_on = threading.Thread(target=transactions)
    with reading(application):
        going_on.start()
        begun_s = time.monotonic()
        with pytest.raises(PhaseHeld) as refused:
            mover.move(judged, Phase.BOTH_READ_OLD, [])
        took_s = time.monotonic() - begun_s
        is_over.set()
    going_on.join()
    assert f"thread {application.connection.thread_id} of " in str(refused.value)
    assert "held for 3 tries" in str(refused.value)
    assert stands(mover.control) == judged
    assert moves_of(mover.control) == []
    assert max(waited_s) < 0.9 * took_s  # for one of the tries, and not for all of them
    assert len(waited_s) >= 3


def test_the_move_that_ends_old_notes_a_place_behind_all_that_was_committed_in_it(
    open_control: OpenControl,
) -> None:
    application, other, control = open_control(), open_control(), open_control()
    open_epoch(control)
    has_tried = threading.Event()

    def pause(pause_s: float) -> None:
        has_tried.set()
        time.sleep(pause_s)

    mover = Mover(control, tries=60, sleep=pause)
    mover.begin()
    moved = list[PhaseState]()
    moving = threading.Thread(
        target=lambda: moved.append(mover.move(judged, Phase.BOTH_READ_OLD, [])),
    )
    judged = stands(control)
    with reading(application):
        moving.start()
        assert has_tried.wait(60)
        last = BoundedReader(
            other.connection, other.pipeline, "other"
        ).bound()  # the mover is at it, and OLD goes on
    moving.join()
    (after,) = moved
    assert after.fence is not None
    assert after.fence > last
    # It goes with the phase, there and back, until it is OLD again.
    for to, fence in (
        (Phase.BOTH_READ_NEW, after.fence),
        (Phase.BOTH_READ_OLD, after.fence),
        (Phase.OLD, None),
    ):
        assert mover.move(stands(control), to, []).fence == fence
    again = mover.move(stands(control), Phase.BOTH_READ_OLD, [])
    assert again.fence is not None
    assert again.fence > after.fence


def test_where_that_place_cannot_be_had_the_move_is_made_all_the_same_and_it_can_be_noted_later(
    open_mover: OpenMover,
) -> None:
    mover = open_mover()
    control = mover.control
    after = mover.move(stands(control), Phase.BOTH_READ_OLD, [])  # no capture has opened an epoch
    assert (after.phase, after.fence) == (Phase.BOTH_READ_OLD, None)
    open_epoch(control)
    later = mover.with_fence(after)
    assert later.fence is not None
    assert later == replace(after, fence=later.fence)
    assert mover.with_fence(later) == later  # once
    # What was read before another move notes nothing.
    mover.move(later, Phase.OLD, [])
    assert mover.with_fence(after).fence is None


def test_going_back_from_reading_the_new_database_takes_less_than_a_second(open_mover: OpenMover) -> None:
    mover = open_mover()
    mover.move(stands(mover.control), Phase.BOTH_READ_OLD, [])
    took_s = list[float]()
    for _ in range(3):  # for the machine may do much else
        mover.move(stands(mover.control), Phase.BOTH_READ_NEW, [])
        mover.begin()
        begun_s = time.monotonic()
        mover.move(stands(mover.control), Phase.BOTH_READ_OLD, [])
        took_s.append(time.monotonic() - begun_s)
        assert moves_of(mover.control)[-1].took_ms <= took_s[-1] * 1_000 + 1
    assert min(took_s) < 1
