"""A server of MySQL or MariaDB, as far as commits, the binlog and what a SELECT sees go.

A commit is written to the binlog first and can be seen by a SELECT later: between the two the binlog runs
ahead. Rows stay locked until then. MySQL notes a commit as executed later still. What a failover leaves
behind is a server with another name and the binlog of the old one, all of it or without its tail.
"""

import copy
import enum
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from changeover.gtid import GtidSet
from tests.simulation.history import History
from tests.simulation.world import Action

if TYPE_CHECKING:
    from tests.simulation.chance import Choices

Row = dict[str, Any]
TableKey = tuple[str, int]
Images = tuple[str, Row | None, Row | None]
"""A table, and a row of it before and after."""

PHASE = "phase"
"""The lock on the phase's row: the only one that is shared, too."""

FIRST_END = 4
TRANSACTION_BYTES = 100
ROTATES_ONE_IN = 6
FILES_APART = 100


class Kind(enum.Enum):
    """How the server numbers its commits."""

    MARIADB = "mariadb"
    GTID = "gtid"
    FILES = "files"


@dataclass(slots=True, eq=False)
class Transaction:
    """A transaction from its preparation on; it gets its number in the binlog."""

    changes: list[Images] = field(default_factory=list)
    effects: list[Callable[["Books"], None]] = field(default_factory=list)
    """What it does to the control schema."""
    tells: dict[str, Any] | None = None
    """An event of the history that comes with it."""
    locks: set[object] = field(default_factory=set)
    fill: Callable[[dict[TableKey, Row]], list[Images]] | None = None
    """Makes the changes from the rows as they are once the locks are held."""
    beat_ms: int | None = None
    at_ms: int = 0
    name: str = ""
    identity: str = ""
    sequence: int = 0
    number: int = 0
    file: str = ""
    end: int = 0
    is_visible: bool = False
    is_acknowledged: bool = False
    """Whether its client may be told: on MySQL it counts as executed by then."""
    is_lost: bool = False


@dataclass(slots=True)
class Books:
    """The control schema's tables."""

    log_identity: str | None = None
    first_identity: str | None = None
    epochs: list[tuple[int, str, int, str | None]] = field(default_factory=list)
    beats: dict[str, int] = field(default_factory=dict)
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    chunks: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    phase: dict[str, Any] | None = None
    """The row of the phase, by its columns."""

    @property
    def is_import_done(self) -> bool:
        """Whether tables are enrolled, each is cut to its end, and every chunk is copied."""
        return (
            bool(self.tables)
            and all(table["is_cut"] for table in self.tables.values())
            and all(chunk["version"] is not None for chunk in self.chunks.values())
        )


class Server:
    """One server. `happens` tells what its commits may do next by themselves."""

    def __init__(
        self, kind: Kind, identity: str, choices: "Choices", history: History, now_ms: Callable[[], int]
    ) -> None:
        self.kind = kind
        self.identity = identity
        self.now_ms = now_ms
        """The server's clock."""
        self.rows: dict[TableKey, Row] = {}
        self.books = Books()
        self.binlog: list[Transaction] = []
        self.is_down = False
        self.is_frozen = False
        """Still there, but no longer the primary: it takes no writes."""
        self.follows: Server | None = None
        """Whose replica it has become."""
        self.named_locks: dict[str, object] = {}
        self.is_read_only = False
        """Frozen by an operator: only the control schema can be written."""
        self.readers: set[object] = set()
        """Who holds the phase's row under a shared lock: sessions, and transactions that commit."""
        self.locks: dict[object, object] = {}
        """Who holds the lock on a row: a transaction, or a session in the middle of one."""
        self._choices = choices
        self._history = history
        self._queue: deque[Transaction] = deque()
        self._visible = 0
        self._free: deque[int] = deque()
        """Numbers of a lasting gap."""
        self._unnoted: list[Transaction] = []
        self._executed = GtidSet({})
        self._origin: tuple[dict[TableKey, Row], Books] = ({}, Books())
        """Rows and books before the first transaction of the binlog."""
        self._file = 1
        self._end = FIRST_END

    # -- what sessions ask

    @property
    def executed(self) -> str:
        """MySQL's gtid_executed."""
        return self._executed.text

    @property
    def binlog_end(self) -> tuple[str, int]:
        """SHOW MASTER STATUS: the end of what is in the binlog, seen or not."""
        return f"binlog.{self._file:06}", self._end

    @property
    def last_name(self) -> str:
        """MariaDB's gtid_binlog_pos."""
        return self.binlog[-1].name if self.binlog else ""

    def prepare(self, transaction: Transaction, owner: object) -> None:
        """Take a transaction whose locks are free, or its owner's; it commits, whatever becomes of him."""
        for lock in transaction.locks:
            self.locks[lock] = transaction
        for lock in [lock for lock, holder in self.locks.items() if holder is owner]:
            self.locks[lock] = transaction
            transaction.locks.add(lock)
        if owner in self.readers:
            self.readers = self.readers - {owner} | {transaction}
        if transaction.fill:
            transaction.changes = transaction.fill(self.rows)
        self._queue.append(transaction)

    def is_free(self, locks: set[object], owner: object = None) -> bool:
        """Whether nobody else holds one of these locks."""
        if PHASE in locks and self.readers - {owner}:
            return False
        return all(self.locks.get(lock) in {None, owner} for lock in locks)

    def let_go(self, session: object) -> None:
        """The session is gone: its locks are free."""
        self.named_locks = {name: held for name, held in self.named_locks.items() if held is not session}
        self.locks = {lock: held for lock, held in self.locks.items() if held is not session}
        self.readers.discard(session)

    # -- what happens by itself

    def happens(self) -> list[Action]:
        """The next commit may reach the binlog, the next one there may become visible."""
        if self.is_down:
            return []
        actions: list[Action] = []
        if self._visible < len(self.binlog):
            actions.append(("becomes visible", self._show))
        if self._queue:
            actions.append(("is in the binlog", self._write))
        if self.follows and len(self.binlog) < len(self.follows.binlog):
            actions.append(("replicates", self._replicate))
        if self._unnoted:
            actions.append(("is noted as executed", self._note_executed))
        return actions

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is under way."""
        return not self._queue and not self._unnoted and self._visible == len(self.binlog)

    def settle(self) -> None:
        """Bring everything that is under way to its end at once."""
        while actions := self.happens():
            actions[0][1]()

    def _write(self) -> None:
        transaction = self._queue.popleft()
        self._number(transaction)
        self.binlog.append(transaction)
        self._tell(transaction)

    def _tell(self, transaction: Transaction) -> None:
        self._history.note(
            "committed",
            gtid=transaction.name,
            identity=self.identity,
            sequence=transaction.sequence,
            changes=transaction.changes,
        )

    def _number(self, transaction: Transaction) -> None:
        if self.kind is Kind.FILES and self._choices.rarely(ROTATES_ONE_IN):
            self._file, self._end = self._file + 1, FIRST_END
        file = f"binlog.{self._file:06}"
        begin, self._end = self._end, self._end + TRANSACTION_BYTES
        transaction.identity, transaction.file, transaction.end = self.identity, file, self._end
        match self.kind:
            case Kind.MARIADB:
                transaction.number = transaction.sequence = self._next_number()
                transaction.name = f"{self.identity}-{transaction.sequence}"
            case Kind.GTID:
                transaction.number = transaction.sequence = self._next_number()
                transaction.name = f"{self.identity}:{transaction.sequence}"
            case Kind.FILES:
                transaction.sequence = (self._file << 40) + self._end
                transaction.name = f"{file}:{begin}"

    def skip_numbers(self, count: int) -> None:
        """Leave a lasting gap in MySQL's numbers, as SET gtid_next does: the next commits will fill it."""
        free = self._last_number() + 1
        self._free = deque(range(free, free + count))
        ahead = Transaction()
        self.prepare(ahead, None)
        self._queue.remove(ahead)
        ahead.identity, ahead.number, ahead.sequence = self.identity, free + count, free + count
        ahead.name, ahead.is_visible = f"{self.identity}:{ahead.sequence}", True
        self.binlog.append(ahead)
        self._visible += 1
        self._executed = self._executed.with_transaction(self.identity, ahead.sequence)
        self._tell(ahead)

    def _next_number(self) -> int:
        return self._free.popleft() if self._free else self._last_number() + 1

    def _last_number(self) -> int:
        own = self.kind is Kind.GTID  # servers of MySQL number for themselves, those of MariaDB go on
        numbers = (t.number for t in self.binlog if not own or t.identity == self.identity)
        return max(numbers, default=0)

    def _show(self) -> None:
        transaction = self.binlog[self._visible]
        self._visible += 1
        self._apply(transaction)
        self.locks = {lock: held for lock, held in self.locks.items() if held is not transaction}
        self.readers.discard(transaction)
        self._acknowledge(transaction)
        if self.kind is Kind.GTID:
            self._unnoted.append(transaction)
        else:
            transaction.is_acknowledged = True

    def _apply(self, transaction: Transaction) -> None:
        for table, before, after in transaction.changes:
            if before is not None:
                self.rows.pop((table, before["id"]), None)
            if after is not None:
                self.rows[table, after["id"]] = after
        for effect in transaction.effects:
            effect(self.books)

    def _replicate(self) -> None:
        if self.follows:
            self._inherit(self.follows.binlog[len(self.binlog)])

    def _acknowledge(self, transaction: Transaction) -> None:
        if not transaction.is_visible:  # on a server before this one
            transaction.is_visible = True
            self._history.note("visible", gtid=transaction.name, at_ms=self.now_ms())
            if transaction.tells:
                self._history.note(**transaction.tells)

    def _note_executed(self) -> None:
        # In any order: numbers of a group commit are missing for a moment.
        transaction = self._unnoted.pop(self._choices.below(len(self._unnoted)))
        self._executed = self._executed.with_transaction(transaction.identity, transaction.sequence)
        transaction.is_acknowledged = True

    # -- another server takes over

    def successor(self, identity: str, lost: int = 0) -> "Server":
        """Who takes over: all that is in the binlog, but for the last `lost` commits."""
        new = type(self)(self.kind, identity, self._choices, self._history, self.now_ms)
        kept = len(self.binlog) - lost
        new._origin = self._origin
        new.rows, new.books = copy.deepcopy(self._origin)
        for transaction in self.binlog[:kept]:
            new._inherit(transaction)
            new._acknowledge(transaction)
            transaction.is_acknowledged = True
        if self.kind is Kind.FILES:  # there the same commits lie at other places, which mean nothing here
            new.binlog, new._visible = [], 0
            new._file = self._file + FILES_APART  # so that no two places have one name
            new._origin = copy.deepcopy((new.rows, new.books))
        for transaction in (*self.binlog[kept:], *self._queue):
            transaction.is_lost = True
        self._queue.clear()
        if lost:
            gone = self.binlog[kept:]
            books = sum(transaction.tells is not None for transaction in gone)
            self._history.note("lost", gtids=[transaction.name for transaction in gone], books=books)
        return new

    def _inherit(self, transaction: Transaction) -> None:
        self.binlog.append(transaction)
        self._apply(transaction)
        self._visible = len(self.binlog)
        if self.kind is Kind.GTID:
            self._executed = self._executed.with_transaction(transaction.identity, transaction.sequence)


@dataclass(slots=True)
class Cluster:
    """Which server is the primary now."""

    primary: Server
