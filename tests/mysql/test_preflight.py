"""Preflight: a source that would lose or misread changes is refused, each reason named with its mend."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from changeover.demo.server import PrivateMariaDB
from changeover.errors import SourceUnfit
from changeover.mysql.connection import Connection
from changeover.mysql.preflight import check_source
from changeover.settings import Settings, SourceSettings
from tests.support.pipeline import schema_of, write_settings

GOOD = {
    "binlog_format": "ROW",
    "binlog_row_image": "FULL",
    "binlog_row_metadata": "FULL",
}


@pytest.fixture
def source(mariadb: PrivateMariaDB, tmp_path: Path) -> Iterator[SourceSettings]:
    with schema_of(mariadb, "preflight", "CREATE TABLE t (id INT PRIMARY KEY)") as schema:
        yield Settings.load(write_settings(mariadb, schema, tmp_path)).source


@contextmanager
def set_globally(mariadb: PrivateMariaDB, **values: str) -> Iterator[None]:
    """The server with other options for new sessions, put right at the end."""
    with mariadb.connect() as root, root.cursor() as cursor:
        try:
            for name, value in values.items():
                cursor.execute(f"SET GLOBAL {name} = {value}")
            yield
        finally:
            for name in values:
                cursor.execute(f"SET GLOBAL {name} = {GOOD[name]}")


def complaint_of(source: SourceSettings) -> str:
    """What the check says; it must refuse."""
    with Connection(source) as connection, pytest.raises(SourceUnfit) as caught:
        check_source(connection)
    return str(caught.value)


def test_a_source_that_is_set_up_well_passes(source: SourceSettings) -> None:
    with Connection(source) as connection:
        check_source(connection)


@pytest.mark.parametrize(
    ("variable", "value", "mend"),
    [
        ("binlog_format", "STATEMENT", "SET GLOBAL binlog_format = 'ROW'"),
        ("binlog_format", "MIXED", "SET GLOBAL binlog_format = 'ROW'"),
        ("binlog_row_image", "MINIMAL", "SET GLOBAL binlog_row_image = 'FULL'"),
        ("binlog_row_image", "NOBLOB", "SET GLOBAL binlog_row_image = 'FULL'"),
        ("binlog_row_metadata", "NO_LOG", "SET GLOBAL binlog_row_metadata = 'FULL'"),
        ("binlog_row_metadata", "MINIMAL", "SET GLOBAL binlog_row_metadata = 'FULL'"),
    ],
)
def test_an_option_that_would_lose_changes_is_named_with_its_mend(
    mariadb: PrivateMariaDB, source: SourceSettings, variable: str, value: str, mend: str
) -> None:
    with set_globally(mariadb, **{variable: value}):
        complaint = complaint_of(source)
        assert f"{variable} is {value}, not {GOOD[variable]}: {mend}" in complaint
        if variable in {"binlog_format", "binlog_row_image"}:  # a session keeps its own
            assert "let the application reconnect" in complaint
        assert "\n" not in complaint
        with mariadb.connect() as root, root.cursor() as cursor:
            cursor.execute(mend)
    with Connection(source) as connection:
        check_source(connection)


def test_an_option_of_our_own_session_does_not_hide_the_servers(
    mariadb: PrivateMariaDB, source: SourceSettings
) -> None:
    with Connection(source) as connection, set_globally(mariadb, binlog_row_image="MINIMAL"):
        assert connection.value("SELECT @@session.binlog_row_image") == "FULL"
        with pytest.raises(SourceUnfit, match="binlog_row_image is MINIMAL"):
            check_source(connection)


def test_all_that_is_wrong_is_said_at_once(mariadb: PrivateMariaDB, source: SourceSettings) -> None:
    with set_globally(
        mariadb,
        binlog_format="MIXED",
        binlog_row_image="MINIMAL",
        binlog_row_metadata="NO_LOG",
    ):
        complaint = complaint_of(source)
    assert [complaint.count(f"{variable} is ") for variable in GOOD] == [1, 1, 1]


def test_a_server_without_a_binlog_is_named_with_its_mend(tmp_path: Path) -> None:
    with PrivateMariaDB(options={"log_bin": None, "gtid_strict_mode": None}) as server:
        complaint = complaint_of(Settings.load(write_settings(server, "preflight", tmp_path)).source)
    assert "log_bin is OFF, not ON: write log_bin into the server's configuration" in complaint
