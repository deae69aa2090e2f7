"""Facts: what one look at a pipeline finds, in the words of the parts that it asks."""

from collections.abc import Sequence
from dataclasses import dataclass

from changeover.mysql.phases import PhaseMove
from changeover.mysql.processes import ProcessSeen
from changeover.phase import PhaseState
from changeover.phases.gates import Gate
from changeover.status import Status
from changeover.verify.findings import Finding
from changeover.verify.verdicts import TableVerdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """One who writes heartbeats into the source: capture, or a reader that needed a bound."""

    beater: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A pipeline at one moment; its times are the source's clock."""

    status: Status
    imports: bool
    """Whether the import is ours, and not another tool's."""

    phase: PhaseState
    moves: Sequence[PhaseMove]
    """The last moves of phase, in order."""

    verdicts: Sequence[TableVerdict]
    """Of each captured table."""

    findings: Sequence[Finding]
    """The first open ones, up to a limit; how many there are the verdicts say."""

    gates: Sequence[Gate] | None
    """Those of the next step on; None where they could not be judged."""

    heartbeats: Sequence[Heartbeat]
    processes: Sequence[ProcessSeen]

    @property
    def now_ms(self) -> int:
        """The source's clock."""
        return self.status.now_ms
