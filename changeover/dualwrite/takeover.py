"""Transactions in NEW: the application's own values into the new database, and nothing into the old one."""

import time
from collections.abc import Callable
from typing import Any

from changeover.dualwrite.answer import Answer, Origin
from changeover.dualwrite.counts import Counts
from changeover.dualwrite.forms import Form
from changeover.dualwrite.lease import PhaseLease
from changeover.dualwrite.old import Parameters
from changeover.dualwrite.reads import held_at, version_of
from changeover.dualwrite.tables import Known, Place, Tables
from changeover.dualwrite.workers import Workers
from changeover.errors import PhaseForbids
from changeover.targets import Held, Target
from changeover.version import Version

NOT_IN_NEW = "Say what the row becomes by tx.put and tx.delete, and put statements into tx.old.execute."


class LeftOut:
    """The old database's statements, which NEW leaves out."""

    def execute(self, sql: str, parameters: Parameters = ()) -> None:
        """Do nothing."""


class NewTransactions:
    """Makes transactions in NEW; each write waits until no process goes by an earlier phase any more."""

    def __init__(  # noqa: PLR0913 - a composition root hands in what it works with
        self,
        tables: Tables,
        form: Form,
        workers: Workers,
        lease: PhaseLease,
        counts: Counts,
        *,
        timeout_s: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.tables = tables
        self.form = form
        self._workers = workers
        self._lease = lease
        self._counts = counts
        self._timeout_s = timeout_s
        self._sleep = sleep

    def begin(self, epoch: int) -> "NewTransaction":
        """A transaction whose writes carry that epoch, the one reserved for NEW."""
        return NewTransaction(self, Version(epoch, 0, 0))

    def do(self, work: Callable[[Target[Any]], Any]) -> Any:  # noqa: ANN401
        """What the work on the new database gives; nothing stands in for it now, so it gets more time."""
        return self._workers.do(work, self._timeout_s, is_patient=True)

    def write(self, work: Callable[[Target[Any]], None]) -> None:
        """As `do`, once every earlier read lease has run out: nobody reads the old database behind it."""
        self._sleep(self._lease.until_others_know_s())
        self.do(work)
        self._counts.add("transactions")


class NewTransaction:
    """One transaction in NEW; see `changeover.dualwrite.transaction.Transaction`.

    Each key is written for itself: the new database has no transactions over several.
    """

    def __init__(self, parts: NewTransactions, version: Version) -> None:
        self._parts = parts
        self._version = version
        self._written: dict[Place, tuple[Known, Any]] = {}

    @property
    def old(self) -> LeftOut:
        """Leaves out whatever it is given."""
        return LeftOut()

    def execute(self, sql: str, parameters: Parameters = ()) -> Any:  # noqa: ANN401
        """Refused: it would be lost without a word."""
        del sql, parameters
        message = "tx.execute is for the old database, and the phase is NEW"
        raise PhaseForbids(message, hint=NOT_IN_NEW)

    def changed(self, table: str, /, **key: object) -> None:
        """Refused: there is no row to be read."""
        del table, key
        message = "tx.changed is for rows of the old database, and the phase is NEW"
        raise PhaseForbids(message, hint=NOT_IN_NEW)

    def put(self, table: str, key: object, value: Any) -> None:  # noqa: ANN401
        """Put the value at the commit."""
        known = self._parts.tables.find(table)
        self._written[known.place_at(known.keyed(key))] = (known, self._parts.form.of_value(known, value))

    def delete(self, table: str, key: object) -> None:
        """Put a delete marker at the commit."""
        known = self._parts.tables.find(table)
        self._written[known.place_at(known.keyed(key))] = (known, None)

    def get(self, table: str, /, **key: object) -> Answer:
        """The new database's value, without a lock; what this transaction has put, as it will be."""
        known = self._parts.tables.find(table)
        place = known.place_at(key)
        if place in self._written:
            body = self._written[place][1]
            return self._answer(Held(self._version, body))
        return self._answer(self._parts.do(lambda target: held_at(target, known.to, place.key)))

    def commit(self) -> None:
        """Write what was put, key by key."""
        written = dict(self._written)

        def write(target: Target[Any]) -> None:
            for place, (known, body) in written.items():
                target.overwrite(known.to, place.key, Held(self._version, body))

        self._parts.write(write)

    def _answer(self, held: Held[Any] | None) -> Answer:
        if held is None:
            return Answer(value=None, origin=Origin.NEW)
        value = None if held.body is None else self._parts.form.value(held.body)
        return Answer(value=value, origin=Origin.NEW, version=version_of(held))
