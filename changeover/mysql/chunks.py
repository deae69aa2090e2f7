"""SQL for a table's chunks: ranges of its key, compared by the server alone.

Python never compares two keys, for it does not know the source's collations. A condition on several key
columns is written out (`a > 1 OR a = 1 AND b > 2`): MariaDB finds such a range in the index, and not that
of `(a, b) > (1, 2)`.
"""

from collections.abc import Sequence
from typing import NamedTuple

from changeover.envelope import decode_key
from changeover.mysql.connection import quoted
from changeover.table import Column, Kind, Table
from changeover.values import Value


class Query(NamedTuple):
    """SQL with its parameters."""

    sql: str
    parameters: list[Value]


def rows_between(
    table: Table, above: bytes | None, up_to: bytes | None, columns: Sequence[Column] = ()
) -> Query:
    """Reads the rows above one key and up to another, in canonical columns; None: without that limit.

    All columns of the table, or the ones that are named.
    """
    wanted = ", ".join(exact(column) for column in columns or table.columns)
    conditions = []
    parameters: list[Value] = []
    for key, strict, last in ((above, ">", ">"), (up_to, "<", "<=")):
        if key is not None:
            condition = _beyond(table, key, strict, last)
            conditions.append(f"({condition.sql})")
            parameters += condition.parameters
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return Query(f"SELECT {wanted} FROM {_name(table)}{where}", parameters)


def rows_of(table: Table, keys: Sequence[bytes], columns: Sequence[Column]) -> Query:
    """Reads these columns of the rows of these keys, and of those that the source's collation calls equal."""
    wanted = ", ".join(exact(column) for column in columns)
    values = [decode_key(table, key) for key in keys]
    parameters = [value[name] for value in values for name in table.key]
    if len(table.key) == 1:
        condition = f"{quoted(table.key[0])} IN ({', '.join([_mark(table.key_columns[0])] * len(keys))})"
    else:
        one = " AND ".join(f"{quoted(column.name)} = {_mark(column)}" for column in table.key_columns)
        condition = " OR ".join([f"({one})"] * len(keys))
    return Query(f"SELECT {wanted} FROM {_name(table)} WHERE {condition}", parameters)


def key_after(table: Table, above: bytes | None, rows: int) -> Query:
    """Reads the key that lies `rows` rows above another: the upper end of the next chunk."""
    columns = ", ".join(quoted(name) for name in table.key)
    condition = Query("TRUE", []) if above is None else _beyond(table, above, ">", ">")
    sql = (
        f"SELECT {', '.join(exact(column) for column in table.key_columns)} FROM {_name(table)} "
        f"WHERE {condition.sql} ORDER BY {columns} LIMIT 1 OFFSET {rows - 1}"
    )
    return Query(sql, condition.parameters)


def _beyond(table: Table, key: bytes, strict: str, last: str) -> Query:
    """The condition that a row's key lies beyond `key`; `last` compares the last column of the key."""
    values = decode_key(table, key)
    alternatives = []
    parameters: list[Value] = []
    for place, column in enumerate(table.key_columns):
        operator = last if place == len(table.key) - 1 else strict
        equal = table.key_columns[:place]
        terms = [f"{quoted(other.name)} = {_mark(other)}" for other in equal]
        terms.append(f"{quoted(column.name)} {operator} {_mark(column)}")
        alternatives.append(" AND ".join(terms))
        parameters += [values[other.name] for other in (*equal, column)]
    return Query(" OR ".join(alternatives), parameters)


def _mark(column: Column) -> str:
    # Text against DECIMAL would be compared as floats, which know 15 of up to 65 digits.
    return f"CAST(%s AS {_precision(column)})" if column.kind is Kind.DECIMAL else "%s"


def exact(column: Column) -> str:
    """The column as an expression that prints its canonical value."""
    # A FLOAT is printed with 6 digits, too few to tell it from its neighbours, and a DOUBLE(M, D) with D
    # behind the point; as a product both are printed in full. (A sum would make -0.0 positive.)
    name = quoted(column.name)
    if column.kind is Kind.FLOAT or (column.kind is Kind.DOUBLE and "(" in column.sql_type):
        return f"{name} * 1e0"
    if column.kind is Kind.DECIMAL and "zerofill" in column.sql_type:
        return f"CAST({name} AS {_precision(column)})"  # the zeros are in the text only, not in the binlog
    return name


def _precision(column: Column) -> str:
    """The type of a DECIMAL, without "unsigned" or "zerofill"."""
    return column.sql_type.partition(")")[0] + ")"


def _name(table: Table) -> str:
    return f"{quoted(table.schema)}.{quoted(table.name)}"
