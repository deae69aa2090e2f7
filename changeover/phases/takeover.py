"""The way into NEW: writers wait, the old database is frozen and drained, and the new store decides.

    BOTH_READ_NEW -> FENCED   the row, with a deadline: from its commit on the library writes nothing
                  frozen      the old database refuses everybody else
                  fence       F, the place in the commit order behind which nobody writes
                  drained     the target has applied through F
                  epoch       E, above every epoch: from now on the word `new` may be on its way
                  decided     the new store remembers `new`, told while the row is locked
    FENCED -> NEW             the row; then the store remembers that it has come to this

Until the word is out, every trouble and the deadline lead back, and nothing but time was lost. A mover that
dies leaves FENCED: the next call asks the new store, and finishes or undoes it.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, NamedTuple

from changeover.crashpoints import reach
from changeover.errors import (
    ChangeoverError,
    FenceLate,
    FenceStands,
    HandoverUnsettled,
    PhaseHeld,
    RowLocked,
    TargetUnavailable,
)
from changeover.handover import COMMITTED, DECIDED, NAME, Handover, Word
from changeover.mysql.bounded import BoundedReader
from changeover.mysql.control import ControlSchema
from changeover.mysql.freezing import Freezing
from changeover.mysql.phases import phase_now, write_fence
from changeover.phase import Phase, PhaseState
from changeover.phases.gates import Gate
from changeover.phases.move import BEATER, PAUSE_S, Mover
from changeover.targets import Note, Target
from changeover.version import Version

POLL_S = 0.05

RESOLVE_TRIES, RESOLVE_PAUSE_S = 10, 1.0
"""How long a mover goes on trying to undo its fence: a restart of the source takes a few seconds."""

Notes = Target[Any]
OpenTarget = Callable[[], AbstractContextManager[Notes]]


class Result(NamedTuple):
    """The phase after a way into NEW, and why it is not NEW."""

    state: PhaseState
    why: str = ""


class Takeover:
    """The way into NEW of one pipeline.

    `applied_through` says how far the target is; `reopened` gives another one like it, over a new connection.
    """

    def __init__(  # noqa: PLR0913 - a composition root hands in what it works with
        self,
        mover: Mover,
        freezer: Freezing,
        open_target: OpenTarget,
        applied_through: Callable[[], Version | None],
        *,
        fence_s: float,
        reopened: Callable[[], AbstractContextManager["Takeover"]],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._mover = mover
        self._control = mover.control
        self._freezer = freezer
        self._open_target = open_target
        self._applied_through = applied_through
        self._fence_s = fence_s
        self._reopened = reopened
        self._sleep = sleep

    def run(self, judged: PhaseState, gates: Sequence[Gate], forced: str | None) -> Result:
        """Go into NEW, or come back from the fence with the reason."""
        with self._alone(), self._open_target() as target:  # both before anybody is made to wait
            try:
                # In here too: a COMMIT of FENCED may have happened though nobody has answered it.
                fenced = self._mover.move(
                    judged, Phase.FENCED, gates, forced=forced, deadline_in_s=self._fence_s
                )
                self._go(fenced, target)
            except BaseException as error:  # noqa: BLE001 - whatever it is, writers must not be left to wait
                trouble, state = error, self._resolved_at_once()
            else:
                return Result(self._settled(target))
        if state is None:
            state = self._resolved_anew(trouble)
        if not isinstance(trouble, ChangeoverError) or state.attempt == judged.attempt:
            raise trouble  # of the second kind: it has never been FENCED
        return Result(state, str(trouble))

    def resolve(self) -> PhaseState:
        """The phase, once what a mover has left in FENCED is finished or undone."""
        with self._alone():
            return self._resolve()

    def _go(self, fenced: PhaseState, target: Notes) -> None:
        self._freeze(fenced)
        reach("phase.frozen")
        self._note_fence(fenced)
        reach("phase.fence_noted")
        self._drain(fenced)
        reach("phase.drained")
        self._reserve_epoch(fenced)
        reach("phase.epoch_reserved")
        self._decide(fenced, target)

    def _freeze(self, fenced: PhaseState) -> None:
        while True:
            try:
                self._freezer.freeze()
            except RowLocked:
                self._check_time(fenced, "statements or table locks of others do not end")
                self._sleep(PAUSE_S)
            else:
                return

    def _note_fence(self, fenced: PhaseState) -> None:
        """Write down F: a bound that is taken now has seen all that was ever committed beside the library."""
        control = self._control
        reader = BoundedReader(
            control.connection, control.pipeline, BEATER, self._sleep, epoch_wait_s_max=self._fence_s
        )
        bound = reader.bound()
        with self._mover.locked(fenced) as state:
            write_fence(control, state.at_fence(Version.of_change(bound.epoch, bound.sequence)))
        control.beat(BEATER)  # a watermark comes behind F, whoever else may still beat

    def _drain(self, fenced: PhaseState) -> None:
        fence = phase_now(self._control).fence
        while (through := self._applied_through()) is None or (fence and through < fence):
            self._check_time(fenced, "the target has not applied all of the old database")
            self._sleep(POLL_S)

    def _reserve_epoch(self, fenced: PhaseState) -> None:
        """Reserve E. FENCED has closed the list of epochs, so it stays the highest."""
        with self._mover.locked(fenced) as state:
            self._check_time(state, "the time is up")
            newest = max(epoch.number for epoch in self._control.epochs())
            write_fence(self._control, state.for_epoch(newest + 1))

    def _decide(self, fenced: PhaseState, target: Notes) -> None:
        with self._mover.locked(fenced) as state:
            self._check_time(state, "the time is up")
            if not self._freezer.is_frozen():
                raise FenceLate("somebody has made the old database writable again")
            _tell(target, Handover(word=Word.NEW, epoch=_epoch(state), attempt=state.attempt, step=DECIDED))
            reach("phase.decided")
            self._mover.write(state, Phase.NEW, ())
        reach("phase.new_committed")

    def _settled(self, target: Notes) -> PhaseState:
        """The phase NEW, once the store remembers that the row says so."""
        state = phase_now(self._control)
        with _told_as_unsettled():
            settle(state, target)
        reach("phase.settled")
        return state

    def _resolved_at_once(self) -> PhaseState | None:
        """The phase after a trouble on the way, NEW or the one before; None if that cannot be had here."""
        try:
            return self._resolve()
        except HandoverUnsettled:
            raise
        except ChangeoverError:
            return None

    def _resolved_anew(self, trouble: BaseException) -> PhaseState:
        """The same over a new connection, a few times, since ours may be what failed; else `FenceStands`."""
        for _ in range(RESOLVE_TRIES):
            self._sleep(RESOLVE_PAUSE_S)
            try:
                with self._reopened() as again:
                    return again.resolve()
            except HandoverUnsettled:
                raise
            except ChangeoverError as error:
                why = error
        message = (
            f"the fence may still stand, for it cannot be undone: {why} It was to be, because: {trouble}"
        )
        raise FenceStands(message) from trouble

    def _resolve(self) -> PhaseState:
        state = phase_now(self._control)
        if state.phase is Phase.FENCED:
            with self._mover.locked(state) as held:
                self._finish_or_undo(held)
            reach("phase.resolved")
            state = phase_now(self._control)
        if state.phase is Phase.NEW:
            with _told_as_unsettled(), self._open_target() as target:
                return self._settled(target)
        return state

    def _finish_or_undo(self, state: PhaseState) -> None:
        if state.new_epoch is not None:  # the word may be out, or still on its way
            with self._open_target() as target:
                if is_decided(state, target):
                    self._mover.write(state, Phase.NEW, ())
                    return
                back = Handover(
                    word=Word.BACK, epoch=state.new_epoch, attempt=state.attempt + 1, step=DECIDED
                )
                _tell(target, back)
                reach("phase.back_told")
        # Writable before the row says so: killed in between, it says FENCED, and this is done again.
        self._freezer.thaw()
        reach("phase.thawed")
        self._mover.write(state, Phase.BOTH_READ_NEW, ())

    def _check_time(self, fenced: PhaseState, why: str) -> None:
        if fenced.deadline_ms is None or self._control.now_ms() >= fenced.deadline_ms:
            message = f"not within the {self._fence_s:g} s that writers may wait (phases.fence_s): {why}"
            raise FenceLate(message)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """The one mover on this way: the server lets go of its name when the connection ends."""
        connection, name = self._control.connection, lock_name(self._control)
        if connection.value("SELECT GET_LOCK(%s, 0)", (name,)) != "1":
            thread = connection.value("SELECT IS_USED_LOCK(%s)", (name,))
            message = f"another mover is on the way into NEW: thread {thread or 'unknown'} of the source"
            raise PhaseHeld(message)
        try:
            yield
        finally:
            with suppress(ChangeoverError):  # with the connection the name is gone too
                connection.execute("SELECT RELEASE_LOCK(%s)", (name,))


def lock_name(control: ControlSchema) -> str:
    """The name that the one mover on the way into NEW holds on the source."""
    return control.lock_name("phase")


@contextmanager
def _told_as_unsettled() -> Iterator[None]:
    """Say that it is NEW where the target is away only for the last word."""
    try:
        yield
    except TargetUnavailable as error:
        raise HandoverUnsettled(f"the phase is NEW, but the target was not told: {error}") from error


def is_decided(state: PhaseState, target: Notes) -> bool:
    """Whether the new store has the word `new` for this fence."""
    note = target.remembered(NAME)
    handover = Handover.parse(note.version, note.text) if note else None
    return handover is not None and handover.is_new and handover.attempt == state.attempt


def settle(state: PhaseState, target: Notes) -> None:
    """Let the new store remember that the row says NEW, as `state` does."""
    attempt = state.attempt - 1  # that of the fence, which the word was given under
    _tell(target, Handover(word=Word.NEW, epoch=_epoch(state), attempt=attempt, step=COMMITTED))


def _tell(target: Notes, handover: Handover) -> None:
    target.remember(NAME, Note(handover.version, handover.text))


def _epoch(state: PhaseState) -> int:
    if state.new_epoch is None:
        message = f"the phase {state.phase.value} has no epoch reserved"
        raise FenceStands(message)
    return state.new_epoch
