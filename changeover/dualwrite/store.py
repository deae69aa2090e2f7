"""The application's door to both databases: what it writes and reads goes where the phase says.

    records = DualStore.from_settings()                      # once per process
    with records.transaction() as tx:                        # a transaction of the old database
        tx.execute("UPDATE prescription SET dose = %s WHERE id = %s", (dose, id))
        tx.changed("prescription", id=id)                    # the library takes the row to the new database
    answer = records.get("prescription", id=id)              # from wherever the phase says

The shape that lives on in NEW says what a row becomes, in the form of the new database:

    with records.transaction() as tx:
        tx.old.execute("UPDATE prescription SET dose = %s WHERE id = %s", (dose, id))   # left out in NEW
        tx.put("prescription", id, value)
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import structlog

from changeover.dualwrite.answer import Answer
from changeover.dualwrite.catalogue import Catalogue, keep_catalogue, kept_catalogue, read_catalogue
from changeover.dualwrite.commits import CommitPlaces
from changeover.dualwrite.compared import Compared
from changeover.dualwrite.counts import Counts
from changeover.dualwrite.direct import Direct
from changeover.dualwrite.forms import form_of
from changeover.dualwrite.lease import ANSWER_S_MAX, PhaseLease
from changeover.dualwrite.old import DBAPI, Connections, Old, text
from changeover.dualwrite.reads import Reads
from changeover.dualwrite.reports import Reports
from changeover.dualwrite.server import why_not_directly
from changeover.dualwrite.session import Session
from changeover.dualwrite.tables import Tables
from changeover.dualwrite.takeover import NewTransaction, NewTransactions
from changeover.dualwrite.transaction import OldTransaction, Parts, Transaction
from changeover.dualwrite.workers import Workers
from changeover.errors import ChangeoverError, StateNewer, Unavailable, WritesFenced
from changeover.handover import NAME, Handover
from changeover.masks import Masks
from changeover.mysql.application import connect as connect_to_old
from changeover.mysql.connection import Connection, quoted
from changeover.mysql.control import PHASE, ControlSchema
from changeover.mysql.phases import BEFORE_THE_FIRST_MOVE, SHARED, parse_phase, select_phase
from changeover.phase import Phase, PhaseState
from changeover.settings import Settings, of_application
from changeover.targets.wiring import open_target

log = structlog.get_logger("dualwrite")

COMPARED = frozenset({Phase.BOTH_READ_OLD, Phase.BOTH_READ_NEW})
"""The phases in which reads are compared."""

FENCE_LOOK_S = 0.05
"""Between two looks whether FENCED is over."""


class DualStore:
    """Both databases, for any number of threads; one for each process, made after it forks."""

    def __init__(self, settings: Settings, connect: Callable[[], Any] | None = None) -> None:
        own = settings.application
        self._settings = settings
        self.counts = Counts()
        old = partial(Connection, of_application(settings), ANSWER_S_MAX)
        new = partial(open_target, settings, for_s=own.new_timeout_s)
        self._writers, self._readers = (Workers(name, new, own.workers) for name in ("writer", "reader"))
        catalogue, why_not = self._first_look(old)
        masks = Masks(settings.masks, catalogue.tables)
        self.tables = Tables(catalogue.tables, masks, catalogue.unsafe)
        form = form_of(settings)
        self._phase_table, epochs = (
            f"{quoted(settings.source.control_schema)}.{quoted(name)}" for name in (PHASE, "epoch")
        )
        self._places = CommitPlaces(
            self._phase_table, epochs, settings.pipeline, is_mariadb=catalogue.is_mariadb
        )
        self._lease = PhaseLease(old, self._handover, settings.pipeline, settings.phases.lease_s)
        self._connections = Connections(connect or partial(connect_to_old, settings))
        self._reports = Reports(
            old, settings.pipeline, self._lease, self.counts, every_s=own.report_s, why_not_directly=why_not
        )
        direct = Direct(self._writers, own, self.counts, is_allowed=self._takes_direct_writes)
        self._parts = Parts(
            tables=self.tables, form=form, places=self._places, direct=direct, counts=self.counts
        )
        self._in_new = NewTransactions(
            self.tables, form, self._writers, self._lease, self.counts, timeout_s=own.new_timeout_s
        )
        self._reads = Reads(
            self._lease,
            self._connections,
            self._readers,
            form,
            self.counts,
            pipeline=settings.pipeline,
            phase_table=self._phase_table,
            timeout_s=own.read_timeout_s,
            new_timeout_s=own.new_timeout_s,
            adopts=settings.target.adopt,
        )
        self._compared = Compared(
            old,
            self._readers,
            settings.pipeline,
            masks=masks,
            settings=own,
            counts=self.counts,
            adopts=settings.target.adopt,
        )
        self._own_session = Session()

    @classmethod
    def from_settings(
        cls, path: Path = Path("changeover.toml"), *, connect: Callable[[], Any] | None = None
    ) -> Self:
        """The store of the settings file.

        `connect` makes a connection of the application's own driver to the old database, with autocommit off
        and `%s` marks; without it PyMySQL is used, as `[application]` says.
        """
        return cls(Settings.load(path), connect)

    @property
    def phase(self) -> Phase:
        """The phase that reads go by now."""
        return self._lease.now().phase

    @contextmanager
    def transaction(self, connection: Any = None, *, session: Session | None = None) -> Iterator[Transaction]:  # noqa: ANN401
        """A transaction: committed at the end, rolled back on an error.

        `connection` is the application's own, of DB-API 2.0 and without an open transaction, or a session of
        SQLAlchemy, instead of one that the library opens. `session` remembers what is written; without one
        the process does.
        """
        with ExitStack() as stack:
            transaction = self._opened(stack, connection, session or self._own_session)
            yield transaction
            transaction.commit()

    def get(self, table: str, /, *, session: Session | None = None, **key: object) -> Answer:
        """The row with this key, from wherever the phase says."""
        known = self.tables.find(table)
        answer = self._reads.get(known, key, session or self._own_session)
        if (state := self._lease.last_known) and state.phase in COMPARED:
            self._compared.offer(known, key)
        return answer

    def session(self, token: str = "") -> Session:
        """The writes of one user, for `session=`; by its token those of another process are among them.

        `session.token` is its text, for a cookie. Without a session the process is one.
        """
        return Session(token)

    def close(self) -> None:
        """Report a last time, and hang up."""
        self._compared.close()
        self._reports.close()
        for workers in (self._writers, self._readers):
            workers.close()
        self._connections.close()
        self._lease.close()

    def __enter__(self) -> Self:
        """The store itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _opened(
        self,
        stack: ExitStack,
        connection: Any,  # noqa: ANN401
        session: Session,
    ) -> OldTransaction | NewTransaction:
        """A transaction in the phase of now; the stack ends what it needs of the old database."""
        if (known := self._lease.last_known) and known.phase is Phase.NEW:
            return self._in_new.begin(_epoch_of(known))
        began = time.monotonic()
        try:
            old, state = stack.enter_context(self._begun(connection))
        except WritesFenced:
            raise
        except Exception:
            if self._is_taken_over():
                return self._opened(stack, None, session)
            raise
        self._lease.learned(state, began)
        if state.phase is Phase.NEW:
            old.rollback()
            return self._in_new.begin(_epoch_of(state))
        return OldTransaction(self._parts, old, state, session)

    def _is_taken_over(self) -> bool:
        """Whether the old database does not answer because it has been retired."""
        with suppress(ChangeoverError):
            return self._lease.now().phase is Phase.NEW
        return False

    @contextmanager
    def _begun(self, connection: Any) -> Iterator[tuple[Old, PhaseState]]:  # noqa: ANN401
        """A transaction of the old database that has begun; rolled back on an error."""
        if connection is None:
            with self._connections.begun(self._begin) as begun:
                yield begun
            return
        theirs = _theirs(connection)
        try:
            yield theirs, self._begin(theirs)
        except BaseException:
            with suppress(Exception):  # one that is lost has rolled back by itself
                theirs.rollback()
            raise

    def _begin(self, old: Old) -> PhaseState:
        """Begin a transaction, in a phase that cannot end before it; FENCED is waited out, within a bound."""
        waits_s = self._settings.application.fence_wait_s_max
        deadline = time.monotonic() + waits_s
        while (state := self._locked_phase(old)).phase is Phase.FENCED:
            old.rollback()
            if time.monotonic() >= deadline:
                raise WritesFenced(f"nobody may write while the pipeline is FENCED; waited {waits_s:g} s")
            time.sleep(FENCE_LOOK_S)
        return state

    def _locked_phase(self, old: Old) -> PhaseState:
        self._places.prepare(old)
        old.begin()
        rows = old.rows(select_phase(self._phase_table, lock=SHARED), (self._settings.pipeline,))
        return parse_phase(*map(text, rows[0])) if rows else BEFORE_THE_FIRST_MOVE

    def _takes_direct_writes(self) -> bool:
        return self._settings.application.direct_writes and not self._reports.why_not_directly

    def _first_look(self, old: Callable[[], Connection]) -> tuple[Catalogue, str]:
        """The captured tables, and why nothing may be written directly behind a commit.

        From the new database's memory where the old one does not answer any more. Raises `StateNewer` if a
        newer release has written in one of them.
        """
        timeout_s = self._settings.application.new_timeout_s
        try:
            with old() as connection:
                ControlSchema(connection, self._settings.pipeline).require_known()
                catalogue, why_not = read_catalogue(connection), why_not_directly(connection)
        except Unavailable:
            kept = self._readers.do(kept_catalogue, timeout_s)
            if kept is None:
                raise
            return kept, "the old database did not answer when the process began"
        try:
            self._writers.do(partial(keep_catalogue, catalogue=catalogue), timeout_s)
        except StateNewer:
            raise
        except ChangeoverError as error:
            log.warning("the new database does not answer at the start", why=str(error))
        return catalogue, why_not

    def _handover(self) -> Handover | None:
        timeout_s = self._settings.application.read_timeout_s
        note = self._readers.do(lambda target: target.remembered(NAME), timeout_s, is_patient=True)
        return Handover.parse(note.version, note.text) if note else None


def _theirs(connection: Any) -> Old:  # noqa: ANN401
    """A connection, or a session of SQLAlchemy, that the application has handed over."""
    if hasattr(connection, "get_bind"):
        # Imported where somebody brings one: the library does not ask for SQLAlchemy.
        module = import_module("changeover.dualwrite.sqlalchemy_session")
        adapted: Old = module.SessionOfSQLAlchemy(connection)
        return adapted
    return DBAPI(connection, is_ours=False)


def _epoch_of(state: PhaseState) -> int:
    assert state.new_epoch is not None  # noqa: S101 - NEW has one, since the fence has reserved it
    return state.new_epoch
