"""Who holds a row that somebody waits for: asked over a connection of its own, while the other one waits."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from changeover.errors import ChangeoverError
from changeover.mysql.connection import Connection
from changeover.mysql.facts import version_of
from changeover.mysql.numbering import is_mariadb
from changeover.settings import SourceSettings

LOOK_S = 0.15
"""Between looks. InnoDB refreshes what it says about locks every tenth of a second."""

COLUMNS = (
    "b.trx_mysql_thread_id, p.user, p.host, TIMESTAMPDIFF(SECOND, b.trx_started, NOW()) "
    "FROM {waits} JOIN information_schema.innodb_trx b ON b.trx_id = {blocking} "
    "JOIN information_schema.innodb_trx r ON r.trx_id = {requesting} "
    "LEFT JOIN information_schema.processlist p ON p.id = b.trx_mysql_thread_id "
    "WHERE r.trx_mysql_thread_id = %s AND b.trx_mysql_thread_id <> r.trx_mysql_thread_id"
)
BEFORE_8 = COLUMNS.format(
    waits="information_schema.innodb_lock_waits w",
    blocking="w.blocking_trx_id",
    requesting="w.requesting_trx_id",
)
SINCE_8 = COLUMNS.format(
    waits="performance_schema.data_lock_waits w",
    blocking="w.blocking_engine_transaction_id",
    requesting="w.requesting_engine_transaction_id",
)


class Holder(NamedTuple):
    """A transaction that holds what is waited for."""

    thread_id: int
    user: str
    host: str
    age_s: int

    @property
    def text(self) -> str:
        """For people.

        >>> Holder(7, "app", "10.0.0.5:33110", 12).text
        'thread 7 of app@10.0.0.5:33110, in a transaction for 12 s'
        """
        return f"thread {self.thread_id} of {self.user}@{self.host}, in a transaction for {self.age_s} s"


class Watch:
    """What was seen of those who hold up a thread."""

    def __init__(self) -> None:
        self.holders: list[Holder] = []
        self.why_not = ""
        """Why nobody could be seen, where that was so."""

    @property
    def text(self) -> str:
        """Who it is, for people."""
        if self.holders:
            return "; ".join(holder.text for holder in self.holders)
        return f"who cannot be seen: {self.why_not}" if self.why_not else "who was not seen"


@contextmanager
def watched(source: SourceSettings, thread_id: int) -> Iterator[Watch]:
    """Look, for as long as the block lasts, at who holds up the session of that number."""
    watch, is_over = Watch(), threading.Event()
    looking = threading.Thread(target=_look, args=(source, thread_id, watch, is_over), daemon=True)
    looking.start()
    try:
        yield watch
    finally:
        is_over.set()
        looking.join()


def _look(source: SourceSettings, thread_id: int, watch: Watch, is_over: threading.Event) -> None:
    try:
        with Connection(source) as connection:
            sql = _sql(connection)
            while not watch.holders and not is_over.wait(LOOK_S):
                rows = connection.query(f"SELECT DISTINCT {sql}", (thread_id,))
                watch.holders = [
                    Holder(int(thread), user, host, int(age)) for thread, user, host, age in rows
                ]
    except ChangeoverError as error:
        watch.why_not = str(error)


def _sql(connection: Connection) -> str:
    is_new = not is_mariadb(connection) and version_of(connection.value("SELECT @@version")) >= (8, 0)
    return SINCE_8 if is_new else BEFORE_8
