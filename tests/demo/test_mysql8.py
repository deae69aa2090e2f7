import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest

import changeover
from changeover.demo.mysql8 import MySQLNotFound, PrivateMySQL
from changeover.demo.private import ServerFailed


@pytest.fixture(scope="module")
def mysql() -> Iterator[PrivateMySQL]:
    with PrivateMySQL() as server:
        yield server


def execute(server: PrivateMySQL, *statements: str) -> tuple[tuple[Any, ...], ...]:
    with contextlib.closing(server.connect()) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return tuple(cursor.fetchall())


def variable(server: PrivateMySQL, name: str) -> object:
    return execute(server, f"SELECT @@{name}")[0][0]


def test_the_binlog_is_complete_unless_asked_otherwise(mysql: PrivateMySQL) -> None:
    expected = {
        "version": "8.0.15",
        "log_bin": 1,
        "binlog_format": "ROW",
        "binlog_row_image": "FULL",
        "binlog_row_metadata": "FULL",
        "gtid_mode": "ON",
        "sync_binlog": 1,
        "innodb_flush_log_at_trx_commit": 1,
        "character_set_server": "utf8mb4",
        "bind_address": "127.0.0.1",
    }
    assert {name: variable(mysql, name) for name in expected} == expected


def test_each_server_is_one_of_its_own_and_has_committed_nothing(mysql: PrivateMySQL) -> None:
    with PrivateMySQL() as other:
        assert variable(other, "global.gtid_executed") == ""
        assert variable(other, "server_uuid") != variable(mysql, "server_uuid")


def test_a_session_finds_the_gtid_of_its_own_commit(mysql: PrivateMySQL) -> None:
    gtids = execute(
        mysql,
        "CREATE DATABASE own",
        "SELECT gtid FROM performance_schema.events_transactions_history JOIN performance_schema.threads "
        "USING (thread_id) WHERE processlist_id = CONNECTION_ID() AND gtid <> 'AUTOMATIC'",
    )
    assert [gtid.rpartition(":")[0] for (gtid,) in gtids] == [variable(mysql, "server_uuid")]


def test_an_option_can_be_replaced_added_or_left_out() -> None:
    options = {
        "gtid-mode": None,
        "enforce_gtid_consistency": None,
        "max_connections": "17",
        "lower_case_table_names": "1",  # one that the copied data folder does not have
    }
    with PrivateMySQL(options=options) as server:
        assert variable(server, "gtid_mode") == "OFF"
        assert variable(server, "max_connections") == 17
        assert variable(server, "lower_case_table_names") == 1


def test_the_password_is_in_no_argument_list_and_no_file(mysql: PrivateMySQL) -> None:
    secret = mysql.password.encode()
    for arguments in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # a process may end meanwhile
            assert secret not in arguments.read_bytes()
    files = [path for path in mysql.folder.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if secret in path.read_bytes()] == []


@pytest.mark.parametrize("password", ["", "wrong"])
@pytest.mark.parametrize("user", ["root", ""])
def test_nobody_gets_in_without_the_password(mysql: PrivateMySQL, user: str, password: str) -> None:
    with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
        mysql.connect(user=user, password=password)
    with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
        mysql.connect(unix_socket=str(mysql.folder / "data" / "server.sock"), user=user, password=password)


def test_data_port_and_password_survive_a_restart_and_a_crash() -> None:
    with PrivateMySQL() as server:
        before = server.port, server.password, variable(server, "server_uuid")
        execute(server, "CREATE DATABASE kept", "CREATE TABLE kept.row_ (id INT PRIMARY KEY)")
        execute(server, "INSERT INTO kept.row_ VALUES (1)")
        server.restart()
        assert "Shutdown complete" in (server.folder / "error.log").read_text()
        execute(server, "INSERT INTO kept.row_ VALUES (2)")
        server.kill()
        assert server.pid is None
        with pytest.raises(pymysql.err.OperationalError):
            server.connect()
        server.start()
        assert execute(server, "SELECT id FROM kept.row_ ORDER BY id") == ((1,), (2,))
        assert before == (server.port, server.password, variable(server, "server_uuid"))


def test_a_server_that_does_not_come_up_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(
            ServerFailed, match=r"mysqld did not come up(?s:.*)unknown variable 'no-such-option=1'"
        ),
        PrivateMySQL(tmp_path, options={"no_such_option": "1"}),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_missing_mysql_is_named_with_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(MySQLNotFound, match="scripts/need mysql"):
        PrivateMySQL().start()


def test_the_mysql_that_is_looked_for_is_the_one_that_the_script_gets() -> None:
    script = Path(changeover.__file__).parents[1] / "scripts" / "need"
    done = subprocess.run([script, "mysql"], capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()) == PrivateMySQL()._home
