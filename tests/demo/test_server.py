import contextlib
from pathlib import Path

import pymysql
import pytest

from changeover.demo import server as server_module
from changeover.demo.private import ServerFailed, ServerNotFound
from changeover.demo.server import PrivateMariaDB


def variable(server: PrivateMariaDB, name: str) -> object:
    with contextlib.closing(server.connect()) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT @@{name}")
        row = cursor.fetchone()
    assert row is not None
    return row[0]


def execute(server: PrivateMariaDB, *statements: str) -> object:
    with contextlib.closing(server.connect()) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall()


def test_the_binlog_is_complete_unless_asked_otherwise(mariadb: PrivateMariaDB) -> None:
    expected = {
        "log_bin": 1,
        "binlog_format": "ROW",
        "binlog_row_image": "FULL",
        "binlog_row_metadata": "FULL",
        "gtid_strict_mode": 1,
        "sync_binlog": 1,
        "innodb_flush_log_at_trx_commit": 1,
        "character_set_server": "utf8mb4",
    }
    assert {name: variable(mariadb, name) for name in expected} == expected


def test_the_server_listens_on_the_loopback_address_only(mariadb: PrivateMariaDB) -> None:
    assert variable(mariadb, "bind_address") == "127.0.0.1"


def test_an_option_can_be_replaced_added_or_left_out() -> None:
    options = {"log_bin": None, "max-connections": "17", "net_read_timeout": "23"}
    with PrivateMariaDB(options=options) as server:
        assert variable(server, "log_bin") == 0
        assert variable(server, "max_connections") == 17
        assert variable(server, "net_read_timeout") == 23


def test_neither_its_making_nor_its_running_uses_the_machines_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    with PrivateMariaDB(tmp_path) as server:
        assert variable(server, "tmpdir") == str(server.folder)


def test_the_password_is_in_no_argument_list_and_no_file(mariadb: PrivateMariaDB) -> None:
    secret = mariadb.password.encode()
    for arguments in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # a process may end meanwhile
            assert secret not in arguments.read_bytes()
    files = [path for path in mariadb.folder.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if secret in path.read_bytes()] == []


@pytest.mark.parametrize("password", ["", "wrong"])
@pytest.mark.parametrize("user", ["root", ""])
def test_nobody_gets_in_without_the_password(mariadb: PrivateMariaDB, user: str, password: str) -> None:
    with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
        mariadb.connect(user=user, password=password)


def test_data_port_and_password_survive_a_restart_and_a_crash() -> None:
    with PrivateMariaDB() as server:
        port = server.port
        execute(server, "CREATE DATABASE kept", "CREATE TABLE kept.row (id INT PRIMARY KEY)")
        execute(server, "INSERT INTO kept.row VALUES (1)")
        server.restart()
        execute(server, "INSERT INTO kept.row VALUES (2)")
        server.kill()
        assert server.pid is None
        with pytest.raises(pymysql.err.OperationalError):
            server.connect()
        server.start()
        assert execute(server, "SELECT id FROM kept.row ORDER BY id") == ((1,), (2,))
        assert server.port == port


def test_stopping_is_a_clean_shutdown() -> None:
    with PrivateMariaDB() as server:
        server.stop()
        assert "Shutdown complete" in (server.folder / "error.log").read_text()


def test_a_server_that_does_not_come_up_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(ServerFailed, match="unknown variable 'no-such-option=1'"),
        PrivateMariaDB(tmp_path, options={"no_such_option": "1"}),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_missing_mariadb_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(server_module, "FOLDERS", "/nowhere")
    with pytest.raises(ServerNotFound, match="apt-get install mariadb-server-core"):
        PrivateMariaDB().start()
