"""The verifier: what verification is made of, put together from the settings, and its ways of working."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from changeover.errors import SettingsInvalid
from changeover.log import Log
from changeover.masks import Masks
from changeover.mysql.catalog import captured_tables
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.mysql.imports import ImportBooks
from changeover.progress import has_passed
from changeover.settings import Settings
from changeover.table import Table
from changeover.targets import Target
from changeover.verify.applied import Applied
from changeover.verify.findings import Findings
from changeover.verify.judge import Judge, Judgement, note
from changeover.verify.pace import Pace
from changeover.verify.recent import Recent
from changeover.verify.scan import Parts, Scan
from changeover.verify.scans import ScanBooks, ScanState
from changeover.verify.source import Source
from changeover.verify.verdicts import Outcome, TableVerdict, Verdicts
from changeover.wiring import open_log, open_target, require_log

POLL_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """Verification of one pipeline, with its connections open."""

    settings: Settings
    tables: Sequence[Table]
    control: ControlSchema
    log: Log
    target: Target[Any]
    source: Source
    applied: Applied
    judge: Judge
    findings: Findings
    verdicts: Verdicts

    def chosen(self, names: Sequence[str]) -> list[Table]:
        """The captured tables of these names (`schema.table`), all for none; refused if one is not there."""
        by_name = {table.full_name: table for table in self.tables}
        for name in names:
            if name not in by_name:
                raise SettingsInvalid(
                    f"{name} is no table of this pipeline", hint=f"It has {', '.join(by_name)}."
                )
        return [by_name[name] for name in names] or list(self.tables)

    def why_not_ready(self) -> str:
        """Why no scan can be clean by now; empty if one can."""
        books = ImportBooks(self.control)
        tables = books.progress()
        if not all(table.is_done for table in tables) or (not tables and self.settings.snapshot.workers):
            return "the import is not finished"
        if not has_passed(self.log.progress_of(self.applied.group).committed, books.ends()):
            return "the target has not applied the whole import yet"
        return ""

    def scan(
        self,
        tables: Sequence[Table],
        *,
        rows_per_s: float | None = None,
        should_stop: Callable[[], bool] = lambda: False,
        tell: Callable[[ScanState], None] = lambda _: None,
    ) -> list[TableVerdict]:
        """Scan the tables, each from where it stopped, until told to stop; their verdicts."""
        names = [table.full_name for table in tables]
        why = self.why_not_ready()
        for table in tables:
            if should_stop():
                break
            if why:
                self._write_not_ready(table, why)
            else:
                Scan(table, self._parts(rows_per_s, should_stop, tell)).run()
        return [verdict for verdict in self.verdicts.now(names) if verdict.table_name in names]

    def judge_keys(self, table: Table, keys: Sequence[bytes]) -> Judgement:
        """Judge the keys of a table, and write down what was found."""
        if self.source.mask(table).hides_key:
            message = f"the keys of {table.full_name} are masked, so no row can be told by one"
            raise SettingsInvalid(message, hint="Verify the whole table: --table without --keys.")
        judgement = self.judge.judge(table, keys)
        note(self.findings, judgement, table.full_name)
        return judgement

    def go_on(
        self,
        tables: Sequence[Table],
        *,
        rows_per_s: float | None,
        should_stop: Callable[[], bool],
        tell: Callable[[ScanState], None],
    ) -> list[TableVerdict]:
        """Scan over and over, and look at recently changed keys in between, until told to stop."""
        recent = self._recent(tables)
        looked_s = time.monotonic()

        def look() -> None:
            nonlocal looked_s
            if time.monotonic() - looked_s >= self.settings.verify.recent_s:
                for table, judgement in recent.look():
                    note(self.findings, judgement, table.full_name)
                looked_s = time.monotonic()

        def tell_and_look(state: ScanState) -> None:
            tell(state)
            look()

        while True:
            verdicts = self.scan(tables, rows_per_s=rows_per_s, should_stop=should_stop, tell=tell_and_look)
            due_s = time.monotonic() + self.settings.verify.pause_s
            while not should_stop() and time.monotonic() < due_s:
                look()
                time.sleep(POLL_S)
            if should_stop():
                return verdicts

    def _parts(
        self,
        rows_per_s: float | None,
        should_stop: Callable[[], bool],
        tell: Callable[[ScanState], None],
    ) -> Parts:
        settings = self.settings.verify
        return Parts(
            source=self.source,
            target=self.target,
            judge=self.judge,
            applied=self.applied,
            findings=self.findings,
            verdicts=self.verdicts,
            books=ScanBooks(self.control),
            pace=Pace(
                rows_per_s=rows_per_s or settings.rows_per_s,
                lag_s_max=settings.lag_s_max,
                wait_s_max=settings.wait_s_max,
                lag_ms=self.lag_ms,
            ),
            chunk_rows=settings.chunk_rows,
            should_stop=should_stop,
            tell=tell,
        )

    def _recent(self, tables: Sequence[Table]) -> Recent:
        return Recent(
            self.log,
            self.settings.pipeline,
            tables,
            source=self.source,
            target=self.target,
            judge=self.judge,
            applied=self.applied,
        )

    def lag_ms(self) -> int | None:
        """The age of what the target has applied through, None where that is not known."""
        now_ms = self.control.now_ms()
        through = self.log.progress_of(self.applied.group).through
        return now_ms - through.source_ms if through else None

    def _write_not_ready(self, table: Table, why: str) -> None:
        self.verdicts.write(
            table.full_name, Outcome.NOT_FINISHED, why, as_of=None, as_of_ms=None, rows=0, bytes_compared=0
        )


@contextmanager
def verifying(settings: Settings, writer: str | None = None) -> Iterator[Verifier]:
    """The verifier of a pipeline that has begun; `writer` as for `wiring.open_log`."""
    require_log(settings)
    with (
        Connection(settings.source) as connection,
        open_log(settings, writer) as log,
        open_target(settings) as target,
    ):
        tables = captured_tables(connection)
        control = ControlSchema(connection, settings.pipeline)
        control.make()
        source = Source(connection, settings.pipeline, Masks(settings.masks, tables))
        applied = Applied(log, settings.consumer.group, settings.verify.wait_s_max)
        yield Verifier(
            settings=settings,
            tables=tables,
            control=control,
            log=log,
            target=target,
            source=source,
            applied=applied,
            judge=Judge(source, target, applied, settings.pipeline, adopts=settings.target.adopt),
            findings=Findings(control),
            verdicts=Verdicts(control),
        )
