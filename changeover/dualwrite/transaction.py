"""Transactions of the application: of the old database, with direct writes behind the commit, until NEW."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import structlog

from changeover.crashpoints import reach
from changeover.decide import Write
from changeover.dualwrite.answer import Answer, Origin
from changeover.dualwrite.commits import CHANGED_NOTHING, BeforeCommit, Commit, CommitPlaces
from changeover.dualwrite.counts import Counts
from changeover.dualwrite.direct import Direct
from changeover.dualwrite.forms import Form
from changeover.dualwrite.old import Old, Parameters
from changeover.dualwrite.session import Session
from changeover.dualwrite.tables import Known, Place, Tables
from changeover.errors import ChangeoverError, CommitUnknown, TransactionBroken, ValueUnreadable
from changeover.mysql.carried import FOR_UPDATE, parse_row, select_row
from changeover.phase import Phase, PhaseState
from changeover.values import Row

log = structlog.get_logger("dualwrite")

KEYS_MAX = 1_000
"""Keys of a transaction that are written directly; a larger one leaves the rest to the binlog, as a batch is
no user who waits."""

WRITES_BOTH = frozenset({Phase.BOTH_READ_OLD, Phase.BOTH_READ_NEW})

CLIENT_ERRORS = range(2000, 3000)
"""Codes of drivers, and not of servers: the connection broke, and nobody knows what the server did."""

UNREADABLE = frozenset({1054, 1142, 1143, 1146})
"""The server's refusals of a column or a table: that row is left to the binlog, the transaction goes on."""


class Transaction(Protocol):
    """What the application does between the beginning and the commit; see `changeover.dualwrite.store`."""

    @property
    def old(self) -> "OldStatements":
        """Statements of the old database that NEW leaves out."""

    def execute(self, sql: str, parameters: Parameters = ()) -> Any:  # noqa: ANN401
        """Run a statement of the old database; the driver's cursor. NEW has none."""

    def changed(self, table: str, /, **key: object) -> None:
        """Say that the transaction changes, inserts or deletes the row with this key. NEW has none."""

    def put(self, table: str, key: object, value: Any) -> None:  # noqa: ANN401
        """Say what the row has become, in the new database's form; a key of several columns is a tuple."""

    def delete(self, table: str, key: object) -> None:
        """Say that the row is deleted."""

    def get(self, table: str, /, **key: object) -> Answer:
        """Read a row for this transaction, under lock until NEW."""


class OldStatements(Protocol):
    """Statements of the old database."""

    def execute(self, sql: str, parameters: Parameters = ()) -> Any:  # noqa: ANN401
        """Run one; the driver's cursor, None in NEW."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What transactions work with."""

    tables: Tables
    form: Form
    places: CommitPlaces
    direct: Direct
    counts: Counts


@dataclass(slots=True)
class Touched:
    """A row that the transaction says it changes, and what the application says it becomes, if it does."""

    known: Known
    key: Mapping[str, object]
    place: Place
    puts: Any = None
    """The body for the application's value; None for a deletion."""

    is_put: bool = False
    is_refused: bool = False
    """Whether the value can be no body."""

    state: "State | None" = None


@dataclass(frozen=True, slots=True)
class State:
    """A row as it is just before the commit, (None) if there is none, and its place by its own key."""

    row: Row | None
    place: Place


class OldTransaction:
    """A transaction of the old database, in any phase but NEW; see `Transaction`."""

    def __init__(self, parts: Parts, old: Old, state: PhaseState, session: Session) -> None:
        self._parts = parts
        self._session_old = old
        self._state = state
        self._session = session
        self._touched: dict[Place, Touched] = {}
        self._is_at_commit = False

    @property
    def old(self) -> "Self":
        """The transaction itself."""
        return self

    @property
    def phase(self) -> Phase:
        """The phase that it was begun in, and is committed in."""
        return self._state.phase

    def execute(self, sql: str, parameters: Parameters = ()) -> Any:  # noqa: ANN401
        """See `Transaction`."""
        return self._session_old.execute(sql, parameters)

    def changed(self, table: str, /, **key: object) -> None:
        """See `Transaction`."""
        self._parts.counts.changed()
        self._touch(self._parts.tables.find(table), key)

    def put(self, table: str, key: object, value: Any) -> None:  # noqa: ANN401
        """See `Transaction`. The value is compared with what the mapping makes of the row."""
        known = self._parts.tables.find(table)
        touched = self._touch(known, known.keyed(key))
        touched.is_put = True
        try:
            touched.puts = self._parts.form.of_value(known, value)
        except ChangeoverError as error:  # NEW would refuse it; before, the new side fails nobody
            log.warning("put is no value", table=known.table.full_name, why=str(error))
            touched.is_refused = True

    def delete(self, table: str, key: object) -> None:
        """See `Transaction`."""
        known = self._parts.tables.find(table)
        touched = self._touch(known, known.keyed(key))
        touched.puts, touched.is_put = None, True

    def get(self, table: str, /, **key: object) -> Answer:
        """See `Transaction`. From the old one, under lock: of two that read here, one waits for the other."""
        known = self._parts.tables.find(table)
        row = self._read(known, key)
        value = None if row is None else self._parts.form.value(self._body(known, row))
        return Answer(value=value, origin=Origin.OLD)

    def commit(self) -> None:
        """Commit, and bring what was touched into the new database, or leave it to the binlog."""
        try:
            commit = self._session_old.commit(self._look, self._learn)
        except Exception as error:
            if not self._is_at_commit:
                raise
            self._remember(None)
            if _is_unknown(error):
                self._parts.counts.add("commits_unknown")
                message = "the old database did not answer the COMMIT, so its outcome is not known"
                raise CommitUnknown(message) from error
            raise
        self._parts.counts.add("transactions")
        if self.phase in WRITES_BOTH:
            self._deliver(commit)

    def _learn(self, connection: Any, before: BeforeCommit | None) -> Commit | None:  # noqa: ANN401
        reach("dualwrite.committed")
        commit = self._parts.places.learn(connection, before) if before else None
        reach("dualwrite.learned")
        return commit

    def _touch(self, known: Known, key: Mapping[str, object]) -> Touched:
        place = known.place_at(key)
        return self._touched.setdefault(place, Touched(known, key, place))

    def _look(self) -> BeforeCommit | None:
        """The last look before the commit, which comes next."""
        before = self._before_commit()
        reach("dualwrite.looked")
        self._is_at_commit = True
        return before

    def _before_commit(self) -> BeforeCommit | None:
        """Touched rows under their locks, and the phase under its own."""
        both = self.phase in WRITES_BOTH
        for number, touched in enumerate(self._touched.values()):
            # Without transactions there is no lock to read under, and some servers refuse to try.
            if touched.known.is_safe and (touched.is_put or (both and number < KEYS_MAX)):
                touched.state = self._state_of(touched)
        if not (both and self._touched):
            return None
        before = self._parts.places.before(self._session_old)
        if before is None or (before.state.phase, before.state.attempt) != (self.phase, self._state.attempt):
            message = f"the phase was {self.phase} when the transaction began, and is another one now"
            raise TransactionBroken(message)
        return before

    def _state_of(self, touched: Touched) -> State | None:
        """The row as this transaction leaves it; None where the binlog has to deliver it."""
        known = touched.known
        try:
            row = self._read(known, touched.key)
        except ValueUnreadable as error:
            log.warning("row is left to the binlog", table=known.table.full_name, why=str(error))
            return None
        except Exception as error:
            if _code(error) not in UNREADABLE:
                raise
            log.warning("row is left to the binlog", table=known.table.full_name, code=_code(error))
            return None
        self._prove(touched, row)
        return State(row, touched.place if row is None else known.place_of(row))

    def _read(self, known: Known, key: Mapping[str, object]) -> Row | None:
        sql = select_row(known.table, lock=FOR_UPDATE)
        for carried in self._session_old.rows(sql, known.parameters(key)):
            return parse_row(known.table, carried)
        return None

    def _prove(self, touched: Touched, row: Row | None) -> None:
        """Compare what the application says with what the mapping makes of its row."""
        if not touched.is_put:
            return
        self._parts.counts.add("puts")
        if not self._is_right(touched, row):
            self._parts.counts.add("put_mismatch")
            log.warning("put is not what the row has become", table=touched.known.table.full_name)

    def _is_right(self, touched: Touched, row: Row | None) -> bool:
        try:
            body = None if row is None else self._body(touched.known, row)
        except ChangeoverError as error:  # a mapping function failed: likewise
            log.warning("put cannot be compared", table=touched.known.table.full_name, why=str(error))
            return False
        puts = touched.puts
        if touched.is_refused:
            return False
        return body is puts if body is None or puts is None else self._parts.form.are_same(body, puts)

    def _body(self, known: Known, row: Row) -> Any:  # noqa: ANN401
        return self._parts.form.of_row(known, known.mask.row(row))

    def _deliver(self, commit: Commit | None) -> None:
        if not self._touched or commit is CHANGED_NOTHING:
            return
        self._remember(commit)
        writes = [*self._writes(commit)] if commit else []
        self._parts.direct.deliver(
            writes,
            left=len(self._touched) - len(writes),
            is_doubtful=commit is None,
            phase=self.phase,
        )
        reach("dualwrite.written")

    def _writes(self, commit: Commit) -> Sequence[Write]:
        version = commit.version
        if version is None:
            return []
        return [
            Write(
                touched.known.to,
                touched.state.place.key,
                version,
                None if touched.state.row is None else touched.known.mask.row(touched.state.row),
                commit.gtid,
            )
            for touched in self._touched.values()
            if touched.state
        ]

    def _remember(self, commit: Commit | None) -> None:
        for touched in self._touched.values():
            places = {touched.place, touched.state.place if touched.state else touched.place}
            for place in places:
                self._session.wrote(place, commit.version if commit else None)


def _code(error: BaseException) -> object:
    return error.args[0] if error.args else None


def _is_unknown(error: Exception) -> bool:
    """Whether it leaves open what became of the statement: it is not the server's own word."""
    code = _code(error)
    return isinstance(error, OSError) or not isinstance(code, int) or code in CLIENT_ERRORS
