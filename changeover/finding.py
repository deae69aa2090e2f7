"""Findings: what stands against a move, how much it matters, and what to do about it."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass


class Severity(enum.StrEnum):
    """How much a finding matters; the worst comes first."""

    REFUSE = "refuse"
    """Data would be lost or misread, or the work could not be done."""

    WARN = "warn"
    """Something to decide before the move; it can be done as it is."""

    NOTE = "note"
    """Good to know, or could not be looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One reason to stop or to think. `subject` is what it is about: source, grants, tables, log, target.

    `passes` marks what may be over by itself, such as a failover: a daemon comes back later for it, where
    else it would wait for a person.
    """

    severity: Severity
    subject: str
    what: str
    mend: str
    passes: bool = False

    @property
    def text(self) -> str:
        """What and mend in one line."""
        return f"{self.what}: {self.mend}" if self.mend else self.what


def refusals(findings: Iterable[Finding]) -> list[Finding]:
    """Those that forbid the move."""
    return [finding for finding in findings if finding.severity is Severity.REFUSE]


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """The findings by severity, in their order otherwise.

    >>> note = Finding(severity=Severity.NOTE, subject="log", what="it is there", mend="")
    >>> stop = Finding(severity=Severity.REFUSE, subject="log", what="it is full", mend="make room")
    >>> [finding.text for finding in worst_first([note, stop])]
    ['it is full: make room', 'it is there']
    """
    places = list(Severity)
    return sorted(findings, key=lambda finding: places.index(finding.severity))
