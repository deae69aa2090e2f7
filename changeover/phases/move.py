"""A move: one durable compare-and-set of the phase's row, with its evidence, under the row's exclusive lock.

Applications read the row under a shared lock in each of their transactions, so the exclusive one is had when
none of the old phase is left. It is asked for with the patience of a second, in which new transactions queue
up behind us; then we let them all through and try again.
"""

import getpass
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, replace

from changeover.crashpoints import reach
from changeover.errors import ChangeoverError, PhaseHeld, PhaseMoved, RowLocked
from changeover.mysql.bounded import BoundedReader
from changeover.mysql.control import ControlSchema
from changeover.mysql.holders import watched
from changeover.mysql.phases import (
    EXCLUSIVE,
    PhaseMove,
    make_row,
    note_move,
    phase_now,
    write_fence,
    write_phase,
)
from changeover.phase import Phase, PhaseState
from changeover.phases.gates import Gate

BEATER = "phase"

PATIENCE_S = 1
"""InnoDB counts in whole seconds; this is what a writer of the application has to wait for us at most."""

PAUSE_S = 0.3
"""Between tries: writers that queued up get through, and a lock on the row is theirs to take."""


class Mover:
    """Moves the phase of one pipeline, over a connection that nobody else uses meanwhile."""

    def __init__(
        self,
        control: ControlSchema,
        *,
        tries: int,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.control = control
        self._tries = tries
        self._sleep = sleep
        self._clock = clock
        self._begun_s = clock()

    def begin(self) -> None:
        """See that there is a row, and that this connection waits for it no longer than is good."""
        self.control.connection.execute(f"SET SESSION innodb_lock_wait_timeout = {PATIENCE_S}")
        make_row(self.control)
        self._begun_s = self._clock()

    def move(
        self,
        judged: PhaseState,
        to: Phase,
        evidence: Sequence[Gate],
        *,
        forced: str | None = None,
        deadline_in_s: float | None = None,
    ) -> PhaseState:
        """The row after the move; `PhaseMoved` if it was not as it was judged."""
        with self.locked(judged):
            reach("phase.row_locked")
            self.write(judged, to, evidence, forced=forced, deadline_in_s=deadline_in_s)
            reach("phase.row_written")
        reach("phase.row_committed")
        return self.with_fence(phase_now(self.control))

    def with_fence(self, state: PhaseState) -> PhaseState:
        """The row, in BOTH_READ_OLD with a place behind all that sessions wrote in OLD, if it can be had now.

        It is taken behind the move, which has waited for all that began in OLD. Where that fails, the move is
        made all the same: the gate to BOTH_READ_NEW stays shut, and any later place will do.
        """
        if state.phase is not Phase.BOTH_READ_OLD or state.fence is not None:
            return state
        control = self.control
        with suppress(ChangeoverError):
            end = BoundedReader(control.connection, control.pipeline, BEATER, epoch_wait_s_max=0).end()
            with self.locked(state) as held:
                write_fence(control, held.at_fence(end))
        return phase_now(control)

    def write(
        self,
        before: PhaseState,
        to: Phase,
        evidence: Sequence[Gate],
        *,
        forced: str | None = None,
        deadline_in_s: float | None = None,
    ) -> None:
        """Change the row and write the move down; to be called while the row is locked."""
        after = replace(
            before,
            phase=to,
            attempt=before.attempt + 1,
            new_epoch=before.new_epoch if to.is_frozen else None,
            fence=None if to is Phase.OLD else before.fence,
        )
        write_phase(self.control, after, deadline_in_s=deadline_in_s)
        made = PhaseMove(
            before=before.phase,
            after=to,
            attempt=after.attempt,
            who=who(self.control),
            evidence=[asdict(gate) for gate in evidence],
            forced=forced,
            took_ms=round((self._clock() - self._begun_s) * 1_000),
        )
        note_move(self.control, made)

    @contextmanager
    def locked(self, judged: PhaseState) -> Iterator[PhaseState]:
        """A transaction that holds the row, which is as it was judged; committed at the end of the block."""
        with ExitStack() as stack:
            state = self._lock(stack)
            if (state.phase, state.attempt) != (judged.phase, judged.attempt):
                message = (
                    f"the phase is {state.phase.value} by now, and not {judged.phase.value}: "
                    f"move {state.attempt} came first"
                )
                raise PhaseMoved(message)
            yield state

    def _lock(self, stack: ExitStack) -> PhaseState:
        """The row under its exclusive lock, in a transaction that ends with the stack."""
        connection = self.control.connection
        with ExitStack() as looking:
            for tried in range(self._tries):
                with ExitStack() as attempt:
                    attempt.enter_context(connection.transaction())
                    try:
                        state = phase_now(self.control, lock=EXCLUSIVE)
                    except RowLocked:
                        pass
                    else:
                        stack.push(attempt.pop_all())
                        return state
                if tried == 0:
                    watch = looking.enter_context(watched(connection.source, connection.thread_id))
                self._sleep(PAUSE_S)
            message = f"the phase was held for {self._tries} tries of {PATIENCE_S} s by {watch.text}"
            raise PhaseHeld(message)


def who(control: ControlSchema) -> str:
    """Who moves: the user of this machine, and of the source."""
    here = f"{getpass.getuser()}@{socket.gethostname()}"
    return f"{here} as {control.connection.value('SELECT CURRENT_USER()')}"
