"""Rows as hexadecimal text: read over any driver and in any session, they are the canonical rows.

An application's connection is not ours: its driver turns values into objects of its own taste, and its
session has a time zone and character sets of the application's choice. What the server has written in
hexadecimal is alike in all of them. Values are what a bounded read gives of them (`changeover.mysql.chunks`).
"""

import time
from collections.abc import Sequence

from changeover.errors import ValueUnreadable
from changeover.mysql.chunks import exact
from changeover.mysql.connection import quoted
from changeover.table import BYTES_KINDS, TEXT_KINDS, Column, Kind, Table
from changeover.values import Row, Value, reader_of_text

AS_STORED = TEXT_KINDS | BYTES_KINDS
"""The kinds whose bytes HEX gives as they are stored, in the column's own character set."""

FOR_UPDATE = " FOR UPDATE"

UNTRUSTED_MODES = frozenset({"PAD_CHAR_TO_FULL_LENGTH"})
"""Modes of a session that change what a SELECT gives."""

ZERO = "0000-00-00 00:00:00"


def select_row(table: Table, *, lock: str = "") -> str:
    """SQL that reads one row, by the columns of its key as parameters; `parse_row` reads what comes."""
    columns = ", ".join(_hex(column) for column in table.columns)
    key = " AND ".join(f"{quoted(name)} = %s" for name in table.key)
    return f"SELECT {columns} FROM {quoted(table.schema)}.{quoted(table.name)} WHERE {key}{lock}"


def parse_row(table: Table, carried: Sequence[object]) -> Row:
    """The canonical row of what `select_row` has read, whether the driver gives text or bytes."""
    return {
        column.name: _value(table, column, value)
        for column, value in zip(table.columns, carried, strict=True)
    }


def _hex(column: Column) -> str:
    name = quoted(column.name)
    if column.kind in AS_STORED:
        return f"HEX({name})"
    if column.kind is Kind.JSON:
        return f"HEX(CAST({name} AS CHAR CHARACTER SET utf8mb4))"
    if column.kind is Kind.BIT:
        name = f"{name} + 0"
    elif column.kind is Kind.TIMESTAMP:
        # What is stored, whatever the time zone; in autumn one hour comes twice, and would be read as one.
        name = f"UNIX_TIMESTAMP({name})"
    else:
        name = exact(column)
    return f"HEX(CAST({name} AS CHAR CHARACTER SET latin1))"


def _value(table: Table, column: Column, carried: object) -> Value:
    if carried is None:
        return None
    try:
        stored = bytes.fromhex(carried.decode("ascii") if isinstance(carried, bytes) else str(carried))
        if column.kind is Kind.BIT:
            return int(stored)
        if column.kind is Kind.TIMESTAMP:
            stored = _timestamp(stored.decode("ascii"), column.fraction_digits).encode()
        return reader_of_text(column)(stored)
    except ValueError:
        message = f"{table.full_name}.{column.name} ({column.sql_type}) has a value that it cannot have"
        raise ValueUnreadable(message) from None


def _timestamp(seconds: str, digits: int) -> str:
    """The point in time as the server prints it in UTC.

    >>> _timestamp("1.50", 2), _timestamp("0", 0)
    ('1970-01-01 00:00:01.50', '0000-00-00 00:00:00')
    """
    whole, _, fraction = seconds.partition(".")
    behind = f".{fraction[:digits].ljust(digits, '0')}" if digits else ""
    if int(whole) == 0 and not fraction.strip("0"):
        return ZERO + behind
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(int(whole))) + behind
