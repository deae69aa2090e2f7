"""The sample database on the server that all tests share, small, and as new for each file of tests."""

from collections.abc import Iterator
from typing import Any

import pytest
from pymysql.connections import Connection

from changeover.demo import records
from changeover.demo.server import PrivateMariaDB

ROWS = 3_000


@pytest.fixture(scope="module")
def source(mariadb: PrivateMariaDB) -> Iterator["Connection[Any]"]:
    connection = mariadb.connect()
    records.create(connection)
    records.fill(connection, ROWS, seed=7)
    yield connection
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {records.SCHEMA}")
    connection.close()
