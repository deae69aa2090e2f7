"""Every type of both servers: its canonical values by SELECT, in the binlog, in the log and in each target.

The expected values stand in `tests/types/<type>/expected.json`.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import orjson
import pytest

from cdc.events import Images
from changeover.change import Change, Op, Origin
from changeover.decide import Write
from changeover.demo.mysql8 import PrivateMySQL
from changeover.demo.server import PrivateMariaDB
from changeover.demo.sql import SQLServer
from changeover.envelope import decode, decode_key, encode, encode_key
from changeover.mapping.mapping import ObjectMapping
from changeover.mysql.carried import parse_row, select_row
from changeover.mysql.catalog import fit_tables
from changeover.mysql.chunks import rows_between
from changeover.mysql.connection import Connection
from changeover.settings import Settings
from changeover.table import Table
from changeover.targets import Held
from changeover.targets.sqlite import SQLiteTarget
from changeover.values import Row, row_from_json
from changeover.version import ROW_MAX, Version
from tests.support import types
from tests.support.odd_servers import PrivateMySQL57
from tests.support.pipeline import write_settings
from tests.support.streamed import end_of_binlog, images_behind
from tests.support.tables import exactly

SCHEMA = "types"
VERSION = Version(1, 7, ROW_MAX)

Exact = Mapping[str, tuple[type, str]] | None
"""A row as `exactly` gives it."""

RE_KEYED = 1_000
"""What is added to each row's id, for images of an update and of a delete."""


class Found(NamedTuple):
    """A type's table, what SELECT read of it, and all that the binlog had of it."""

    table: Table
    rows: list[Row]
    images: list[Images]
    carried: list[Row]
    """As a strange session reads them through another driver's conversions."""


Read = Mapping[tuple[str, str], Found]
"""For each kind of server and each type."""


@pytest.fixture(scope="module")
def read(
    mariadb: PrivateMariaDB,
    mysql: PrivateMySQL,
    mysql57: PrivateMySQL57,
    tmp_path_factory: pytest.TempPathFactory,
) -> Read:
    """Every type's rows, inserted, updated and deleted."""
    found = {}
    for kind, server in (("mariadb", mariadb), ("mysql", mysql), ("mysql57", mysql57)):
        config = write_settings(server, SCHEMA, tmp_path_factory.mktemp("types"))
        with machine_in("America/St_Johns"):
            found.update({(kind, one.table.name): one for one in read_from(kind, server, config)})
    return found


@contextmanager
def machine_in(zone: str) -> Iterator[None]:
    """The machine's own time zone is another one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        try:
            yield
        finally:
            patch.undo()
            time.tzset()


def read_from(kind: str, server: SQLServer, config: Path) -> list[Found]:
    """Every type that the server has."""
    source = Settings.load(config).source
    names = types.names(kind)
    statements = [statement for name in names for statement in types.statements(kind, name)]
    with types.writer(server, SCHEMA) as cursor, Connection(source) as connection:
        for statement in statements:
            if statement.startswith("CREATE"):
                cursor.execute(statement)
        tables, complaints = fit_tables(connection, [(SCHEMA, name) for name in names])
        assert complaints == []
        since = end_of_binlog(connection)
        for statement in statements:
            if not statement.startswith("CREATE"):
                cursor.execute(statement)
        rows = {
            table.name: connection.rows(*rows_between(table, None, None), table.full_name, table.columns)
            for table in tables
        }
        carried = {table.name: list(carried_rows(server, table)) for table in tables}
        for name in names:
            cursor.execute(f"UPDATE `{name}` SET id = id + {RE_KEYED}")
            cursor.execute(f"DELETE FROM `{name}`")
        images = images_behind(source, tables, since)
    return [Found(table, rows[table.name], images[table.name], carried[table.name]) for table in tables]


def carried_rows(server: SQLServer, table: Table) -> Iterator[Row]:
    """The rows by an application's connection: another time zone, another character set, Python's values."""
    select, _, _ = select_row(table).partition(" WHERE ")
    connection = server.connect()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET time_zone = '+05:30', character_set_connection = utf16")
            cursor.execute(select)
            yield from (parse_row(table, found) for found in cursor.fetchall())
    finally:
        connection.close()


@pytest.mark.parametrize(("kind", "name"), types.cases())
def test_an_applications_connection_carries_the_canonical_values(read: Read, kind: str, name: str) -> None:
    found = read[kind, name]
    assert [exactly(row) for row in found.carried] == [exactly(row) for row in found.rows]


@pytest.mark.parametrize(("kind", "name"), types.cases())
def test_select_reads_the_canonical_values(read: Read, kind: str, name: str) -> None:
    rows = read[kind, name].rows
    assert [exactly(row) for row in rows] == [exactly(row) for row in types.expected(kind, name)]


@pytest.mark.parametrize(("kind", "name"), types.cases())
def test_the_binlog_has_the_canonical_values_in_every_image(read: Read, kind: str, name: str) -> None:
    wanted = types.expected(kind, name)
    images: list[Images] = [
        *((None, row) for row in wanted),
        *((row, re_keyed(row)) for row in wanted),
        *((re_keyed(row), None) for row in wanted),
    ]
    assert in_order(read[kind, name].images) == in_order(images)


def re_keyed(row: Row) -> Row:
    """The row after the update."""
    number = row["id"]
    assert isinstance(number, int)
    # The key of one table is made of the id.
    made = {"k": f"k{number + RE_KEYED}"} if "k" in row else {}
    return {**row, "id": number + RE_KEYED, **made}


def in_order(images: Sequence[Images]) -> list[tuple[Exact, Exact]]:
    """The images in an order of their own, for a server deletes and updates in its."""
    found = [(exactly(before), exactly(after)) for before, after in images]
    return sorted(found, key=lambda image: [0 if row is None else int(row["id"][1]) for row in image])


@pytest.mark.parametrize(("kind", "name"), types.cases())
def test_the_logs_form_keeps_every_value(read: Read, kind: str, name: str) -> None:
    table, rows, *_ = read[kind, name]
    again = Table.parse(table.definition)
    for row in rows:
        change = Change(table, Op.UPDATE, row, row, VERSION, Origin(0, "0-1-7"))
        found = decode(again, encode(change, "test"))
        assert exactly(found.before) == exactly(found.after) == exactly(row)
        key = decode_key(again, encode_key(table, row))
        assert exactly(key) == exactly({name: row[name] for name in table.key})


@pytest.mark.parametrize(("kind", "name"), types.cases())
def test_a_sqlite_target_keeps_every_value(tmp_path: Path, read: Read, kind: str, name: str) -> None:
    table, rows, *_ = read[kind, name]
    with SQLiteTarget(tmp_path / "target.db", "test") as target:
        target.write([Write(table, encode_key(table, row), VERSION, row) for row in rows])
        for row in rows:
            held = target.read(table, encode_key(table, row))
            assert held == Held(VERSION, row)
            assert exactly(held.body) == exactly(row)


@pytest.mark.parametrize(("kind", "name"), types.cases())
def test_an_objects_name_and_body_keep_every_value(read: Read, kind: str, name: str) -> None:
    table, rows, *_ = read[kind, name]
    mapping = ObjectMapping()
    for row in rows:
        key = {name: row[name] for name in table.key}
        assert mapping.key_at(table, mapping.place(table, encode_key(table, row))) == key
        body = orjson.loads(mapping.body(table, row).value)
        assert exactly(row_from_json(table, body)) == exactly(row)
