"""Connections to the source: text in, text out, and PyMySQL's errors in our own words.

No value is converted by the driver: `raw` gives the server's bytes, `query` their text. So there is one
place that turns text into values (`changeover.values`), and none in which a driver's taste can change one.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import pymysql
from pymysql.constants import CR, ER
from pymysql.converters import encoders

from changeover.errors import ChangeoverError, SourceRefused, SourceUnavailable
from changeover.settings import SourceSettings
from changeover.values import Value

CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 300
"""A chunk's SELECT on a busy server may take minutes; a server that is silent for longer is gone."""

SESSION = (
    # TIMESTAMP is read in UTC. The modes that change how text or CHAR values are read are switched off.
    "SET SESSION time_zone = '+00:00', SESSION sql_mode = 'STRICT_ALL_TABLES', "
    "SESSION character_set_results = 'utf8mb4'"
)

ENCODERS: dict[Any, Any] = dict(encoders)
"""How parameters are written; that there are no decoders beside them keeps values as they come."""

UNAVAILABLE = frozenset(
    {
        CR.CR_CONNECTION_ERROR,
        CR.CR_CONN_HOST_ERROR,
        CR.CR_SERVER_GONE_ERROR,
        CR.CR_SERVER_LOST,
        CR.CR_UNKNOWN_HOST,
        ER.CON_COUNT_ERROR,
        ER.TOO_MANY_USER_CONNECTIONS,
        ER.USER_LIMIT_REACHED,
        ER.SERVER_SHUTDOWN,
        ER.LOCK_WAIT_TIMEOUT,
        ER.LOCK_DEADLOCK,
        ER.OPTION_PREVENTS_STATEMENT,  # read_only: a failover is under way, or this is a replica
        1927,  # ER_CONNECTION_KILLED of MariaDB
    }
)


class Connection:
    """A connection to the source, in autocommit, in UTC."""

    def __init__(self, source: SourceSettings) -> None:
        self.source = source
        with _translated(f"{source.user}@{source.host}:{source.port}"):
            self._connection = pymysql.connect(**parameters(source), conv=ENCODERS, use_unicode=False)

    def raw(self, sql: str, parameters: Sequence[Value] = ()) -> Sequence[tuple[bytes | None, ...]]:
        """The rows as the server's bytes, None for NULL."""
        with _translated(f"{self.source.host}:{self.source.port}"), self._connection.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            rows: Sequence[tuple[bytes | None, ...]] = cursor.fetchall()
            return rows

    def query(self, sql: str, parameters: Sequence[Value] = ()) -> list[tuple[str, ...]]:
        """The rows as the server's text, empty for NULL."""
        return [tuple((value or b"").decode() for value in row) for row in self.raw(sql, parameters)]

    def records(self, sql: str, parameters: Sequence[Value] = ()) -> list[dict[str, str]]:
        """The rows as `query` gives them, by the names of their columns."""
        with _translated(f"{self.source.host}:{self.source.port}"), self._connection.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            names = [column[0] for column in cursor.description or ()]
            return [
                dict(zip(names, ((value or b"").decode() for value in row), strict=True))
                for row in cursor.fetchall()
            ]

    @property
    def thread_id(self) -> int:
        """The number of this session, as it was said at the login."""
        return int(self._connection.thread_id())  # type: ignore[no-untyped-call] # has no annotations

    def value(self, sql: str, parameters: Sequence[Value] = ()) -> str:
        """The first row's first value as text; empty for NULL or no row."""
        rows = self.query(sql, parameters)
        return rows[0][0] if rows else ""

    def execute(self, sql: str, parameters: Sequence[Value] = ()) -> None:
        """Run a statement and forget what it answers."""
        self.raw(sql, parameters)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction: committed at the end, rolled back on an error."""
        self.execute("START TRANSACTION")
        try:
            yield
        except BaseException:
            with _translated(self.source.host):
                self._connection.rollback()
            raise
        self.execute("COMMIT")

    def close(self) -> None:
        """Hang up."""
        if self._connection.open:
            self._connection.close()

    def __enter__(self) -> Self:
        """The connection itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Hang up."""
        self.close()


def parameters(source: SourceSettings) -> dict[str, Any]:
    """What PyMySQL needs to connect, for this module and for the binlog's own connection."""
    return {
        "host": source.host,
        "port": source.port,
        "user": source.user,
        "password": source.secret(),
        "charset": "utf8mb4",
        "init_command": SESSION,
        "autocommit": True,
        "connect_timeout": CONNECT_TIMEOUT_S,
        "read_timeout": READ_TIMEOUT_S,
        "write_timeout": READ_TIMEOUT_S,
    }


def quoted(name: str) -> str:
    """The name as an identifier in SQL."""
    return "`" + name.replace("`", "``") + "`"


def translated(error: Exception, where: str) -> ChangeoverError:
    """The error in our words. PyMySQL puts the server's code first in `args`."""
    code = error.args[0] if error.args else None
    said = error.args[-1] if error.args else error
    if isinstance(error, OSError) or code in UNAVAILABLE or not isinstance(code, int) or code == 0:
        return SourceUnavailable(f"the source at {where} did not answer: {said}")
    if code == ER.ACCESS_DENIED_ERROR:
        return SourceRefused(f"the source at {where} refused the login: {said}", hint=LOGIN_HINT)
    return SourceRefused(f"the source at {where} refused a statement ({code}): {said}")


LOGIN_HINT = "Check the user in source.url and the password in source.password_file."


@contextmanager
def _translated(where: str) -> Iterator[None]:
    try:
        yield
    except (pymysql.Error, OSError) as error:
        raise translated(error, where) from error
