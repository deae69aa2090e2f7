"""The schema by which rows are read where the binlog does not describe it, as MySQL 5.7's does not.

Rows are read by the tables as the catalog has them at the start, so these must be the tables of the place in
the binlog where reading begins. An ALTER TABLE between that place and the start lies in the binlog and stops
capture when it is reached; but the rows before it would have been misread by then. So the tables of the first
place are kept, and each later start compares: what was captured since had the kept tables, for any DDL stops.
"""

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from changeover.errors import SchemaChanged, SourceUnavailable, StartRefused
from changeover.mysql.catalog import captured_tables, is_described_in_binlog
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.start import Start, StartKind
from changeover.table import Column, Table


def check_start_of_schema(connection: Connection, start: Start) -> None:
    """Return if the tables of the place can be known: those of the past nobody has."""
    if start.kind is not StartKind.NOW and not is_described_in_binlog(connection):
        message = (
            f"{start.kind} is a place in the past, and this server's binlog does not say how tables were"
        )
        raise StartRefused(message, hint='Let capture.start be "now", and let `changeover` import.')


def keep_schema(control: ControlSchema, tables: Sequence[Table]) -> None:
    """Keep the tables of the first place, which was taken after they were read.

    They are read again: if they are still the same, they were so at the place in between.
    """
    if is_described_in_binlog(control.connection):
        return
    for change in _changes(captured_tables(control.connection), tables):
        raise SourceUnavailable(f"{change} while capture began", hint="Start it again.")
    control.keep_tables(tables)


def check_schema(control: ControlSchema, tables: Sequence[Table]) -> None:
    """Return if the tables are those that were kept; else `SchemaChanged` says what is not."""
    kept = control.kept_tables()
    if not kept and is_described_in_binlog(control.connection):
        return
    for change in _changes(tables, kept):
        message = f"{change} since capture began, and this server's binlog does not say how tables were"
        raise SchemaChanged(message)
    control.keep_tables(
        tables
    )  # one that is captured no more may change from now on, and is unknown after that


def _changes(tables: Sequence[Table], before: Sequence[Table]) -> Iterator[str]:
    known = {table.full_name: table for table in before}
    for table in tables:
        was = known.get(table.full_name)
        if was is None:
            yield f"{table.full_name} has come to the captured tables"
        elif was != table:
            yield f"{table.full_name} has changed: {_difference(table, was)}"


def _difference(table: Table, was: Table) -> str:
    """The first column that is another; the key, if none is."""
    for place, (now, then) in enumerate(zip_longest(table.columns, was.columns), 1):
        if now != then:
            return f"column {place} is {_described(now)} and was {_described(then)}"
    return f"its key is ({', '.join(table.key)}) and was ({', '.join(was.key)})"


def _described(column: Column | None) -> str:
    if column is None:
        return "not there"
    parts = (column.name, column.sql_type, column.charset, "NULL" if column.nullable else "NOT NULL")
    return " ".join(filter(None, parts))
