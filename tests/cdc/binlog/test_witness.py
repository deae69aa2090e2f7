"""The decoder against mysql-replication, on one binlog, in the values that the library reads right."""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from changeover.demo.server import PrivateMariaDB
from changeover.demo.sql import SQLServer
from changeover.mysql.catalog import captured_tables
from changeover.mysql.connection import Connection
from changeover.settings import Settings
from changeover.values import Value
from tests.support.pipeline import schema_of, write_settings
from tests.support.second_reader import transactions_behind
from tests.support.streamed import end_of_binlog, images_behind

ROWS = 200

any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
COLUMNS: Mapping[str, tuple[str, st.SearchStrategy[Value]]] = {
    "tiny": ("TINYINT", st.integers(-128, 127)),
    "small": ("SMALLINT UNSIGNED", st.integers(0, 2**16 - 1)),
    "medium": ("MEDIUMINT", st.integers(-(2**23), 2**23 - 1)),
    "mediumu": ("MEDIUMINT UNSIGNED", st.integers(0, 2**24 - 1)),
    "big": ("BIGINT UNSIGNED", st.integers(0, 2**64 - 1)),
    "amount": (
        "DECIMAL(65,30)",
        st.decimals(-(10**34), 10**34, places=30, allow_nan=False).map("{:f}".format),
    ),
    "price": ("DECIMAL(10,2)", st.decimals(-(10**7), 10**7, places=2, allow_nan=False).map("{:f}".format)),
    "ratio": ("FLOAT", st.floats(-(2.0**99), 2.0**99, width=32)),
    "size": ("DOUBLE", st.floats(allow_nan=False, allow_infinity=False)),
    "name": ("VARCHAR(20)", any_text),
    "code": ("CHAR(20)", any_text.map(lambda text: text.rstrip(" "))),
    "old": (
        "VARCHAR(20) CHARACTER SET latin1",
        st.text(st.characters(codec="latin-1", categories=["L"]), max_size=20),
    ),
    "body": ("TEXT", any_text),
    "data": ("BLOB", st.binary(min_size=1)),
    "bytes": ("VARBINARY(20)", st.binary(min_size=1, max_size=20)),
    "kind": ("ENUM('a', 'ž')", st.sampled_from(["a", "ž"])),
    "day": ("DATE", st.dates(dt.date(1000, 1, 1)).map(str)),
    "at": ("DATETIME(6)", st.datetimes(dt.datetime(1000, 1, 1)).map(str)),  # noqa: DTZ001
}


def generated() -> list[tuple[Value, ...]]:
    """Rows of any values, NULLs among them."""
    found: list[tuple[Value, ...]] = []

    @settings(
        max_examples=ROWS,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(st.tuples(*(st.none() | values for _, values in COLUMNS.values())))
    def collect(row: tuple[Value, ...]) -> None:
        found.append(row)

    collect()
    return found


@pytest.mark.parametrize("kind", ["mariadb", "mysql"])
def test_rows_of_any_values_are_those_that_the_library_reads(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    server: SQLServer = request.getfixturevalue(kind)
    is_mariadb = isinstance(server, PrivateMariaDB)
    columns = ", ".join(f"{name} {sql_type}" for name, (sql_type, _) in COLUMNS.items())
    table = f"CREATE TABLE t (id INT PRIMARY KEY, {columns})"
    with schema_of(server, "witnessed", table) as schema:
        source = Settings.load(write_settings(server, schema, tmp_path)).source
        with Connection(source) as connection:
            tables = captured_tables(connection)
            place = end_of_binlog(connection)
            with connection.transaction():
                for number, row in enumerate(generated()):
                    marks = ", ".join(["%s"] * (len(row) + 1))
                    connection.execute(f"INSERT INTO witnessed.t VALUES ({marks})", (number, *row))
            connection.execute("UPDATE witnessed.t SET tiny = 5, name = NULL WHERE id % 2")
            connection.execute("DELETE FROM witnessed.t WHERE id % 3")
        ours = images_behind(source, tables, place)["t"]
        transactions = list(transactions_behind(source, place, "witnessed", is_mariadb=is_mariadb))
    theirs = [(before, after) for done in transactions for _, before, after in done.changes]
    assert len(ours) > ROWS
    for own, other in zip(ours, theirs, strict=True):
        assert repr(own) == repr(other)
