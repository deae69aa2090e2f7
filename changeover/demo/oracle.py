"""The oracle: tells whether the target holds what the MariaDB source holds, to the last byte.

It judges the rest of the product, so it shares no code with it: it imports the standard library and PyMySQL
only, and reads both sides by itself. Each value becomes a *cell*, a text that shows its kind and its exact
bytes, and two values are the same if their cells are:

| cell | value |
|---|---|
| `n` | NULL |
| `i42` | an integer |
| `r4009…` | a REAL, by the hex of its 8 bytes (in a FLOAT column: of the 4 bytes of its float32) |
| `t4142` | text, by the hex of its UTF-8 bytes |
| `b00FF` | bytes, by their hex |
| `absent` | the target's table has no such column |

The source makes its cells from the server's own text of a value (CAST AS CHAR) and HEX, in UTC; the target
from SQLite's typeof and hex, or from an object's JSON (`oracle_riak.py`). So 1 is not '1', 0.0 is not -0.0,
and 'a' is not 'a '. Tables and columns that only the target has are not looked at.

Each side is read in one snapshot, but the two are not of one moment: let the writers stop and the target
catch up before comparing.
"""

import sqlite3
import struct
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import zip_longest
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from pymysql.connections import Connection
from pymysql.cursors import SSCursor

DIFFERENCES_KEPT_MAX = 100
"""All differences are counted; so many are kept to be looked at."""

ROWS_PER_BATCH = 1_000

INTEGERS = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint"})
PRINTED = frozenset({"decimal", "date", "datetime", "timestamp"})
TEXTS = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum"})
"""MariaDB's JSON is among them: it is a LONGTEXT."""

BYTES = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"})
REALS = frozenset({"float", "double"})

INTEGER_MAX = 2**63 - 1
"""SQLite's largest integer. A larger one is kept as text."""

Key = str
"""The cells of a row's key columns, joined by commas, which no cell has inside."""

Cells = str
"""The cells of all of a row's columns, joined by commas."""

Rows = Sequence[tuple[Key, Cells]]
Value = None | int | str | bytes


class Uncomparable(Exception):
    """The oracle does not know how to compare this, and says so rather than compare it wrongly."""


class DifferenceKind(StrEnum):
    """What is wrong with a row of the target."""

    MISSING = "missing"
    EXTRA = "extra"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One row that is not the same on both sides; `columns` are those that differ, if both have the row."""

    table: str
    key: tuple[Value, ...]
    kind: DifferenceKind
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What a comparison found: rows by table, how many differ in all, and the first of those."""

    rows_source: Mapping[str, int]
    rows_target: Mapping[str, int]
    differences: tuple[Difference, ...]
    difference_count: int


class Target(Protocol):
    """The other side, in one snapshot or at rest."""

    def rows(self, table: "Table") -> Iterator[Rows]:
        """The cells of each of the table's rows, some at a time, in any order."""

    def close(self) -> None:
        """Let go of it."""


def compare(
    connection: "Connection[Any]", schema: str, tables: Sequence[str], target: Path | Target
) -> Comparison:
    """Every difference between the source's tables and the target's of the same names.

    `target` is a SQLite file, or another side, which is closed at the end.

    `connection` is a plain PyMySQL connection in which no transaction is open; its session is left as it was.
    A table that the target lacks is one without rows. Raises `Uncomparable` for a table that the source
    lacks, that has no primary key, or a column of a type that the oracle does not know.
    """
    ledger = _Ledger()
    other = _SQLite(target) if isinstance(target, Path) else target
    with _source_snapshot(connection), closing(other):
        for name in tables:
            table = _read_table(connection, schema, name)
            # Closed before the snapshot ends: the source's rows are streamed over the same connection.
            with closing(_source_rows(connection, schema, table)) as source_rows:
                _compare_table(table, source_rows, other.rows(table), ledger)
    return Comparison(
        rows_source=ledger.rows_source,
        rows_target=ledger.rows_target,
        differences=tuple(ledger.differences),
        difference_count=ledger.count,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a source table."""

    name: str
    data_type: str
    is_unsigned_bigint: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A source table. In a row's cells the `exact` columns come first, then the `reals`."""

    name: str
    key: tuple[Column, ...]
    exact: tuple[Column, ...]
    reals: tuple[Column, ...]


@dataclass(slots=True)
class _Ledger:
    """What has been found so far."""

    rows_source: dict[str, int] = field(default_factory=dict)
    rows_target: dict[str, int] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    count: int = 0

    def add(self, table: Table, key: Key, kind: DifferenceKind, columns: tuple[str, ...] = ()) -> None:
        self.count += 1
        if len(self.differences) < DIFFERENCES_KEPT_MAX:
            values = tuple(map(_value, key.split(",")))
            self.differences.append(Difference(table=table.name, key=values, kind=kind, columns=columns))


def _compare_table(table: Table, source: Iterator[Rows], target: Iterator[Rows], ledger: _Ledger) -> None:
    """Read both sides in step, and hold a row only until its partner from the other side has come.

    Both come in key order, so few are held. Where the orders disagree (a text key's collation) more are: at
    worst all rows of the table, at about 1 kB each. What is found does not depend on the order.
    """
    from_source: dict[Key, Cells] = {}
    from_target: dict[Key, Cells] = {}
    rows_source = rows_target = 0
    for source_rows, target_rows in zip_longest(source, target, fillvalue=()):
        rows_source += len(source_rows)
        rows_target += len(target_rows)
        from_source.update(source_rows)
        for key, cells in target_rows:
            if key in from_target:  # a target without a primary key can hold a key twice
                ledger.add(table, key, DifferenceKind.EXTRA)
            from_target[key] = cells
        _settle(table, from_source, from_target, ledger)
    for key in from_source:
        ledger.add(table, key, DifferenceKind.MISSING)
    for key in from_target:
        ledger.add(table, key, DifferenceKind.EXTRA)
    ledger.rows_source[table.name] = rows_source
    ledger.rows_target[table.name] = rows_target


def _settle(
    table: Table, from_source: dict[Key, Cells], from_target: dict[Key, Cells], ledger: _Ledger
) -> None:
    """Compare the rows that both sides have, and let go of them."""
    for key in from_source.keys() & from_target.keys():
        expected, found = from_source.pop(key), from_target.pop(key)
        if expected != found:
            columns = _columns_that_differ(table, expected, found)
            ledger.add(table, key, DifferenceKind.DIFFERENT, columns)


def _columns_that_differ(table: Table, expected: Cells, found: Cells) -> tuple[str, ...]:
    names = (column.name for column in (*table.exact, *table.reals))
    cells = zip(names, expected.split(","), found.split(","), strict=True)
    return tuple(name for name, one, other in cells if one != other)


def _value(cell: str) -> Value:
    r"""The value of a key's cell, for people.

    >>> _value("i42"), _value("t41"), _value("b00"), _value("n")
    (42, 'A', b'\x00', None)
    """
    kind, text = cell[0], cell[1:]
    match kind:
        case "n":
            return None
        case "i":
            return int(text)
        case "t":
            return bytes.fromhex(text).decode("utf-8", errors="backslashreplace")
        case "b":
            return bytes.fromhex(text)
        case _:  # a REAL in the target, where the source has no key of that type
            return cell


# -- the source --------------------------------------------------------------------------------------------


@contextmanager
def _source_snapshot(connection: "Connection[Any]") -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@SESSION.time_zone, @@SESSION.sql_mode")
        before = cursor.fetchone()
        # Some modes change how values are read, as PAD_CHAR_TO_FULL_LENGTH does.
        cursor.execute("SET SESSION time_zone = '+00:00', SESSION sql_mode = ''")
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")
            cursor.execute("SET SESSION time_zone = %s, SESSION sql_mode = %s", before)


def _read_table(connection: "Connection[Any]", schema: str, name: str) -> Table:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_name, LOWER(data_type), LOWER(column_type) FROM information_schema.columns"
            " WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position",
            (schema, name),
        )
        columns = {row[0]: _column(name, *row) for row in cursor.fetchall()}
        cursor.execute(
            "SELECT column_name FROM information_schema.key_column_usage WHERE table_schema = %s"
            " AND table_name = %s AND constraint_name = 'PRIMARY' ORDER BY ordinal_position",
            (schema, name),
        )
        key = tuple(columns[column] for (column,) in cursor.fetchall())
    reals = tuple(column for column in columns.values() if column.data_type in REALS)
    if not key or set(key) & set(reals):
        raise Uncomparable(f"{schema}.{name} is not there, or has no primary key of exact values")
    exact = tuple(column for column in columns.values() if column not in reals)
    return Table(name=name, key=key, exact=exact, reals=reals)


def _column(table: str, name: str, data_type: str, column_type: str) -> Column:
    if data_type not in INTEGERS | PRINTED | TEXTS | BYTES | REALS:
        raise Uncomparable(f"{table}.{name} is of the type {data_type}, which the oracle does not know")
    is_unsigned_bigint = data_type == "bigint" and "unsigned" in column_type
    return Column(name=name, data_type=data_type, is_unsigned_bigint=is_unsigned_bigint)


def _source_rows(connection: "Connection[Any]", schema: str, table: Table) -> Generator[Rows, None, None]:
    # The server joins the cells: PyMySQL takes as long for one column as for the whole row then.
    expressions = [_joined_at_source(table.key), _joined_at_source(table.exact)]
    expressions += map(_real_at_source, table.reals)
    order = ", ".join(_quoted(column.name) for column in table.key)
    encoders = [bits32 if column.data_type == "float" else bits64 for column in table.reals]
    with connection.cursor(SSCursor) as cursor:
        cursor.execute(
            f"SELECT {', '.join(expressions)} FROM {_quoted(schema)}.{_quoted(table.name)} ORDER BY {order}"
        )
        while rows := cursor.fetchmany(ROWS_PER_BATCH):
            yield [_source_row(row, encoders) for row in rows]


def _source_row(row: tuple[Any, ...], encoders: Sequence[Callable[[float], str]]) -> tuple[Key, Cells]:
    key, cells, *reals = row
    if cells is None:  # what CONCAT gives, with a mere warning, for what is longer than that
        raise Uncomparable(f"the row {key} has more than max_allowed_packet of the source, as hex")
    pairs = zip(encoders, reals, strict=True)
    encoded = ("n" if real is None else encode(float(real)) for encode, real in pairs)
    return key, ",".join((cells, *encoded))


def _joined_at_source(columns: Sequence[Column]) -> str:
    separator = ", ',', "  # not CONCAT_WS, which drops a part that is NULL
    return f"CONCAT({separator.join(map(_cell_at_source, columns))})"


def _cell_at_source(column: Column) -> str:
    name = _quoted(column.name)
    printed = f"CAST({name} AS CHAR)"
    if column.is_unsigned_bigint:
        cell = f"IF({name} > {INTEGER_MAX}, CONCAT('t', HEX({printed})), CONCAT('i', {printed}))"
    elif column.data_type in INTEGERS:
        cell = f"CONCAT('i', {printed})"
    elif column.data_type in PRINTED:
        cell = f"CONCAT('t', HEX({printed}))"
    elif column.data_type in TEXTS:
        cell = f"CONCAT('t', HEX(CONVERT({name} USING utf8mb4)))"
    else:
        cell = f"CONCAT('b', HEX({name}))"
    return f"IF({name} IS NULL, 'n', {cell})"


def _real_at_source(column: Column) -> str:
    # MariaDB prints a FLOAT with 6 digits, where up to 9 count; as a DOUBLE it prints all. Measured on 2,989
    # floats and doubles of random bits, the extremes among them: each text gives back the same bits.
    return f"CAST({_quoted(column.name)} * 1e0 AS CHAR)"


def _quoted(name: str) -> str:
    """A name as both MariaDB and SQLite read it."""
    return f"`{name.replace('`', '``')}`"


# -- the target --------------------------------------------------------------------------------------------


class _SQLite:
    """A SQLite file by a connection that cannot change it, in one snapshot."""

    def __init__(self, file: Path) -> None:
        address = f"file:{quote(str(file.absolute()))}?mode=ro"
        self._file = sqlite3.connect(address, uri=True, isolation_level=None)
        self._file.create_function("bits64", 1, bits64, deterministic=True)
        self._file.create_function("bits32", 1, bits32, deterministic=True)
        self._file.execute("BEGIN")

    def rows(self, table: Table) -> Iterator[Rows]:
        # Asked for first: what is not there is a finding, not an error.
        names = self._file.execute("SELECT name FROM pragma_table_xinfo(?)", (table.name,))
        held = {name for (name,) in names}
        key = [column.name for column in table.key]
        if not held:
            return
        if not held.issuperset(key):
            raise Uncomparable(f"the target's table {table.name} lacks a column of the key {key}")
        columns = (table.key, (*table.exact, *table.reals))
        expressions = ", ".join(_joined_at_target(some, held) for some in columns)
        order = ", ".join(map(_quoted, key))
        cursor = self._file.execute(f"SELECT {expressions} FROM {_quoted(table.name)} ORDER BY {order}")
        while rows := cursor.fetchmany(ROWS_PER_BATCH):
            yield rows

    def close(self) -> None:
        self._file.close()


def _joined_at_target(columns: Sequence[Column], held: set[str]) -> str:
    cells = (_cell_at_target(column) if column.name in held else "'absent'" for column in columns)
    return " || ',' || ".join(cells)


def _cell_at_target(column: Column) -> str:
    name = _quoted(column.name)
    bits = "bits32" if column.data_type == "float" else "bits64"
    return (
        f"CASE typeof({name}) WHEN 'null' THEN 'n' WHEN 'integer' THEN 'i' || {name} WHEN 'real' THEN"
        f" {bits}({name}) WHEN 'text' THEN 't' || hex({name}) ELSE 'b' || hex({name}) END"
    )


# -- both --------------------------------------------------------------------------------------------------


def bits64(number: float) -> str:
    """The cell of a REAL."""
    return f"r{struct.pack('>d', number).hex()}"


def bits32(number: float) -> str:
    """The cell of a REAL in a FLOAT column."""
    try:
        return f"r{struct.pack('>f', number).hex()}"
    except OverflowError:  # no float32 is so large; all 8 bytes differ from any 4
        return bits64(number)
