"""Eye: looks at a pipeline over connections that it keeps, and touches nothing."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from changeover.errors import ChangeoverError, Refused
from changeover.log import Log
from changeover.mysql.catalog import captured_tables
from changeover.mysql.connection import Connection
from changeover.mysql.control import HEARTBEAT, ControlSchema
from changeover.mysql.phases import PhaseMove, moves_of, phase_now
from changeover.mysql.processes import processes
from changeover.page.facts import Facts, Heartbeat
from changeover.phase import Phase
from changeover.phases.facts import gather
from changeover.phases.gates import Gate, judge
from changeover.phases.transitions import Step, after
from changeover.settings import Settings
from changeover.status import Statuses
from changeover.verify.findings import Finding, Findings
from changeover.verify.verdicts import TableVerdict, Verdicts
from changeover.wiring import has_log, open_log

GATES_EVERY_S = 3.0
"""Gates ask the server for its variables, grants and replicas: some twenty statements."""

MOVES_SHOWN_MAX = 20
FINDINGS_SHOWN_MAX = 50
"""Enough to see what they have in common; `changeover findings list` shows all."""


class Eye:
    """Looks at one pipeline; opens its connections at the first look, and anew after a failure."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kept = ExitStack()
        self._sight: Sight | None = None

    def look(self) -> Facts | None:
        """What there is to see now, None before the pipeline has begun; raises `ChangeoverError`."""
        try:
            if self._sight is None:
                if not has_log(self._settings):
                    return None  # looking makes nothing
                connection = self._kept.enter_context(Connection(self._settings.source))
                log = self._kept.enter_context(open_log(self._settings))
                self._sight = Sight(self._settings, connection, log)
            return self._sight.look()
        except ChangeoverError:
            self.close()
            raise

    def close(self) -> None:
        """Hang up; the next look begins anew."""
        self._sight = None
        self._kept.close()


class Sight:
    """Looks over one connection to the source and one log, and keeps what need not be read each time."""

    def __init__(
        self,
        settings: Settings,
        connection: Connection,
        log: Log,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._log = log
        self._clock = clock
        self._control = ControlSchema(connection, settings.pipeline)
        self._statuses = Statuses(self._control, log, settings.consumer.group)
        self._gates: Sequence[Gate] | None = None
        self._judged: tuple[Phase, float] | None = None
        self._moves: Sequence[PhaseMove] = ()
        self._moved = -1
        self._verdicts = Verdicts(self._control)
        self._findings: Sequence[Finding] = ()
        self._counted: Mapping[str, int] = {}
        self._names: Sequence[str] | None = None

    def look(self) -> Facts | None:
        """What there is to see now, None before the pipeline has begun."""
        if not self._control.exists():
            return None
        phase = phase_now(self._control)
        status = self._statuses.now()
        verdicts = self._verdicts.now([table.table_name for table in status.tables] or self._captured())
        return Facts(
            status=status,
            imports=self._settings.snapshot.workers > 0,
            phase=phase,
            moves=self._moves_up_to(phase.attempt),
            verdicts=verdicts,
            findings=self._findings_of(verdicts),
            gates=self._gates_from(phase.phase),
            heartbeats=_heartbeats(self._control),
            processes=processes(self._control),
        )

    def _moves_up_to(self, attempt: int) -> Sequence[PhaseMove]:
        if attempt != self._moved:
            self._moves = moves_of(self._control)[-MOVES_SHOWN_MAX:]
            self._moved = attempt
        return self._moves

    def _findings_of(self, verdicts: Sequence[TableVerdict]) -> Sequence[Finding]:
        """The first findings, read where their numbers have changed: there may be thousands."""
        counts = {verdict.table_name: verdict.findings_open for verdict in verdicts}
        if counts != self._counted:
            self._findings = Findings(self._control).open()[:FINDINGS_SHOWN_MAX]
            self._counted = counts
        return self._findings

    def _captured(self) -> Sequence[str]:
        """The tables' names where no import has enrolled them."""
        if self._names is None:
            self._names = [table.full_name for table in captured_tables(self._control.connection)]
        return self._names

    def _gates_from(self, phase: Phase) -> Sequence[Gate] | None:
        """The gates of the next step, judged as `changeover phase advance` would; None if that is refused."""
        now_s = self._clock()
        if self._judged is None or self._judged[0] is not phase or now_s >= self._judged[1] + GATES_EVERY_S:
            self._judged = (phase, now_s)
            self._gates = self._judge(after(phase, Step.ADVANCE))
        return self._gates

    def _judge(self, to: Phase | None) -> Sequence[Gate] | None:
        if to is None:
            return ()
        try:
            return judge(to, gather(self._settings, self._control, self._log), self._settings.phases)
        except Refused:  # a user who may look at the pipeline and not at the server
            return None


def _heartbeats(control: ControlSchema) -> list[Heartbeat]:
    rows = control.connection.query(
        f"SELECT beater, at_ms FROM {control.table(HEARTBEAT)} WHERE pipeline = %s ORDER BY beater",
        (control.pipeline,),
    )
    return [Heartbeat(beater=beater, at_ms=int(at_ms)) for beater, at_ms in rows]
