"""Values of strange types out of real servers' binlogs, as a SELECT gives them."""

import json
import random
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from changeover.charsets import decoder_of
from changeover.demo.mysql8 import PrivateMySQL
from changeover.demo.server import PrivateMariaDB
from changeover.demo.sql import SQLServer
from changeover.mysql.connection import Connection
from changeover.settings import Settings, SourceSettings
from changeover.table import Column, Kind, Table
from changeover.values import Value, shortest_float32
from tests.support.pipeline import schema_of, write_settings
from tests.support.streamed import end_of_binlog, images_behind

DOCUMENTS = 400
SCHEMA = "live"


def rows_both_ways(
    server: SQLServer, folder: Path, columns: Mapping[str, str], rows: Sequence[str], *before: str
) -> tuple[list[list[Value]], list[list[bytes | None]]]:
    """The rows, given in SQL, from the binlog and as a SELECT gives their bytes."""
    defined = ", ".join(f"{name} {sql_type}" for name, sql_type in columns.items())
    with schema_of(server, SCHEMA) as schema:
        source: SourceSettings = Settings.load(write_settings(server, schema, folder)).source
        with Connection(source) as connection:
            connection.execute(f"USE {SCHEMA}")
            for statement in (*before, f"CREATE TABLE t (id INT PRIMARY KEY, {defined})"):
                connection.execute(statement)
            place = end_of_binlog(connection)
            for number, row in enumerate(rows):
                connection.execute(f"INSERT INTO t VALUES ({number}, {row})")
            selected = connection.raw("SELECT * FROM t ORDER BY id")
            table = described(connection)
        images = images_behind(source, [table], place)["t"]
    found = [[after[name] for name in table.column_names] for _, after in images if after]
    return found, [list(row) for row in selected]


def described(connection: Connection) -> Table:
    """The table as the server has it, without a judgement of whether it can be moved."""
    columns = tuple(
        Column(
            name=name,
            kind=Kind.TEXT,  # nothing to the decoder
            sql_type=sql_type,
            nullable=nullable == "YES",
            fraction_digits=int(digits or 0),
        )
        for name, sql_type, nullable, digits in connection.query(
            "SELECT column_name, column_type, is_nullable, datetime_precision "
            "FROM information_schema.columns WHERE (table_schema, table_name) = (%s, 't') "
            "ORDER BY ordinal_position",
            (SCHEMA,),
        )
    )
    return Table(schema=SCHEMA, name="t", columns=columns, key=("id",))


def same(value: Value, selected: bytes | None, charset: str = "utf8mb4") -> bool:
    """Whether the canonical value is what the SELECT gave."""
    match value:
        case None:
            return selected is None
        case bytes():
            return value == selected
        case int() | float():
            return selected is not None and repr(value) == repr(type(value)(selected))
        case _:
            return selected is not None and value == decoder_of(charset)(selected)


def assert_same(found: Sequence[Sequence[Value]], selected: Sequence[Sequence[bytes | None]]) -> None:
    assert len(found) == len(selected)
    for row, wanted in zip(found, selected, strict=True):
        assert [same(*pair) for pair in zip(row, wanted, strict=True)] == [True] * len(row), (row, wanted)


# -- JSON --------------------------------------------------------------------------------------------------

INTEGERS = (
    0,
    -1,
    32767,
    32768,
    -32769,
    65536,
    2**31,
    -(2**31) - 1,
    2**32,
    2**63,
    2**64 - 1,
    2**64,
    -(2**63) - 1,
)
SCALARS = (
    *("null", "true", "false", *map(str, INTEGERS)),
    *("1.0", "-0.0", "1e15", "1e16", "1e-14", "1e-15", "1.5e-300", "5e-324"),
)

OPAQUE = (
    "CAST(CAST('-12:34:56.789' AS TIME(3)) AS JSON)",
    "CAST(CAST('-838:59:59' AS TIME) AS JSON)",
    "CAST(CAST('2024-02-29' AS DATE) AS JSON)",
    "CAST(CAST('2024-02-29 01:02:03.456789' AS DATETIME(6)) AS JSON)",
    "JSON_ARRAY(-1.50, 12345678901234567890.123456789, 0.00, 1e0, 18446744073709551615)",
    "CAST(x'00ff61' AS JSON)",
    "CAST(REPEAT(x'ff', 57) AS JSON)",  # one whole line of base64
    "CAST(REPEAT(x'ff', 58) AS JSON)",
    "JSON_OBJECT('a', x'0102', 'b', b'1010', 'c', CAST('x' AS BINARY(3)), 'd', (SELECT MAX(made) FROM odd))",
    "JSON_ARRAY(ST_GeomFromText('POINT(1 2)'), (SELECT MAX(bits) FROM odd), (SELECT MAX(kind) FROM odd))",
)
ODD = (
    "CREATE TABLE odd (made YEAR, bits BIT(9), kind ENUM('a', 'b'))",
    "INSERT INTO odd VALUES (2001, 257, 'b')",
)


def document(random_: random.Random, depth: int = 0) -> Any:  # noqa: ANN401 - any JSON
    """A JSON value of any kind."""
    match random_.randrange(1, 8 if depth < 4 else 5):
        case 1:
            number = random_.randint(-(2**63), 2**64 - 1) >> random_.randrange(64)
            return random_.choice([None, True, False, number, number])
        case 2:
            (number,) = struct.unpack("<d", random_.randbytes(8))
            return number if number - number == 0 else 0.5
        case 3:
            return random_.uniform(-1, 1) * 10 ** random_.randint(-20, 20)
        case 4:
            return text(random_, 12)
        case 5 | 6:
            return [document(random_, depth + 1) for _ in range(random_.randrange(6))]
        case _:
            return {text(random_, 5): document(random_, depth + 1) for _ in range(random_.randrange(6))}


def text(random_: random.Random, length_max: int) -> str:
    """Characters of one to four bytes, control characters too."""
    ranges = ((1, 0x80), (0xA0, 0xD000), (0x10000, 0x10FFFF))
    return "".join(
        chr(random_.randrange(*random_.choice(ranges))) for _ in range(random_.randrange(length_max))
    )


def quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


@pytest.mark.parametrize("kind", ["mysql", "mysql57"])
def test_mysqls_json_is_byte_for_byte_what_a_select_prints(
    request: pytest.FixtureRequest, kind: str, tmp_path: Path
) -> None:
    mysql: PrivateMySQL = request.getfixturevalue(kind)
    random_ = random.Random(6)
    large = {f"key{number}": [number, number * 10**12, "v" * number, number / 7] for number in range(300)}
    documents = [
        *SCALARS,
        *(json.dumps(document(random_), ensure_ascii=False) for _ in range(DOCUMENTS)),
        *(json.dumps(value) for value in (large, [True] * 70_000, "x" * 70_000, {"k" * 60_000: 1})),
        "[" * 99 + "]" * 99,
    ]
    rows = [*map(quoted, documents), *OPAQUE, "NULL"]
    found, selected = rows_both_ways(mysql, tmp_path, {"doc": "JSON"}, rows, *ODD)
    assert_same(found, selected)
    assert found[0][1] == "null"
    assert found[-1][1] is None


# -- types of MariaDB --------------------------------------------------------------------------------------


def test_compressed_columns_are_read(mariadb: PrivateMariaDB, tmp_path: Path) -> None:
    columns = {"a": "VARCHAR(1000) COMPRESSED", "b": "BLOB COMPRESSED", "c": "LONGTEXT COMPRESSED"}
    rows = [
        "'', '', ''",
        "'a', 'b', 'c'",
        "REPEAT('ž', 300), REPEAT(x'00ff', 9000), REPEAT('abž', 90000)",
        "NULL, NULL, NULL",
    ]
    wrapped = "SET SESSION column_compression_zlib_wrap = ON"
    for before in ((), (wrapped,), ("SET SESSION column_compression_threshold = 0",)):
        assert_same(*rows_both_ways(mariadb, tmp_path, columns, rows, *before))


def test_uuids_and_addresses_are_read_as_the_server_prints_them(
    mariadb: PrivateMariaDB, tmp_path: Path
) -> None:
    random_ = random.Random(7)
    rows = []
    for _ in range(200):
        words = [random_.choice([0, 0, 1, 0xFFFF, random_.getrandbits(16)]) for _ in range(8)]
        four = ".".join(str(random_.choice([0, 255, random_.randrange(256)])) for _ in range(4))
        six = ":".join(f"{word:x}" for word in words)
        uuid = UUID(int=random_.getrandbits(128), version=random_.randint(1, 5))
        rows.append(f"'{uuid}', '{four}', '{six}'")
    rows.append("'00000000-0000-0000-0000-000000000000', '0.0.0.0', '::'")
    assert_same(*rows_both_ways(mariadb, tmp_path, {"a": "UUID", "b": "INET4", "c": "INET6"}, rows))


# -- dates and times, old and new --------------------------------------------------------------------------

DATETIMES = ("0000-00-00", "2023-02-31 23:59:59.999999", "2024-00-00 01:02:03.5", "9999-12-31 23:59:59.12345")
TIMES = (
    "-838:59:59",
    "-00:00:00.000001",
    "-00:00:00.5",
    "-00:00:01.9999",
    "12:34:56.789012",
    "-100:00:00.01",
)
STAMPS = ("0", "1970-01-01 00:00:01.5", "2038-01-19 03:14:07", "2024-03-31 01:30:00.123456")


@pytest.mark.parametrize("form", ["old", "new"])
@pytest.mark.parametrize("digits", range(7))
def test_dates_and_times_are_read_in_mariadbs_old_form_and_in_the_new_one(
    mariadb: PrivateMariaDB, tmp_path: Path, digits: int, form: str
) -> None:
    columns = {
        "a": f"DATETIME({digits})",
        "b": f"TIME({digits})",
        "c": f"TIMESTAMP({digits}) NULL",
        "d": "DATE",
    }
    rows = [
        f"'{DATETIMES[n % 4]}', '{TIMES[n]}', '{STAMPS[n % 4]}', '{DATETIMES[n % 4][:10]}'" for n in range(6)
    ]
    before = (
        f"SET GLOBAL mysql56_temporal_format = {'ON' if form == 'new' else 'OFF'}",
        "SET SESSION sql_mode = 'ALLOW_INVALID_DATES'",
    )
    try:
        assert_same(*rows_both_ways(mariadb, tmp_path, columns, rows, *before))
    finally:
        with mariadb.connect() as root, root.cursor() as cursor:
            cursor.execute("SET GLOBAL mysql56_temporal_format = ON")


# -- both servers ------------------------------------------------------------------------------------------

MIXED = {
    "made": "YEAR",
    "a": "INT",
    "b": "INT UNSIGNED",
    "c": "MEDIUMINT UNSIGNED",
    "d": "BIGINT",
    "e": "YEAR",
    "f": "TINYINT UNSIGNED",
    "g": "SET('a', 'ž', 'c')",
    "h": "ENUM('x', 'é') CHARACTER SET latin1",
    "i": "DECIMAL(30,10)",
    "j": "BINARY(5)",
    "k": "GEOMETRY",
    "l": "DOUBLE",
    "m": "CHAR(5) CHARACTER SET utf16",
}
CHARSETS = {"h": "latin1", "m": "utf16"}
MIXED_ROWS = (
    "2024, -1, 4294967295, 16777215, -9223372036854775808, 0, 9, 'a,c', 'é', -1, 'ab', POINT(1, 2), 1, 'ž '",
    "0, 1, 1, 0, 1, 2155, 0, '', 0, 0, '', NULL, 1e300, ''",
    "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL",
)


@pytest.mark.parametrize("kind", ["mariadb", "mysql"])
def test_signs_charsets_and_labels_are_those_of_their_own_columns(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    mode = "SET SESSION sql_mode = ''"
    server: SQLServer = request.getfixturevalue(kind)
    found, selected = rows_both_ways(server, tmp_path, MIXED, MIXED_ROWS, mode)
    for row, wanted in zip(found, selected, strict=True):
        for name, value, given in zip(["id", *MIXED], row, wanted, strict=True):
            assert same(value, given, CHARSETS.get(name, "utf8mb4")), name


def test_floats_are_the_shortest_that_mean_the_same(mariadb: PrivateMariaDB, tmp_path: Path) -> None:
    random_ = random.Random(8)
    numbers = [number for _ in range(200) for (number,) in [struct.unpack("<f", random_.randbytes(4))]]
    finite = [number for number in numbers if number - number == 0 and abs(number) > 1e-37]
    found, _ = rows_both_ways(mariadb, tmp_path, {"a": "FLOAT"}, [repr(number) for number in finite])
    assert [row[1] for row in found] == [shortest_float32(number) for number in finite]
