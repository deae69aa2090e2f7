"""The place of one's own commit in the source's order: learned from that commit, or not at all.

A number that is too high, such as another session's, would let a direct write hide a change for good. So it
is taken only from the session that made the commit, and only if nothing about it is in doubt:

- MariaDB: `@@last_gtid`, if it is another than before the commit: one that changed nothing has none.
- MySQL: the answer to the COMMIT itself (`session_track_gtids`), where the driver keeps it; else the newest
  transaction of the session's own thread in performance_schema.

Whoever sits between us and the server might hand the session to somebody else, so its number is asked for
before and after. The epoch is read before the commit, and the commit must be that epoch's own server's.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from changeover.dualwrite.old import Old, rows_of, text
from changeover.epoch import Epoch
from changeover.mysql.application import TRACK, gtid_in_answer
from changeover.mysql.carried import UNTRUSTED_MODES
from changeover.mysql.phases import SHARED, parse_phase, select_phase
from changeover.phase import PhaseState
from changeover.version import ROW_OF_DIRECT_WRITE, Version

OWN_HISTORY = (
    "SELECT h.gtid, CONNECTION_ID() + 0 FROM performance_schema.events_transactions_history h "
    "JOIN performance_schema.threads t ON t.thread_id = h.thread_id "
    "WHERE t.processlist_id = CONNECTION_ID() AND h.state = 'COMMITTED' ORDER BY h.event_id DESC LIMIT 1"
)


NONE_GIVEN = "AUTOMATIC"
"""What MySQL's history has for a transaction that needed no GTID."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BeforeCommit:
    """What a session was like just before its commit, with the phase locked until then."""

    state: PhaseState
    epoch: Epoch | None
    session: str
    last_gtid: str
    has_gtids: bool
    """Whether the server's commits have GTIDs; without them a silent answer says nothing."""

    is_read_exactly: bool
    """Whether the session's modes leave values as they are."""

    is_answered: bool
    """Whether the answer to the commit will tell its GTID."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit whose place is known: its GTID, and the version of a direct write of what it left.

    Both are None where it is certain that the commit changed nothing.
    """

    gtid: str | None = None
    version: Version | None = None


CHANGED_NOTHING = Commit()


class CommitPlaces:
    """Learns the places of commits on one kind of server."""

    def __init__(self, phase_table: str, epoch_table: str, pipeline: str, *, is_mariadb: bool) -> None:
        self._is_mariadb = is_mariadb
        self._parameters = (pipeline, pipeline)
        self._tracking: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
        told = "@@last_gtid" if is_mariadb else "@@global.gtid_mode"
        # In the same statement as the phase, which is locked; the epoch is not, capture may open one.
        self._sql = select_phase(
            phase_table,
            lock=SHARED,
            also=f"CONNECTION_ID() + 0, {told}, @@session.sql_mode, "
            f"(SELECT CONCAT_WS(' ', number, identity, first_sequence) FROM {epoch_table} "
            "WHERE pipeline = %s ORDER BY number DESC LIMIT 1)",
        )

    def before(self, old: Old) -> BeforeCommit | None:
        """What the session is like now; None before the first move of phase."""
        for *state, session, told, modes, epoch in old.rows(self._sql, self._parameters):
            return BeforeCommit(
                state=parse_phase(*map(text, state)),
                epoch=_epoch(text(epoch)),
                session=text(session),
                last_gtid=text(told) if self._is_mariadb else "",
                has_gtids=self._is_mariadb or not text(told).startswith("OFF"),
                is_read_exactly=UNTRUSTED_MODES.isdisjoint(text(modes).split(",")),
                is_answered=old.keeps_answers and self._tracking.get(old.connection) == text(session),
            )
        return None

    def prepare(self, old: Old) -> None:
        """Have the session tell the GTIDs of its commits, where it can; before its transaction begins."""
        if self._is_mariadb or not old.keeps_answers:
            return
        connection = old.connection
        session = str(connection.thread_id())  # another one, if the driver has connected again meanwhile
        if self._tracking.get(connection) != session:
            with suppress(Exception):  # then its history is asked
                rows_of(connection, TRACK)
                self._tracking[connection] = session

    def learn(self, connection: Any, before: BeforeCommit) -> Commit | None:  # noqa: ANN401
        """The commit that the connection has just made; None where there is any doubt. It never raises."""
        with suppress(Exception):  # committed it is: what is not learned is left to the binlog
            gtid = self._gtid(connection, before)
            if gtid is None:
                return None
            if not gtid:
                return CHANGED_NOTHING
            version = version_of(before.epoch, gtid)
            return Commit(gtid, version) if version and before.is_read_exactly else None
        return None

    def _gtid(self, connection: Any, before: BeforeCommit) -> str | None:  # noqa: ANN401
        """The commit's GTID, empty if it changed nothing and has none; None where that is not known."""
        if not before.has_gtids:
            return None
        if before.is_answered:
            return gtid_in_answer(connection)
        sql = "SELECT @@last_gtid, CONNECTION_ID() + 0" if self._is_mariadb else OWN_HISTORY
        for gtid, session in rows_of(connection, sql):
            if text(session) == before.session:
                return "" if text(gtid) in {before.last_gtid, NONE_GIVEN} else text(gtid)
        return None


def version_of(epoch: Epoch | None, gtid: str) -> Version | None:
    """The version of a direct write behind the commit of that GTID, None if it is not the epoch's own.

    >>> version_of(Epoch(1, "0-1", 5, None), "0-1-42")
    Version(epoch=1, sequence=42, row=0)
    >>> version_of(Epoch(1, "0-1", 5, None), "0-2-42") is None
    True
    """
    identity, _, number = gtid.lower().rpartition(":" if ":" in gtid else "-")
    if epoch is None or identity != epoch.identity or not number.isdecimal():
        return None
    if int(number) < epoch.first_sequence:
        return None
    return Version(epoch.number, int(number), ROW_OF_DIRECT_WRITE)


def _epoch(found: str) -> Epoch | None:
    parts: Sequence[str] = found.split()
    if not parts:
        return None
    number, identity, first = parts
    return Epoch(int(number), identity, int(first), None)
