"""Tables that nobody thought of: whatever types and values, SELECT and the binlog give the same rows.

Tables are drawn first, and then made and read many at a time: a server takes longer over one than hypothesis.
"""

import datetime as dt
import json
import random
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cdc.events import Images
from changeover.change import Change, Op, Origin
from changeover.charsets import CODECS, CODECS_OF_BMP, IRREVERSIBLE, NotInCharset, decoder_of
from changeover.charsets.exceptions import EXCEPTIONS
from changeover.demo.sql import SQLServer
from changeover.envelope import decode, encode
from changeover.mysql.catalog import fit_tables
from changeover.mysql.chunks import rows_between
from changeover.mysql.connection import Connection
from changeover.settings import Settings
from changeover.values import Row, Value, shortest_float32
from changeover.version import Version
from tests.support import types
from tests.support.pipeline import write_settings
from tests.support.streamed import end_of_binlog, images_behind
from tests.support.tables import exactly

SCHEMA = "random_tables"
TABLES = 100
TABLES_OF_FULL_RUN = 2_000
AT_ONCE = 250
"""Tables in the schema at a time."""

COLUMNS_MAX = 9
ROWS = 4


class Drawn(NamedTuple):
    """A column's type, and values of it; `is_kept` if a value comes back as it is given."""

    sql_type: str
    values: tuple[Value, ...]
    is_kept: bool = True


# -- types -------------------------------------------------------------------------------------------------


def _alphabet(charset: str) -> str:
    """Some hundred characters of the set, with all of one byte."""
    read = decoder_of(charset)
    random_ = random.Random(charset)
    codes = [bytes([code]) for code in range(256)]
    codes += [random_.randbytes(2) for _ in range(2_000)] + ["💾ž啊".encode()]
    found = set("aZ09 ")
    for code in codes:
        try:
            found |= set(read(code))
        except NotInCharset:
            continue
    return "".join(sorted(found - {"\ufffd"}))


ALPHABETS = {
    charset: _alphabet(charset) for charset in sorted({*CODECS, *CODECS_OF_BMP, *EXCEPTIONS} - {"utf8"})
}
ONLY_MYSQL = "gb18030"
DATES = st.dates().map(str) | st.sampled_from(
    ["0000-00-00", "2023-02-31", "2023-00-00", "0000-12-00", "9999-12-31", "0001-01-01"]
)
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(-1e300, 1e300)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)

Types = st.SearchStrategy[tuple[str, st.SearchStrategy[Value], bool]]
"""A type, its values, and whether a value comes back as it was given."""


@st.composite
def integers(draw: st.DrawFn) -> tuple[str, st.SearchStrategy[Value], bool]:
    name, bits = draw(st.sampled_from(list(INTEGERS.items())))
    if draw(st.booleans()):
        suffix = draw(st.sampled_from(["UNSIGNED", "ZEROFILL"]))
        return f"{name} {suffix}", st.integers(0, 2**bits - 1), True
    return name, st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1), True


INTEGERS = {"TINYINT": 8, "SMALLINT": 16, "MEDIUMINT": 24, "INT": 32, "BIGINT": 64}


@st.composite
def decimals(draw: st.DrawFn) -> tuple[str, st.SearchStrategy[Value], bool]:
    digits = draw(st.integers(1, 65))
    scale = draw(st.integers(0, min(digits, 30)))

    def printed(number: int) -> str:
        whole, fraction = divmod(abs(number), 10**scale)
        return "-" * (number < 0) + (f"{whole}.{fraction:0{scale}}" if scale else str(whole))

    values = st.integers(-(10**digits) + 1, 10**digits - 1).map(printed)
    return f"DECIMAL({digits},{scale})", values, True


@st.composite
def bits(draw: st.DrawFn) -> tuple[str, st.SearchStrategy[Value], bool]:
    size = draw(st.integers(1, 64))
    return f"BIT({size})", st.integers(0, 2**size - 1), True


@st.composite
def texts(draw: st.DrawFn, kind: str) -> tuple[str, st.SearchStrategy[Value], bool]:
    charset = draw(st.sampled_from([name for name in ALPHABETS if kind == "mysql" or name != ONLY_MYSQL]))
    size = draw(st.integers(1, 80))
    text = st.text(st.sampled_from(ALPHABETS[charset]), max_size=size)
    name = draw(st.sampled_from([f"VARCHAR({size})", f"CHAR({size})", "TINYTEXT", "TEXT", "LONGTEXT"]))
    if name.startswith("CHAR"):
        text = text.map(lambda found: found.rstrip(" "))
    # A few sets write some texts in one way of two, and that may read as another: only equality counts there.
    return f"{name} CHARACTER SET {charset}", text, charset not in IRREVERSIBLE


@st.composite
def labels(draw: st.DrawFn) -> tuple[str, st.SearchStrategy[Value], bool]:
    charset = draw(st.sampled_from(["utf8mb4", "latin1", "utf16", "ucs2"]))
    many = [f"é{number}" for number in range(draw(st.sampled_from([1, 2, 8, 9, 17, 64])))]
    listed = ", ".join(f"'{label}'" for label in many)
    if draw(st.booleans()):
        return f"ENUM({listed}) CHARACTER SET {charset}", st.sampled_from(many), True
    chosen = st.sets(st.sampled_from(many)).map(lambda found: ",".join(one for one in many if one in found))
    return f"SET({listed}) CHARACTER SET {charset}", chosen, True


@st.composite
def binaries(draw: st.DrawFn) -> tuple[str, st.SearchStrategy[Value], bool]:
    size = draw(st.integers(1, 255))
    if draw(st.booleans()):
        return f"BINARY({size})", st.binary(max_size=size).map(lambda data: data.ljust(size, b"\0")), True
    name = draw(
        st.sampled_from([f"VARBINARY({size})", f"VARBINARY({size + 300})", "TINYBLOB", "BLOB", "LONGBLOB"])
    )
    return name, st.binary(max_size=size), True


@st.composite
def moments(draw: st.DrawFn) -> tuple[str, st.SearchStrategy[Value], bool]:
    digits = draw(st.integers(0, 6))
    micros = st.integers(0, 10**digits - 1).map(lambda number: f".{number:0{digits}}" if digits else "")
    clock = st.times().map(lambda at: f"{at:%H:%M:%S}")
    name = draw(st.sampled_from(["DATETIME", "TIMESTAMP", "TIME"]))
    if name == "TIME":
        hours = st.integers(0, 837).map(lambda hour: f"{hour:02}")
        rest = clock.map(lambda at: at[2:])
        # There is no time of -0.
        signed = st.builds("{}{}{}".format, hours, rest, micros).flatmap(
            lambda text: st.just(text) if not text.strip("0:.") else st.sampled_from([text, f"-{text}"])
        )
        return f"TIME({digits})", signed, True
    days = DATES if name == "DATETIME" else st.dates(dt.date(1970, 1, 2), dt.date(2038, 1, 18)).map(str)
    return f"{name}({digits})", st.builds("{} {}{}".format, days, clock, micros), True


@st.composite
def points(draw: st.DrawFn) -> tuple[str, st.SearchStrategy[Value], bool]:
    name = draw(st.sampled_from(["GEOMETRY", "POINT"]))
    places = st.tuples(st.sampled_from([0, 3857]), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
    # MariaDB stores no -0.0, here as elsewhere.
    return (
        name,
        places.map(lambda place: struct.pack("<IBIdd", place[0], 1, 1, place[1] + 0.0, place[2] + 0.0)),
        True,
    )


def _plain(sql_type: str, values: st.SearchStrategy[Value], *, is_kept: bool = True) -> Types:
    return st.just((sql_type, values, is_kept))


DOUBLES = st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number + 0.0)
FLOATS = st.floats(-(2.0**127), 2.0**127, width=32).map(lambda number: shortest_float32(number) + 0.0)
"""Not up to the greatest, whose shortest text is a little greater than it, and refused."""

EVERYWHERE: Sequence[Types] = (
    integers(),
    decimals(),
    bits(),
    labels(),
    binaries(),
    moments(),
    points(),
    _plain("DOUBLE", DOUBLES),
    _plain("FLOAT", FLOATS),
    _plain("YEAR", st.just(0) | st.integers(1901, 2155)),
    _plain("DATE", DATES),
    _plain("JSON", JSON_VALUES.map(json.dumps), is_kept=False),
)
OF_KIND: dict[str, Sequence[Types]] = {
    "mariadb": (
        texts("mariadb"),
        _plain("UUID", st.uuids(version=4).map(str)),  # it does not take every variant
        _plain("INET4", st.ip_addresses(v=4).map(str)),
        _plain(
            "INET6", st.ip_addresses(v=6).map(str), is_kept=False
        ),  # some have an IPv4 address in their text
        _plain("VARCHAR(300) COMPRESSED", st.text(st.sampled_from("až💾"), max_size=300)),
        _plain("BLOB COMPRESSED", st.binary(max_size=300)),
    ),
    "mysql": (texts("mysql"),),
}


@st.composite
def drawn_tables(draw: st.DrawFn, kind: str) -> Sequence[Drawn]:
    """The columns of a table, with values for each row; half of them cannot be NULL."""
    columns = []
    for _ in range(draw(st.integers(1, COLUMNS_MAX))):
        sql_type, values, is_kept = draw(st.one_of(*EVERYWHERE, *OF_KIND[kind], *OF_KIND[kind]))
        if is_nullable := draw(st.booleans()):
            values = st.none() | values
        given_values = tuple(draw(values) for _ in range(ROWS))
        columns.append(Drawn(sql_type + (" NULL" if is_nullable else " NOT NULL"), given_values, is_kept))
    return columns


def thought_up(kind: str, count: int) -> list[Sequence[Drawn]]:
    """As many tables as wanted."""
    found: list[Sequence[Drawn]] = []

    @settings(
        max_examples=count,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(table=drawn_tables(kind))
    def collect(table: Sequence[Drawn]) -> None:
        found.append(table)

    collect()
    return found


# -- both ways ---------------------------------------------------------------------------------------------


def literal(value: Value) -> str:
    """The value in SQL, whatever it is."""
    match value:
        case None:
            return "NULL"
        case bytes():
            return f"x'{value.hex()}'"
        case str():
            return f"_utf8mb4 x'{value.encode().hex()}'"
        case _:
            return repr(value)


def check(server: SQLServer, config: Path, drawn: Sequence[Sequence[Drawn]]) -> None:
    """Make the tables, change their rows, and hold what SELECT and the binlog say against each other."""
    source = Settings.load(config).source
    by_name = {f"t{number}": table for number, table in enumerate(drawn)}
    with types.writer(server, SCHEMA) as cursor, Connection(source) as connection:
        for name, columns in by_name.items():
            listed = ", ".join(f"c{place} {column.sql_type}" for place, column in enumerate(columns))
            cursor.execute(f"CREATE TABLE {name} (id INT PRIMARY KEY, {listed})")
        tables, complaints = fit_tables(connection, [(SCHEMA, name) for name in by_name])
        assert complaints == []
        since = end_of_binlog(connection)
        cursor.execute("BEGIN")
        for name, columns in by_name.items():
            rows = ", ".join(
                f"({number}, {', '.join(literal(column.values[number]) for column in columns)})"
                for number in range(ROWS)
            )
            cursor.execute(f"INSERT INTO {name} VALUES {rows}")
        cursor.execute("COMMIT")
        selected = {
            table.name: connection.rows(*rows_between(table, None, None), table.full_name, table.columns)
            for table in tables
        }
        cursor.execute("BEGIN")
        for name in by_name:
            cursor.execute(f"UPDATE {name} SET id = id + {ROWS}")
            cursor.execute(f"DELETE FROM {name}")
        cursor.execute("COMMIT")
        streamed = images_behind(source, tables, since)
    for table in tables:
        rows_ = selected[table.name]
        assert [exactly(row) for row in kept(by_name[table.name], rows_)] == [
            exactly(row) for row in given_rows(by_name[table.name])
        ]
        assert in_order(streamed[table.name]) == in_order(images_of(rows_))
        for row in rows_:
            change = Change(table, Op.READ, None, row, Version.of_read(1, 1), Origin(0))
            assert exactly(decode(table, encode(change, "test")).after) == exactly(row)


def kept(table: Sequence[Drawn], rows: Sequence[Row]) -> list[Row]:
    """Of each row what must be as it was given."""
    names = [f"c{place}" for place, column in enumerate(table) if column.is_kept]
    return [{name: row[name] for name in names} for row in rows]


def given_rows(table: Sequence[Drawn]) -> list[Row]:
    return [
        {f"c{place}": column.values[number] for place, column in enumerate(table) if column.is_kept}
        for number in range(ROWS)
    ]


def images_of(rows: Sequence[Row]) -> list[Images]:
    """What the binlog must have of the rows: inserted, given another key, deleted."""
    again = [{**row, "id": number + ROWS} for number, row in enumerate(rows)]
    updated: list[Images] = list(zip(rows, again, strict=True))
    return [*((None, row) for row in rows), *updated, *((row, None) for row in again)]


def in_order(images: Sequence[Images]) -> list[object]:
    found = [(exactly(before), exactly(after)) for before, after in images]
    return [*sorted(found, key=lambda image: [-1 if row is None else int(row["id"][1]) for row in image])]


@pytest.mark.parametrize("kind", ["mariadb", "mysql"])
def test_random_tables_are_the_same_both_ways(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    server = request.getfixturevalue(kind)
    check(server, write_settings(server, SCHEMA, tmp_path), thought_up(kind, TABLES))


@pytest.mark.full
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("kind", ["mariadb", "mysql"])
def test_thousands_of_random_tables_are_the_same_both_ways(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    server = request.getfixturevalue(kind)
    config = write_settings(server, SCHEMA, tmp_path)
    drawn = thought_up(kind, TABLES_OF_FULL_RUN)
    for start in range(0, len(drawn), AT_ONCE):
        check(server, config, drawn[start : start + AT_ONCE])
