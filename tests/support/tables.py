"""Tables and rows for tests: one that is easy to read, one with every kind, and strategies for any other."""

from collections.abc import Mapping
from typing import NamedTuple

from hypothesis import strategies as st

from changeover.change import Change, Op, Origin
from changeover.table import Column, Kind, Table
from changeover.values import Row, Value, shortest_float32
from changeover.version import ROW_MAX, Version

BIGINT_UNSIGNED_MAX = 2**64 - 1

CITIZEN = Table(
    schema="records",
    name="citizen",
    columns=(
        Column(name="id", kind=Kind.INTEGER, sql_type="int(11)", nullable=False),
        Column(name="name", kind=Kind.TEXT, sql_type="varchar(100)", nullable=True),
    ),
    key=("id",),
)


def citizen(number: int, name: str | None = "Ada") -> dict[str, Value]:
    """A row of CITIZEN."""
    return {"id": number, "name": name}


def named(name: str, schema: str = "records") -> Table:
    """CITIZEN under another name."""
    return Table(schema=schema, name=name, columns=CITIZEN.columns, key=CITIZEN.key)


def widened(table: Table) -> Table:
    """The table after ALTER TABLE ... ADD COLUMN note TEXT."""
    note = Column(name="note", kind=Kind.TEXT, sql_type="text", nullable=True)
    return Table(schema=table.schema, name=table.name, columns=(*table.columns, note), key=table.key)


class Type(NamedTuple):
    """A column type of the source, and its canonical values."""

    kind: Kind
    sql_type: str
    values: st.SearchStrategy[Value]


def _decimal(digits: int) -> str:
    sign, digits = "-" * (digits < 0), abs(digits)
    return f"{sign}{digits // 10_000}.{digits % 10_000:04}"


finite = st.floats(allow_nan=False, allow_infinity=False)
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)

TYPES = (
    Type(Kind.INTEGER, "int(11)", st.integers(-(2**31), 2**31 - 1)),
    Type(Kind.INTEGER, "bigint(20)", st.integers(-(2**63), 2**63 - 1)),
    Type(
        Kind.INTEGER,
        "bigint(20) unsigned",
        st.sampled_from([BIGINT_UNSIGNED_MAX, 2**63, 2**63 - 1]) | st.integers(0, BIGINT_UNSIGNED_MAX),
    ),
    Type(Kind.DECIMAL, "decimal(20,4)", st.integers(-(10**20) + 1, 10**20 - 1).map(_decimal)),
    Type(
        Kind.FLOAT,
        "float",
        st.floats(width=32, allow_nan=False, allow_infinity=False).map(shortest_float32),
    ),
    Type(Kind.DOUBLE, "double", st.just(-0.0) | finite),
    Type(Kind.TEXT, "text", st.sampled_from(["", "\0", "NULL", "1.10", "💾'\"\\"]) | any_text),
    Type(Kind.BYTES, "varbinary(50)", st.sampled_from([b"", b"\0", b"\xff\xfe"]) | st.binary(max_size=12)),
    Type(Kind.DATE, "date", st.just("0000-00-00") | st.dates().map(str)),
    Type(Kind.DATETIME, "datetime(6)", st.datetimes().map(lambda at: f"{at:%Y-%m-%d %H:%M:%S.%f}")),
    Type(Kind.TIMESTAMP, "timestamp", st.datetimes().map(lambda at: f"{at:%Y-%m-%d %H:%M:%S}")),
    Type(Kind.TIME, "time(1)", st.just("-838:59:58.9") | st.times().map(lambda at: f"{at:%H:%M:%S}.0")),
    Type(Kind.YEAR, "year(4)", st.just(0) | st.integers(1901, 2155)),
    Type(Kind.BIT, "bit(64)", st.integers(0, BIGINT_UNSIGNED_MAX)),
    Type(Kind.BIT, "bit(1)", st.integers(0, 1)),
    Type(Kind.ENUM, "enum('a','ž')", st.sampled_from(["a", "ž", ""])),
    Type(Kind.SET, "set('a','ž')", st.sampled_from(["a", "ž", "a,ž", ""])),
    Type(Kind.JSON, "json", st.sampled_from(["null", "1.10", '{"a": "\\u0000ž"}'])),
    Type(Kind.BINARY, "binary(4)", st.binary(min_size=4, max_size=4)),
    Type(Kind.GEOMETRY, "point", st.binary(min_size=25, max_size=25)),
    Type(Kind.UUID, "uuid", st.uuids().map(str)),
    Type(Kind.INET4, "inet4", st.ip_addresses(v=4).map(str)),
    Type(Kind.INET6, "inet6", st.ip_addresses(v=6).map(str)),
)

EVERY_KIND = Table(
    schema="records",
    name="everything",
    columns=(
        Column(name="id", kind=Kind.INTEGER, sql_type="bigint(20) unsigned", nullable=False),
        *(
            Column(name=f"c{place}", kind=kind, sql_type=sql_type, nullable=True)
            for place, (kind, sql_type, _) in enumerate(TYPES)
        ),
    ),
    key=("id",),
)

_VALUES = {(kind, sql_type): values for kind, sql_type, values in TYPES}


def values_of(column: Column) -> st.SearchStrategy[Value]:
    """Canonical values of the column."""
    values = _VALUES[column.kind, column.sql_type]
    return st.none() | values if column.nullable else values


def rows(table: Table) -> st.SearchStrategy[dict[str, Value]]:
    """Rows of the table."""
    return st.fixed_dictionaries({column.name: values_of(column) for column in table.columns})


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """Tables of any columns, some of them the key."""
    names = draw(st.lists(any_text.filter(bool), min_size=1, max_size=6, unique=True))
    types = [draw(st.sampled_from(TYPES)) for _ in names]
    key = tuple(draw(st.lists(st.sampled_from(names), min_size=1, max_size=len(names), unique=True)))
    columns = tuple(
        Column(
            name=name,
            kind=kind,
            sql_type=sql_type,
            nullable=name not in key and draw(st.booleans()),
            fraction_digits=draw(st.integers(0, 6)),
        )
        for name, (kind, sql_type, _) in zip(names, types, strict=True)
    )
    return Table(schema=draw(any_text), name=draw(any_text), columns=columns, key=key)


versions = st.builds(
    Version, st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.sampled_from([0, 1, ROW_MAX])
)


@st.composite
def changes(draw: st.DrawFn, table: Table) -> Change:
    """Changes of the table."""
    op = draw(st.sampled_from(Op))
    before = draw(rows(table)) if op in {Op.UPDATE, Op.DELETE} else None
    after = None if op is Op.DELETE else draw(rows(table))
    transaction = None if op is Op.READ else f"0-1-{draw(st.integers(0, 2**64 - 1))}"
    return Change(table, op, before, after, draw(versions), Origin(draw(st.integers(0, 2**41)), transaction))


def exactly(row: Row | None) -> Mapping[str, tuple[type, str]] | None:
    """The row in a form in which 1 and 1.0, and 0.0 and -0.0, are not equal."""
    return None if row is None else {name: (type(value), repr(value)) for name, value in row.items()}
