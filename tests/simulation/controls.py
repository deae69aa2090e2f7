"""The rules of the protocol, each to be switched off: a suite that does not notice proves nothing.

A control changes one thing in the product's own code while a schedule runs, and `shape` asks for the kind of
schedules in which the rule has work to do.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import cdc.capture
import cdc.snapshot
import cdc.wiring
import changeover.dualwrite.commits
import changeover.dualwrite.reads
import changeover.epoch
import changeover.mysql.bounded
import changeover.mysql.numbering
import changeover.repair.repair
import changeover.verify.judge
import consumers.apply
from cdc.transaction import Transaction
from changeover.change import Change, Op, Origin
from changeover.decide import Outcome, Write, newest_per_key
from changeover.dualwrite.commits import CommitPlaces
from changeover.dualwrite.store import DualStore
from changeover.dualwrite.takeover import NewTransaction, NewTransactions
from changeover.dualwrite.transaction import OldTransaction
from changeover.epoch import Epoch
from changeover.errors import SourceRefused
from changeover.gtid import GtidSet
from changeover.log import Entry, writes_of
from changeover.mysql.bounded import BoundedReader
from changeover.mysql.control import ControlSchema
from changeover.mysql.numbering import GtidNumbering, MariaDBNumbering, numbering_of
from changeover.phase import Phase, PhaseState
from changeover.phases.gates import GATES, PROVED
from changeover.progress import AppliedThrough, Offsets
from changeover.table import Table
from changeover.values import Row
from changeover.verify.applied import Applied
from changeover.verify.comparing import Answer, Pair
from changeover.verify.source import Seen
from changeover.version import ROW_MAX, ROW_OF_DIRECT_WRITE, Version
from tests.simulation.application import SimFreezer
from tests.simulation.schedule import EVERYTHING, Shape
from tests.simulation.server import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A rule, its story in one sentence, and how it is switched off."""

    name: str
    story: str
    off: Callable[[], AbstractContextManager[object]] | None = None
    shape: Shape = EVERYTHING


def _no_guard(held: Version | None, new: Version) -> Outcome:
    del held, new
    return Outcome.APPLIED


def _last_arrival(writes: Iterable[Write]) -> list[Write]:
    """Of each key's writes the last one, whatever its version."""
    return list({(write.table.full_name, write.key): write for write in writes}.values())


class _Eager(consumers.apply.Apply):
    """Commits offsets first, and applies then."""

    def step(self) -> bool:
        records = self._reader.poll(self._batch_max)
        self.through = self._reader.commit(consumers.apply._behind(records), records=len(records))
        if records:
            self._target.write(newest_per_key(writes_of(records)))
        return bool(records)


class _Unfolded(Transaction):
    """Keeps every change of a key, each under the transaction's one version."""

    def __init__(self, store: object) -> None:
        super().__init__({})
        del store
        self._all: list[tuple[bytes, Table, Row | None, Row | None]] = []

    def __len__(self) -> int:
        return len(self._all)

    def _fold(self, table: Table, key: bytes, before: Row | None, after: Row | None) -> None:
        self._all.append((key, table, before, after))

    def changes(self, version: Version, origin: Origin) -> Iterator[tuple[bytes, Change]]:
        for key, table, before, after in self._all:
            op = Op.DELETE if after is None else Op.CREATE if before is None else Op.UPDATE
            yield key, Change(table, op, before, after, version, origin)


def _ahead_on_mariadb(self: MariaDBNumbering, beat: Callable[[], None]) -> tuple[str, int]:
    """The binlog's end, though a SELECT does not see all of it yet."""
    del beat
    identity, _, sequence = self._connection.value("SELECT @@global.gtid_binlog_pos").rpartition("-")
    return identity or self.identity(), int(sequence or 0)


def _end_of_all(self: GtidSet, uuid: str) -> int:
    """The highest number, whatever is missing below it."""
    return max((last for _, last in self.runs.get(uuid, ())), default=0)


@contextmanager
def _overlooks_gaps() -> Iterator[None]:
    with (
        mock.patch.multiple(GtidSet, unbroken_end=_end_of_all, has_gap=lambda *_: False),
        mock.patch.object(changeover.epoch, "_check_order", return_value=None),  # it would stop there, too
    ):
        yield


def _epoch_after_bound(self: BoundedReader) -> Version | None:
    """The epoch as it is once the bound has been taken, whoever that server was."""
    _, sequence = self._numbering.bound(lambda: self._control.beat(self._beater))
    epochs = self._control.epochs()
    return Version(epochs[-1].number, sequence, ROW_MAX) if epochs else None


def _epoch_by_identity(epochs: Sequence[Epoch], identity: str, sequence: int, last: Version) -> Epoch:
    """A server's epoch is the one it had before: a map in place of the list."""
    del last
    for epoch in epochs:
        if epoch.identity == identity:
            return epoch
    return Epoch(epochs[-1].number + 1, identity, sequence, None)


def _open_later(self: cdc.capture.Capture, committed: object) -> Version:
    """The epoch is written down after its first record, if nothing comes in between."""
    epoch = cdc.capture.epoch_of(self._known_epochs, committed.identity, committed.sequence, self._last)  # type: ignore[attr-defined]
    if epoch not in self._known_epochs:
        self._known_epochs = [*self._known_epochs, epoch]
    return Version.of_change(epoch.number, committed.sequence)  # type: ignore[attr-defined]


def _claims_the_newest(self: AppliedThrough[object], committed: Offsets) -> object:
    """No messages is taken for no lag: the newest watermark is claimed, whatever its ends are."""
    del committed
    return self.newest


def _checkpoint_first(self: cdc.capture.Capture) -> None:
    """The checkpoint is moved in an append of its own, before the entries."""
    pending, self._pending = self._pending, cdc.capture.Pending()
    if pending.checkpoint:
        self._log.append([], pending.checkpoint, pending.beat)
    if pending.entries:
        self._log.append(pending.entries, None, None)


def _begin_late(
    control: object, capture_log: object, epochs: object, start: object, tables: object
) -> object:
    """Capture's place is taken anew at each start: what was committed in between is left out."""
    checkpoint = _real_begin(control, capture_log, epochs, start, tables)  # type: ignore[arg-type]
    place = cdc.wiring.place_of(control.connection, start, lambda: control.beat("capture"))  # type: ignore[attr-defined,arg-type]
    return replace(checkpoint, position=place.position)


_real_begin = cdc.wiring._begin


def _epochs_read_late(
    control: ControlSchema, capture_log: object, epochs: object, start: object, tables: object
) -> object:
    """The epochs as they are once the log has been taken over, and its checkpoint looked up."""
    del epochs
    return _real_begin(control, capture_log, control.epochs(), start, tables)  # type: ignore[arg-type]


def _server_of_now(self: ControlSchema) -> str:
    """The server that is there now is taken for the one on which the pipeline began."""
    return numbering_of(self.connection).identity()


def _refuses_an_epoch_that_is_there(self: ControlSchema, epoch: Epoch) -> None:
    """As a plain INSERT does."""
    if any(known.number == epoch.number for known in self.epochs()):
        message = f"duplicate entry {epoch.number}"
        raise SourceRefused(message)
    _real_open_epoch(self, epoch)


_real_open_epoch = ControlSchema.open_epoch


def _forgets_nothing(self: GtidNumbering, position: str, identity: str) -> None:
    """A new primary is taken as it is."""
    del self, position, identity


def _waits_for_the_bound_alone(self: Applied, version: Version, bounds: list[Version]) -> None:
    """What the read has seen behind its bound is not waited for."""
    del version
    _real_wait_for(self, bounds[-1])


_real_wait_for = Applied.wait_for


@contextmanager
def _waits_for_too_little() -> Iterator[None]:
    bounds: list[Version] = []
    real = BoundedReader.bound

    def bound(self: BoundedReader) -> Version:
        bounds.append(real(self))
        return bounds[-1]

    with (
        mock.patch.object(BoundedReader, "bound", bound),
        mock.patch.object(
            Applied, "wait_for", lambda self, version: _waits_for_the_bound_alone(self, version, bounds)
        ),
    ):
        yield


def _counts_only(pair: Pair[Row], *, adopts: bool = False) -> Answer:
    """A row on both sides is as good as equal."""
    del adopts
    has_row = pair.held is not None and pair.held.body is not None
    return Answer.EQUAL if has_row == (pair.source is not None) else Answer.DIFFERS


def _stamped_too_high(seen: Seen, key: bytes, origin: Origin, pipeline: str) -> Entry:
    """The row under the end of the binlog behind the read, which it need not have seen."""
    return _real_entry_of(replace(seen, bound=seen.until._replace(row=ROW_MAX)), key, origin, pipeline)


_real_entry_of = changeover.repair.repair.entry_of


def _gtid_of_somebody(self: CommitPlaces, connection: Any, before: object) -> str:  # noqa: ANN401
    """The newest GTID there is, whose ever it may be."""
    del self, before
    server = connection.session.server
    return str(server.binlog[-1].name) if server.binlog else ""


def _phase_unlocked(self: DualStore, old: Any) -> PhaseState:  # noqa: ANN401
    """The phase as it was a moment ago, with nothing that keeps it."""
    state = self._lease.now()
    self._places.prepare(old)
    old.begin()
    return state


def _no_look(self: OldTransaction) -> None:
    """Nothing is looked at before the commit."""
    del self


@contextmanager
def _unfrozen() -> Iterator[None]:
    with mock.patch.multiple(SimFreezer, freeze=lambda _: None, is_frozen=lambda _: True):
        yield


@contextmanager
def _phase_outside() -> Iterator[None]:
    with (
        mock.patch.object(DualStore, "_locked_phase", _phase_unlocked),
        mock.patch.object(OldTransaction, "_before_commit", _no_look),
        _unfrozen(),  # a server that refuses writes would stop it, too
    ):
        yield


def _any_identity(epoch: Epoch | None, gtid: str) -> Version | None:
    """The number under the newest epoch, whoever gave it."""
    number = gtid.rpartition(":" if ":" in gtid else "-")[2]
    if epoch is None or not number.isdecimal():
        return None
    return Version(epoch.number, int(number), ROW_OF_DIRECT_WRITE)


def _not_raised(self: NewTransactions, epoch: int) -> NewTransaction:
    """Writes of NEW under the epoch of the source."""
    return NewTransaction(self, Version(epoch - 1, 0, 0))


def _patched(where: object, name: str, new: object) -> Callable[[], AbstractContextManager[object]]:
    return lambda: mock.patch.object(where, name, new)


CALM = ("nothing",)
VERIFIED = Shape(verifies=(True,), transactions_max=8, workers_max=1)
BOTH = Shape(
    kinds=(Kind.MARIADB, Kind.GTID),
    moves=(True,),
    events=("nothing", "failover"),
    workers_max=1,
    transactions_max=8,
    keys=2,
)
SWITCHES = ("failover", "there and back")

CONTROLS = {
    control.name: control
    for control in (
        Control(
            name="guard off",
            story="a late row of the import, or a change that is read again, goes over a newer state",
            shape=Shape(guard=_no_guard),
        ),
        Control(
            name="offsets committed before apply",
            story="the consumer dies in between, and nobody reads those records again",
            off=_patched(consumers.apply.Apply, "step", _Eager.step),
        ),
        Control(
            name="last write wins in a batch (R1)",
            story="behind (5,1) lies a late row of the import (4,MAX), and the newer one is thrown away",
            off=_patched(consumers.apply, "newest_per_key", _last_arrival),
        ),
        Control(
            name="import rows stamped with an unsafe position",
            story="the binlog is ahead of what the SELECT saw, and the true change is then too old",
            off=_patched(MariaDBNumbering, "bound", _ahead_on_mariadb),
            shape=Shape(kinds=(Kind.MARIADB,), transactions_max=12, keys=2),
        ),
        Control(
            name="a lasting gap of the GTIDs taken as filled (R20)",
            story="the next commits get the gap's numbers, and a read that was made before is above them",
            off=_overlooks_gaps,
            shape=Shape(kinds=(Kind.GTID,), events=("gap",), transactions_max=12),
        ),
        Control(
            name="delete markers removed early",
            story="a row of the import that is older than the delete comes after it, and the row is back",
            shape=Shape(purges=True),
        ),
        Control(
            name="changes of one key not folded (R2)",
            story="delete and insert of one key have one version, and the first of them wins",
            off=_patched(cdc.capture, "Transaction", _Unfolded),
        ),
        Control(
            name="epoch read after the bound (R3)",
            story="the old server's bound under the new server's epoch beats all that the new one commits",
            off=_patched(BoundedReader, "_bound", _epoch_after_bound),
            shape=Shape(
                kinds=(Kind.GTID,),
                events=("failover while the import is halted",),
                transactions_max=12,
                keys=2,
                faults_max=8,
                lingers=True,
            ),
        ),
        Control(
            name="epochs kept by server and not as a list (R4)",
            story="on the way back the first server has its old epoch again, and all its changes are too old",
            off=_patched(cdc.capture, "epoch_of", _epoch_by_identity),
            shape=Shape(events=("there and back",)),
        ),
        Control(
            name="epoch not written before its first record (R4)",
            story="capture dies in between, and after it nobody knows which epoch those records are of",
            off=_patched(cdc.capture.Capture, "_version_of", _open_later),
            shape=Shape(events=SWITCHES),
        ),
        Control(
            name="checkpoint before its entries",
            story="capture dies in between, and resumes behind changes that are nowhere",
            off=_patched(cdc.capture.Capture, "_flush", _checkpoint_first),
        ),
        Control(
            name="capture starts anew behind what was committed meanwhile (R10)",
            story="what was committed while it was down is in no read and in no change",
            off=_patched(cdc.wiring, "_begin", _begin_late),
        ),
        Control(
            name="an empty queue taken for no lag",
            story="applied through is claimed for changes that are still in the log",
            off=_patched(AppliedThrough, "passed", _claims_the_newest),
        ),
        Control(
            name="the server of the first checkpoint not written down (R4)",
            story="another server takes over between capture's first checkpoint and its first epoch",
            off=lambda: mock.patch.multiple(
                ControlSchema,
                note_first_identity=lambda *_: None,
                first_identity=_server_of_now,
            ),
            shape=Shape(kinds=(Kind.GTID,), events=("failover",), operated_within_steps=140),
        ),
        Control(
            name="epochs read after the log was taken over",
            story="another capture begins in between: the one that was there first says its log was lost",
            off=_patched(cdc.wiring, "_begin", _epochs_read_late),
            shape=Shape(events=("second capture",)),
        ),
        Control(
            name="an epoch that is there is an error",
            story="a capture that is fenced and does not know it opens the epoch, and the live one gives up",
            off=_patched(ControlSchema, "open_epoch", _refuses_an_epoch_that_is_there),
            shape=Shape(events=("second capture",)),
        ),
        Control(
            name="a lost tail not noticed (R9)",
            story="a new primary lacks commits that were captured, and the target keeps what never was",
            off=_patched(GtidNumbering, "check_held", _forgets_nothing),
            shape=Shape(kinds=(Kind.GTID,), events=("lost tail",)),
        ),
        Control(
            name="verification waits for its bound alone (R16)",
            story="what the read saw behind its bound is still on its way, and is called a difference",
            off=_waits_for_too_little,
            shape=VERIFIED,
        ),
        Control(
            name="verifier comparing counts only",
            story="a row that was falsified is there on both sides, and is called equal",
            off=_patched(changeover.verify.judge, "answer_of", _counts_only),
            shape=VERIFIED,
        ),
        Control(
            name="the GTID of another session taken for one's own (R7)",
            story="the row is stamped with a later commit's number, and hides that commit's change",
            off=_patched(CommitPlaces, "_gtid", _gtid_of_somebody),
            shape=BOTH,
        ),
        Control(
            name="a direct write in an epoch that is not its commit's (R3)",
            story="the number of one server under another one's epoch beats what that one commits",
            off=_patched(changeover.dualwrite.commits, "version_of", _any_identity),
            shape=replace(
                BOTH,
                kinds=(Kind.MARIADB,),
                events=("failover", "there and back"),
                operated_within_steps=1_000,
            ),
        ),
        Control(
            name="phase read outside the transaction",
            story="a transaction of an earlier phase commits behind the fence, into a database that is left",
            off=_phase_outside,
            shape=replace(BOTH, events=("nothing",)),
        ),
        Control(
            name="NEW without a fence (R13)",
            story="who does not use the library still writes the old database, which nobody reads any more",
            off=_unfrozen,
            shape=replace(BOTH, events=("nothing",), transactions_max=40),
        ),
        Control(
            name="writes of NEW under no epoch of their own (R14)",
            story="a write of the time before comes late, and goes over what NEW has written",
            off=_patched(NewTransactions, "begin", _not_raised),
            shape=replace(BOTH, events=("nothing",)),
        ),
        Control(
            name="own writes forgotten (R19)",
            story="the new database is behind what the session wrote, and its answer is taken",
            off=_patched(changeover.dualwrite.reads, "accepts", lambda *_: True),
            shape=replace(BOTH, events=("nothing",)),
        ),
        Control(
            name="the new database read before it has what was written in OLD (R19)",
            story="the phase moves twice within the lag, and no session remembers what it wrote in OLD",
            off=lambda: mock.patch.dict(GATES, {Phase.BOTH_READ_NEW: PROVED}),
            shape=replace(BOTH, events=("the consumer is halted",), keys=4),
        ),
        Control(
            name="repair stamped with more than its read has seen (R17)",
            story="the row was read before a change that its version includes, and hides it for good",
            off=_patched(changeover.repair.repair, "entry_of", _stamped_too_high),
            shape=replace(VERIFIED, kinds=(Kind.GTID,), transactions_max=12, keys=2),
        ),
    )
}


@contextmanager
def switched_off(control: Control) -> Iterator[Shape]:
    """While the rule is off; the shape of schedules to play."""
    if control.off is None:
        yield control.shape
    else:
        with control.off():
            yield control.shape
