"""Bytes that a character set does not have can lie in a table all the same: a loud stop both ways."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pymysql.cursors import Cursor

from cdc.frames import frames_at
from cdc.stream import BinlogStream
from changeover.demo.sql import SQLServer
from changeover.errors import BinlogUnreadable, Stopped, ValueUnreadable
from changeover.mysql.catalog import captured_tables
from changeover.mysql.chunks import rows_between
from changeover.mysql.connection import Connection
from changeover.settings import Settings
from tests.support import types
from tests.support.pipeline import write_settings
from tests.support.streamed import end_of_binlog

SCHEMA = "unreadable"
SERVER_ID = 4_000_003
SECRET = "736563726574"

STORED = {
    # The servers take these, though they read them as a question mark or as U+FFFD.
    "greek": "AA",
    "cp1250": "81",
    "cp1256": "8A",
    "dec8": "A4",
    "geostd8": "81",
    "tis620": "DB",
    "big5": "A15A",
    "cp932": "8540",
    "euckr": "C9A1",
    "ujis": "A9A1",
}


@pytest.fixture
def cursor(either: SQLServer) -> Iterator[Cursor]:
    with types.writer(either, SCHEMA) as cursor:
        yield cursor


@pytest.mark.parametrize("charset", STORED)
def test_bytes_that_a_character_set_does_not_have_are_a_stop_both_ways(
    either: SQLServer, cursor: Cursor, tmp_path: Path, charset: str
) -> None:
    cursor.execute(f"CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20) CHARACTER SET {charset})")
    source = Settings.load(write_settings(either, SCHEMA, tmp_path)).source
    with Connection(source) as connection:
        (table,) = captured_tables(connection)
        place = end_of_binlog(connection)
        cursor.execute(f"INSERT INTO t VALUES (1, _{charset} x'{SECRET}{STORED[charset]}')")
        with pytest.raises(ValueUnreadable) as selected:
            connection.rows(*rows_between(table, None, None), table.full_name, table.columns)
    stream = BinlogStream(source, "test", [table], frames_at(place, "0-1"), SERVER_ID)
    with pytest.raises(BinlogUnreadable) as streamed:
        list(iter(lambda: stream.next(10), None))
    stream.close()
    for stopped in (selected, streamed):
        said = str(stopped.value)
        assert issubclass(type(stopped.value), Stopped)
        assert "unreadable.t.v" in said
        assert f"the character set {charset} does not have" in said
        assert "secret" not in said
        assert SECRET not in said
