"""Painter: makes the page's pictures out of facts, and remembers what a picture needs of earlier ones."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from changeover.mysql.processes import ProcessSeen
from changeover.page.answers import TONES, answers_of, headline_of, unknown
from changeover.page.facts import Facts
from changeover.page.pace import Pace, etas_s
from changeover.page.picture import (
    FindingShown,
    GateShown,
    MoveShown,
    PhaseShown,
    Picture,
    ProcessShown,
    Progress,
    Said,
    TableShown,
    Tone,
    VerdictShown,
    Verified,
)
from changeover.phases.transitions import Step, after
from changeover.verify.findings import digest_of_key

CAPTURE = "capture"
"""The name that the capture daemon beats under."""

SILENT_MS_MAX = 15_000
"""Capture and the application's processes are heard of each second or so: silent for longer, they are down,
or cannot reach the source."""


KEY_HASH_DIGITS = 12
"""Enough to tell the findings of one page apart."""


class Painter:
    """Paints one pipeline; its names are those of its settings, without any secret."""

    def __init__(self, pipeline: str, source: str, target: str) -> None:
        self._names = {"pipeline": pipeline, "source": source, "target": target}
        self._pace = Pace()

    def paint(self, facts: Facts, taken_ms: int) -> Picture:
        """The picture of these facts."""
        progress = self._progress(facts, taken_ms / 1000)
        answers = answers_of(facts, progress.eta_s)
        return Picture(
            **self._names,
            taken_ms=taken_ms,
            trouble=None,
            headline=headline_of(facts, answers),
            answers=answers,
            progress=progress,
            verified=_verified(facts),
            phase=_phase(facts),
            processes=list(_processes(facts)),
        )

    def blank(self, trouble: str, taken_ms: int, words: str = "Nothing is known") -> Picture:
        """The picture while nothing can be read, with the reason."""
        return Picture(
            **self._names,
            taken_ms=taken_ms,
            trouble=trouble,
            headline=Said(Tone.UNKNOWN, words, trouble),
            answers=unknown(""),
            progress=None,
            verified=None,
            phase=None,
            processes=None,
        )

    def _progress(self, facts: Facts, at_s: float) -> Progress:
        status = facts.status
        pace = self._pace.see(at_s, status.rows_copied)
        etas = list(etas_s(status.tables, pace))
        return Progress(
            tables=[
                TableShown(
                    name=table.table_name,
                    rows_copied=table.rows_copied,
                    rows_expected=max(table.rows_copied, 0 if table.is_done else table.rows_estimated),
                    is_done=table.is_done,
                    eta_s=eta_s,
                )
                for table, eta_s in zip(status.tables, etas, strict=True)
            ],
            imports=facts.imports,
            rows_copied=status.rows_copied,
            rows_expected=status.rows_total,
            rows_a_second=pace,
            eta_s=_last(etas),
            is_import_applied=status.is_import_applied,
            changes_captured=status.changes_captured,
            records_applied=status.records_applied,
            stale=status.stale,
            captured_through=status.captured_through.text if status.captured_through else None,
            applied_through=status.applied_through.text if status.applied_through else None,
            lag_ms=status.lag_ms,
        )


def _last(etas: Sequence[int | None]) -> int | None:
    """When all tables are copied; None if that is unknown of one."""
    known = [eta for eta in etas if eta is not None]
    return max(known) if known and len(known) == len(etas) else None


def _verified(facts: Facts) -> Verified:
    return Verified(
        tables={
            verdict.table_name: VerdictShown(
                tone=TONES[verdict.state],
                words=verdict.state.value,
                why=verdict.why,
                rows=verdict.rows,
                age_ms=None if verdict.as_of_ms is None else max(0, facts.now_ms - verdict.as_of_ms),
            )
            for verdict in facts.verdicts
        },
        findings=[
            FindingShown(
                number=finding.number,
                table=finding.table_name,
                kind=finding.kind.value,
                columns=finding.columns,
                key_hash=digest_of_key(finding.key)[:KEY_HASH_DIGITS],
                first_seen_ms=finding.first_seen_ms,
                last_seen_ms=finding.last_seen_ms,
            )
            for finding in facts.findings
        ],
        findings_open=sum(verdict.findings_open for verdict in facts.verdicts),
    )


def _phase(facts: Facts) -> PhaseShown:
    state = facts.phase
    to = after(state.phase, Step.ADVANCE)
    return PhaseShown(
        now=state.phase.value,
        since_ms=state.since_ms or None,
        deadline_ms=state.deadline_ms,
        is_left_standing=state.is_left_standing(facts.now_ms),
        to=to.value if to else None,
        gates=None if facts.gates is None else [GateShown(**asdict(gate)) for gate in facts.gates],
        moves=[
            MoveShown(
                at_ms=move.at_ms,
                before=move.before.value,
                after=move.after.value,
                who=move.who,
                took_ms=move.took_ms,
                forced=move.forced,
            )
            for move in reversed(facts.moves)
        ],
    )


def _processes(facts: Facts) -> Iterator[ProcessShown]:
    for beat in facts.heartbeats:
        silent_ms = max(0, facts.now_ms - beat.at_ms)
        # Only capture beats as long as it runs; a reader is silent when it has nothing to read.
        long = Tone.BAD if beat.beater == CAPTURE else Tone.UNKNOWN
        yield ProcessShown(
            name=beat.beater,
            what="daemon",
            detail="beats in the source" if beat.beater == CAPTURE else "has read the source",
            silent_ms=silent_ms,
            tone=Tone.GOOD if silent_ms <= SILENT_MS_MAX else long,
        )
    for process in facts.processes:
        yield _of_application(process, max(0, facts.now_ms - process.seen_ms))


def _of_application(process: ProcessSeen, silent_ms: int) -> ProcessShown:
    told = [f"in {process.phase.value}"]
    told += [f"{number:,} {name.replace('_', ' ')}" for name, number in process.report.items() if number]
    return ProcessShown(
        name=process.name,
        what=f"application, library {process.version}",
        detail=", ".join(told),
        silent_ms=silent_ms,
        tone=Tone.GOOD if silent_ms <= SILENT_MS_MAX else Tone.WARN,
    )
