"""A binlog that is written down in a test, and the few things beside it that capture works with."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cdc.events import Beaten, Began, Committed, Event, Images, RowsChanged, Stated
from changeover.epoch import Epoch
from changeover.errors import SourceUnavailable
from changeover.table import Table
from tests.support.tables import CITIZEN

A, B = "0-1", "0-2"
"""Two servers of one GTID domain."""


def transaction(sequence: int, *events: Event, identity: str = A) -> list[Event]:
    """A transaction as the stream gives it."""
    gtid = f"{identity}-{sequence}"
    return [Began(gtid), *events, Committed(identity, sequence, gtid, 1_000 * sequence)]


def rows(*images: Images, table: Table = CITIZEN) -> RowsChanged:
    return RowsChanged(table, images)


def beating(sequence: int, identity: str = A) -> list[Event]:
    """The transaction of our own heartbeat."""
    return transaction(sequence, Beaten(1_000 * sequence - 1), identity=identity)


def statement(sequence: int, text: str) -> list[Event]:
    """A statement that is a transaction of its own, as DDL is."""
    return transaction(sequence, Stated("records", text))


@dataclass
class Clock:
    """Time, as it passes in a test."""

    now_s: float = 100.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class ScriptedStream:
    """A `cdc.events.Stream` from behind a position, which may break before one of its events.

    `event_s` passes before each event; where there is none, all of the time that the caller waits.
    """

    binlog: Sequence[Event]
    position: str
    clock: Clock = field(default_factory=Clock)
    breaks_at: int | None = None
    event_s: float = 0.0
    given: int = 0

    def __post_init__(self) -> None:
        ends = [event.position if isinstance(event, Committed) else None for event in self.binlog]
        self._place = ends.index(self.position) + 1 if self.position in ends else 0

    def next(self, timeout_s: float) -> Event | None:
        if self.given == self.breaks_at:
            message = "the connection to the source broke"
            raise SourceUnavailable(message)
        if self.is_at_end:
            self.clock.now_s += timeout_s
            return None
        self.clock.now_s += self.event_s
        event = self.binlog[self._place]
        self._place += 1
        self.given += 1
        return event

    @property
    def is_at_end(self) -> bool:
        return self._place == len(self.binlog)

    def close(self) -> None:
        pass


class MemoryEpochs:
    """The list of epochs, which outlives each capture that is given it."""

    def __init__(self) -> None:
        self.listed = [Epoch(1, A, 10, None)]

    def epochs(self) -> list[Epoch]:
        return list(self.listed)

    def open_epoch(self, epoch: Epoch) -> None:
        self.listed.append(epoch)
