from typing import Any

import pytest
from pymysql.connections import Connection

from changeover.demo import records
from changeover.demo.rows import CITIZENS_MAX, citizen_number

TYPES = {
    *("tinyint", "smallint", "int", "bigint", "decimal", "float", "double"),
    *("char", "varchar", "text", "longtext", "enum", "varbinary", "blob"),
    *("date", "datetime", "timestamp"),
}


def one(connection: "Connection[Any]", sql: str) -> Any:  # noqa: ANN401 - whatever the server gives
    with connection.cursor() as cursor:
        cursor.execute(sql)
        (value,) = cursor.fetchone()
        return value


def column(connection: "Connection[Any]", sql: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return [value for (value,) in cursor.fetchall()]


def count(connection: "Connection[Any]", table: str, where: str = "TRUE") -> int:
    return int(one(connection, f"SELECT COUNT(*) FROM records.{table} WHERE {where}"))


def checksums(connection: "Connection[Any]") -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute(f"CHECKSUM TABLE {', '.join(f'records.{table}' for table in records.TABLES)}")
        return dict(cursor.fetchall())


def test_the_tables_use_every_column_type_that_is_moved_and_no_other(source: "Connection[Any]") -> None:
    of_records = "FROM information_schema.columns WHERE table_schema = 'records'"
    assert set(column(source, f"SELECT data_type {of_records}")) == TYPES
    for name in ("tinyint", "smallint", "int", "bigint"):
        signs = column(
            source, f"SELECT DISTINCT column_type LIKE '%unsigned' {of_records} AND data_type = '{name}'"
        )
        assert sorted(signs) == [0, 1], name


def test_no_moment_can_be_null_or_a_zero_date(source: "Connection[Any]") -> None:
    moments = "data_type IN ('date', 'datetime', 'timestamp') AND is_nullable = 'YES'"
    where = f"table_schema = 'records' AND {moments}"
    assert one(source, f"SELECT COUNT(*) FROM information_schema.columns WHERE {where}") == 0
    for table in records.TABLES:
        assert count(source, table, "changed_at < '1970-01-01 00:00:01'") == 0


def test_one_key_is_a_text_one_is_composite_and_one_is_above_2_to_the_63(source: "Connection[Any]") -> None:
    keys = "SELECT GROUP_CONCAT(column_name ORDER BY ordinal_position) FROM information_schema.columns"
    where = "WHERE table_schema = 'records' AND column_key = 'PRI' GROUP BY table_name ORDER BY table_name"
    assert column(source, f"{keys} {where}") == ["cpr", "id", "id", "cpr,number"]
    assert count(source, "dispensing", "id >= 9223372036854775808") > 0
    assert count(source, "citizen", "cpr IN ('010190-Xab1', '010190-XAb1')") == 2


@pytest.mark.parametrize(
    ("table", "where"),
    [
        ("citizen", "address IS NULL"),
        ("citizen", "address = ''"),
        ("citizen", "address LIKE '% '"),
        ("citizen", "full_name LIKE '%ø%' COLLATE utf8mb4_bin"),
        ("citizen", "note LIKE '%📱%' COLLATE utf8mb4_bin"),
        ("citizen", "INSTR(note, CHAR(0)) > 0"),
        ("citizen", "preferences LIKE '%\\\\\\\\u00%'"),
        ("citizen", "fingerprint IS NULL"),
        ("citizen", "fingerprint = ''"),
        ("medicine", "barcode > 9223372036854775807"),
        ("medicine", "picture LIKE _binary X'25FF25'"),
        ("prescription", "signature IS NULL"),
        ("dispensing", "balance_oere < 0"),
        ("dispensing", "receipt = '' AND receipt IS NOT NULL"),
    ],
)
def test_the_values_that_are_easily_lost_are_there(source: "Connection[Any]", table: str, where: str) -> None:
    assert count(source, table, where) > 0


@pytest.mark.parametrize("rows", [1, 10, 1_234])
def test_at_least_the_asked_rows_are_inserted_and_progress_is_told(
    source: "Connection[Any]", rows: int
) -> None:
    told: list[tuple[int, int]] = []
    records.create(source)
    inserted = records.fill(source, rows, seed=1, on_progress=lambda *progress: told.append(progress))
    assert sum(count(source, table) for table in records.TABLES) == inserted >= rows
    assert told[-1] == (inserted, inserted)
    assert [done for done, _ in told] == sorted({done for done, _ in told})


def test_one_seed_gives_the_same_rows_again_and_another_gives_others(source: "Connection[Any]") -> None:
    found = []
    for seed in (1, 1, 2):
        records.create(source)
        records.fill(source, 1_000, seed)
        found.append(checksums(source))
    assert found[0] == found[1]
    assert all(found[0][table] != found[2][table] for table in found[0])


def test_every_citizen_has_another_number() -> None:
    indexes = [*range(100_000), *range(CITIZENS_MAX - 100_000, CITIZENS_MAX)]
    assert len({citizen_number(index) for index in indexes}) == len(indexes)
