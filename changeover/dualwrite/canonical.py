"""Python's values of an application in the canonical form of their columns (`changeover.values`).

Only what is certain is taken: a value that the server would convert in its own way is refused, with its
column.
"""

import datetime as dt
import ipaddress
import re
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation

from changeover.errors import ValueRefused
from changeover.table import Column, Kind, Table
from changeover.values import Row, Value

Convert = Callable[[Column, object], Value]
"""From a value that is not None; None where it is not certain what the server makes of it."""

SCALE = re.compile(r"\(\d+,\s*(\d+)\)")


def canonical_row(table: Table, given: Mapping[str, object]) -> Row:
    """The whole row; `ValueRefused` if a column is missing, unknown, or has a value that is not its own."""
    if unlike := sorted(set(given).symmetric_difference(table.column_names)):
        message = f"a value of {table.full_name} must have exactly its columns; not so {', '.join(unlike)}"
        raise ValueRefused(message)
    return {column.name: canonical(table, column, given[column.name]) for column in table.columns}


def canonical_key(table: Table, given: Mapping[str, object]) -> Row:
    """The columns of the key, by their names."""
    if set(given) != set(table.key):
        message = f"the key of {table.full_name} is {', '.join(table.key)}, not {', '.join(sorted(given))}"
        raise ValueRefused(message)
    return {column.name: canonical(table, column, given[column.name]) for column in table.key_columns}


def canonical(table: Table, column: Column, given: object) -> Value:
    """The value as the server would give it back."""
    if given is None and column.nullable:
        return None
    try:
        value = None if given is None else CONVERT.get(column.kind, _text)(column, given)
    except (ValueError, OverflowError, InvalidOperation):
        value = None
    if value is None:
        message = f"{table.full_name}.{column.name} ({column.sql_type}) cannot be a {type(given).__name__}"
        raise ValueRefused(f"{message} of that value")
    return value


def _integer(_: Column, given: object) -> Value:
    return int(given) if isinstance(given, int) else None


def _float(_: Column, given: object) -> Value:
    return float(given) if isinstance(given, int | float | Decimal) else None


def _decimal(column: Column, given: object) -> Value:
    if not isinstance(given, int | str | Decimal) or isinstance(given, bool):
        return None
    scale = SCALE.search(column.sql_type)
    exact = Decimal(given)
    text = f"{exact:.{scale[1] if scale else 0}f}"
    return text if Decimal(text) == exact else None


def _bytes(column: Column, given: object) -> Value:
    if not isinstance(given, bytes | bytearray | memoryview):
        return None
    return bytes(given).ljust(column.length, b"\0") if column.kind is Kind.BINARY else bytes(given)


def _date(_: Column, given: object) -> Value:
    if isinstance(given, dt.date) and not isinstance(given, dt.datetime):
        return given.isoformat()
    return _text(_, given)


def _time_of_day(column: Column, given: object) -> Value:
    if isinstance(given, dt.time):
        given = dt.timedelta(
            hours=given.hour, minutes=given.minute, seconds=given.second, microseconds=given.microsecond
        )
    if not isinstance(given, dt.timedelta):
        return _text(column, given)
    sign, span = ("-", -given) if given < dt.timedelta() else ("", given)
    seconds = span // dt.timedelta(seconds=1)
    hours, minutes, rest = seconds // 3600, seconds // 60 % 60, seconds % 60
    return _with_fraction(column, f"{sign}{hours:02}:{minutes:02}:{rest:02}", span.microseconds)


def _datetime(column: Column, given: object) -> Value:
    if not isinstance(given, dt.datetime):
        return _text(column, given)
    if column.kind is Kind.TIMESTAMP:
        if given.tzinfo is None:
            return None  # of which time zone nobody knows
        given = given.astimezone(dt.UTC)
    elif given.tzinfo is not None:
        return None
    return _with_fraction(column, f"{given:%Y-%m-%d %H:%M:%S}".rjust(19, "0"), given.microsecond)


def _with_fraction(column: Column, text: str, microseconds: int) -> Value:
    digits = f"{microseconds:06}"
    if digits[column.fraction_digits :].strip("0"):
        return None  # the server would round it
    return f"{text}.{digits[: column.fraction_digits]}" if column.fraction_digits else text


def _uuid(_: Column, given: object) -> Value:
    return (
        str(uuid.UUID(given))
        if isinstance(given, str)
        else str(given)
        if isinstance(given, uuid.UUID)
        else None
    )


def _address(_: Column, given: object) -> Value:
    is_one = isinstance(given, str | ipaddress.IPv4Address | ipaddress.IPv6Address)
    return str(ipaddress.ip_address(given)) if is_one else None  # type: ignore[arg-type] # it is one


def _text(_: Column, given: object) -> Value:
    return str(given) if isinstance(given, str) else None


CONVERT: Mapping[Kind, Convert] = {
    Kind.INTEGER: _integer,
    Kind.YEAR: _integer,
    Kind.BIT: _integer,
    Kind.FLOAT: _float,
    Kind.DOUBLE: _float,
    Kind.DECIMAL: _decimal,
    Kind.BYTES: _bytes,
    Kind.BINARY: _bytes,
    Kind.GEOMETRY: _bytes,
    Kind.DATE: _date,
    Kind.TIME: _time_of_day,
    Kind.DATETIME: _datetime,
    Kind.TIMESTAMP: _datetime,
    Kind.UUID: _uuid,
    Kind.INET4: _address,
    Kind.INET6: _address,
}
"""Texts are taken as they are for the kinds not named."""
