"""Values are the same both ways: read from the table, read from the binlog, and as written out by hand."""

import datetime as dt
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cdc.chunks import rows_between
from cdc.events import Committed, RowsChanged
from cdc.frames import frames_at
from cdc.snapshot import _canonical_rows
from cdc.stream import BinlogStream
from changeover.demo.server import PrivateMariaDB
from changeover.mysql.catalog import captured_tables
from changeover.mysql.connection import Connection
from changeover.settings import Settings, SourceSettings
from changeover.table import Table
from changeover.values import Row, Value, row_to_json, shortest_float32
from tests.support.pipeline import schema_of, write_settings
from tests.support.tables import exactly

pytestmark = pytest.mark.filterwarnings("ignore:'db' is deprecated:DeprecationWarning")  # the library's

EVENT_WAIT_S_MAX = 10.0
SERVER_ID = 4_000_001
GENERATED_ROWS = 300
ALL_BYTES = bytes(range(256))

Given = str | int | float | bytes | None

MINUS_ZERO: tuple[Given, Value] = ("-0.0", 0.0)
"""MariaDB stores no -0.0, however it is written."""


def same(*values: Value) -> list[tuple[Given, Value]]:
    """Values that are given to the server as they come back from it."""
    return [(value, value) for value in values]


def integers(bits: int) -> list[tuple[Given, Value]]:
    """The edges of a signed type."""
    return same(-(2 ** (bits - 1)), -1, 0, 1, 2 ** (bits - 1) - 1)


def naturals(bits: int) -> list[tuple[Given, Value]]:
    """The edges of an unsigned type."""
    return same(0, 1, 2 ** (bits - 1) - 1, 2 ** (bits - 1), 2**bits - 1)


def moments(digits: int, *whole: str) -> list[tuple[Given, Value]]:
    """Moments with the least, a middling and the greatest fraction."""
    fractions = {f".{part:0>{digits}}"[: 1 + digits] for part in ("0", "1", "5" + "0" * 5, "9" * 6)}
    return (
        same(*(f"{text}{fraction}" for text in whole for fraction in sorted(fractions)))
        if digits
        else same(*whole)
    )


FLOAT_MAX = 3.4028234663852886e38
MANY_LABELS = "ENUM(" + ", ".join(f"'v{number}'" for number in range(300)) + ")"
DATETIMES = ("0001-01-01 00:00:00", "1969-12-31 23:59:59", "2024-03-31 02:30:00", "9999-12-31 23:59:59")
TIMESTAMPS = ("1970-01-01 00:00:01", "2024-03-31 01:30:00", "2024-10-27 01:30:00", "2038-01-19 03:14:07")

CASES: dict[str, tuple[str, list[tuple[Given, Value]]]] = {
    # name: (type, (what is inserted, the canonical value))
    "tinyint": ("TINYINT", integers(8)),
    "tinyint_unsigned": ("TINYINT UNSIGNED", naturals(8)),
    "bool": ("BOOL", same(0, 1)),
    "smallint": ("SMALLINT", integers(16)),
    "smallint_unsigned": ("SMALLINT UNSIGNED", naturals(16)),
    "mediumint": ("MEDIUMINT", integers(24)),
    "mediumint_unsigned": ("MEDIUMINT UNSIGNED", naturals(24)),
    "int": ("INT", integers(32)),
    "int_unsigned": ("INT UNSIGNED", naturals(32)),
    "int_zerofill": ("INT(8) ZEROFILL", same(0, 42, 2**32 - 1)),
    "bigint": ("BIGINT", [*integers(64), *same(2**53 + 1)]),
    "bigint_unsigned": ("BIGINT UNSIGNED", naturals(64)),
    "decimal_5_0": ("DECIMAL(5)", [*same("-99999", "0", "7", "99999"), ("-0", "0"), ("1.5", "2")]),
    "decimal_5_5": ("DECIMAL(5,5)", same("-0.99999", "0.00000", "0.00001", "-0.00001", "0.99999")),
    "decimal_30_10": (
        "DECIMAL(30,10)",
        [
            *same("-99999999999999999999.9999999999", "99999999999999999999.9999999999"),
            *same("0.0000000001", "-0.0000000001", "1.1000000000"),
            ("1.1", "1.1000000000"),
            ("-0.00000000001", "0.0000000000"),
            (7, "7.0000000000"),
        ],
    ),
    "decimal_65_30": ("DECIMAL(65,30)", same("-" + "9" * 35 + "." + "9" * 30, "0." + "0" * 29 + "1")),
    "decimal_unsigned": ("DECIMAL(9,2) UNSIGNED", same("0.00", "9999999.99")),
    "decimal_zerofill": ("DECIMAL(6,2) ZEROFILL", [("1.5", "1.50"), ("0", "0.00"), ("0.07", "0.07")]),
    "float": (
        "FLOAT",
        [
            *same(0.0, 0.1, -0.1, 1.5, 16777216.0, 1e-10, 1.1754944e-38),
            *[(FLOAT_MAX, 3.4028235e38), (-FLOAT_MAX, -3.4028235e38)],
            *[
                MINUS_ZERO,
                (1e-45, 1e-45),
                (16777217, 16777216.0),
                (0.123456789, 0.12345679),
                (8388609.5, 8388610.0),
            ],
        ],
    ),
    "float_unsigned": ("FLOAT UNSIGNED", [*same(0.0, 0.1), (FLOAT_MAX, 3.4028235e38)]),
    "float_7_3": ("FLOAT(7,3)", [(1.5, 1.5), (0.0004, 0.0), (9999.999, 9999.999), (1.0006, 1.001)]),
    "double": (
        "DOUBLE",
        [
            MINUS_ZERO,
            *same(0.0, 0.1, 0.1 + 0.2, 1 / 3, -1e300, 1e15, 1e16, 1e22, 123456789012345680.0, 2.0**53),
            *same(5e-324, 2.2250738585072014e-308, 1.7976931348623157e308),
        ],
    ),
    "double_10_3": ("DOUBLE(10,3)", [(1.5, 1.5), (0.0004, 0.0), (-1234567.891, -1234567.891)]),
    "char": ("CHAR(10)", [*same("", "a", " a", "ž💾\\'\"", "\t"), ("a  ", "a"), ("   ", "")]),
    "varchar": ("VARCHAR(20)", same("", "a", " a ", "   ", "\0", "NULL", "0", "1.10", "\r\n", "ž💾\\'\"%s")),
    "varchar_long": ("VARCHAR(300)", same("", "x" * 300, "💾" * 300)),
    "tinytext": ("TINYTEXT", same("", "x" * 255, " ")),
    "text": ("TEXT", same("", "\U0010ffff\uffff\ud7ff\ue000", "x" * 65_535, "{}")),
    "mediumtext": ("MEDIUMTEXT", same("", "ž" * 40_000)),
    "longtext": ("LONGTEXT", same("", "💾" * 100_000)),
    "text_ci": ("TEXT COLLATE utf8mb4_unicode_ci", same("A", "a", "á", "a\u0301")),
    "json": ("JSON", same("{}", "null", '"ž"', '{"b": 1.10, "a": [1, 2,  3]}', "12345678901234567890.10")),
    "enum": (
        "ENUM('a', 'B', 'ž💾', '', 'it''s', '1')",
        [*same("a", "B", "ž💾", "", "it's", "1"), ("b", "B"), (6, "1")],
    ),
    "enum_many": (MANY_LABELS, same("v0", "v254", "v255", "v299")),
    "varbinary": ("VARBINARY(300)", same(b"", b"\0", b"a\0", b"a ", b"\xff\xfe", ALL_BYTES, b"'\\")),
    "tinyblob": ("TINYBLOB", same(b"", b"\0\0", ALL_BYTES[1:])),
    "blob": ("BLOB", same(b"", b"abc", ALL_BYTES * 255)),
    "mediumblob": ("MEDIUMBLOB", same(b"", ALL_BYTES * 300)),
    "longblob": ("LONGBLOB", same(b"", b"\0" * 1_000_000)),
    "date": ("DATE NOT NULL", same("0001-01-01", "1000-01-01", "1969-12-31", "2024-02-29", "9999-12-31")),
    **{
        f"datetime_{digits}": (f"DATETIME({digits}) NOT NULL", moments(digits, *DATETIMES))
        for digits in range(7)
    },
    **{
        f"timestamp_{digits}": (f"TIMESTAMP({digits}) NOT NULL", moments(digits, *TIMESTAMPS))
        for digits in range(7)
    },
    "timestamp_first": (
        "TIMESTAMP(6) NOT NULL",
        same("1970-01-01 00:00:00.000001", "1970-01-01 00:00:00.999999"),
    ),
}

WIDE_COLUMNS: dict[str, tuple[str, st.SearchStrategy[Value]]] = {
    "c_int": ("INT", st.integers(-(2**31), 2**31 - 1)),
    "c_big": ("BIGINT UNSIGNED", st.integers(0, 2**64 - 1)),
    "c_decimal": (
        "DECIMAL(38,9)",
        st.decimals(-(10**28), 10**28, places=9, allow_nan=False).map(
            lambda number: f"{number:.9f}" if number else "0.000000000"
        ),
    ),
    "c_float": ("FLOAT", st.floats(width=32, allow_nan=False, allow_infinity=False)),
    "c_double": ("DOUBLE", st.floats(allow_nan=False, allow_infinity=False)),
    "c_text": ("TEXT", st.text(st.characters(exclude_categories=["Cs"]))),
    "c_varchar": ("VARCHAR(50)", st.text(st.characters(exclude_categories=["Cs"]), max_size=50)),
    "c_enum": ("ENUM('a', 'ž')", st.sampled_from(["a", "ž"])),
    "c_blob": ("BLOB", st.binary()),
    "c_bytes": ("VARBINARY(50)", st.binary(max_size=50)),
    "c_date": ("DATE NOT NULL", st.dates().map(str)),
    "c_datetime": ("DATETIME(6) NOT NULL", st.datetimes().map(lambda at: at.isoformat(" ", "microseconds"))),
    "c_timestamp": (
        "TIMESTAMP(3) NOT NULL",
        st.datetimes(dt.datetime(1970, 1, 1, 0, 0, 1), dt.datetime(2038, 1, 19)).map(  # noqa: DTZ001
            lambda at: at.isoformat(" ", "milliseconds")
        ),
    ),
}


def table_statements() -> Iterator[str]:
    for name, (sql_type, _) in CASES.items():
        yield f"CREATE TABLE v_{name} (id INT PRIMARY KEY, v {sql_type})"
    columns = ", ".join(f"{name} {sql_type}" for name, (sql_type, _) in WIDE_COLUMNS.items())
    yield f"CREATE TABLE wide (id INT PRIMARY KEY, {columns})"


@pytest.fixture(scope="module")
def source(mariadb: PrivateMariaDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SourceSettings]:
    folder: Path = tmp_path_factory.mktemp("values")
    with schema_of(mariadb, "both_ways", *table_statements()) as schema:
        yield Settings.load(write_settings(mariadb, schema, folder)).source


class Ways:
    """Rows of tables as they came out of the binlog and as a SELECT reads them."""

    def __init__(self, streamed: dict[str, list[Row]], selected: dict[str, list[Row]]) -> None:
        self.streamed = streamed
        self.selected = selected


def both_ways(
    source: SourceSettings, tables: Sequence[Table], fill: Mapping[str, Sequence[Sequence[Given]]]
) -> Ways:
    """Insert the rows in one transaction, and read them both ways."""
    with Connection(source) as connection:
        position = connection.value("SELECT @@global.gtid_binlog_pos") or "0-1-0"
        with connection.transaction():
            for name, rows in fill.items():
                for row in rows:
                    marks = ", ".join(["%s"] * len(row))
                    connection.execute(f"INSERT INTO both_ways.{name} VALUES ({marks})", row)
        selected = {
            table.name: _canonical_rows(table, connection.raw(*rows_between(table, None, None)))
            for table in tables
        }
    streamed: dict[str, list[Row]] = {table.name: [] for table in tables}
    stream = BinlogStream(source, "test", tables, frames_at(position, "0-1"), SERVER_ID)
    try:
        while not isinstance(event := stream.next(EVENT_WAIT_S_MAX), Committed):
            assert event is not None, "nothing came"
            if isinstance(event, RowsChanged):
                streamed[event.table.name] += [after for _, after in event.rows if after is not None]
    finally:
        stream.close()
    return Ways(streamed, selected)


@contextmanager
def machine_in(zone: str) -> Iterator[None]:
    """The machine's own time zone is another one."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = zone
    time.tzset()
    try:
        yield
    finally:
        os.environ.pop("TZ")
        if before is not None:
            os.environ["TZ"] = before
        time.tzset()


@pytest.fixture(scope="module")
def ways(source: SourceSettings) -> Ways:
    with Connection(source) as connection:
        tables = [table for table in captured_tables(connection) if table.name != "wide"]
    fill = {
        f"v_{name}": [
            *((number, inserted) for number, (inserted, _) in enumerate(values)),
            *([] if "NOT NULL" in sql_type else [(1_000, None)]),
        ]
        for name, (sql_type, values) in CASES.items()
    }
    with machine_in("America/St_Johns"):
        return both_ways(source, tables, fill)


def as_bytes(table_rows: Sequence[Row]) -> list[bytes]:
    """Rows as the log's JSON would hold them, bytes by their hex."""
    return [
        orjson.dumps(
            {name: value.hex() if isinstance(value, bytes) else value for name, value in row.items()}
        )
        for row in table_rows
    ]


def expected(name: str) -> list[Row]:
    """The canonical rows of the case, written out by hand."""
    sql_type, values = CASES[name]
    rows: list[Row] = [{"id": number, "v": value} for number, (_, value) in enumerate(values)]
    return rows if "NOT NULL" in sql_type else [*rows, {"id": 1_000, "v": None}]


@pytest.mark.parametrize("name", CASES)
def test_a_value_is_the_same_from_the_table_and_from_the_binlog_and_as_it_should_be(
    ways: Ways, name: str
) -> None:
    wanted = [exactly(row) for row in expected(name)]
    assert [exactly(row) for row in ways.selected[f"v_{name}"]] == wanted
    assert [exactly(row) for row in ways.streamed[f"v_{name}"]] == wanted
    assert as_bytes(ways.selected[f"v_{name}"]) == as_bytes(ways.streamed[f"v_{name}"])


def generated_rows() -> list[dict[str, Value]]:
    """As many rows as hypothesis thinks up."""
    found: list[dict[str, Value]] = []
    rows = st.fixed_dictionaries(
        {
            name: values if "NOT NULL" in sql_type else st.none() | values
            for name, (sql_type, values) in WIDE_COLUMNS.items()
        }
    )

    @settings(
        max_examples=GENERATED_ROWS,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(row=rows)
    def collect(row: dict[str, Value]) -> None:
        found.append(row)

    collect()
    return found


def _canonical(row: Row) -> Row:
    """The row as it must be read."""
    number = row["c_float"]
    short = {**row, "c_float": shortest_float32(number) if isinstance(number, float) else number}
    return {name: value + 0.0 if isinstance(value, float) else value for name, value in short.items()}


def test_rows_of_every_kind_at_once_are_the_same_both_ways_and_as_they_were_written(
    source: SourceSettings,
) -> None:
    rows = [
        {"id": number} | {name: row[name] for name in WIDE_COLUMNS}
        for number, row in enumerate(generated_rows())
    ]
    with Connection(source) as connection:
        (wide,) = (table for table in captured_tables(connection) if table.name == "wide")
    ways = both_ways(source, [wide], {"wide": [list(row.values()) for row in rows]})
    assert len(rows) > GENERATED_ROWS / 2
    for row, selected, streamed in zip(rows, ways.selected["wide"], ways.streamed["wide"], strict=True):
        assert exactly(selected) == exactly(streamed)
        assert exactly(streamed) == exactly(_canonical(row))
        assert orjson.dumps(row_to_json(wide, selected)) == orjson.dumps(row_to_json(wide, streamed))
