"""The application's own kind of connection to the old database, where it brings none itself.

It is PyMySQL's, with Python's values and without autocommit, and it has MySQL tell the GTID of a commit in
the commit's own answer.
"""

from typing import Any

import pymysql
from pymysql.constants import CLIENT

from changeover.mysql.connection import parameters, timeouts, translated
from changeover.settings import Settings, of_application

STATEMENT_S_MAX = 60.0
"""The longest that a statement of the application may take before its connection is given up."""

TRACK = "SET SESSION session_track_gtids = OWN_GTID"
SESSION_STATE_CHANGED = 0x4000
GTIDS = 3
"""The kind of a session's state that tells GTIDs."""


def connect(settings: Settings) -> Any:  # noqa: ANN401 - any driver's connection is as good
    """A new connection as the application's user."""
    source = of_application(settings)
    login = {name: value for name, value in parameters(source).items() if name != "init_command"}
    try:
        return pymysql.connect(
            **login
            | timeouts(STATEMENT_S_MAX)
            | {
                "autocommit": False,
                "database": settings.application.database,
                "client_flag": CLIENT.SESSION_TRACK,
            }
        )
    except (pymysql.Error, OSError) as error:
        raise translated(error, f"{source.user}@{source.host}:{source.port}") from error


def tells_gtids(connection: object) -> bool:
    """Whether the connection keeps what the server says about its session in the answer to a COMMIT."""
    if not isinstance(connection, pymysql.connections.Connection):
        return False
    wanted, offered = connection.client_flag, getattr(connection, "server_capabilities", 0)
    return bool(wanted & offered & CLIENT.SESSION_TRACK)


def gtid_in_answer(connection: Any) -> str:  # noqa: ANN401
    """The GTID that the answer to the connection's last statement told; empty if it told none."""
    result = connection._result  # noqa: SLF001 - PyMySQL keeps it, and has no name for it
    if result is None or not result.server_status & SESSION_STATE_CHANGED:
        return ""
    return gtid_in(bytes(result.message))


def gtid_in(tail: bytes) -> str:
    r"""The GTID in the tail of an OK packet: an information text, and then what changed in the session.

    >>> gtid_in(b"\x00\x09\x03\x07\x00\x05u-u:7")
    'u-u:7'
    """
    _, at = _counted(tail, 0)
    changes, _ = _counted(tail, at)
    at = 0
    while at < len(changes):
        kind = changes[at]
        data, at = _counted(changes, at + 1)
        if kind == GTIDS:
            gtid, _ = _counted(data, 1)  # behind the form of what follows, of which there is one
            return gtid.decode("ascii")
    return ""


LENGTH_SIZES = {0xFC: 2, 0xFD: 3, 0xFE: 8}


def _counted(data: bytes, at: int) -> tuple[bytes, int]:
    """The bytes behind their length, and the place behind them."""
    if at >= len(data):
        return b"", at
    size, begin = data[at], at + 1
    if size in LENGTH_SIZES:
        begin = at + 1 + LENGTH_SIZES[size]
        size = int.from_bytes(data[at + 1 : begin], "little")
    return data[begin : begin + size], begin + size
