"""Chunks: walking a table by its key meets every row exactly once, whatever orders the key."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cdc.chunks import Query, key_after, rows_between
from changeover.demo.server import PrivateMariaDB
from changeover.envelope import encode_key
from changeover.mysql.catalog import captured_tables
from changeover.mysql.connection import Connection
from changeover.settings import Settings
from changeover.table import Table
from changeover.values import reader_of_text
from tests.support.pipeline import schema_of, write_settings

MANY = 4_000
CHUNK_ROWS = 100
LARGE_KEYS = {
    "many_single": ("id INT PRIMARY KEY", "seq"),
    "many_text": ("id VARCHAR(40) COLLATE utf8mb4_unicode_ci PRIMARY KEY", "CONCAT('k', MD5(seq))"),
    "many_decimal": ("id DECIMAL(30,10) PRIMARY KEY", "seq / 7"),
    "many_bytes": ("id VARBINARY(20) PRIMARY KEY", "UNHEX(SHA1(seq))"),
    "many_moment": ("id DATETIME(6) PRIMARY KEY", "'2024-01-01' + INTERVAL seq MICROSECOND"),
    "many_two": ("id INT, b INT, PRIMARY KEY (id, b)", "seq DIV 50, seq"),
    "many_three": (
        "id VARCHAR(9), b DECIMAL(20,2), c DATE, PRIMARY KEY (id, b, c)",
        "CONCAT('k', seq % 3), seq DIV 700, '2024-01-01' + INTERVAL seq DAY",
    ),
    "many_out_of_order": ("id INT, b INT, c INT, PRIMARY KEY (c, id)", "seq, seq, seq DIV 50"),
}

KEYS: dict[str, tuple[str, Sequence[tuple[Any, ...]]]] = {
    # table: (its key columns and key, their values)
    "int_": ("k INT PRIMARY KEY", [(n,) for n in (-(2**31), -7, -1, 0, 1, 2, 3, 1000, 2**31 - 1)]),
    "tinyint_zerofill": ("k TINYINT(3) ZEROFILL PRIMARY KEY", [(n,) for n in (0, 7, 10, 99, 255)]),
    "bigint_": ("k BIGINT PRIMARY KEY", [(n,) for n in (-(2**63), -(2**53) - 1, -(2**53), 0, 2**63 - 1)]),
    "bigint_unsigned": (
        "k BIGINT UNSIGNED PRIMARY KEY",
        [(n,) for n in (0, 1, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 2, 2**64 - 1)],
    ),
    "decimal_": (
        "k DECIMAL(30,10) PRIMARY KEY",
        [
            (text,)
            for text in (
                *("-99999999999999999999.9999999999", "-0.0000000002", "-0.0000000001", "0", "0.0000000001"),
                *("12345678901234567890.1234567890", "12345678901234567890.1234567891"),
                *("12345678901234567890.1234567892", "99999999999999999999.9999999999"),
            )
        ],
    ),
    "text_ci": (
        "k VARCHAR(20) COLLATE utf8mb4_unicode_ci PRIMARY KEY",
        [
            (text,)
            for text in (
                "",
                "a",
                "Ab",
                "aBc",
                "B",
                "b c",
                "ž",
                "ß",
                "straße1",
                "10",
                "9",
                "\\",
                "'",
                "💾",
                "%s",
            )
        ],
    ),
    "text_general_ci": (
        "k VARCHAR(20) COLLATE utf8mb4_general_ci PRIMARY KEY",
        [(text,) for text in ("", "a", "Ab", "aBc", "B", "é1", "E2", "é3", "\0", "\t", "_", "`", "Z")],
    ),
    "text_bin": (
        "k VARCHAR(20) COLLATE utf8mb4_bin PRIMARY KEY",
        [
            (text,)
            for text in ("", "a", "A", "ab", "AB", "aB", "á", "a\u0301", "ﬀ", "ff", "\U0010ffff", "\uffff")
        ],
    ),
    "text_nopad": (
        "k VARCHAR(20) COLLATE utf8mb4_nopad_bin PRIMARY KEY",
        [(text,) for text in ("", " ", "a", "a ", "a  ", "a\t", "A ")],
    ),
    "char_": ("k CHAR(8) PRIMARY KEY", [(text,) for text in ("", "a", "ab", "b", "B1", "a\t")]),
    "varbinary_": (
        "k VARBINARY(20) PRIMARY KEY",
        [
            (data,)
            for data in (
                b"",
                b"\0",
                b"\0\0",
                b"\0a",
                b" ",
                b"'",
                b"\\",
                b"a",
                b"A",
                b"\x7f",
                b"\x80",
                b"\xff",
            )
        ],
    ),
    "date_": (
        "k DATE PRIMARY KEY",
        [(day,) for day in ("0001-01-01", "1969-12-31", "2024-02-29", "9999-12-31")],
    ),
    "datetime_": (
        "k DATETIME(6) PRIMARY KEY",
        [
            (f"{day} {time}",)
            for day in ("0001-01-01", "2024-10-27", "9999-12-31")
            for time in ("00:00:00.000000", "00:00:00.000001", "02:30:00.500000", "23:59:59.999999")
        ],
    ),
    "timestamp_": (
        "k TIMESTAMP(6) PRIMARY KEY",
        [
            (f"{day} {time}",)
            for day in ("1970-01-01", "2024-10-27", "2038-01-19")
            for time in ("00:00:00.000001", "00:59:59.999999", "01:00:00.000000", "01:30:00.000000")
        ],
    ),
    "two_ints": (
        "k INT, l INT, PRIMARY KEY (k, l)",
        [(a, b) for a in (-1, 0, 5) for b in (-(2**31), 0, 1, 9)],
    ),
    "out_of_order": ("k INT, l INT, PRIMARY KEY (l, k)", [(a, b) for a in (1, 2, 3) for b in (9, 5, 7)]),
    "text_and_decimal": (
        "k VARCHAR(9) COLLATE utf8mb4_unicode_ci, l DECIMAL(30,10), PRIMARY KEY (k, l)",
        [
            (a, b)
            for a in ("a", "B", "ž")
            for b in ("-1", "0", "0.0000000001", "12345678901234567890.0000000001")
        ],
    ),
    "three": (
        "k VARBINARY(4), l DATE, m BIGINT UNSIGNED, PRIMARY KEY (k, l, m)",
        [
            (a, b, c)
            for a in (b"", b"\0", b"\xff")
            for b in ("2024-02-29", "2024-03-01")
            for c in (0, 2**63, 2**64 - 1)
        ],
    ),
}


def table_statements() -> Iterator[str]:
    yield "CREATE TABLE unsigned_decimal (k DECIMAL(12,2) UNSIGNED PRIMARY KEY)"
    yield "INSERT INTO unsigned_decimal VALUES (0), (0.01), (1), (9999999999.99)"
    yield "CREATE TABLE zerofill_decimal (k DECIMAL(12,2) ZEROFILL PRIMARY KEY)"
    yield "INSERT INTO zerofill_decimal VALUES (0), (0.01), (1), (9999999999.99)"
    for name, (columns, _) in KEYS.items():
        yield f"CREATE TABLE {name} (v INT DEFAULT 1, {columns})"
    for name, (columns, values) in LARGE_KEYS.items():
        yield f"CREATE TABLE {name} ({columns})"
        if "c INT" in columns:
            yield f"INSERT INTO {name} (id, b, c) SELECT {values} FROM seq_1_to_{MANY}"
        else:
            yield f"INSERT INTO {name} SELECT {values} FROM seq_1_to_{MANY}"
        yield f"ANALYZE TABLE {name}"


@pytest.fixture(scope="module")
def connection(mariadb: PrivateMariaDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    folder: Path = tmp_path_factory.mktemp("chunks")
    with (
        schema_of(mariadb, "chunks", *table_statements()) as schema,
        Connection(Settings.load(write_settings(mariadb, schema, folder)).source) as connection,
    ):
        yield connection


@pytest.fixture(scope="module")
def tables(connection: Connection) -> dict[str, Table]:
    return {table.name: table for table in captured_tables(connection)}


def filled(connection: Connection, name: str) -> int:
    """Fill the table, unless it is; the number of its rows."""
    rows = KEYS[name][1]
    columns = "klm"[: len(rows[0])]
    marks = ", ".join(["%s"] * len(columns))
    for row in rows:
        connection.execute(f"INSERT IGNORE INTO chunks.{name} ({', '.join(columns)}) VALUES ({marks})", row)
    assert connection.value(f"SELECT count(*) FROM chunks.{name}") == str(len(rows))
    return len(rows)


def next_key(connection: Connection, table: Table, above: bytes | None, rows: int) -> bytes | None:
    """The key that lies so many rows above another, as a snapshot worker finds it."""
    found = connection.raw(*key_after(table, above, rows))
    if not found:
        return None
    return encode_key(
        table,
        {
            column.name: reader_of_text(column)(value or b"")
            for column, value in zip(table.key_columns, found[0], strict=True)
        },
    )


def walk(connection: Connection, table: Table, chunk_rows: int) -> list[Sequence[tuple[bytes | None, ...]]]:
    """All chunks of the table."""
    chunks = []
    above = None
    while True:
        up_to = next_key(connection, table, above, chunk_rows)
        chunks.append(connection.raw(*rows_between(table, above, up_to)))
        if up_to is None:
            return chunks
        assert up_to != above
        above = up_to


def plan(connection: Connection, query: Query) -> tuple[str, str]:
    """How the server reads the query's table: the type of access and the index."""
    explained = json.loads(connection.value(f"EXPLAIN FORMAT=JSON {query.sql}", query.parameters))
    block = explained["query_block"]
    while "table" not in block:
        block = (
            next(value for name, value in block.items() if isinstance(value, dict))
            if not block.get("nested_loop")
            else block["nested_loop"][0]
        )
    table = block["table"]
    return table["access_type"], table.get("key", "none")


def rows_read(connection: Connection, query: Query) -> int:
    """How many rows the server reads for the query."""
    connection.execute("FLUSH STATUS")
    connection.raw(*query)
    found = connection.query("SHOW SESSION STATUS LIKE 'Handler\\_read\\_%'")
    return sum(int(value) for name, value in found if name != "Handler_read_rnd_deleted")


@pytest.mark.parametrize("chunk_rows", [1, 2, 7])
@pytest.mark.parametrize("name", KEYS)
def test_walking_a_table_by_its_key_meets_every_row_exactly_once(
    connection: Connection, tables: dict[str, Table], name: str, chunk_rows: int
) -> None:
    rows = filled(connection, name)
    chunks = walk(connection, tables[name], chunk_rows)
    met = Counter(row for chunk in chunks for row in chunk)
    assert met == Counter(connection.raw(*rows_between(tables[name], None, None)))
    assert len(met) == rows
    assert [len(chunk) for chunk in chunks[:-1]] == [chunk_rows] * (rows // chunk_rows)


@pytest.mark.parametrize("name", ["unsigned_decimal", "zerofill_decimal"])
def test_a_decimal_key_without_a_sign_is_walked_too(
    connection: Connection, tables: dict[str, Table], name: str
) -> None:
    assert [len(chunk) for chunk in walk(connection, tables[name], 3)] == [3, 1]


def test_a_range_without_limits_is_the_whole_table(connection: Connection, tables: dict[str, Table]) -> None:
    assert len(connection.raw(*rows_between(tables["many_two"], None, None))) == MANY


def test_a_range_has_its_upper_end_in_it_and_its_lower_end_not(
    connection: Connection, tables: dict[str, Table]
) -> None:
    table = tables["many_single"]
    above, up_to = (encode_key(table, {"id": number}) for number in (10, 13))
    assert connection.raw(*rows_between(table, above, up_to)) == ((b"11",), (b"12",), (b"13",))


def test_a_range_holds_whether_or_not_its_ends_are_still_there(
    connection: Connection, tables: dict[str, Table]
) -> None:
    filled(connection, "out_of_order")
    table = tables["out_of_order"]
    above, up_to = (encode_key(table, {"k": 2, "l": number}) for number in (4, 8))
    found = connection.raw(*rows_between(table, above, up_to))
    assert {row[1:] for row in found} == {(k, el) for k in (b"1", b"2", b"3") for el in (b"5", b"7")}


def test_above_the_last_row_there_is_no_key(connection: Connection, tables: dict[str, Table]) -> None:
    table = tables["many_single"]
    assert next_key(connection, table, encode_key(table, {"id": MANY}), 1) is None
    assert next_key(connection, table, None, MANY) == encode_key(table, {"id": MANY})
    assert next_key(connection, table, None, MANY + 1) is None


@pytest.mark.parametrize("name", LARGE_KEYS)
def test_a_chunk_is_read_as_a_range_of_the_primary_key(
    connection: Connection, tables: dict[str, Table], name: str
) -> None:
    table = tables[name]
    above = next_key(connection, table, None, MANY // 2)
    up_to = next_key(connection, table, above, CHUNK_ROWS)
    for query in (rows_between(table, above, up_to), key_after(table, above, CHUNK_ROWS)):
        assert plan(connection, query) == ("range", "PRIMARY")
        assert rows_read(connection, query) <= CHUNK_ROWS + 10
