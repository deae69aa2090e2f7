"""The phase as a process knows it: read from the old database, and good for a lease.

Reads go by it without asking each time. Writes ask within their own transaction. Where the old database does
not answer, the new one's note of the handover says whether it has been retired (`changeover.handover`).
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from changeover.errors import ChangeoverError, SourceUnavailable, Unavailable
from changeover.handover import Handover
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.mysql.phases import phase_now
from changeover.phase import Phase, PhaseState

ANSWER_S_MAX = 2.0
"""Within which the old database must say its phase: reads wait for it when a lease has run out."""

REST_S = 1.0
"""Between two tries to ask an old database that does not answer."""

OUTLASTS_THE_OLD = frozenset({Phase.BOTH_READ_NEW, Phase.FENCED, Phase.NEW})
"""The phases that read the new database: a process that cannot ask whether one of them still holds does no
harm, since the old database, if it can be asked for rows, can be asked for its phase too."""


class PhaseLease:
    """The phase, asked for again when the lease has run out; for any number of threads."""

    def __init__(
        self,
        connect: Callable[[], Connection],
        handover: Callable[[], Handover | None],
        pipeline: str,
        lease_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect = connect
        self._handover = handover
        self._pipeline = pipeline
        self._lease_s = lease_s
        self._clock = clock
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._state: PhaseState | None = None
        self._until = 0.0
        self._new_since: float | None = None

    def now(self) -> PhaseState:
        """The phase; `SourceUnavailable` if it is not known and the old database does not say it."""
        state = self._state
        if state and (state.phase is Phase.NEW or self._clock() < self._until):
            return state
        with self._lock:
            if self._state is None or self._clock() >= self._until:
                self._ask()
            assert self._state is not None  # noqa: S101 - it was read, or _ask has raised
            return self._state

    @property
    def last_known(self) -> PhaseState | None:
        """The phase as it was last read, however long ago."""
        return self._state

    def learned(self, state: PhaseState, began: float) -> None:
        """A transaction has read the phase, which it began to do at `began`."""
        if state != self._state:
            with self._lock:
                self._note(state, began)

    def until_others_know_s(self) -> float:
        """Seconds until every process's lease of a phase before NEW has run out for certain."""
        if self._new_since is None:
            return 0.0
        return max(0.0, self._new_since + self._lease_s - self._clock())

    def close(self) -> None:
        """Hang up."""
        with self._lock:
            self._hang_up()

    def _ask(self) -> None:
        began = self._clock()
        try:
            self._connection = self._connection or self._connect()
            state = phase_now(ControlSchema(self._connection, self._pipeline))
        except Unavailable as error:
            self._hang_up()
            if taken_over := self._taken_over():
                self._note(taken_over, began)
                return
            if self._state is None:
                raise
            self._until = self._clock() + REST_S
            if self._state.phase not in OUTLASTS_THE_OLD:
                message = f"whether the phase is still {self._state.phase} is not known: {error.args[0]}"
                raise SourceUnavailable(message) from error
        else:
            self._note(state, began)

    def _taken_over(self) -> PhaseState | None:
        """NEW, if the new database says that it has taken over and the old one has said so too."""
        with suppress(ChangeoverError):
            handover = self._handover()
            if handover and handover.is_settled:
                return PhaseState(
                    phase=Phase.NEW, attempt=handover.attempt + 1, since_ms=0, new_epoch=handover.epoch
                )
        return None

    def _note(self, state: PhaseState, began: float) -> None:
        # From before it was asked for: the lease never ends later than NEW's first write reckons with.
        if self._state is None or state.attempt >= self._state.attempt:
            self._state = state
            self._until = began + self._lease_s
        if state.phase is Phase.NEW and self._new_since is None:
            self._new_since = self._clock()

    def _hang_up(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None
