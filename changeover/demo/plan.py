"""What the demo is to do."""

import enum
from dataclasses import dataclass
from pathlib import Path


class DemoLog(enum.StrEnum):
    """Where the demo's changes go on their way."""

    SQLITE = "sqlite"
    KAFKA = "kafka"


class DemoTarget(enum.StrEnum):
    """What the demo moves into."""

    SQLITE = "sqlite"
    RIAK = "riak"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the demo does. `riak` is the address of a real node; without it the target is a double of one."""

    rows: int
    rate: int
    steady_s: float
    seed: int
    log: DemoLog
    target: DemoTarget
    riak: str
    keep: Path | None

    @property
    def takes_over(self) -> bool:
        """Whether the application takes over too: that part is told with both files, and no servers."""
        return self.log is DemoLog.SQLITE and self.target is DemoTarget.SQLITE
