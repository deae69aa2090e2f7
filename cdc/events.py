"""What capture sees of the binlog: the few things that can happen in it, free of any library."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from changeover.table import Table
from changeover.values import Row

Images = tuple[Row | None, Row | None]
"""A row before and after: None before an insert, None after a delete."""


@dataclass(frozen=True, slots=True)
class Began:
    """A transaction begins, with its place in the commit order (it is in the binlog because it committed).

    `is_standalone`: it is one statement, a DDL; no commit follows. `is_prepared_xa`: its rows are only
    prepared, and may still be rolled back.
    """

    identity: str
    sequence: int
    at_ms: int
    is_standalone: bool = False
    is_prepared_xa: bool = False

    @property
    def gtid(self) -> str:
        """The transaction's GTID."""
        return f"{self.identity}-{self.sequence}"


@dataclass(frozen=True, slots=True)
class RowsChanged:
    """Rows of one captured table changed, in this order."""

    table: Table
    rows: Sequence[Images]


@dataclass(frozen=True, slots=True)
class Beaten:
    """Our own heartbeat row changed; `source_ms` is the source's clock from before this commit."""

    source_ms: int


@dataclass(frozen=True, slots=True)
class Stated:
    """A statement stands in the binlog as text: DDL, a savepoint, or DML of a session in STATEMENT format."""

    schema: str
    text: str


@dataclass(frozen=True, slots=True)
class Committed:
    """The transaction's last event: all of it has been read."""


Event = Began | RowsChanged | Beaten | Stated | Committed


class Stream(Protocol):
    """The source's binlog from a given position on."""

    def next(self, timeout_s: float) -> Event | None:
        """The next event, None if there is none within the time.

        Raises `SourceUnavailable` if the connection is lost, `BinlogUnreadable` at what cannot be read
        exactly, `PositionPurged` if the binlog does not reach back to the position.
        """

    def close(self) -> None:
        """Hang up."""
