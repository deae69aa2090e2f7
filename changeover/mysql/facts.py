"""What there is to know about a source before it is moved, read once by a few SELECT and SHOW statements.

Nothing is written and nothing is judged here. What the server does not let this user see is None.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pymysql.constants import ER

from changeover.errors import SourceRefused
from changeover.gtid import GtidSet
from changeover.mysql.connection import Connection
from changeover.mysql.numbering import is_mariadb
from changeover.mysql.phases import is_fenced

GAP_READS = 4
GAP_WAIT_S = 0.25
"""Commits that are under way leave a gap for a moment: one that is there for a second is a lasting one."""

CLOCK_LOOKS = 3

ROLES_SINCE = (8, 0)
"""Of MySQL."""

Record = Mapping[str, str]
"""A row by the names of its columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """A server as it stands."""

    is_mariadb: bool
    version: tuple[int, ...]
    version_text: str
    variables: Mapping[str, str]
    user: str
    """The account that the login was matched with, `name@host`."""
    grants: Sequence[str]
    """What SHOW GRANTS says of it, with the roles that are in force. MariaDB puts password hashes in."""
    gtids: str | None
    """What the binlog holds: MySQL's gtid_executed, MariaDB's gtid_binlog_pos."""
    filters: str | None
    """Databases that the binlog is told to hold, or to leave out."""
    replication: Sequence[Record] | None
    """How it replicates from others, a row for each."""
    replica_ids: Sequence[int] | None
    """Server ids of its replicas."""
    is_same_session: bool
    """Whether the session that answers is the one that was logged in to, with no proxy in between."""
    clock_ahead_ms: int
    is_fenced: bool = False
    """Whether it is read-only by our own fence: the application writes to the new database."""

    def variable(self, *names: str) -> str:
        """The first of these variables that the server knows; empty if it knows none."""
        return next((self.variables[name] for name in names if name in self.variables), "")

    def is_on(self, *names: str) -> bool:
        """Whether the first of these variables that the server knows is on."""
        return self.variable(*names).upper() in {"ON", "1", "YES"}

    def integer(self, *names: str) -> int:
        """The first of these variables that the server knows, as a number; 0 if it knows none."""
        return int(float(self.variable(*names) or 0))


def read_server(
    connection: Connection,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.time,
) -> ServerFacts:
    """The facts about the server behind the connection."""
    mariadb = is_mariadb(connection)
    version_text = connection.value("SELECT @@version")
    version = version_of(version_text)
    is_new_speech = not mariadb and version >= (8, 0, 22)
    has_file_words = mariadb or version < (8, 2)
    return ServerFacts(
        is_mariadb=mariadb,
        version=version,
        version_text=version_text,
        variables={name.lower(): value for name, value in connection.query("SHOW GLOBAL VARIABLES")},
        user=connection.value("SELECT CURRENT_USER()"),
        grants=own_grants(connection, has_roles=not mariadb and version >= ROLES_SINCE),
        gtids=_gtids(connection, sleep, mariadb=mariadb),
        filters=_filters(connection, "MASTER" if has_file_words else "BINARY LOG"),
        replication=_replication(connection, is_new_speech=is_new_speech, mariadb=mariadb),
        replica_ids=_replica_ids(connection, "REPLICAS" if is_new_speech else "SLAVE HOSTS"),
        is_same_session=_is_same_session(connection),
        clock_ahead_ms=_clock_ahead_ms(connection, clock),
        is_fenced=is_fenced(connection),
    )


def version_of(text: str) -> tuple[int, ...]:
    """The numbers that a version begins with.

    >>> version_of("10.11.19-MariaDB-0+deb12u1-log")
    (10, 11, 19)
    """
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def own_grants(connection: Connection, *, has_roles: bool) -> list[str]:
    """What this session may do, its roles included: MySQL has to be asked for those, MariaDB adds them."""
    role = connection.value("SELECT CURRENT_ROLE()") if has_roles else ""
    using = "" if role in {"", "NONE"} else f" FOR CURRENT_USER() USING {role}"
    return [line for (line,) in connection.query(f"SHOW GRANTS{using}")]


def grants_of(connection: Connection, user: str) -> list[str] | None:
    """What another user may do: nothing if there is no such user, None if we may not see it.

    `user` is an account as SQL has it.
    """
    try:
        return [line for (line,) in connection.query(f"SHOW GRANTS FOR {user}")]
    except SourceRefused as error:
        code = error.__cause__.args[0] if error.__cause__ and error.__cause__.args else None
        return [] if code == ER.NONEXISTING_GRANT else None


def _gtids(connection: Connection, sleep: Callable[[float], None], *, mariadb: bool) -> str | None:
    if mariadb:
        return connection.value("SELECT @@global.gtid_binlog_pos")
    for _ in range(GAP_READS):
        ((uuid, executed),) = connection.query("SELECT @@server_uuid, @@global.gtid_executed")
        try:
            if not GtidSet.parse(executed).has_gap(uuid.lower()):
                break
        except ValueError:  # tagged sets, which are judged elsewhere
            break
        sleep(GAP_WAIT_S)
    return executed


def _filters(connection: Connection, what: str) -> str | None:
    rows = seen(connection, f"SHOW {what} STATUS")
    if rows is None:
        return None
    names = {"binlog_do_db": "only", "binlog_ignore_db": "all but"}
    said = [
        f"{word} {row[name]}"
        for row in ({key.lower(): value for key, value in row.items()} for row in rows)
        for name, word in names.items()
        if row.get(name)
    ]
    return ", ".join(said)


def _replication(
    connection: Connection, *, is_new_speech: bool, mariadb: bool
) -> list[dict[str, str]] | None:
    if mariadb:
        # The details take a privilege that capture has no other use for; the count of them is for everybody.
        rows = connection.query("SHOW GLOBAL STATUS LIKE 'Slaves_running'")
        return [{"sql_running": "Yes", "retrieved": ""}] * int(rows[0][1] if rows else 0)
    rows_by_name = seen(connection, "SHOW REPLICA STATUS" if is_new_speech else "SHOW SLAVE STATUS")
    if rows_by_name is None:
        return None
    word = "Replica" if is_new_speech else "Slave"
    return [
        {"sql_running": row[f"{word}_SQL_Running"], "retrieved": row["Retrieved_Gtid_Set"]}
        for row in rows_by_name
    ]


def _replica_ids(connection: Connection, what: str) -> list[int] | None:
    rows = seen(connection, f"SHOW {what}")
    return None if rows is None else [int(next(iter(row.values()))) for row in rows]


def _is_same_session(connection: Connection) -> bool:
    # A proxy says its own number in the handshake, and may answer the plain question with it too.
    return int(connection.value("SELECT CONNECTION_ID() + 0")) % 2**32 == connection.thread_id % 2**32


def _clock_ahead_ms(connection: Connection, clock: Callable[[], float]) -> int:
    """By the quickest of a few answers: how long one takes may be wrong by half of that."""
    looks = []
    for _ in range(CLOCK_LOOKS):
        before_s = clock()
        there_ms = int(float(connection.value("SELECT UNIX_TIMESTAMP(NOW(3))")) * 1000)
        after_s = clock()
        looks.append((after_s - before_s, there_ms - int((before_s + after_s) * 500)))
    return min(looks)[1]


def seen(connection: Connection, sql: str) -> list[dict[str, str]] | None:
    """The rows, None if this user may not see them."""
    try:
        return connection.records(sql)
    except SourceRefused:
        return None
