"""Chunks: walking a table by its key meets every row exactly once, whatever orders the key."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest

from changeover.demo.mysql8 import PrivateMySQL
from changeover.demo.server import PrivateMariaDB
from changeover.envelope import encode_key
from changeover.mysql.catalog import captured_tables
from changeover.mysql.chunks import Query, key_after, rows_between, rows_of
from changeover.mysql.connection import Connection
from changeover.settings import Settings
from changeover.table import Table
from tests.support.pipeline import schema_of, write_settings

MANY = 4_000
CHUNK_ROWS = 100
SEQUENCE = (
    f"WITH RECURSIVE numbers AS (SELECT 1 AS seq UNION ALL SELECT seq + 1 FROM numbers WHERE seq < {MANY})"
)
LARGE_KEYS = {
    "many_single": ("id INT PRIMARY KEY", "seq"),
    "many_text": ("id VARCHAR(40) COLLATE utf8mb4_unicode_ci PRIMARY KEY", "CONCAT('k', MD5(seq))"),
    "many_decimal": ("id DECIMAL(30,10) PRIMARY KEY", "seq / 7"),
    "many_bytes": ("id VARBINARY(20) PRIMARY KEY", "UNHEX(SHA1(seq))"),
    "many_moment": ("id DATETIME(6) PRIMARY KEY", "'2024-01-01' + INTERVAL seq MICROSECOND"),
    "many_latin1": ("id VARCHAR(40) CHARACTER SET latin1 PRIMARY KEY", "CONCAT('é', MD5(seq))"),
    "many_utf8mb3": ("id VARCHAR(40) CHARACTER SET utf8mb3 PRIMARY KEY", "CONCAT('ž', MD5(seq))"),
    "many_gbk": ("id VARCHAR(40) CHARACTER SET gbk PRIMARY KEY", "CONCAT('啊', MD5(seq))"),
    "many_utf16": ("id VARCHAR(40) CHARACTER SET utf16 PRIMARY KEY", "CONCAT('💾', MD5(seq))"),
    "many_binary": ("id BINARY(20) PRIMARY KEY", "UNHEX(CONCAT(SHA1(seq)))"),
    "many_bits": ("id BIT(64) PRIMARY KEY", "(1 << 63) + seq"),
    "many_time": ("id TIME(6) PRIMARY KEY", "SEC_TO_TIME(CAST(seq AS SIGNED) - 2000)"),
    "many_two": ("id INT, b INT, PRIMARY KEY (id, b)", "seq DIV 50, seq"),
    "many_three": (
        "id VARCHAR(9), b DECIMAL(20,2), c DATE, PRIMARY KEY (id, b, c)",
        "CONCAT('k', seq % 3), seq DIV 700, '2024-01-01' + INTERVAL seq DAY",
    ),
    "many_out_of_order": ("id INT, b INT, c INT, PRIMARY KEY (c, id)", "seq, seq, seq DIV 50"),
}

ASCII = ("", "0", "a", "B", "b c", "'", "\\", "%s", "~")
TEXTS = {
    # charset: texts of it that are all different in its default collation
    "latin1 COLLATE latin1_bin": (*ASCII, "ß", "æ", "€", "\x81", "þ"),
    "latin2": (*ASCII, "ž", "ß", "ł"),
    "cp1251": (*ASCII, "я", "Ж", "ё"),
    "greek": (*ASCII, "ω", "β"),
    "hebrew": (*ASCII, "א", "ת"),
    "gbk": (*ASCII, "啊", "阿", "€"),
    "big5": (*ASCII, "啊", "碁"),
    "euckr": (*ASCII, "가", "힣"),
    "gb2312": (*ASCII, "啊", "阿"),
    "tis620": (*ASCII, "ก", "ข"),
    "swe7": ("", "0", "a", "B", "b c", "å", "ä", "ö", "ü"),
    "keybcs2": (*ASCII, "π", "█"),
    "geostd8": (*ASCII, "ა", "ბ"),
    "utf8mb3": (*ASCII, "ß", "啊", "\uffff"),
    "ucs2": (*ASCII, "ß", "啊"),
    "utf16": (*ASCII, "ß", "啊", "💾"),
    "utf16le": (*ASCII, "ß", "啊", "💾"),
    "utf32": (*ASCII, "ß", "啊", "💾"),
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
    "bit_": ("k BIT(64) PRIMARY KEY", [(n,) for n in (0, 1, 2**53, 2**53 + 1, 2**63, 2**64 - 2, 2**64 - 1)]),
    "year_": ("k YEAR PRIMARY KEY", [(text,) for text in ("0000", "1901", "1970", "2000", "2001", "2155")]),
    "binary_": (
        "k BINARY(4) PRIMARY KEY",
        [(data,) for data in (b"\0\0\0\0", b"\0\0\0\1", b"a\0\0\0", b"a\0 \0", b"a   ", b"\xff\xff\xff\xff")],
    ),
    "time_": (
        "k TIME(6) PRIMARY KEY",
        [
            (text,)
            for text in (
                *("-838:59:59.999999", "-100:00:00.000000", "-10:00:00.000001", "-00:00:00.000001"),
                *("00:00:00.000000", "00:00:00.000001", "09:00:00.000000", "10:00:00.000000"),
                *("100:00:00.000000", "838:59:59.999999"),
            )
        ],
    ),
    "odd_dates": (
        "k DATE, l DATETIME(3), PRIMARY KEY (k, l)",
        [
            (day, f"{day} {time}")
            for day in ("0000-00-00", "2023-00-00", "2023-02-00", "2023-02-28", "2023-02-31", "2023-03-01")
            for time in ("00:00:00.000", "23:59:59.999")
        ],
    ),
    "zero_timestamp": (
        "k TIMESTAMP PRIMARY KEY",
        [("0000-00-00 00:00:00",), ("1970-01-01 00:00:01",), ("2038-01-19 03:14:07",)],
    ),
    **{
        f"text_{charset.split()[0]}": (
            f"k VARCHAR(20) CHARACTER SET {charset} PRIMARY KEY",
            [(text,) for text in texts],
        )
        for charset, texts in TEXTS.items()
    },
    "text_gb18030": (
        "k VARCHAR(20) CHARACTER SET gb18030 PRIMARY KEY",
        [(text,) for text in (*ASCII, "ß", "啊", "💾", "ḿ")],
    ),
    "text_0900": (
        "k VARCHAR(20) COLLATE utf8mb4_0900_as_cs PRIMARY KEY",
        [(text,) for text in (*ASCII, "A", "á", "a ", " ", "💾", "ß")],
    ),
    "uuid_": (
        "k UUID PRIMARY KEY",
        [
            (text,)
            for text in (
                "00000000-0000-0000-0000-000000000000",
                "123e4567-e89b-12d3-a456-426655440000",
                "123e4567-e89b-42d3-a456-426655440001",
                "ffffffff-ffff-1fff-8fff-ffffffffffff",
                "ffffffff-ffff-ffff-ffff-ffffffffffff",
            )
        ],
    ),
    "inet4_": (
        "k INET4 PRIMARY KEY",
        [(text,) for text in ("0.0.0.1", "9.0.0.1", "10.0.0.0", "100.0.0.1", "255.255.255.255")],
    ),
    "inet6_": (
        "k INET6 PRIMARY KEY",
        [
            (text,)
            for text in ("::", "::1", "::ffff:1.2.3.4", "9::", "a::1", "2001:db8::ff00:42:8329", "ffff::")
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


ONLY_MARIADB = {"text_nopad", "uuid_", "inet4_", "inet6_"}
ONLY_MYSQL = {"text_gb18030", "text_0900"}
EACH_KEY = [
    *(("mariadb", name) for name in KEYS if name not in ONLY_MYSQL),
    *(("mysql", name) for name in KEYS if name not in ONLY_MARIADB),
]


def table_statements(server: str) -> Iterator[str]:
    limit = "cte_max_recursion_depth" if server == "mysql" else "max_recursive_iterations"
    yield f"SET SESSION {limit} = {MANY}"
    yield "CREATE TABLE unsigned_decimal (k DECIMAL(12,2) UNSIGNED PRIMARY KEY)"
    yield "INSERT INTO unsigned_decimal VALUES (0), (0.01), (1), (9999999999.99)"
    yield "CREATE TABLE zerofill_decimal (k DECIMAL(12,2) ZEROFILL PRIMARY KEY)"
    yield "INSERT INTO zerofill_decimal VALUES (0), (0.01), (1), (9999999999.99)"
    for kind, name in EACH_KEY:
        if kind == server:
            yield f"CREATE TABLE {name} (v INT DEFAULT 1, {KEYS[name][0]})"
    for name, (columns, values) in LARGE_KEYS.items():
        yield f"CREATE TABLE {name} ({columns})"
        if "c INT" in columns:
            yield f"INSERT INTO {name} (id, b, c) {SEQUENCE} SELECT {values} FROM numbers"
        else:
            yield f"INSERT INTO {name} {SEQUENCE} SELECT {values} FROM numbers"
        yield f"ANALYZE TABLE {name}"


class Side(NamedTuple):
    """A server with the tables, connected to."""

    connection: Connection
    tables: dict[str, Table]


@pytest.fixture(scope="module")
def sides(
    mariadb: PrivateMariaDB, mysql: PrivateMySQL, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Side]]:
    """Both, since a fixture that is one and then the other would fill its tables anew for each test."""
    found = {}
    with ExitStack() as stack:
        for kind, server in (("mariadb", mariadb), ("mysql", mysql)):
            schema = stack.enter_context(schema_of(server, "chunks", *table_statements(kind)))
            config = write_settings(server, schema, tmp_path_factory.mktemp(kind))
            connection = stack.enter_context(Connection(Settings.load(config).source))
            tables = {table.name: table for table in captured_tables(connection)}
            found[kind] = Side(connection, tables)
        yield found


@pytest.fixture(params=["mariadb", "mysql"])
def side(request: pytest.FixtureRequest, sides: dict[str, Side]) -> Side:
    return sides[str(request.param)]


@pytest.fixture
def connection(side: Side) -> Connection:
    return side.connection


@pytest.fixture
def tables(side: Side) -> dict[str, Table]:
    return side.tables


def filled(connection: Connection, name: str) -> int:
    """Fill the table, unless it is; the number of its rows."""
    rows = KEYS[name][1]
    columns = "klm"[: len(rows[0])]
    marks = ", ".join(["%s"] * len(columns))
    into = f"INSERT IGNORE INTO chunks.{name} ({', '.join(columns)}) VALUES "
    connection.execute(into + ", ".join([f"({marks})"] * len(rows)), [value for row in rows for value in row])
    assert connection.value(f"SELECT count(*) FROM chunks.{name}") == str(len(rows))
    return len(rows)


def next_key(connection: Connection, table: Table, above: bytes | None, rows: int) -> bytes | None:
    """The key that lies so many rows above another, as a snapshot worker finds it."""
    found = connection.rows(*key_after(table, above, rows), table.full_name, table.key_columns)
    return encode_key(table, found[0]) if found else None


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
    explained = json.loads(
        (connection.raw(f"EXPLAIN FORMAT=JSON {query.sql}", query.parameters)[0][0] or b"").decode(
            errors="replace"
        )
    )
    (table,) = _tables_in(explained)
    return table["access_type"], table.get("key", "none")


def _tables_in(explained: Any) -> Iterator[dict[str, str]]:  # noqa: ANN401 - JSON
    """What a plan says of each table, wherever in it."""
    if isinstance(explained, dict):
        if "access_type" in explained:
            yield explained
        explained = list(explained.values())
    if isinstance(explained, list):
        for part in explained:
            yield from _tables_in(part)


def rows_read(connection: Connection, query: Query) -> int:
    """How many rows the server reads for the query."""
    connection.execute("FLUSH STATUS")
    connection.raw(*query)
    found = connection.query("SHOW SESSION STATUS LIKE 'Handler\\_read\\_%'")
    return sum(int(value) for name, value in found if name != "Handler_read_rnd_deleted")


@pytest.mark.parametrize("chunk_rows", [1, 2, 7])
@pytest.mark.parametrize(("side", "name"), EACH_KEY, indirect=["side"])
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


@pytest.mark.parametrize(("side", "name"), EACH_KEY, indirect=["side"])
def test_the_rows_of_keys_are_read_by_their_keys_alone(
    connection: Connection, tables: dict[str, Table], name: str
) -> None:
    filled(connection, name)
    table = tables[name]
    keys = [
        encode_key(table, row)
        for row in connection.rows(*rows_between(table, None, None), table.full_name, table.columns)
    ]
    for some in (keys, keys[::2], keys[:1]):
        query = rows_of(table, some, table.key_columns)
        found = connection.rows(*query, table.full_name, table.key_columns)
        assert {encode_key(table, row) for row in found} == set(some)


@pytest.mark.parametrize("name", LARGE_KEYS)
def test_rows_of_keys_are_looked_up_by_the_primary_key(
    connection: Connection, tables: dict[str, Table], name: str
) -> None:
    table = tables[name]
    above = next_key(connection, table, None, MANY // 2)
    up_to = next_key(connection, table, above, CHUNK_ROWS)
    chunk = connection.rows(*rows_between(table, above, up_to), table.full_name, table.columns)
    query = rows_of(table, [encode_key(table, row) for row in chunk], table.columns)
    assert rows_read(connection, query) <= 3 * CHUNK_ROWS
