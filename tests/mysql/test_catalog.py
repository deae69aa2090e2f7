"""The catalog: which tables the settings name, and why one of them cannot be moved exactly."""

import re
from collections.abc import Iterator, Sequence

import pytest
from pydantic import SecretStr

from changeover.demo.mysql8 import PrivateMySQL
from changeover.demo.server import PrivateMariaDB
from changeover.demo.sql import SQLServer
from changeover.errors import SettingsInvalid, TableUnfit
from changeover.mysql.catalog import captured_tables
from changeover.mysql.connection import Connection
from changeover.settings import SourceSettings
from changeover.table import Column, Kind, Table
from tests.support.pipeline import schema_of

UNFIT_COLUMNS = {
    # table: (the column c, what is said behind unfit.<table>)
    "enum_binary": ("ENUM('a') CHARACTER SET binary", ".c has character set binary, in which this release"),
}

FIT_COLUMNS = {
    # table: (the column c, its kind, its character set)
    "bit_": ("BIT(8)", Kind.BIT, ""),
    "set_": ("SET('a', 'b')", Kind.SET, "utf8mb4"),
    "time_": ("TIME(3)", Kind.TIME, ""),
    "year_": ("YEAR", Kind.YEAR, ""),
    "binary_": ("BINARY(4)", Kind.BINARY, ""),
    "char_byte": ("CHAR(4) BYTE", Kind.BINARY, ""),
    "text_byte": ("TEXT CHARACTER SET binary", Kind.BYTES, ""),
    "geometry_": ("GEOMETRY", Kind.GEOMETRY, ""),
    "point_": ("POINT", Kind.GEOMETRY, ""),
    "polygon_": ("POLYGON NOT NULL", Kind.GEOMETRY, ""),
    "collection_": ("GEOMETRYCOLLECTION", Kind.GEOMETRY, ""),
    "uuid_": ("UUID", Kind.UUID, ""),
    "inet4_": ("INET4", Kind.INET4, ""),
    "inet6_": ("INET6", Kind.INET6, ""),
    "latin1_": ("VARCHAR(9) CHARACTER SET latin1", Kind.TEXT, "latin1"),
    "utf8mb3_": ("TEXT CHARACTER SET utf8mb3", Kind.TEXT, "utf8mb3"),
    "national_": ("NATIONAL CHAR(9)", Kind.TEXT, "utf8mb3"),
    "utf16_": ("CHAR(9) CHARACTER SET utf16", Kind.TEXT, "utf16"),
    "enum_latin1": ("ENUM('a') CHARACTER SET latin1", Kind.ENUM, "latin1"),
    "json_": ("JSON", Kind.TEXT, "utf8mb4"),
    "date_": ("DATE", Kind.DATE, ""),
    "datetime_": ("DATETIME(6)", Kind.DATETIME, ""),
    "timestamp_": ("TIMESTAMP NULL", Kind.TIMESTAMP, ""),
    "virtual_": ("INT AS (id + 1) VIRTUAL", Kind.INTEGER, ""),
    "stored_": ("INT AS (id + 1) STORED", Kind.INTEGER, ""),
    "invisible_": ("INT INVISIBLE", Kind.INTEGER, ""),
    "blob_compressed": ("BLOB COMPRESSED", Kind.BYTES, ""),
    "varchar_compressed": ("VARCHAR(99) COMPRESSED", Kind.TEXT, "utf8mb4"),
}

ROW_START = """(
    id INT PRIMARY KEY, f TIMESTAMP(6) GENERATED ALWAYS AS ROW START,
    t TIMESTAMP(6) GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (f, t)
) WITH SYSTEM VERSIONING"""

UNFIT_TABLES = {
    # table: (its definition, what is said behind unfit.<table>)
    "keyless": ("(id INT)", " has no primary key"),
    "only_unique": ("(id INT NOT NULL UNIQUE)", " has no primary key"),
    "text_prefix": ("(id TEXT NOT NULL, PRIMARY KEY (id(10)))", ".id is in the primary key by a prefix only"),
    "second_prefix": (
        "(id INT, name VARCHAR(99), PRIMARY KEY (id, name(3)))",
        ".name is in the primary key by a prefix only",
    ),
    "enum_key": ("(id ENUM('a', 'b') PRIMARY KEY)", ".id is a ENUM in the primary key, which has no usable"),
    "float_key": ("(id FLOAT PRIMARY KEY)", ".id is a FLOAT in the primary key, which has no usable order"),
    "double_key": (
        "(a INT, id DOUBLE, PRIMARY KEY (a, id))",
        ".id is a DOUBLE in the primary key, which has",
    ),
    "set_key": ("(id SET('a', 'b') PRIMARY KEY)", ".id is a SET in the primary key, which has no usable"),
    "sjis_key": (
        "(id VARCHAR(9) CHARACTER SET sjis PRIMARY KEY)",
        ".id is in the primary key in sjis, which can store one text in two ways",
    ),
    "long_unique": (
        "(id INT PRIMARY KEY, body TEXT, UNIQUE whole (body))",
        " has index whole over whole long values, as UNIQUE, which puts a hidden column into the binlog",
    ),
    "row_start": (ROW_START, " is system-versioned, which this release does not move"),
}

FIT_TABLE = """
CREATE TABLE fit (
    b BIGINT UNSIGNED, a VARCHAR(20) COLLATE utf8mb4_bin, c TINYINT(1), d DECIMAL(65,30), e FLOAT, f DOUBLE,
    g CHAR(3) COLLATE utf8mb4_unicode_ci, h TINYTEXT, i LONGTEXT, j ENUM('x', 'ž'), k JSON, l VARBINARY(9),
    m TINYBLOB, n LONGBLOB, o DATE NOT NULL, p DATETIME(3) NOT NULL, q TIMESTAMP(6) NOT NULL,
    r TIMESTAMP NOT NULL, s MEDIUMINT DEFAULT 5, t INT NOT NULL AUTO_INCREMENT UNIQUE, `u v``w` SMALLINT,
    PRIMARY KEY (a, b)
)"""

SCHEMAS = (
    "CREATE DATABASE catalog_control",
    "CREATE TABLE catalog_control.heartbeat (id INT PRIMARY KEY)",
    *(f"CREATE TABLE {name} (id INT PRIMARY KEY, c {column})" for name, (column, _) in UNFIT_COLUMNS.items()),
    *(f"CREATE TABLE {name} (id INT PRIMARY KEY, c {row[0]})" for name, row in FIT_COLUMNS.items()),
    *(f"CREATE TABLE {name} {definition}" for name, (definition, _) in UNFIT_TABLES.items()),
    FIT_TABLE,
    "CREATE TABLE versioned (id INT PRIMARY KEY, c INT) WITH SYSTEM VERSIONING",
    "CREATE VIEW fit_view AS SELECT 1 AS id",
    "CREATE SEQUENCE fit_sequence",
    "CREATE TABLE other.fit (id INT PRIMARY KEY)",
    "CREATE TABLE cased.CaseD (id INT PRIMARY KEY)",
    "CREATE TABLE cased.cased (id INT PRIMARY KEY)",
    "CREATE TABLE cased.cafe (id INT PRIMARY KEY)",
    "CREATE TABLE cased.café (id INT PRIMARY KEY, more INT)",
    "CREATE TABLE cased.plain (id INT PRIMARY KEY)",
    "CREATE TABLE other.plain (id INT PRIMARY KEY)",
    "CREATE TABLE other.`with space` (id INT PRIMARY KEY)",
)


@pytest.fixture(scope="module")
def server(mariadb: PrivateMariaDB) -> Iterator[PrivateMariaDB]:
    statements = [re.sub(r"TABLE (other|cased)\.", r"TABLE catalog_\1.", statement) for statement in SCHEMAS]
    with (
        schema_of(mariadb, "catalog_other"),
        schema_of(mariadb, "catalog_cased"),
        schema_of(mariadb, "catalog", *statements),
    ):
        yield mariadb


def captured(server: SQLServer, include: Sequence[str], exclude: Sequence[str] = ()) -> list[Table]:
    """The tables that these settings capture."""
    source = SourceSettings(
        url=f"mysql://{server.user}@{server.host}:{server.port}",
        password=SecretStr(server.password),
        include=tuple(include),
        exclude=tuple(exclude),
        control_schema="catalog_control",
    )
    with Connection(source) as connection:
        return captured_tables(connection)


def names(tables: Sequence[Table]) -> list[str]:
    """Full names."""
    return [table.full_name for table in tables]


def complaint(server: SQLServer, *include: str) -> str:
    """What is said against the tables."""
    with pytest.raises(TableUnfit) as caught:
        captured(server, include)
    return str(caught.value)


# -- which tables ------------------------------------------------------------------------------------------


def test_a_table_is_included_by_its_name(server: PrivateMariaDB) -> None:
    assert names(captured(server, ["catalog_other.plain"])) == ["catalog_other.plain"]


def test_patterns_take_any_text_or_one_character(server: PrivateMariaDB) -> None:
    found = names(captured(server, ["*_other.pl*", "catalog_other.with?space"]))
    assert found == ["catalog_other.plain", "catalog_other.with space"]


def test_excluded_wins_over_included(server: PrivateMariaDB) -> None:
    found = names(captured(server, ["catalog_other.*"], ["*.fit", "catalog_other.pl?in"]))
    assert found == ["catalog_other.with space"]


def test_names_are_matched_with_their_case(server: PrivateMariaDB) -> None:
    assert names(captured(server, ["catalog_cased.C*"])) == ["catalog_cased.CaseD"]


@pytest.mark.parametrize("pattern", ["catalog_other.PLAIN", "nowhere.*", "mysql.*", "information_schema.*"])
def test_a_pattern_that_matches_nothing_is_named(server: PrivateMariaDB, pattern: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        captured(server, [pattern])
    assert f"source.include names no table: nothing matches {pattern}" in str(caught.value)
    assert "SHOW TABLES" in str(caught.value)


def test_what_is_excluded_entirely_is_no_table(server: PrivateMariaDB) -> None:
    with pytest.raises(SettingsInvalid, match="names no table"):
        captured(server, ["catalog_other.*"], ["*.*"])


def test_the_control_schema_is_never_captured(server: PrivateMariaDB) -> None:
    with pytest.raises(SettingsInvalid, match="names no table"):
        captured(server, ["catalog_control.*"])
    assert "catalog_control.heartbeat" not in names(
        captured(server, ["catalog_*.*"], ["*.fit", "catalog_cased.*", "catalog.*"])
    )


def test_views_and_sequences_are_no_tables(server: PrivateMariaDB) -> None:
    assert names(captured(server, ["catalog.fit*"])) == ["catalog.fit"]


# -- what a table is ---------------------------------------------------------------------------------------


def test_a_table_has_its_columns_in_order_and_its_key_in_the_keys_order(server: PrivateMariaDB) -> None:
    (table,) = captured(server, ["catalog.fit"])
    assert table.key == ("a", "b")
    assert "".join(table.column_names) == "bacdefghijklmnopqrstu v`w"
    assert [column.kind for column in table.columns] == [
        *(Kind.INTEGER, Kind.TEXT, Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT, Kind.DOUBLE),
        *(Kind.TEXT, Kind.TEXT, Kind.TEXT, Kind.ENUM, Kind.TEXT, Kind.BYTES),
        *(Kind.BYTES, Kind.BYTES, Kind.DATE, Kind.DATETIME, Kind.TIMESTAMP, Kind.TIMESTAMP),
        *(Kind.INTEGER, Kind.INTEGER, Kind.INTEGER),
    ]


def test_a_column_knows_its_type_its_fraction_and_whether_it_can_be_null(server: PrivateMariaDB) -> None:
    (table,) = captured(server, ["catalog.fit"])
    columns = {column.name: column for column in table.columns}
    assert columns["b"] == Column(
        name="b", kind=Kind.INTEGER, sql_type="bigint(20) unsigned", nullable=False, fraction_digits=0
    )
    assert columns["d"].sql_type == "decimal(65,30)"
    assert columns["d"].nullable
    assert [columns[name].fraction_digits for name in "opqr"] == [0, 3, 6, 0]


@pytest.mark.parametrize("name", FIT_COLUMNS)
def test_a_column_of_every_type_has_its_kind_and_a_text_its_character_set(
    server: PrivateMariaDB, name: str
) -> None:
    (table,) = captured(server, [f"catalog.{name}"])
    _, kind, charset = FIT_COLUMNS[name]
    assert [(column.kind, column.charset) for column in table.columns[1:]] == [(kind, charset)]


def test_two_readings_of_one_table_have_one_fingerprint(server: PrivateMariaDB) -> None:
    (one,), (two,) = (captured(server, ["catalog.fit"]) for _ in range(2))
    assert one.fingerprint == two.fingerprint


# -- what cannot be moved ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", UNFIT_COLUMNS)
def test_a_column_that_cannot_be_moved_exactly_is_refused_by_name(server: PrivateMariaDB, name: str) -> None:
    assert complaint(server, f"catalog.{name}").startswith(f"catalog.{name}{UNFIT_COLUMNS[name][1]}")


@pytest.mark.parametrize("name", UNFIT_TABLES)
def test_a_table_without_a_usable_key_is_refused_by_name(server: PrivateMariaDB, name: str) -> None:
    assert complaint(server, f"catalog.{name}").startswith(f"catalog.{name}{UNFIT_TABLES[name][1]}")


def test_every_complaint_is_made_at_once_in_one_line_with_the_mend(server: PrivateMariaDB) -> None:
    said = complaint(server, "catalog.*")
    for name, (_, why) in (UNFIT_COLUMNS | UNFIT_TABLES).items():
        assert f"catalog.{name}{why}" in said
    assert "catalog.fit" not in said
    assert "\n" not in said
    assert said.endswith("Change the table, or put it in source.exclude.")


def test_two_tables_of_one_name_in_two_schemas_would_be_one_table(server: PrivateMariaDB) -> None:
    said = complaint(server, "catalog*.fit")
    assert said.startswith("catalog.fit and catalog_other.fit would be one table in the target")


def test_two_tables_whose_names_differ_in_case_only_would_be_one_table(server: PrivateMariaDB) -> None:
    said = complaint(server, "catalog_cased.*")
    assert re.search(
        r"catalog_cased\.(CaseD|cased) and .*\.(CaseD|cased) would be one table in the target", said
    )


def test_two_tables_whose_names_differ_in_accents_only_are_refused_for_information_schema_mixes_them(
    server: PrivateMariaDB,
) -> None:
    with pytest.raises(TableUnfit, match=r"catalog_cased\.caf"):
        captured(server, ["catalog_cased.caf?"])


@pytest.mark.parametrize("name", ["cased", "cafe"])
def test_a_table_beside_one_that_is_named_almost_alike_is_captured(server: PrivateMariaDB, name: str) -> None:
    assert names(captured(server, [f"catalog_*.{name}", "catalog_cased.plain"])) == [
        f"catalog_cased.{name}",
        "catalog_cased.plain",
    ]


@pytest.mark.parametrize(
    ("schema", "table", "pattern"),
    [("catalog_other", "do.t", "catalog_other.do?t"), ("catalog.dotted", "t", "catalog?dotted.t")],
)
def test_a_table_with_a_dot_in_its_name_or_its_schemas_is_refused(
    server: PrivateMariaDB, schema: str, table: str, pattern: str
) -> None:
    with server.connect() as root, root.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE IF NOT EXISTS `{schema}`")
        cursor.execute(f"CREATE TABLE `{schema}`.`{table}` (id INT PRIMARY KEY)")
        try:
            said = complaint(server, pattern)
        finally:
            cursor.execute(f"DROP TABLE `{schema}`.`{table}`")
            cursor.execute("DROP DATABASE IF EXISTS `catalog.dotted`")
    assert said.startswith(f"{schema}.{table} has a dot in its name")


def test_a_table_with_hidden_versions_of_its_rows_is_refused(server: PrivateMariaDB) -> None:
    assert complaint(server, "catalog.versioned").startswith("catalog.versioned")


def test_a_mysql_table_with_an_index_over_an_expression_is_refused(mysql: PrivateMySQL) -> None:
    table = "CREATE TABLE sums (id INT PRIMARY KEY, a INT, KEY twice ((a * 2)))"
    with schema_of(mysql, "catalog", table):
        said = complaint(mysql, "catalog.sums")
    assert said.startswith("catalog.sums has index twice over an expression, which puts a hidden column")
