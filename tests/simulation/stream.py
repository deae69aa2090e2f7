"""The binlog of a server of the simulation, from a position on, as capture sees it."""

from collections import deque

from cdc.events import Beaten, Began, Committed, Event, RowsChanged
from changeover.errors import PositionPurged, SourceUnavailable
from changeover.gtid import GtidSet
from changeover.table import Table
from tests.simulation.server import Kind, Server, Transaction
from tests.simulation.sql import Steps


class SimStream:
    """Gives what is in the binlog behind the position, whether a SELECT sees it yet or not."""

    def __init__(self, process: Steps, server: Server, position: str, tables: dict[str, Table]) -> None:
        self._process = process
        self._server = server
        self._tables = tables
        self._ready: deque[Event] = deque()
        self._executed = GtidSet.parse(position) if server.kind is Kind.GTID else GtidSet({})
        self._next = 0 if server.kind is Kind.GTID else self._place_behind(position)
        if server.kind is Kind.GTID:
            self._check_gtids()

    def next(self, timeout_s: float) -> Event | None:
        """The next event, None if there is none in time."""
        if self._ready:
            return self._ready.popleft()
        self._skip()
        if not self._has_more():
            self._process.wait(lambda: self._server.is_down or self._has_more(), timeout_s)
        self._skip()
        if self._server.is_down:
            message = "the source went away"
            raise SourceUnavailable(message)
        if not self._has_more():
            return None
        self._process.step("read the binlog", self._read, SourceUnavailable)
        return self._ready.popleft() if self._ready else None

    def close(self) -> None:
        """Hang up."""

    def _has_more(self) -> bool:
        return self._next < len(self._server.binlog)

    def _skip(self) -> None:
        """Pass over what MySQL does not send: transactions of the set that it was given."""
        while self._server.kind is Kind.GTID and self._has_more():
            transaction = self._server.binlog[self._next]
            if not _has(self._executed, transaction):
                return
            self._next += 1

    def _read(self) -> None:
        transaction = self._server.binlog[self._next]
        self._next += 1
        self._ready.append(Began(transaction.name))
        for table, before, after in transaction.changes:
            self._ready.append(RowsChanged(self._tables[table], [(before, after)]))
        if transaction.beat_ms is not None:
            self._ready.append(Beaten(transaction.beat_ms))
        at_ms = transaction.at_ms // 1000 * 1000
        self._ready.append(
            Committed(transaction.identity, transaction.sequence, self._position(transaction), at_ms)
        )

    def _position(self, transaction: Transaction) -> str:
        match self._server.kind:
            case Kind.MARIADB:
                return transaction.name
            case Kind.GTID:
                self._executed = self._executed.with_transaction(transaction.identity, transaction.sequence)
                return self._executed.text
            case Kind.FILES:
                return f"{transaction.file}:{transaction.end}"

    def _place_behind(self, position: str) -> int:
        if position.endswith(("-0", ".000001:4")):
            return 0
        for place, transaction in enumerate(self._server.binlog, 1):
            if position in {transaction.name, f"{transaction.file}:{transaction.end}"}:
                return place
        message = f"the source does not have {position} in its binlog"
        raise PositionPurged(message)

    def _check_gtids(self) -> None:
        # MySQL refuses a replica that has more of the server's own transactions than it has itself.
        identity = self._server.identity
        last = max((t.sequence for t in self._server.binlog if t.identity == identity), default=0)
        if self._executed.unbroken_end(identity) > last:
            message = "the replica has more transactions than the source"
            raise PositionPurged(message)


def _has(executed: GtidSet, transaction: Transaction) -> bool:
    runs = executed.runs.get(transaction.identity, ())
    return any(first <= transaction.sequence <= last for first, last in runs)
