"""Gates: what must hold before the phase moves on, judged from facts alone.

What is not known does not hold. Going back has no gates: it is always open, until NEW.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from changeover.phase import Phase
from changeover.settings import PhasesSettings
from changeover.version import Version

HOUR_MS = 3_600_000
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One condition of a move: what was found, what is asked for; if it fails, why, and the mend."""

    name: str
    holds: bool
    figure: str
    limit: str
    reason: str = ""
    mend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proved:
    """What verification says of all tables together. `as_of_ms` is None where nothing was proved."""

    state: str
    is_clean: bool
    why: str
    as_of_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process with the dual-write library, as it last reported. Counts are since its start.

    `direct_failed` are keys that were left to the binlog, beside the `direct_writes` that were made.
    """

    name: str
    phase: Phase
    seen_ms: int
    direct_writes: int
    direct_failed: int
    compared: int
    compared_mismatch: int
    puts: int
    put_mismatch: int
    changed_calls: int
    unreported: tuple[str, ...] = ()
    """Counts that it does not report: its library is another one than ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What there is to judge; times are the source's clock. None is what could not be learned.

    `lacking` are privileges that the way into NEW takes and that this user does not have; `is_read_only` says
    whether somebody has frozen the source already. A binlog that is kept for ever has `retention_left_s` of
    infinity. `fence` is the phase's (`changeover.phase`).
    """

    now_ms: int
    phase: Phase
    fence: Version | None
    applied_through: Version | None
    is_imported: bool
    lag_ms: int | None
    findings_open: int | None
    proved: Proved | None
    retention_left_s: float | None
    processes: Sequence[Process]
    lacking: Sequence[str] | None
    is_read_only: bool


Judge = Callable[[Facts, PhasesSettings], Gate]


def judge(to: Phase, facts: Facts, limits: PhasesSettings) -> list[Gate]:
    """Every gate of a move to that phase. A fence that stands has none: they were judged before it."""
    if facts.phase is Phase.FENCED:
        return []
    return [gate(facts, limits) for gate in GATES.get(to, ())]


def failing(gates: Sequence[Gate]) -> list[Gate]:
    """Those that do not hold."""
    return [gate for gate in gates if not gate.holds]


def _import(facts: Facts, _: PhasesSettings) -> Gate:
    return _gate(
        "import",
        holds=facts.is_imported,
        figure="applied" if facts.is_imported else "not applied",
        limit="applied",
        reason="rows of the import are not in the target yet",
        mend="wait for it: changeover status",
    )


def _lag(facts: Facts, limits: PhasesSettings) -> Gate:
    lag_ms = facts.lag_ms
    return _gate(
        "lag",
        holds=lag_ms is not None and lag_ms <= limits.lag_ms_max,
        figure=UNKNOWN if lag_ms is None else f"{lag_ms:,} ms",
        limit=f"at most {limits.lag_ms_max:,} ms",
        reason="how far the target is cannot be told"
        if lag_ms is None
        else "the target is behind the source",
        mend="see that capture and apply run, and catch up (phases.lag_ms_max)",
    )


def _findings(facts: Facts, _: PhasesSettings) -> Gate:
    found = facts.findings_open
    return _gate(
        "findings",
        holds=found == 0,
        figure=UNKNOWN if found is None else f"{found:,}",
        limit="0",
        reason="source and target differ at keys that were looked at",
        mend="changeover verify shows them; repair, and verify again",
    )


def _verdict(facts: Facts, limits: PhasesSettings) -> Gate:
    proved = facts.proved
    age_ms = None if proved is None or proved.as_of_ms is None else facts.now_ms - proved.as_of_ms
    is_young = age_ms is not None and age_ms <= limits.verdict_age_h_max * HOUR_MS
    is_clean = proved is not None and proved.is_clean
    state = proved.state if proved else UNKNOWN
    return _gate(
        "verdict",
        holds=is_clean and is_young,
        figure=state if age_ms is None else f"{state}, {_hours(age_ms)} old",
        limit=f"clean, at most {limits.verdict_age_h_max:g} h old",
        reason=(proved.why if proved and proved.why else "nothing was proved")
        if not is_clean
        else "much may have changed since",
        mend="changeover verify (phases.verdict_age_h_max)",
    )


def _retention(facts: Facts, limits: PhasesSettings) -> Gate:
    left_s = facts.retention_left_s
    least_s = limits.retention_left_h_min * 3_600
    figure = UNKNOWN if left_s is None else "for ever" if math.isinf(left_s) else _hours(left_s * 1_000)
    return _gate(
        "retention",
        holds=left_s is not None and left_s >= least_s,
        figure=figure,
        limit=f"at least {limits.retention_left_h_min:g} h",
        reason="a capture that stands still for longer cannot go on, and the two would fall out of step",
        mend="raise binlog_expire_logs_seconds (phases.retention_left_h_min)",
    )


def _processes(facts: Facts, limits: PhasesSettings) -> Gate:
    live = _live(facts, limits)
    why = list(_why_not_able(live, facts, limits))
    return _gate(
        "processes",
        holds=not why,
        figure=f"{len(live)} seen",
        limit=f"at least {limits.processes_min}, each in this phase within {limits.process_age_s_max:g} s",
        reason="; ".join(why),
        mend=(
            "see that each runs and reaches the source; one that has ended is forgotten after "
            "phases.process_forgotten_h"
        ),
    )


def _why_not_able(live: Sequence[Process], facts: Facts, limits: PhasesSettings) -> Iterator[str]:
    if len(live) < limits.processes_min:
        yield f"{len(live)} of at least {limits.processes_min} processes with the library were seen"
    for process in live:
        silent_ms = facts.now_ms - process.seen_ms
        if silent_ms > limits.process_age_s_max * 1_000:
            yield f"{process.name} has been silent for {silent_ms // 1_000} s"
        elif process.phase is not facts.phase:
            yield f"{process.name} is in {process.phase.value}"
        if process.unreported:
            yield f"{process.name} does not report {', '.join(process.unreported)}"


def _compared(facts: Facts, limits: PhasesSettings) -> Gate:
    live = _live(facts, limits)
    compared = sum(process.compared for process in live)
    wrong = sum(process.compared_mismatch for process in live)
    is_enough = compared >= limits.compared_min
    return _gate(
        "compared reads",
        holds=is_enough and _is_few(wrong, compared, limits),
        figure=f"{wrong:,} mismatches of {compared:,}",
        limit=f"at least {limits.compared_min:,}, {_few(limits)}",
        reason="the two databases gave different answers" if is_enough else "too few reads were compared",
        mend=(
            "changeover verify tells where they differ (phases.mismatch_per_million_max)"
            if is_enough
            else "let the processes run for longer (phases.compared_min, application.compared_share)"
        ),
    )


def _puts(facts: Facts, limits: PhasesSettings) -> Gate:
    live = _live(facts, limits)
    puts, wrong = sum(process.puts for process in live), sum(process.put_mismatch for process in live)
    return _gate(
        "values of tx.put",
        holds=_is_few(wrong, puts, limits),
        figure=f"{wrong:,} mismatches of {puts:,}",
        limit=_few(limits),
        reason="values that the application puts are not those that the mapping makes of its rows",
        mend="mend the application's value, or the mapping (phases.mismatch_per_million_max)",
    )


def _direct(facts: Facts, limits: PhasesSettings) -> Gate:
    live = _live(facts, limits)
    made = sum(process.direct_writes for process in live)
    tried = made + sum(process.direct_failed for process in live)
    percent = 100 * made / tried if tried else None
    least = limits.direct_success_percent_min
    return _gate(
        "direct writes",
        holds=least == 0 or (percent is not None and percent >= least),
        figure=UNKNOWN if percent is None else f"{percent:.2f} % of {tried:,}",
        limit=f"at least {least:g} %",
        reason="none was made" if percent is None else "too many fail, and wait for the binlog",
        mend="see why in the processes' logs; 0 where the binlog alone delivers "
        "(phases.direct_success_percent_min)",
    )


def _writes_of_old(facts: Facts, _: PhasesSettings) -> Gate:
    """Sessions remember what they write from BOTH_READ_OLD on; what they wrote before must be applied."""
    fence, through = facts.fence, facts.applied_through
    has_them = None if fence is None or through is None else through >= fence
    return _gate(
        "writes of OLD",
        holds=bool(has_them),
        figure=UNKNOWN if has_them is None else "applied" if has_them else "not applied",
        limit="applied",
        reason="who wrote in OLD could read from the new database what was there before",
        mend="take the step to BOTH_READ_OLD; if it is made, changeover phase advance looks where OLD ended"
        if fence is None
        else "wait until all from before BOTH_READ_OLD is applied: changeover status",
    )


def _changed(facts: Facts, limits: PhasesSettings) -> Gate:
    users = [process for process in _live(facts, limits) if process.changed_calls]
    return _gate(
        "tx.changed",
        holds=not users,
        figure=f"{sum(process.changed_calls for process in users):,} calls",
        limit="none",
        reason=f"it reads the row from the old database: {', '.join(process.name for process in users)}",
        mend="let these processes use tx.put and tx.delete, and start them anew",
    )


def _fence(facts: Facts, _: PhasesSettings) -> Gate:
    lacking = facts.lacking
    if facts.is_read_only:
        return _gate(
            "fence",
            holds=False,
            figure="read_only already",
            limit="able",
            reason="somebody else has frozen the old database, and may let go of it at any time",
            mend="SET GLOBAL read_only = 0: the move itself freezes it, and keeps it so",
        )
    return _gate(
        "fence",
        holds=lacking is not None and not lacking,
        figure=UNKNOWN if lacking is None else "able" if not lacking else f"lacks {', '.join(lacking)}",
        limit="able",
        reason="the old database cannot be frozen by this user",
        mend="changeover doctor --operator-user names the grants",
    )


STEADY: Sequence[Judge] = (_import, _lag, _findings, _retention, _processes)
PROVED: Sequence[Judge] = (*STEADY, _verdict, _compared, _puts, _direct)
LAST: Sequence[Judge] = (*PROVED, _changed, _fence)
GATES: Mapping[Phase, Sequence[Judge]] = {
    Phase.BOTH_READ_OLD: STEADY,
    Phase.BOTH_READ_NEW: (*PROVED, _writes_of_old),
    Phase.FENCED: LAST,
    Phase.NEW: LAST,  # for who plans: they are judged before the fence, and it is NEW or undone
}
"""By where a step forward leads. Each is for the step alone: `back` into one of these has none."""


def _gate(  # noqa: PLR0913 - a gate's parts
    name: str, *, holds: bool, figure: str, limit: str, reason: str, mend: str
) -> Gate:
    if holds:
        return Gate(name=name, holds=True, figure=figure, limit=limit)
    return Gate(name=name, holds=False, figure=figure, limit=limit, reason=reason, mend=mend)


def _live(facts: Facts, limits: PhasesSettings) -> list[Process]:
    """The processes that do not count as ended."""
    oldest_ms = facts.now_ms - limits.process_forgotten_h * HOUR_MS
    return [process for process in facts.processes if process.seen_ms >= oldest_ms]


def _is_few(wrong: int, of: int, limits: PhasesSettings) -> bool:
    return wrong * 1_000_000 <= limits.mismatch_per_million_max * of


def _few(limits: PhasesSettings) -> str:
    most = limits.mismatch_per_million_max
    return f"at most {most:,} mismatches in a million" if most else "no mismatch"


def _hours(ms: float) -> str:
    return f"{ms / HOUR_MS:.1f} h"
