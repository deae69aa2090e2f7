"""Picture: everything that the page shows of one moment. None is unknown, and is shown as unknown."""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


class Tone(enum.StrEnum):
    """How a statement is meant; the page never says it by colour alone."""

    GOOD = "good"
    BUSY = "busy"
    """As it should be, and not done."""

    WARN = "warn"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Said:
    """A statement: a word or two, and a sentence."""

    tone: Tone
    words: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """The five questions that people come with."""

    how_far: Said
    how_far_behind: Said
    is_it_right: Said
    may_i_go_on: Said
    can_i_go_back: Said


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictShown:
    """What verification says of a table; `age_ms` is None where nothing was proved yet."""

    tone: Tone
    words: str
    why: str
    rows: int
    age_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingShown:
    """A key that differs. The key itself is not shown, since it may be sensitive, but a hash of it."""

    number: int
    table: str
    kind: str
    columns: Sequence[str]
    key_hash: str
    first_seen_ms: int
    last_seen_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TableShown:
    """A table and how far its import is."""

    name: str
    rows_copied: int
    rows_expected: int
    """The server's estimate, or exact where the table is done."""

    is_done: bool
    eta_s: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What is known of source and target being equal."""

    tables: Mapping[str, VerdictShown]
    findings: Sequence[FindingShown]
    findings_open: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far import and changes are."""

    tables: Sequence[TableShown]
    imports: bool
    rows_copied: int
    rows_expected: int
    rows_a_second: float | None
    eta_s: int | None
    is_import_applied: bool
    changes_captured: int
    records_applied: int
    stale: int
    captured_through: str | None
    applied_through: str | None
    lag_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GateShown:
    """One condition of the next step; if it does not hold, why, and what to do."""

    name: str
    holds: bool
    figure: str
    limit: str
    reason: str
    mend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveShown:
    """A move of phase that was made; `forced` is the reason for which shut gates did not count."""

    at_ms: int
    before: str
    after: str
    who: str
    took_ms: int
    forced: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseShown:
    """Where the application is, and the way on: `to` is None where there is none."""

    now: str
    since_ms: int | None
    deadline_ms: int | None
    is_left_standing: bool
    """Whether it is FENCED though its time is over."""

    to: str | None
    gates: Sequence[GateShown] | None
    moves: Sequence[MoveShown]
    """Newest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessShown:
    """A process and when it was last heard of."""

    name: str
    what: str
    detail: str
    silent_ms: int
    tone: Tone


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened; `number` counts them up."""

    number: int
    at_ms: int
    tone: Tone
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One moment. `taken_ms` is the clock of the page's server; times of the pipeline are the source's."""

    pipeline: str
    source: str
    target: str
    taken_ms: int
    trouble: str | None
    """Why nothing is known of the pipeline now; None where it is known."""

    headline: Said
    answers: Answers
    progress: Progress | None
    verified: Verified | None
    phase: PhaseShown | None
    processes: Sequence[ProcessShown] | None
