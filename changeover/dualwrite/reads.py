"""Reads of the application outside of transactions: from wherever the phase says, or else where it can be."""

import time
from collections.abc import Mapping
from typing import Any

from changeover.dualwrite.answer import Answer, Origin
from changeover.dualwrite.counts import Counts
from changeover.dualwrite.forms import Form
from changeover.dualwrite.lease import PhaseLease
from changeover.dualwrite.old import Connections, Old, text
from changeover.dualwrite.session import NOTHING, Session, accepts
from changeover.dualwrite.tables import Known, Place
from changeover.dualwrite.workers import Workers
from changeover.errors import ChangeoverError
from changeover.mysql.carried import parse_row, select_row
from changeover.mysql.phases import parse_phase, select_phase
from changeover.phase import Phase, PhaseState
from changeover.table import Table
from changeover.targets import UNVERSIONED, Held, Target
from changeover.targets.applied import applied_through
from changeover.values import Row
from changeover.version import Version

READS_OLD = frozenset({Phase.OLD, Phase.BOTH_READ_OLD})


class Reads:
    """Reads of one process."""

    def __init__(  # noqa: PLR0913 - a composition root hands in what it works with
        self,
        lease: PhaseLease,
        connections: Connections,
        workers: Workers,
        form: Form,
        counts: Counts,
        *,
        pipeline: str,
        phase_table: str,
        timeout_s: float,
        new_timeout_s: float,
        adopts: bool = False,
    ) -> None:
        self._lease = lease
        self._connections = connections
        self._workers = workers
        self._form = form
        self._counts = counts
        self._phase_of = (select_phase(phase_table), (pipeline,))
        self._timeout_s = timeout_s
        self._new_timeout_s = new_timeout_s
        self._adopts = adopts

    def get(self, known: Known, key: Mapping[str, object], session: Session) -> Answer:
        """The row with this key."""
        phase = self._lease.now().phase
        if phase in READS_OLD:
            return self.from_old(known, key)
        place = known.place_at(key)
        timeout_s = self._new_timeout_s if phase is Phase.NEW else self._timeout_s
        try:
            held, through = self._from_new(known, place, session, timeout_s)
        except ChangeoverError as error:
            if phase is Phase.NEW:
                raise
            return self._fallen_back(known, key, session, str(error))
        if phase is Phase.NEW:
            return self._answer(held)
        if held and held.version == UNVERSIONED and not self._adopts:
            return self._fallen_back(known, key, session, "what the new database holds is not changeover's")
        if accepts(session.needs(place), held and held.version, through):
            return self._answer(held)
        return self._fallen_back(known, key, session, "the new database is behind what this session wrote")

    def from_old(self, known: Known, key: Mapping[str, object]) -> Answer:
        """The row as the old database has it now."""
        _, row = self._old_row(known, key)
        return self._old_answer(known, row, "")

    def _from_new(
        self, known: Known, place: Place, session: Session, timeout_s: float
    ) -> tuple[Held[Any] | None, Version | None]:
        needed = session.needs(place)

        def ask(target: Target[Any]) -> tuple[Held[Any] | None, Version | None]:
            held = held_at(target, known.to, place.key)
            if accepts(needed, held and held.version, None):
                return held, None
            # What the target has applied through is asked for first, and the row again behind it.
            through = applied_through(target)
            return held_at(target, known.to, place.key), through

        held, through = self._workers.do(ask, timeout_s, is_patient=timeout_s == self._new_timeout_s)
        if through is not None and needed != NOTHING:
            session.delivered(through)
        return held, through

    def _fallen_back(self, known: Known, key: Mapping[str, object], session: Session, why: str) -> Answer:
        began = time.monotonic()
        state, row = self._old_row(known, key)
        if state and state.phase is Phase.NEW:
            # The old database is frozen, and what it holds may be long past.
            self._lease.learned(state, began)
            return self.get(known, key, session)
        self._counts.add("reads_fell_back")
        return self._old_answer(known, row, why)

    def _old_row(self, known: Known, key: Mapping[str, object]) -> tuple[PhaseState | None, Row | None]:
        with self._connections.begun(self._begin_reading) as (old, state):
            found = old.rows(select_row(known.table), known.parameters(key))
            row = parse_row(known.table, found[0]) if found else None
            old.rollback()
        return state, row

    def _begin_reading(self, old: Old) -> PhaseState | None:
        old.begin()
        for state in old.rows(*self._phase_of):
            return parse_phase(*map(text, state))
        return None

    def _old_answer(self, known: Known, row: Row | None, why: str) -> Answer:
        self._counts.add("reads_old")
        value = None if row is None else self._form.value(self._form.of_row(known, known.mask.row(row)))
        return Answer(value=value, origin=Origin.OLD, fell_back=why)

    def _answer(self, held: Held[Any] | None) -> Answer:
        self._counts.add("reads_new")
        if held is None:
            return Answer(value=None, origin=Origin.NEW)
        value = None if held.body is None else self._form.value(held.body)
        return Answer(value=value, origin=Origin.NEW, version=version_of(held))


def held_at(target: Target[Any], table: Table, key: bytes) -> Held[Any] | None:
    """What any reader gets there: also what another tool, or in NEW a client of its own, has written."""
    (held,) = target.read_many(table, [key])
    return held


def version_of(held: Held[Any]) -> Version | None:
    """The version of what is held, None where it has none."""
    return None if held.version == UNVERSIONED else held.version
