"""The oracle is tried with copies that are right but for one planted difference.

The copy is made here, from values as PyMySQL converts them: by another way than the oracle's own.
"""

import ast
import shutil
import sqlite3
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pymysql.connections import Connection

from changeover.demo import oracle, records
from changeover.demo.oracle import Comparison, Difference, DifferenceKind, Uncomparable, compare

SAMPLE = """
CREATE TABLE judged.sample (
    id BIGINT UNSIGNED NOT NULL, code VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    small TINYINT NULL, price DECIMAL(12, 4) NULL, ratio FLOAT NULL, size DOUBLE NULL,
    text VARCHAR(100) NULL, fixed CHAR(10) NULL, latin VARCHAR(20) CHARACTER SET latin1 NULL,
    raw VARBINARY(100) NULL, picture BLOB NULL, mood ENUM('glad', 'træt') NULL, extra JSON NULL,
    day DATE NULL, moment DATETIME(3) NULL, stamp TIMESTAMP(6) NULL, `odd ``name` INT NULL,
    PRIMARY KEY (code, id)
)
"""

# fmt: off
ROWS = (
    (1, "a", 1, "1.1000", 0.1, 0.1, "spaces  ", "fixed", "æøå", b"\xff\x00", b"", "træt", '{"a": 1}',
     "2024-02-29", "2024-02-29 12:00:00.100", "2024-03-31 02:30:00.000001", 1),
    (2, "a", 0, "0.0000", 0.0, 0.0, "", "", "", b"", b"\x80", "glad", "null",
     "1000-01-01", "1000-01-01 00:00:00.000", "1970-01-01 00:00:01.000000", 0),
    (3, "A", *[None] * 15),
    (2**63 - 1, "å", -128, "-9999.9999", 16_777_216.0, 1e300, "🦉", "é", "é", b"0", b"1", "glad", "[]",
     "9999-12-31", "9999-12-31 23:59:59.999", "2038-01-19 03:14:07.999999", -1),
    (2**63, "å", 127, "9999.9999", 1e-45, 5e-324, "a\0b", "x", "ÿ", bytes(100), bytes(99), "glad", "{}",
     "2024-10-27", "2024-10-27 02:30:00.000", "2024-10-27 01:30:00.000000", 2**31 - 1),
)
# fmt: on

SCHEMAS = {"judged": ("sample",), records.SCHEMA: records.TABLES}

# A column that keeps what is put into it: TEXT and REAL would convert numbers.
PLAIN = "BLOB"


@pytest.fixture(scope="module")
def judged(source: "Connection[Any]") -> Iterator["Connection[Any]"]:
    with source.cursor() as cursor:
        cursor.execute("CREATE DATABASE judged CHARACTER SET utf8mb4")
        cursor.execute(SAMPLE)
        cursor.execute("SET time_zone = '+00:00'")
        cursor.executemany(f"INSERT INTO judged.sample VALUES ({', '.join(['%s'] * 17)})", ROWS)
        yield source
        cursor.execute("DROP DATABASE judged")


@pytest.fixture(scope="module")
def copy(judged: "Connection[Any]", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with an exact copy of all tables."""
    path = tmp_path_factory.mktemp("copy") / "exact ?#%.db"
    with closing(sqlite3.connect(path)) as target:
        for schema, tables in SCHEMAS.items():
            for table in tables:
                copy_table(judged, target, schema, table)
        target.commit()
    return path


@pytest.fixture
def target(copy: Path, tmp_path: Path) -> Path:
    """The copy, to plant a difference in."""
    return Path(shutil.copy(copy, tmp_path / "target.db"))


def copy_table(source: "Connection[Any]", target: sqlite3.Connection, schema: str, table: str) -> None:
    with source.cursor() as cursor:
        cursor.execute(f"SHOW COLUMNS FROM {schema}.{table}")
        columns = [(name, kind) for name, kind, *_ in cursor.fetchall()]
        names = [f'"{name}"' for name, _ in columns]
        target.execute(f"CREATE TABLE {table} ({', '.join(f'{name} {PLAIN}' for name in names)})")
        quoted = [f"`{name.replace('`', '``')}`" for name, _ in columns]
        # PyMySQL gives FLOATs as they are printed, and moments as objects that print otherwise.
        read = [
            f"CAST({name} AS DOUBLE)" if kind == "float" else f"CONCAT({name})" if is_moment(kind) else name
            for name, (_, kind) in zip(quoted, columns, strict=True)
        ]
        cursor.execute(f"SELECT {', '.join(read)} FROM {schema}.{table}")
        insert = f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})"
        target.executemany(insert, ([in_sqlite(value) for value in row] for row in cursor.fetchall()))


def is_moment(kind: str) -> bool:
    return kind.startswith(("date", "timestamp", "decimal"))


def in_sqlite(value: object) -> object:
    return str(value) if isinstance(value, int) and value > 2**63 - 1 else value


def change(target: Path, sql: str, *values: object) -> None:
    with closing(sqlite3.connect(target)) as connection:
        assert connection.execute(sql, values).rowcount > 0
        connection.commit()


def judge(judged: "Connection[Any]", target: Path) -> Comparison:
    return compare(judged, "judged", ["sample"], target)


def different(*columns: str, key: tuple[oracle.Value, ...] = ("a", 1)) -> tuple[Difference, ...]:
    kind = DifferenceKind.DIFFERENT
    return (Difference(table="sample", key=key, kind=kind, columns=columns),)


def test_an_exact_copy_has_no_differences(judged: "Connection[Any]", copy: Path) -> None:
    for schema, tables in SCHEMAS.items():
        found = compare(judged, schema, tables, copy)
        assert (found.difference_count, found.differences) == (0, ())
        assert found.rows_source == found.rows_target
        assert set(found.rows_source) == set(tables)
    assert sum(found.rows_source.values()) >= 3_000


def test_the_sessions_zone_and_modes_change_nothing_and_stay(judged: "Connection[Any]", copy: Path) -> None:
    with judged.cursor() as cursor:
        session = ("+05:30", "PAD_CHAR_TO_FULL_LENGTH,ANSI_QUOTES")
        cursor.execute("SET SESSION time_zone = %s, SESSION sql_mode = %s", session)
        assert judge(judged, copy).difference_count == 0
        cursor.execute("SELECT @@SESSION.time_zone, @@SESSION.sql_mode, @@in_transaction")
        assert cursor.fetchone() == ("+05:30", "ANSI_QUOTES,PAD_CHAR_TO_FULL_LENGTH", 0)
        cursor.execute("SET SESSION time_zone = '+00:00', SESSION sql_mode = DEFAULT")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        pytest.param("raw", b"\xff\x01", id="a flipped bit"),
        pytest.param("raw", b"\xff", id="a trailing zero byte lost"),
        pytest.param("raw", None, id="NULL for bytes"),
        pytest.param("picture", None, id="NULL for empty bytes"),
        pytest.param("picture", "", id="empty text for empty bytes"),
        pytest.param("text", "spaces", id="trailing spaces lost"),
        pytest.param("text", "Spaces  ", id="case"),
        pytest.param("text", b"spaces  ", id="text stored as bytes"),
        pytest.param("fixed", "fixed     ", id="CHAR padded"),
        pytest.param("latin", "æøå".encode().decode("latin-1"), id="double encoding"),
        pytest.param("latin", "æøa\u030a", id="a decomposed letter"),
        pytest.param("mood", 2, id="the number of an ENUM"),
        pytest.param("extra", '{"a":1}', id="JSON written anew"),
        pytest.param("small", "1", id="an integer stored as text"),
        pytest.param("small", 1.0, id="an integer stored as a real"),
        pytest.param("small", 2, id="another integer"),
        pytest.param("price", "1.1001", id="the last digit of a decimal"),
        pytest.param("price", "1.1", id="the scale of a decimal"),
        pytest.param("price", 1.1, id="a decimal stored as a real"),
        pytest.param("ratio", 0.10000000894069672, id="a neighbour of a float"),
        pytest.param("ratio", 1e300, id="a float beyond the range"),
        pytest.param("size", 0.09999999999999999, id="a neighbour of a double"),
        pytest.param("size", "0.1", id="a double stored as text"),
        pytest.param("day", "2024-02-28", id="another day"),
        pytest.param("moment", "2024-02-29 11:00:00.100", id="an hour less"),
        pytest.param("moment", "2024-02-29 12:00:00.1", id="digits of the fraction"),
        pytest.param("stamp", "2024-03-31 03:30:00.000001", id="an hour of summer time"),
        pytest.param("stamp", "2024-03-31 02:30:00.000000", id="a microsecond"),
        pytest.param("odd `name", 2, id="a column of an odd name"),
    ],
)
def test_a_value_that_differs_is_found(
    judged: "Connection[Any]", target: Path, column: str, value: object
) -> None:
    change(target, f'UPDATE sample SET "{column}" = ? WHERE code = ? AND id = 1', value, "a")
    assert judge(judged, target).differences == different(column)


@pytest.mark.parametrize(
    ("column", "value"),
    [("ratio", -0.0), ("size", -0.0), ("small", 0.0), ("text", None), ("fixed", None), ("raw", None)],
)
def test_neither_zero_nor_emptiness_has_two_forms(
    judged: "Connection[Any]", target: Path, column: str, value: object
) -> None:
    change(target, f"UPDATE sample SET {column} = ? WHERE id = 2", value)
    assert judge(judged, target).differences == different(column, key=("a", 2))


@pytest.mark.parametrize(("column", "value"), [("text", ""), ("raw", b""), ("small", 0), ("mood", "NULL")])
def test_a_value_where_the_source_has_null_is_found(
    judged: "Connection[Any]", target: Path, column: str, value: object
) -> None:
    change(target, f"UPDATE sample SET {column} = ? WHERE id = 3", value)
    assert judge(judged, target).differences == different(column, key=("A", 3))


def test_a_float_may_be_kept_as_any_double_that_stands_for_it(
    judged: "Connection[Any]", target: Path
) -> None:
    (widened,) = struct.unpack(">f", struct.pack(">f", 0.1))
    for double in (0.1, widened):
        change(target, "UPDATE sample SET ratio = ? WHERE code = ? AND id = 1", double, "a")
        assert judge(judged, target).difference_count == 0


def test_a_row_that_the_target_lacks_is_missing(judged: "Connection[Any]", target: Path) -> None:
    change(target, "DELETE FROM sample WHERE id = 3")
    found = judge(judged, target)
    kind = DifferenceKind.MISSING
    assert found.differences == (Difference(table="sample", key=("A", 3), kind=kind),)
    assert (found.rows_source, found.rows_target) == ({"sample": 5}, {"sample": 4})


def test_a_row_that_the_source_lacks_is_extra(judged: "Connection[Any]", target: Path) -> None:
    change(target, "INSERT INTO sample (code, id) VALUES ('b', 4)")
    kind = DifferenceKind.EXTRA
    assert judge(judged, target).differences == (Difference(table="sample", key=("b", 4), kind=kind),)


@pytest.mark.parametrize("copies", [1, 2, 3])
def test_a_row_that_is_there_more_than_once_is_extra(
    judged: "Connection[Any]", target: Path, copies: int
) -> None:
    for _ in range(copies):
        change(target, "INSERT INTO sample SELECT * FROM sample WHERE id = 3 LIMIT 1")
    found = judge(judged, target)
    assert found.difference_count == copies
    assert {difference.kind for difference in found.differences} == {DifferenceKind.EXTRA}


@pytest.mark.parametrize(
    ("assignment", "new"),
    [("code = 'a'", ("a", 3)), ("id = '3'", ("A", "3")), ("id = 4", ("A", 4))],
)
def test_a_row_under_another_key_is_missing_and_extra(
    judged: "Connection[Any]", target: Path, assignment: str, new: tuple[oracle.Value, ...]
) -> None:
    change(target, f"UPDATE sample SET {assignment} WHERE id = 3")
    assert judge(judged, target).differences == (
        Difference(table="sample", key=("A", 3), kind=DifferenceKind.MISSING),
        Difference(table="sample", key=new, kind=DifferenceKind.EXTRA),
    )


@pytest.mark.parametrize("wrong", [-(2**63), 2.0**63, str(2**63 + 1), b"9223372036854775808"])
def test_an_integer_above_2_to_the_63_is_decimal_text(
    judged: "Connection[Any]", target: Path, wrong: object
) -> None:
    change(target, "UPDATE sample SET id = ? WHERE id = '9223372036854775808'", wrong)
    found = judge(judged, target)
    assert [difference.kind for difference in found.differences] == ["missing", "extra"]
    assert found.differences[0].key == ("å", str(2**63))


def test_a_column_that_the_target_lacks_differs_in_every_row(judged: "Connection[Any]", target: Path) -> None:
    change_schema(target, "ALTER TABLE sample DROP COLUMN mood")
    found = judge(judged, target)
    assert found.difference_count == 5
    assert {difference.columns for difference in found.differences} == {("mood",)}


def test_a_table_that_the_target_lacks_has_all_its_rows_missing(
    judged: "Connection[Any]", target: Path
) -> None:
    change_schema(target, "DROP TABLE sample")
    found = judge(judged, target)
    assert (found.difference_count, found.rows_target) == (5, {"sample": 0})


def change_schema(target: Path, sql: str) -> None:
    with closing(sqlite3.connect(target)) as connection:
        connection.execute(sql)


def test_all_differences_are_counted_but_only_the_first_are_kept(
    judged: "Connection[Any]", target: Path
) -> None:
    change(target, "UPDATE prescription SET dose = dose || '0'")
    change(target, "DELETE FROM dispensing")
    found = compare(judged, records.SCHEMA, records.TABLES, target)
    rows = found.rows_source
    assert found.difference_count == rows["prescription"] + rows["dispensing"] > 2_000
    assert len(found.differences) == oracle.DIFFERENCES_KEPT_MAX


def test_rows_are_matched_by_key_in_whatever_order_they_come(
    judged: "Connection[Any]", target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oracle, "ROWS_PER_BATCH", 1)
    change(target, "UPDATE sample SET small = 9 WHERE id = 1")
    assert judge(judged, target).differences == different("small")


@pytest.mark.parametrize(
    ("definition", "reason"),
    [
        ("id INT PRIMARY KEY, length TIME", "length is of the type time"),
        ("id INT", "no primary key"),
        ("id FLOAT PRIMARY KEY", "no primary key of exact values"),
    ],
)
def test_what_it_cannot_judge_it_refuses(
    judged: "Connection[Any]", target: Path, definition: str, reason: str
) -> None:
    with judged.cursor() as cursor:
        cursor.execute(f"CREATE OR REPLACE TABLE judged.strange ({definition})")
    with pytest.raises(Uncomparable, match=reason):
        compare(judged, "judged", ["strange"], target)


def test_a_failure_in_the_middle_leaves_the_connection_fit_for_use(
    judged: "Connection[Any]", target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oracle, "ROWS_PER_BATCH", 1)
    monkeypatch.setattr(oracle, "_settle", broken)
    with pytest.raises(ZeroDivisionError):
        judge(judged, target)
    monkeypatch.undo()
    assert judge(judged, target).difference_count == 0


def broken(*_arguments: object) -> None:
    raise ZeroDivisionError


def test_the_target_is_never_changed_nor_made(judged: "Connection[Any]", tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        judge(judged, tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []


def test_thousands_of_rows_a_second_are_compared(judged: "Connection[Any]", copy: Path) -> None:
    started_s = time.process_time()  # which stands still while others have the processor
    found = compare(judged, records.SCHEMA, records.TABLES, copy)
    assert sum(found.rows_source.values()) / (time.process_time() - started_s) > 5_000


def test_it_shares_no_code_with_what_it_judges() -> None:
    allowed: Callable[[str], bool] = (sys.stdlib_module_names | {"pymysql"}).__contains__
    imported = set()
    for node in ast.walk(ast.parse(Path(oracle.__file__).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add("." if node.level else str(node.module).split(".")[0])
    assert imported
    assert all(map(allowed, imported))
