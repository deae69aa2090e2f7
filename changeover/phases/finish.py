"""The end: what served the move alone is taken away, and what it came to is written down.

In this order, each step of which may be done twice, so that one that was killed is done again from its
beginning: the report; the target closed to whoever writes in the order of versions; markers and versions; the
control schema.
"""

import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from changeover.crashpoints import reach
from changeover.handover import COMMITTED
from changeover.log import Log
from changeover.mysql.connection import quoted
from changeover.mysql.control import HEARTBEAT, PHASE, TABLES, ControlSchema
from changeover.mysql.imports import ImportBooks
from changeover.mysql.phases import moves_of, phase_now
from changeover.mysql.processes import processes
from changeover.phase import Phase, PhaseState
from changeover.phases.report import Report, page_of, report_of
from changeover.phases.wiring import freezer_of
from changeover.settings import Settings
from changeover.table import Table
from changeover.targets import CLOSED, Note, Target
from changeover.verify.findings import Findings
from changeover.verify.verdicts import State, TableVerdict, Verdicts, whole
from changeover.version import Version

SILENT_BEATS = 5
"""Heartbeats that capture must have left out to count as stopped."""

KEYED = frozenset(name for name, columns in TABLES.items() if "pipeline VARCHAR" in columns)
"""The control tables that have rows of a pipeline; the others tell of the schema itself."""

CLOSING_STEP = COMMITTED + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What was taken away. `files` hold the report."""

    markers: int
    files: Sequence[Path]


class Finisher:
    """The end of one pipeline's move."""

    def __init__(
        self,
        settings: Settings,
        control: ControlSchema,
        log: Log,
        target: Target[Any],
        tables: Sequence[Table],
    ) -> None:
        self._settings = settings
        self._control = control
        self._log = log
        self._target = target
        self._tables = tables

    def why_not(self) -> list[str]:
        """Every reason against it; none where a finish that was cut off can be gone on with."""
        self._control.require_known()
        return [] if self.has_begun() else list(self._reasons())

    def has_begun(self) -> bool:
        """Whether the target is closed: the report is written, and the rest only has to be done."""
        return self._target.remembered(CLOSED) is not None

    def finish(self, folder: Path) -> Finished:
        """Do it, or go on with it."""
        files = self._files(folder)
        if not self.has_begun():
            self._write_report(files)
            reach("finish.reported")
            self._close()
        reach("finish.closed")
        time.sleep(self._target.closing_s)  # or a write on its way brings back what its marker kept away
        markers = 0
        for table in self._tables:
            markers += self._target.let_go(table)
            reach("finish.table_let_go")
        self._forget()
        reach("finish.forgotten")
        return Finished(markers=markers, files=files)

    def _reasons(self) -> Iterator[str]:
        if not self._control.exists() or (state := phase_now(self._control)).phase is not Phase.NEW:
            yield "the phase is not NEW: the old database is still needed"
            return
        yield from _unproved(self._verdicts(), state)
        if not freezer_of(self._settings).is_frozen():
            yield "the old database can be written to again (a restart forgets): freeze it, verify again"
        yield from self._alive()

    def _alive(self) -> Iterator[str]:
        now_ms, limits = self._control.now_ms(), self._settings.phases
        oldest_ms = now_ms - limits.process_age_s_max * 1_000
        for process in processes(self._control):
            if process.seen_ms >= oldest_ms:
                yield f"process {process.name} still uses the library, and not the new database's own client"
        beat_ms = self._control.connection.value(
            f"SELECT max(at_ms) FROM {self._control.table(HEARTBEAT)} WHERE pipeline = %s AND beater = %s",
            (self._control.pipeline, "capture"),
        )
        if beat_ms and now_ms - int(beat_ms) < SILENT_BEATS * self._settings.source.heartbeat_s * 1_000:
            yield "capture still runs: stop `changeover run`"

    def _verdicts(self) -> list[TableVerdict]:
        return Verdicts(self._control).now([table.full_name for table in self._tables])

    def _write_report(self, files: Sequence[Path]) -> None:
        report = self._report()
        for path, text in zip(files, (json.dumps(report, indent=2) + "\n", page_of(report)), strict=True):
            half = path.with_name(f"{path.name}.half")
            with half.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            half.replace(path)

    def _report(self) -> Report:
        control, source = self._control, self._settings.source
        checkpoint = self._log.checkpoint()
        return report_of(
            pipeline=control.pipeline,
            source=f"{source.host}:{source.port}",
            target=self._settings.target.url,
            at_ms=control.now_ms(),
            state=phase_now(control),
            imported=ImportBooks(control).progress(),
            changes_captured=checkpoint.changes if checkpoint else 0,
            verdicts=self._verdicts(),
            moves=moves_of(control),
            epochs=control.epochs(),
            findings=Findings(control).all(),
        )

    def _close(self) -> None:
        """From here on nobody writes to the target in the order of versions; capture is fenced for good."""
        state = phase_now(self._control)
        self._log.capture()
        version = Version(state.new_epoch or 0, state.attempt, CLOSING_STEP)
        self._target.remember(CLOSED, Note(version, "{}"))

    def _forget(self) -> None:
        """Take the control schema away, or the pipeline's rows out of one that others use too.

        There its phase stays: without it whoever came late would take the pipeline for one that is OLD.
        """
        control, connection = self._control, self._control.connection
        there = "SELECT table_name FROM information_schema.tables WHERE table_schema = %s"
        names = [name for (name,) in connection.query(there, (control.schema,)) if name in KEYED]
        if not any(self._is_shared(name) for name in names):
            connection.execute(f"DROP DATABASE IF EXISTS {quoted(control.schema)}")
            return
        for name in names:
            if name != PHASE:
                table = control.table(name)
                connection.execute(f"DELETE FROM {table} WHERE pipeline = %s", (control.pipeline,))

    def _is_shared(self, name: str) -> bool:
        others = f"SELECT 1 FROM {self._control.table(name)} WHERE pipeline <> %s LIMIT 1"
        return bool(self._control.connection.query(others, (self._control.pipeline,)))

    def _files(self, folder: Path) -> list[Path]:
        return [folder / f"changeover-{self._control.pipeline}.{kind}" for kind in ("json", "html")]


def _unproved(verdicts: Sequence[TableVerdict], state: PhaseState) -> Iterator[str]:
    """What is missing of the proof: a full scan that began behind the fence, and is clean."""
    verdict = whole(verdicts)
    if verdict.state is not State.CLEAN:
        why = verdict.why or verdict.state.value
        yield f"what NEW has not rewritten is not proved: {why}: changeover verify"
    elif state.fence is None or verdict.as_of is None or verdict.as_of < state.fence:
        old = [
            one.table_name for one in verdicts if not one.as_of or not state.fence or one.as_of < state.fence
        ]
        yield f"the last full scan of {', '.join(old)} is from before the fence: changeover verify"
