"""MariaDB, MySQL with GTIDs and MySQL without keep the promises that the simulation's server plays."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from cdc.events import Event
from changeover.demo.mysql8 import PrivateMySQL
from changeover.demo.server import PrivateMariaDB
from changeover.demo.sql import SQLServer
from changeover.mysql.catalog import captured_tables
from changeover.mysql.connection import Connection
from changeover.settings import Settings
from tests.contracts.source import SourceContract, Step
from tests.support.pipeline import schema_of, write_settings
from tests.support.processes import wait_until
from tests.support.streamed import events_behind

STATEMENTS = {
    "put": "INSERT INTO played.citizen VALUES ({key}, '{said}') ON DUPLICATE KEY UPDATE name = '{said}'",
    "delete": "DELETE FROM played.citizen WHERE id = {key}",
    "insert": "INSERT INTO played.citizen VALUES ({key}, '{said}')",
    "move": "UPDATE played.citizen SET id = {other} WHERE id = {key}",
}

IS_CONNECTED = "SELECT count(*) FROM information_schema.processlist WHERE id = %s"


class RealSource:
    """A server with the table that is played with."""

    def __init__(self, server: SQLServer, folder: Path) -> None:
        self._server = server
        self._settings = Settings.load(write_settings(server, "played", folder))
        with Connection(self._settings.source) as connection:
            (self.table,) = captured_tables(connection)

    def connect(self) -> Connection:
        return Connection(self._settings.source)

    def end(self, connection: Connection) -> None:
        number = connection.value("SELECT connection_id()")
        connection.close()
        with self.connect() as other:  # a server notices it a moment later, and frees its locks before this
            assert wait_until(lambda: other.value(IS_CONNECTED, (number,)) == "0")

    def commit(self, *steps: Step, said: str = "Ada") -> None:
        with self.connect() as connection, connection.transaction():
            for what, key, other in steps:
                for one in ("delete", "insert") if what == "replace" else (what,):
                    connection.execute(STATEMENTS[one].format(key=key, other=other, said=said))

    def events(self, connection: Connection, position: str) -> Sequence[Event]:
        identity = connection.value("SELECT @@server_uuid") if "." in position else "0-1"
        return list(events_behind(self._settings.source, [self.table], position, identity.lower()))


@pytest.fixture(scope="module", params=["mariadb", "mysql", "mysql without gtids"])
def server(request: pytest.FixtureRequest) -> Iterator[SQLServer]:
    match request.param:
        case "mariadb":
            yield request.getfixturevalue("mariadb")
        case "mysql":
            with PrivateMySQL() as mysql:
                yield mysql
        case _:
            options = {"gtid_mode": "OFF", "enforce_gtid_consistency": "OFF"}
            with PrivateMySQL(options=options) as mysql:
                yield mysql


class TestRealSource(SourceContract):
    @pytest.fixture
    def source(self, server: PrivateMariaDB | PrivateMySQL, tmp_path: Path) -> Iterator[RealSource]:
        table = "CREATE TABLE citizen (id INT PRIMARY KEY, name VARCHAR(100))"
        with schema_of(server, "played", table):
            yield RealSource(server, tmp_path)
