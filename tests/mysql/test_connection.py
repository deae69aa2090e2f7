"""Connections to the source: values come as the server's own bytes, and failures under our own names."""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pymysql
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from changeover.demo.server import PrivateMariaDB
from changeover.errors import ChangeoverError, SourceRefused, SourceUnavailable
from changeover.mysql.connection import Connection, quoted
from changeover.settings import Settings, SourceSettings
from tests.support.pipeline import schema_of, write_settings

PASSWORD = "opensesame"
ALL_BYTES = bytes(range(256))

HOSTILE = {
    "sql_mode": "ANSI_QUOTES,PAD_CHAR_TO_FULL_LENGTH,NO_BACKSLASH_ESCAPES,EMPTY_STRING_IS_NULL",
    "time_zone": "+05:30",
    "character_set_results": "latin1",
}
"""Defaults of a server under which a client that takes them over reads other values."""


@pytest.fixture
def source(mariadb: PrivateMariaDB, tmp_path: Path) -> SourceSettings:
    return Settings.load(write_settings(mariadb, "connecting", tmp_path)).source


@pytest.fixture
def connection(source: SourceSettings) -> Iterator[Connection]:
    with Connection(source) as connection:
        yield connection


@contextmanager
def user_of(mariadb: PrivateMariaDB, source: SourceSettings, *, limits: str = "") -> Iterator[SourceSettings]:
    """The source for a user who may read one schema and nothing else; the user is gone at the end."""
    with mariadb.connect() as root, root.cursor() as cursor:
        cursor.execute(f"CREATE USER reader@127.0.0.1 IDENTIFIED BY '{PASSWORD}' {limits}")
        cursor.execute("GRANT SELECT, INSERT ON connecting.* TO reader@127.0.0.1")
        try:
            url = f"mysql://reader@{mariadb.host}:{mariadb.port}"
            yield source.model_copy(update={"url": url, "password": SecretStr(PASSWORD)})
        finally:
            cursor.execute("DROP USER reader@127.0.0.1")


@contextmanager
def defaults_of(mariadb: PrivateMariaDB, values: Mapping[str, str | int]) -> Iterator[None]:
    """The server's defaults for new sessions, put back at the end."""
    with mariadb.connect() as root, root.cursor() as cursor:
        before = {}
        for name in values:
            cursor.execute(f"SELECT @@global.{name}")
            before[name] = (cursor.fetchone() or ("",))[0]
        try:
            for name, value in values.items():
                cursor.execute(f"SET GLOBAL {name} = %s", (value,))
            yield
        finally:
            for name, value in before.items():
                cursor.execute(f"SET GLOBAL {name} = %s", (value,))


def error_of(source: SourceSettings) -> ChangeoverError:
    """What connecting fails with."""
    with pytest.raises(ChangeoverError) as caught:
        Connection(source)
    return caught.value


# -- values ------------------------------------------------------------------------------------------------


def test_raw_gives_every_byte_as_it_is(connection: Connection) -> None:
    assert connection.raw("SELECT %s, _binary %s, NULL", (ALL_BYTES, "")) == ((ALL_BYTES, b"", None),)


def test_numbers_and_moments_come_as_the_servers_own_text(connection: Connection) -> None:
    numbers = "18446744073709551615, 1.10, -1e-9, 1e300"
    moments = "DATE '2024-02-29', TIMESTAMP '2024-02-29 01:02:03.4'"
    sql = f"SELECT {numbers}, {moments}"
    assert connection.query(sql) == [
        ("18446744073709551615", "1.10", "-0.000000001", "1e300", "2024-02-29", "2024-02-29 01:02:03.4")
    ]


def test_text_beyond_the_basic_plane_survives(connection: Connection) -> None:
    assert connection.value("SELECT '💾 Žluťoučký \\\\ '") == "💾 Žluťoučký \\ "


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(text=st.text(st.characters(exclude_categories=["Cs"])), data=st.binary())
def test_any_parameter_arrives_as_it_was_given(connection: Connection, text: str, data: bytes) -> None:
    found = connection.raw("SELECT %s, HEX(%s), %s, HEX(%s)", (text, text, data, data))
    encoded = text.encode()
    assert found == ((encoded, encoded.hex().upper().encode(), data, data.hex().upper().encode()),)


@pytest.mark.parametrize("number", [0, -(2**63), 2**64 - 1, 0.1, -1e-9, 5e-324, 1.7976931348623157e308])
def test_any_number_arrives_as_it_was_given(connection: Connection, number: float) -> None:
    text = connection.value("SELECT %s", (number,))
    assert repr(type(number)(text)) == repr(number)


def test_null_is_empty_text_in_query_and_none_in_raw(connection: Connection) -> None:
    assert connection.query("SELECT NULL, ''") == [("", "")]
    assert connection.raw("SELECT %s", (None,)) == ((None,),)


def test_the_value_of_no_row_is_empty(connection: Connection) -> None:
    assert connection.value("SELECT 1 FROM DUAL WHERE FALSE") == ""


def test_a_percent_sign_needs_no_care_where_there_are_no_parameters(connection: Connection) -> None:
    assert connection.value("SELECT '100%s'") == "100%s"


def test_a_quoted_name_is_that_name_whatever_stands_in_it(connection: Connection) -> None:
    rows = connection.raw(f"SELECT * FROM (SELECT 1 AS {quoted('a`b;--')}) t WHERE {quoted('a`b;--')} = 1")
    assert rows == ((b"1",),)


# -- the session -------------------------------------------------------------------------------------------


def test_a_session_is_in_utc_and_strict_whatever_the_servers_defaults(
    mariadb: PrivateMariaDB, source: SourceSettings
) -> None:
    with defaults_of(mariadb, HOSTILE), Connection(source) as connection:
        sql = "SELECT @@time_zone, @@sql_mode, @@character_set_results, @@autocommit, FROM_UNIXTIME(0)"
        modes = "STRICT_ALL_TABLES,ALLOW_INVALID_DATES"
        assert connection.query(sql) == [("+00:00", modes, "", "1", "1970-01-01 00:00:00")]


def test_values_are_read_alike_whatever_the_servers_defaults(
    mariadb: PrivateMariaDB, source: SourceSettings
) -> None:
    with (
        schema_of(
            mariadb,
            "connecting",
            "CREATE TABLE t (a CHAR(5), b VARCHAR(20), c TIMESTAMP(6) NULL, d VARBINARY(300))",
        ),
        defaults_of(mariadb, HOSTILE),
        Connection(source) as connection,
    ):
        row = ("ab", "\\ \" ' ž", "2024-02-29 12:00:00.123456", ALL_BYTES)
        connection.execute("INSERT INTO connecting.t VALUES (%s, %s, %s, %s)", row)
        connection.execute("INSERT INTO connecting.t VALUES ('', '', NULL, '')")
        assert connection.raw("SELECT * FROM connecting.t") == (
            (b"ab", row[1].encode(), row[2].encode(), ALL_BYTES),
            (b"", b"", None, b""),
        )


def test_a_transaction_is_committed_at_its_end_and_rolled_back_on_an_error(
    mariadb: PrivateMariaDB, connection: Connection, source: SourceSettings
) -> None:
    with schema_of(mariadb, "connecting", "CREATE TABLE t (id INT PRIMARY KEY)"), Connection(source) as other:
        with connection.transaction():
            connection.execute("INSERT INTO connecting.t VALUES (1)")
            assert other.query("SELECT id FROM connecting.t") == []
        assert other.query("SELECT id FROM connecting.t") == [("1",)]
        with pytest.raises(SourceRefused, match="1064"), connection.transaction():  # noqa: PT012 - its end counts
            connection.execute("DELETE FROM connecting.t")
            connection.execute("SELEKT 1")
        assert other.query("SELECT id FROM connecting.t") == [("1",)]


def test_closing_twice_is_no_error(source: SourceSettings) -> None:
    with Connection(source) as connection:
        connection.close()


# -- failures ----------------------------------------------------------------------------------------------


def test_a_wrong_password_is_refused_with_the_user_and_without_the_password(source: SourceSettings) -> None:
    error = error_of(source.model_copy(update={"password": SecretStr(PASSWORD)}))
    assert type(error) is SourceRefused
    assert f"root@{source.host}:{source.port}" in str(error)
    assert "source.password_file" in str(error)
    assert PASSWORD not in str(error)


def test_an_unknown_user_is_refused(source: SourceSettings) -> None:
    error = error_of(source.model_copy(update={"url": f"mysql://nobody@{source.host}:{source.port}"}))
    assert type(error) is SourceRefused
    assert "nobody" in str(error)


def test_a_closed_port_is_an_unavailable_source(source: SourceSettings) -> None:
    with socket.socket() as probe:
        probe.bind((source.host, 0))  # bound and not listening: nobody else can be given it
        port = probe.getsockname()[1]
        error = error_of(source.model_copy(update={"url": f"mysql://root@{source.host}:{port}"}))
    assert type(error) is SourceUnavailable
    assert f"{source.host}:{port}" in str(error)


def test_an_unknown_host_is_an_unavailable_source(source: SourceSettings) -> None:
    error = error_of(source.model_copy(update={"url": "mysql://root@no-such-host.invalid:3306"}))
    assert type(error) is SourceUnavailable  # a name server may be back in a moment
    assert "no-such-host.invalid" in str(error)


def test_a_port_on_which_something_else_hangs_up_is_an_unavailable_source(source: SourceSettings) -> None:
    with socket.create_server((source.host, 0)) as server:
        server.settimeout(60)
        port = server.getsockname()[1]

        def hang_up() -> None:
            server.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        error = error_of(source.model_copy(update={"url": f"mysql://root@{source.host}:{port}"}))
        thread.join()
    assert type(error) is SourceUnavailable


def test_a_missing_privilege_is_refused_and_names_what_was_denied(
    mariadb: PrivateMariaDB, source: SourceSettings
) -> None:
    with (
        schema_of(mariadb, "connecting", "CREATE TABLE t (id INT PRIMARY KEY)"),
        user_of(mariadb, source) as reader,
        Connection(reader) as connection,
        pytest.raises(SourceRefused, match=r"DELETE command denied to user 'reader'@'127\.0\.0\.1'.*`t`"),
    ):
        connection.execute("DELETE FROM connecting.t")


def test_a_schema_that_the_user_may_not_make_is_refused(
    mariadb: PrivateMariaDB, source: SourceSettings
) -> None:
    with (
        user_of(mariadb, source) as reader,
        Connection(reader) as connection,
        pytest.raises(SourceRefused, match="Access denied"),
    ):
        connection.execute("CREATE DATABASE forbidden")


def test_a_statement_that_the_server_does_not_understand_is_refused(connection: Connection) -> None:
    with pytest.raises(SourceRefused, match="1064"):
        connection.execute("SELEKT 1")


def test_the_cause_of_an_error_is_kept(connection: Connection) -> None:
    with pytest.raises(SourceRefused) as caught:
        connection.execute("SELEKT 1")
    assert isinstance(caught.value.__cause__, pymysql.Error)


def test_a_killed_connection_is_an_unavailable_source(
    connection: Connection, mariadb: PrivateMariaDB
) -> None:
    with mariadb.connect() as root, root.cursor() as cursor:
        cursor.execute(f"KILL CONNECTION {connection.value('SELECT CONNECTION_ID()')}")
    with pytest.raises(SourceUnavailable):
        connection.value("SELECT 1")
    with pytest.raises(SourceUnavailable):  # it does not connect again by itself: session state is gone
        connection.value("SELECT 1")


def test_a_connection_killed_in_the_middle_of_a_transaction_is_an_unavailable_source(
    connection: Connection, mariadb: PrivateMariaDB
) -> None:
    with mariadb.connect() as root, root.cursor() as cursor:
        number = connection.value("SELECT CONNECTION_ID()")
        with pytest.raises(SourceUnavailable), connection.transaction():  # noqa: PT012 - the end of it counts
            cursor.execute(f"KILL CONNECTION {number}")
            connection.value("SELECT 1")


def test_a_server_that_restarts_is_an_unavailable_source_and_then_there_again(tmp_path: Path) -> None:
    with PrivateMariaDB() as server:
        source = Settings.load(write_settings(server, "connecting", tmp_path)).source
        for end in (server.stop, server.kill):
            with Connection(source) as connection:
                end()
                with pytest.raises(SourceUnavailable):
                    connection.value("SELECT 1")
            assert type(error_of(source)) is SourceUnavailable
            server.start()
            with Connection(source) as connection:
                assert connection.value("SELECT 1") == "1"


def test_a_row_that_somebody_else_holds_is_an_unavailable_source(
    mariadb: PrivateMariaDB, connection: Connection, source: SourceSettings
) -> None:
    with (
        schema_of(mariadb, "connecting", "CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)"),
        Connection(source) as other,
        connection.transaction(),
    ):
        connection.execute("SELECT id FROM connecting.t FOR UPDATE")
        with pytest.raises(SourceUnavailable):
            other.execute("SELECT id FROM connecting.t FOR UPDATE NOWAIT")


def test_a_source_made_read_only_is_unavailable(mariadb: PrivateMariaDB, source: SourceSettings) -> None:
    with (
        schema_of(mariadb, "connecting", "CREATE TABLE t (id INT PRIMARY KEY)"),
        user_of(mariadb, source) as reader,
        Connection(reader) as connection,
        defaults_of(mariadb, {"read_only": 1}),
        pytest.raises(SourceUnavailable, match="read-only"),
    ):
        connection.execute("INSERT INTO connecting.t VALUES (1)")


def test_a_user_with_too_many_connections_finds_the_source_unavailable(
    mariadb: PrivateMariaDB, source: SourceSettings
) -> None:
    with user_of(mariadb, source, limits="WITH MAX_USER_CONNECTIONS 1") as reader, Connection(reader):
        assert type(error_of(reader)) is SourceUnavailable
