"""The figures of a pipeline as a whole, as metrics."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from changeover.metrics import names
from changeover.metrics.metric import Metric, Sample
from changeover.mysql.imports import TableProgress
from changeover.phase import Phase, PhaseState
from changeover.phases.gates import Facts, Gate, Process
from changeover.status import Status
from changeover.verify.verdicts import State, TableVerdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was read from source and log at one moment.

    `log_kept_s` says how long the log keeps what nobody has read, None: until it is read.
    """

    status: Status
    log_kept_s: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospects:
    """What the way to the next phase depends on; `to` is that phase, None where there is none."""

    state: PhaseState
    to: Phase | None
    facts: Facts
    gates: Sequence[Gate]
    verdicts: Sequence[TableVerdict]


def of_pipeline(figures: Figures, age_s: float, captured_ms: int | None) -> Iterator[Sample]:
    """The metrics of a pipeline whose figures are that old.

    Lag grows by the age: what was applied meanwhile is not known, so it reads high rather than low.
    `captured_ms` says through when the source is captured, None where that is not known.
    """
    status = figures.status
    yield names.OBSERVED_AGE.of(age_s)
    yield names.CAPTURED.of(status.changes_captured)
    yield names.APPLIED.of(status.records_applied)
    yield names.STALE.of(status.stale)
    yield names.IMPORT_APPLIED.of(status.is_import_applied)
    for table in status.tables:
        yield from _of_table(table)
    yield from _of_lag(figures, age_s, captured_ms)


def lag_of_capture_s(figures: Figures, age_s: float, captured_ms: int | None) -> float | None:
    """The age of what is captured, on the source's clock; None if it is not known."""
    if captured_ms is None:
        return None
    return max(0.0, (figures.status.now_ms - captured_ms) / 1000 + age_s)


def _of_lag(figures: Figures, age_s: float, captured_ms: int | None) -> Iterator[Sample]:
    status = figures.status
    capture_lag_s = lag_of_capture_s(figures, age_s, captured_ms)
    if capture_lag_s is not None:
        yield names.CAPTURE_LAG.of(capture_lag_s)
    if status.lag_ms is None:
        return
    applied_ms = status.now_ms - status.lag_ms
    lag_s = status.lag_ms / 1000 + age_s
    yield names.LAG.of(lag_s)
    yield names.APPLIED_THROUGH.of(applied_ms / 1000)
    if captured_ms is not None:
        yield names.APPLY_LAG.of(max(0.0, (captured_ms - applied_ms) / 1000))
    if figures.log_kept_s is not None:
        yield names.LOG_RETENTION.of(figures.log_kept_s - lag_s)


def _of_table(table: TableProgress) -> Iterator[Sample]:
    yield names.IMPORT_COPIED.of(table.rows_copied, table.table_name)
    estimated = table.rows_copied if table.is_done else max(table.rows_copied, table.rows_estimated)
    yield names.IMPORT_ESTIMATED.of(estimated, table.table_name)
    yield names.IMPORT_DONE.of(table.is_done, table.table_name)


def of_prospects(prospects: Prospects) -> Iterator[Sample]:
    """The metrics of the phase, its gates, and the application's processes."""
    state, facts = prospects.state, prospects.facts
    for phase in Phase:
        yield names.PHASE.of(phase is state.phase, phase)
    if state.since_ms:
        yield names.PHASE_SINCE.of(state.since_ms / 1000)
    for gate in prospects.gates:
        yield names.GATE.of(gate.holds, gate.name, prospects.to or "")
    if facts.retention_left_s is not None:
        yield names.BINLOG_RETENTION.of(facts.retention_left_s)
    for verdict in prospects.verdicts:
        yield from _of_verdict(verdict, facts.now_ms)
    yield names.PROCESSES.of(len(facts.processes))
    for process in facts.processes:
        yield names.PROCESS_AGE.of((facts.now_ms - process.seen_ms) / 1000, process.name)
        for metric, count in _counts_of(process):
            yield metric.of(count, process.name)


def _of_verdict(verdict: TableVerdict, now_ms: int) -> Iterator[Sample]:
    for state in State:
        yield names.VERDICT.of(state is verdict.state, verdict.table_name, state)
    yield names.FINDINGS.of(verdict.findings_open, verdict.table_name)
    if verdict.as_of_ms is not None:
        yield names.VERDICT_AGE.of((now_ms - verdict.as_of_ms) / 1000, verdict.table_name)


def _counts_of(process: Process) -> Iterator[tuple[Metric, int]]:
    yield names.DIRECT_WRITES, process.direct_writes
    yield names.DIRECT_FAILED, process.direct_failed
    yield names.COMPARED, process.compared
    yield names.COMPARED_MISMATCH, process.compared_mismatch
    yield names.PUTS, process.puts
    yield names.PUT_MISMATCH, process.put_mismatch
