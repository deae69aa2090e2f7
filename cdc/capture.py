"""Capture: every committed row change of the captured tables, in order, from the binlog into the log.

A transaction enters the log whole and only after its commit event was read, together with the checkpoint
behind it. So after any crash capture resumes at the checkpoint and nothing is missing; what is then read
twice carries the same versions and changes nothing.
"""

from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from cdc.events import Beaten, Began, Committed, Event, RolledBack, RowsChanged, Stated, Stream
from cdc.spill import SpillingStore
from cdc.statement import Effect, Name, effect_of, without_values
from cdc.transaction import Transaction
from changeover.change import Origin
from changeover.crashpoints import reach
from changeover.envelope import encode
from changeover.epoch import Epoch, epoch_of
from changeover.errors import BinlogUnreadable, Stopped
from changeover.log import Beat, CaptureLog, Checkpoint, Entry
from changeover.version import Version

ENTRIES_AT_ONCE_MAX = 5_000
"""Entries given to the log at once, about 5 MB; a larger transaction takes several appends."""

LINGER_S = 0.02
"""How long the first change waits for others, so that they share one durable write."""

IDLE_WAIT_S = 0.5
"""How long a step waits for an event when nothing is pending: what a stop takes at most."""


class EpochList(Protocol):
    """The list of epochs, wherever it is kept."""

    def epochs(self) -> list[Epoch]:
        """All epochs so far, in order."""

    def open_epoch(self, epoch: Epoch) -> None:
        """Write a new epoch down, durably."""


@dataclass(slots=True)
class Pending:
    """What has been read up to a commit, and is not yet in the log."""

    entries: list[Entry] = field(default_factory=list)
    checkpoint: Checkpoint | None = None
    beat: Beat | None = None
    since_s: float = 0.0


@dataclass(slots=True)
class Open:
    """The transaction that is being read."""

    name: str
    is_xa: bool
    store: SpillingStore
    changes: Transaction
    source_ms: int | None = None


@dataclass(slots=True)
class Counts:
    """What this capture has done since it started."""

    transactions: int = 0
    changes: int = 0
    bytes: int = 0
    """Of keys and envelopes that the log has taken."""

    appends: int = 0
    beat: Beat | None = None
    """The last one that is in the log: all that was committed before it is there."""


class Capture:
    """Moves what the stream gives into the log; one `step` handles one event."""

    def __init__(  # noqa: PLR0913 - a composition root hands in what it works with
        self,
        stream: Stream,
        log: CaptureLog,
        epochs: EpochList,
        *,
        checkpoint: Checkpoint,
        pipeline: str,
        captured: AbstractSet[Name],
        clock: Callable[[], float],
    ) -> None:
        self._stream = stream
        self._log = log
        self._epochs = epochs
        self._known_epochs = epochs.epochs()
        self._last = checkpoint.version
        self._pipeline = pipeline
        self._captured = captured
        self._clock = clock
        self._open: Open | None = None
        self._pending = Pending()
        self._changes_before = checkpoint.changes
        self.counts = Counts()

    def run(self, should_stop: Callable[[], bool]) -> None:
        """Capture until told to stop; whatever is complete by then is in the log."""
        while not should_stop():
            self.step()
        self._flush()

    def step(self) -> None:
        """Handle the next event, or write what is pending if its time has come."""
        try:
            event = self._stream.next(self._wait_s())
            if event is not None:
                reach("capture.event_read")
                self._take(event)
        except Stopped:
            self._flush()  # what was complete before the stop is safe, and need not be read again
            raise
        if self._is_due():
            self._flush()

    def captured_ms(self) -> int | None:
        """The source's clock at the last heartbeat that is in the log with all before it, None before it."""
        beat = self.counts.beat
        return beat.source_ms if beat else None

    def place(self) -> str:
        """Where in the source it is, for people."""
        behind = f"behind {self._last.text}"
        return f"in transaction {self._open.name}, {behind}" if self._open else behind

    @property
    def pending_changes(self) -> int:
        """Changes read to the end of their transaction, and not yet in the log."""
        return len(self._pending.entries)

    @property
    def open_rows(self) -> int:
        """Row changes of the transaction that is being read."""
        reading = self._open
        return reading.changes.rows if reading else 0

    def _take(self, event: Event) -> None:
        match event, self._open:
            case Began(name=name, is_prepared_xa=is_xa), None:
                self._open = _opened(name, is_xa=is_xa)
            case RowsChanged(), Open(is_xa=True):
                raise self._unreadable(f"an XA transaction changes {event.table.full_name}", XA_HINT)
            case RowsChanged(table=table, rows=rows), Open(changes=changes):
                for before, after in rows:
                    changes.add(table, before, after)
                    reach("capture.row_folded")
                reach("capture.event_folded")
            case Beaten(source_ms=source_ms), Open():
                self._open.source_ms = source_ms
            case Stated(text=text), Open():
                self._open.is_xa |= text.startswith("XA START")
                self._judge(event)
            case RolledBack(), Open(name=name, is_xa=is_xa, store=store):
                store.close()
                self._open = _opened(name, is_xa=is_xa)
            case Committed(), Open():
                self._commit(self._open, event)
            case _:
                where = "inside a transaction" if self._open else "outside any transaction"
                raise self._unreadable(f"{type(event).__name__} comes {where}", "")

    def _version_of(self, committed: Committed) -> Version:
        epoch = epoch_of(self._known_epochs, committed.identity, committed.sequence, self._last)
        if epoch not in self._known_epochs:
            # Before its first record: a crash between the two finds the epoch again by `after`.
            self._flush()
            self._epochs.open_epoch(epoch)
            self._known_epochs = self._epochs.epochs()
        return Version.of_change(epoch.number, committed.sequence)

    def _judge(self, stated: Stated) -> None:
        effect = effect_of(stated.text, stated.schema, self._captured)
        if effect is Effect.NONE or (effect is Effect.UNDOES_ROWS and not self._has_changes()):
            return
        what = f"a statement {effect.value}: {_shortened(stated.text)}"
        raise self._unreadable(what, STATEMENT_HINTS[effect])

    def _commit(self, done: Open, committed: Committed) -> None:
        version = self._version_of(committed)
        origin = Origin(committed.at_ms, done.name)
        self.counts.transactions += 1
        self.counts.changes += len(done.changes)
        if not self._pending.checkpoint:
            self._pending.since_s = self._clock()
        self._log_in_parts(self._entries(done.changes, version, origin))
        done.store.close()
        self._pending.checkpoint = Checkpoint(
            version, committed.position, self._changes_before + self.counts.changes
        )
        if done.source_ms is not None:
            self._pending.beat = Beat(version, done.source_ms)
        self._last = version
        self._open = None
        reach("capture.transaction_read")

    def _entries(self, changes: Transaction, version: Version, origin: Origin) -> Iterator[Entry]:
        for key, change in changes.changes(version, origin):
            yield Entry(change.table, key, encode(change, self._pipeline))

    def _log_in_parts(self, entries: Iterator[Entry]) -> None:
        """Add the entries to what is pending, and write parts that are full, still without a checkpoint."""
        pending = self._pending
        while part := list(islice(entries, ENTRIES_AT_ONCE_MAX - len(pending.entries))):
            pending.entries += part
            if len(pending.entries) >= ENTRIES_AT_ONCE_MAX:
                self._flush()
                reach("capture.part_appended")
                pending = self._pending

    def _flush(self) -> None:
        pending, self._pending = self._pending, Pending()
        if pending.entries or pending.checkpoint:
            self._log.append(pending.entries, pending.checkpoint, pending.beat)
            self._count(pending)

    def _count(self, done: Pending) -> None:
        self.counts.appends += 1
        self.counts.bytes += sum(len(entry.key) + len(entry.value) for entry in done.entries)
        self.counts.beat = done.beat or self.counts.beat

    def _wait_s(self) -> float:
        if not self._pending.checkpoint:
            return IDLE_WAIT_S
        return max(0.0, self._pending.since_s + LINGER_S - self._clock())

    def _is_due(self) -> bool:
        return self._pending.checkpoint is not None and self._wait_s() == 0

    def _has_changes(self) -> bool:
        return self._open is not None and len(self._open.changes) > 0

    def _unreadable(self, what: str, hint: str) -> BinlogUnreadable:
        place = self._open.name if self._open else f"behind sequence {self._last.sequence}"
        return BinlogUnreadable(f"in transaction {place} of the binlog {what}", hint=hint)


def _opened(name: str, *, is_xa: bool) -> Open:
    store = SpillingStore()
    return Open(name, is_xa, store, Transaction(store))


XA_HINT = "Its outcome is not known when its rows are logged: exclude the table, or do not use XA on it."

STATEMENT_HINTS = {
    Effect.CHANGES_TABLE: (
        "This release does not follow DDL on captured tables: "
        "start a pipeline under a new name with a new import."
    ),
    Effect.CHANGES_ROWS: (
        "A session writes in binlog_format STATEMENT or MIXED: stop it, then start a pipeline under a new "
        "name with a new import."
    ),
    Effect.UNDOES_ROWS: (
        "Behind the savepoint are tables without transactions, or a temporary table was made: exclude the "
        "former, and start a pipeline under a new name with a new import."
    ),
}


def _shortened(text: str) -> str:
    """The statement's beginning, without the values in it."""
    line = without_values(text)
    return line if len(line) <= 60 else f"{line[:57]}..."  # noqa: PLR2004 - a line of a terminal
