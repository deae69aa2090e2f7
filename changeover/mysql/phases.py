"""The row of the control schema that says which phase a pipeline is in, and the record of its moves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from changeover.errors import TableMissing
from changeover.mysql.connection import Connection, quoted
from changeover.mysql.control import NOW_MS, PHASE, ControlSchema
from changeover.phase import Phase, PhaseState
from changeover.version import Version

MOVES = "phase_move"
COLUMNS = "phase, attempt, since_ms, deadline_ms, new_epoch, fence"
EXCLUSIVE = " FOR UPDATE"
SHARED = " LOCK IN SHARE MODE"
"""MariaDB and every MySQL know this form of `FOR SHARE`: no phase ends while somebody holds it."""

BEFORE_THE_FIRST_MOVE = PhaseState(phase=Phase.OLD, attempt=0, since_ms=0)


def select_phase(table: str, *, lock: str = "", also: str = "") -> str:
    """SQL that reads the phase's row of a pipeline, its one parameter; `table` is quoted.

    `also` are expressions to be read along.
    """
    columns = f"{COLUMNS}, {also}" if also else COLUMNS
    return f"SELECT {columns} FROM {table} WHERE pipeline = %s{lock}"


def parse_phase(  # noqa: PLR0913, PLR0917 - the columns of a row
    phase: str, attempt: str, since_ms: str, deadline_ms: str, new_epoch: str, fence: str
) -> PhaseState:
    """The state that the columns of `select_phase` hold, as text or numbers; empty or None for NULL."""
    return PhaseState(
        phase=Phase(phase),
        attempt=int(attempt),
        since_ms=int(since_ms),
        deadline_ms=int(deadline_ms) if deadline_ms else None,
        new_epoch=int(new_epoch) if new_epoch else None,
        fence=Version.parse(fence) if fence else None,
    )


def phase_now(control: ControlSchema, *, lock: str = "") -> PhaseState:
    """The pipeline's phase; OLD where none was ever written down."""
    rows = control.connection.query(select_phase(control.table(PHASE), lock=lock), (control.pipeline,))
    for row in rows:
        return parse_phase(*row)
    return BEFORE_THE_FIRST_MOVE


def is_fenced(connection: Connection) -> bool:
    """Whether a pipeline of the control schema, which need not be there, has frozen this server."""
    names = [phase.value for phase in Phase if phase.is_frozen]
    marks = ", ".join(["%s"] * len(names))
    table = f"{quoted(connection.source.control_schema)}.{quoted(PHASE)}"
    try:
        return connection.value(f"SELECT count(*) FROM {table} WHERE phase IN ({marks})", names) != "0"
    except TableMissing:  # asked, and not looked up before: one that is just being made is listed too early
        return False


def make_row(control: ControlSchema) -> None:
    """See that the pipeline has its row, so that there is something to lock."""
    control.connection.execute(
        f"INSERT IGNORE INTO {control.table(PHASE)} (pipeline, phase, attempt, since_ms) "
        f"VALUES (%s, %s, 0, {NOW_MS})",
        (control.pipeline, Phase.OLD.value),
    )


def write_phase(control: ControlSchema, state: PhaseState, *, deadline_in_s: float | None = None) -> None:
    """Write the row as `state` says, but for its times, which are the source's clock as it is now."""
    control.connection.execute(
        f"UPDATE {control.table(PHASE)} SET phase = %s, attempt = %s, since_ms = {NOW_MS}, "
        f"deadline_ms = {NOW_MS} + %s, new_epoch = %s, fence = %s WHERE pipeline = %s",
        (
            state.phase.value,
            state.attempt,
            None if deadline_in_s is None else round(deadline_in_s * 1_000),
            state.new_epoch,
            state.fence.text if state.fence else None,
            control.pipeline,
        ),
    )


def write_fence(control: ControlSchema, state: PhaseState) -> None:
    """Write down what FENCED has found: the place behind which nobody writes, and the epoch of NEW."""
    control.connection.execute(
        f"UPDATE {control.table(PHASE)} SET new_epoch = %s, fence = %s WHERE pipeline = %s AND attempt = %s",
        (state.new_epoch, state.fence.text if state.fence else None, control.pipeline, state.attempt),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseMove:
    """A move that was made. `evidence` are its gates as they were, `forced` the reason to go against them.

    `attempt` is the row's after it; `at_ms` the source's clock; `took_ms` how long the mover was at it.
    """

    before: Phase
    after: Phase
    attempt: int
    who: str
    evidence: Sequence[Mapping[str, Any]]
    forced: str | None = None
    took_ms: int = 0
    at_ms: int = 0


def note_move(control: ControlSchema, move: PhaseMove) -> None:
    """Write the move down; in one transaction with the row's change."""
    control.connection.execute(
        f"INSERT INTO {control.table(MOVES)} (pipeline, attempt, at_ms, who, from_phase, to_phase, "
        f"evidence, forced, took_ms) VALUES (%s, %s, {NOW_MS}, %s, %s, %s, %s, %s, %s)",
        (
            control.pipeline,
            move.attempt,
            move.who,
            move.before.value,
            move.after.value,
            orjson.dumps(move.evidence).decode(),
            move.forced,
            move.took_ms,
        ),
    )


def moves_of(control: ControlSchema) -> list[PhaseMove]:
    """Every move that was made, in order."""
    rows = control.connection.query(
        "SELECT from_phase, to_phase, attempt, who, evidence, forced, took_ms, at_ms "
        f"FROM {control.table(MOVES)} WHERE pipeline = %s ORDER BY attempt",
        (control.pipeline,),
    )
    return [
        PhaseMove(
            before=Phase(before),
            after=Phase(after),
            attempt=int(attempt),
            who=who,
            evidence=orjson.loads(evidence),
            forced=forced or None,
            took_ms=int(took_ms),
            at_ms=int(at_ms),
        )
        for before, after, attempt, who, evidence, forced, took_ms, at_ms in rows
    ]
