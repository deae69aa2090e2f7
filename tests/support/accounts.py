"""Accounts with few rights on a private server, and a source as they see it."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from pydantic import SecretStr

from changeover.demo.mysql8 import PrivateMySQL
from changeover.demo.server import PrivateMariaDB
from changeover.demo.sql import SQLServer
from changeover.settings import SourceSettings

USER = "mover"
HOST = "127.0.0.1"


class Account(PrivateMariaDB):
    """A user of a server that runs: whoever takes a server can be given this in its place."""

    def __init__(self, server: SQLServer, user: str, password: str) -> None:  # no server of its own
        self.port, self.user, self.password = server.port, user, password


def run(server: SQLServer, *statements: str) -> Sequence[Sequence[Any]]:
    """The last statement's rows, as the server's user."""
    with closing(server.connect()) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall()


@contextmanager
def account(server: SQLServer, *grants: str, user: str = USER) -> Iterator[Account]:
    """A new user with these grants only."""
    password = secrets.token_hex(8)
    how = "WITH mysql_native_password " if isinstance(server, PrivateMySQL) else ""
    run(server, f"CREATE USER {user}@{HOST} IDENTIFIED {how}BY '{password}'", *grants)
    try:
        yield Account(server, user, password)
    finally:
        run(server, f"DROP USER {user}@{HOST}")


def source_of(server: SQLServer, schema: str, **more: Any) -> SourceSettings:  # noqa: ANN401 - settings
    """The schema's tables as a source, for the server's user."""
    fields: dict[str, Any] = {
        "url": f"mysql://{server.user}@{server.host}:{server.port}",
        "password": SecretStr(server.password),
        "include": (f"{schema}.*",),
        "control_schema": f"{schema}_control",
    }
    return SourceSettings(**(fields | more))
