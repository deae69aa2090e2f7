"""Servers of the doctor's own: these tests set them up badly."""

from collections.abc import Iterator

import pytest

from changeover.demo.mysql8 import PrivateMySQL
from changeover.demo.server import PrivateMariaDB
from changeover.demo.sql import SQLServer
from tests.support.odd_servers import PrivateMySQL57


@pytest.fixture(scope="session")
def sick_mariadb() -> Iterator[PrivateMariaDB]:
    with PrivateMariaDB() as server:
        yield server


@pytest.fixture(scope="session")
def sick_mysql() -> Iterator[PrivateMySQL]:
    with PrivateMySQL() as server:
        yield server


@pytest.fixture(scope="session")
def sick_mysql57(mysql57: PrivateMySQL57) -> PrivateMySQL57:
    return mysql57


@pytest.fixture(params=["mariadb", "mysql"])
def server(request: pytest.FixtureRequest) -> SQLServer:
    """Each of the two."""
    found: SQLServer = request.getfixturevalue(f"sick_{request.param}")
    return found
