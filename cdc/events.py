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
    """A transaction begins; it is in the binlog, so it has committed, unless it is a prepared XA one.

    `name` is what people call it: its GTID, or the place of its first event.
    """

    name: str
    is_prepared_xa: bool = False


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
class RolledBack:
    """All that the transaction did was undone: the commit that comes next is one of nothing."""


@dataclass(frozen=True, slots=True)
class Committed:
    """The transaction's last event: all of it has been read, and this is its place in the commit order.

    `identity` and `sequence` are those of `changeover.epoch`; `position` is where to resume behind it;
    `at_ms` the time of its commit on the source's clock, in milliseconds since 1970.
    """

    identity: str
    sequence: int
    position: str
    at_ms: int


Event = Began | RowsChanged | Beaten | Stated | RolledBack | Committed


class Stream(Protocol):
    """The source's binlog from a given position on."""

    def next(self, timeout_s: float) -> Event | None:
        """The next event, None if there is none within the time.

        Raises `SourceUnavailable` if the connection is lost, `BinlogUnreadable` at what cannot be read
        exactly, `PositionPurged` if the binlog does not reach back to the position.
        """

    def close(self) -> None:
        """Hang up."""
