"""Connections to the source: text in, text out, and PyMySQL's errors in our own words.

No value is converted by the driver: `raw` gives the server's bytes, `query` their text. So there is one
place that turns text into values (`changeover.values`), and none in which a driver's taste can change one.
"""

import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Self

import pymysql
from pymysql.constants import COMMAND, CR, ER
from pymysql.converters import encoders
from pymysql.err import raise_mysql_exception

from changeover.errors import (
    ChangeoverError,
    RowLocked,
    SourceRefused,
    SourceUnavailable,
    TableMissing,
    ValueUnreadable,
)
from changeover.mysql.text_rows import ResultFailed, rows_of_result
from changeover.settings import SourceSettings
from changeover.table import Column
from changeover.tls import trusting
from changeover.values import Row, Value

CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 300
"""A chunk's SELECT on a busy server may take minutes; a server that is silent for longer is gone."""

RECEIVE_BYTES = 1 << 18
"""Bytes of a result that are read at once at most."""

SESSION = (
    # TIMESTAMP is read in UTC. The modes that change how text or CHAR values are read are switched off, and
    # keys are compared with whatever date stands in a table, the 31st of February too. A text comes in the
    # bytes that are stored, unconverted: the server puts '?' for what it cannot convert.
    "SET SESSION time_zone = '+00:00', SESSION sql_mode = 'STRICT_ALL_TABLES,ALLOW_INVALID_DATES', "
    "SESSION character_set_results = NULL"
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

    def __init__(self, source: SourceSettings, timeout_s: float | None = None) -> None:
        self.source = source
        given = parameters(source) | ({} if timeout_s is None else timeouts(timeout_s))
        with _translated(f"{source.user}@{source.host}:{source.port}"):
            self._connection = pymysql.connect(**given, conv=ENCODERS, use_unicode=False)

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

    def rows(
        self, sql: str, parameters: Sequence[Value], name: str, columns: tuple[Column, ...]
    ) -> list[Row]:
        """The canonical rows of a SELECT of these columns of the table of that name."""
        with _translated(f"{self.source.host}:{self.source.port}"), self._connection.cursor() as cursor:
            query = cursor.mogrify(sql, parameters or None)
            try:
                return rows_of_result(self._asked(query), name, columns)
            except ResultFailed as error:
                raise_mysql_exception(error.packet)
            except ValueUnreadable:
                self.close()  # there are rows behind it that nobody reads
                raise

    def _asked(self, query: str) -> Callable[[], bytes]:
        """Ask, and read up to the rows; a function that gives the bytes from there on."""
        # These names of PyMySQL's are its own; tests/mysql/test_text_rows.py would notice a change of them.
        connection: Any = self._connection
        connection._execute_command(COMMAND.COM_QUERY, query.encode("utf-8", "surrogateescape"))  # noqa: SLF001
        columns = connection._read_packet().read_length_encoded_integer()  # noqa: SLF001
        for _ in range(columns + 1):  # their descriptions, and the end of these
            connection._read_packet()  # noqa: SLF001
        read = connection._rfile.read1  # noqa: SLF001

        def receive() -> bytes:
            found: bytes = read(RECEIVE_BYTES)
            if not found:
                raise pymysql.err.OperationalError(CR.CR_SERVER_LOST, "the server hung up in a result")
            return found

        return receive

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
            with suppress(pymysql.Error, OSError):  # it may be closed by now, and then the server does it
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
    """What PyMySQL needs to connect, for this module and for the binlog's own connection.

    Without `ssl` it takes TLS where the server has it, and looks at no certificate.
    """
    verified = {"ssl": trusting(source.ca_file, "the source's")} if source.needs_tls else {}
    return {
        **verified,
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


def timeouts(seconds: float) -> dict[str, float]:
    """What PyMySQL needs to wait no longer than that for anything."""
    return {"connect_timeout": seconds, "read_timeout": seconds, "write_timeout": seconds}


def quoted(name: str) -> str:
    """The name as an identifier in SQL."""
    return "`" + name.replace("`", "``") + "`"


def translated(error: Exception, where: str) -> ChangeoverError:
    """The error in our words. PyMySQL puts the server's code first in `args`."""
    code = error.args[0] if error.args else None
    said = error.args[-1] if error.args else error
    if code == ER.LOCK_WAIT_TIMEOUT:
        return RowLocked(f"the source at {where} has a lock that is not let go of: {said}")
    cause = getattr(error, "original_exception", error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        message = f"the source at {where} shows a certificate that does not count: {cause.verify_message}"
        return SourceRefused(message, hint=CERTIFICATE_HINT)
    if code == CR.CR_SSL_CONNECTION_ERROR:
        return SourceRefused(f"the source at {where} offers no TLS", hint=TLS_HINT)
    if isinstance(error, OSError) or code in UNAVAILABLE or not isinstance(code, int) or code == 0:
        return SourceUnavailable(f"the source at {where} did not answer: {said}")
    if code == ER.ACCESS_DENIED_ERROR:
        return SourceRefused(f"the source at {where} refused the login: {said}", hint=LOGIN_HINT)
    refused = TableMissing if code in NOT_THERE else SourceRefused
    return refused(f"the source at {where} refused a statement ({code}): {said}")


NOT_THERE = frozenset({ER.BAD_DB_ERROR, ER.NO_SUCH_TABLE, ER.TABLEACCESS_DENIED_ERROR})
"""Without any right on a table, the server does not say whether there is one."""

CERTIFICATE_HINT = (
    "It must name the host as source.url does, and be signed by an authority in source.ca_file."
)
TLS_HINT = "Give the server a certificate (ssl_cert, ssl_key), or set source.allow_plain_text = true."
LOGIN_HINT = "Check the user in source.url and the password in source.password_file."


@contextmanager
def _translated(where: str) -> Iterator[None]:
    try:
        yield
    except (pymysql.Error, OSError) as error:
        raise translated(error, where) from error
