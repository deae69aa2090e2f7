"""Verdicts: what the last scan of each table says, as of which place in the source's commit order.

A scan writes down how it ended. Whether a table that was scanned to its end is clean is decided when one
asks, by the findings that are open then: a repair closes them, and a judgement in between opens others.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from changeover.mysql.control import NOW_MS, ControlSchema
from changeover.verify.findings import Findings
from changeover.version import Version


class State(enum.StrEnum):
    """What is known of a table; the worst comes first."""

    GAP = "gap"
    """Changes are missing, or the target does not get to the place that was read: nothing was proved."""

    DIFFERENCES = "differences"
    """Findings are open."""

    NOT_FINISHED = "not finished"
    """No scan has come to its end, or keys could not be judged."""

    CLEAN = "clean"
    """Every key was equal, or has been found equal since."""


class Outcome(enum.StrEnum):
    """How a scan ended."""

    COMPLETE = "complete"
    NOT_FINISHED = "not finished"
    GAP = "gap"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableVerdict:
    """What is known of one table, or of all of them.

    `as_of` is the lowest bound of the scan's reads and `as_of_ms` its time on the source's clock: the verdict
    holds for the source as it was there. None where no scan has come that far.
    """

    table_name: str
    state: State
    why: str
    as_of: Version | None
    as_of_ms: int | None
    rows: int
    bytes: int
    findings_open: int
    judged_at_ms: int | None


class Verdicts:
    """The verdicts of one pipeline."""

    def __init__(self, control: ControlSchema) -> None:
        self._control = control
        self._connection = control.connection
        self._pipeline = control.pipeline
        self._table = control.table("verdict")

    def write(  # noqa: PLR0913 - the columns of a row
        self,
        table: str,
        outcome: Outcome,
        why: str,
        *,
        as_of: Version | None,
        as_of_ms: int | None,
        rows: int,
        bytes_compared: int,
    ) -> None:
        """Write down how the scan of a table (`schema.name`) has ended."""
        schema, name = table.split(".", 1)
        row = {
            "outcome": outcome.value,
            "why": why,
            "as_of": as_of.text if as_of else None,
            "as_of_ms": as_of_ms,
            "rows_compared": rows,
            "bytes_compared": bytes_compared,
        }
        self._connection.execute(
            f"INSERT INTO {self._table} (pipeline, table_schema, table_name, judged_at_ms, {', '.join(row)}) "
            f"VALUES (%s, %s, %s, {NOW_MS}, {', '.join(['%s'] * len(row))}) "
            f"ON DUPLICATE KEY UPDATE judged_at_ms = {NOW_MS}, "
            f"{', '.join(f'{column} = VALUES({column})' for column in row)}",
            (self._pipeline, schema, name, *row.values()),
        )

    def now(self, tables: Sequence[str] = ()) -> list[TableVerdict]:
        """The verdict of each table that was ever scanned or has findings, and of each of `tables`."""
        counts = Findings(self._control).open_counts()
        rows = self._connection.query(
            "SELECT table_schema, table_name, outcome, why, as_of, as_of_ms, rows_compared, bytes_compared, "
            f"judged_at_ms FROM {self._table} WHERE pipeline = %s ORDER BY table_schema, table_name",
            (self._pipeline,),
        )
        written = {f"{schema}.{name}": rest for schema, name, *rest in rows}
        names = sorted({*written, *counts, *tables})
        return [_verdict(name, written.get(name), counts.get(name, 0)) for name in names]


def whole(verdicts: Sequence[TableVerdict]) -> TableVerdict:
    """One verdict for all of them: the worst state, as of the lowest place; not finished if there is none."""
    places = list(State)
    worst = min(verdicts, key=lambda verdict: places.index(verdict.state), default=None)
    placed = [(one.as_of, one.as_of_ms or 0) for one in verdicts if one.as_of is not None]
    lowest, lowest_ms = min(placed) if placed and len(placed) == len(verdicts) else (None, None)
    judged = [one.judged_at_ms for one in verdicts if one.judged_at_ms is not None]
    return TableVerdict(
        table_name="all tables",
        state=worst.state if worst else State.NOT_FINISHED,
        why=f"{worst.table_name}: {worst.why}" if worst and worst.why else "" if worst else NEVER,
        as_of=lowest,
        as_of_ms=lowest_ms,
        rows=sum(one.rows for one in verdicts),
        bytes=sum(one.bytes for one in verdicts),
        findings_open=sum(one.findings_open for one in verdicts),
        judged_at_ms=min(judged) if judged and len(judged) == len(verdicts) else None,
    )


NEVER = "it was never scanned to its end"


def state_of(outcome: Outcome | None, findings_open: int) -> State:
    """What is known of a table by how its last scan ended, and what is open now.

    >>> state_of(Outcome.COMPLETE, 0).value, state_of(Outcome.COMPLETE, 2).value, state_of(None, 0).value
    ('clean', 'differences', 'not finished')
    """
    if outcome is Outcome.GAP:
        return State.GAP
    if findings_open:
        return State.DIFFERENCES
    return State.CLEAN if outcome is Outcome.COMPLETE else State.NOT_FINISHED


def _verdict(name: str, written: Sequence[str] | None, findings_open: int) -> TableVerdict:
    if written is None:
        return TableVerdict(
            table_name=name,
            state=state_of(None, findings_open),
            why=NEVER,
            as_of=None,
            as_of_ms=None,
            rows=0,
            bytes=0,
            findings_open=findings_open,
            judged_at_ms=None,
        )
    outcome, why, as_of, as_of_ms, rows, size, judged_at_ms = written
    return TableVerdict(
        table_name=name,
        state=state_of(Outcome(outcome), findings_open),
        why=why,
        as_of=Version.parse(as_of) if as_of else None,
        as_of_ms=int(as_of_ms) if as_of_ms else None,
        rows=int(rows),
        bytes=int(size),
        findings_open=findings_open,
        judged_at_ms=int(judged_at_ms),
    )
