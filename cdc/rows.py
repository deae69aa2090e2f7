"""Canonical rows from what mysql-replication gives for one table's columns; checked value by value.

The library reads many types wrong without a word, so the catalog admits a closed list of them, and here each
value must have the one Python type that the library gives for its column's kind.
"""

import datetime as dt
import decimal
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from changeover.table import Column, Kind, Table
from changeover.values import Row, Value, finite, shortest_float32

EPOCH_OF_TIMESTAMP = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - the library's values have no zone
"""What the library makes of the zero date in a TIMESTAMP; a row that truly holds this instant looks alike."""

Converter = Callable[[Any], Value]


class UnexpectedValue(ValueError):
    """The library gave a row or a value that its column cannot have."""


class RowReader:
    """Canonical rows of one table from the library's."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._converters = [(column, CONVERTERS[column.kind](column)) for column in table.columns]

    def check_columns(self, names: Sequence[str | None]) -> None:
        """Return if an event has the table's columns, in their order."""
        if tuple(names) != self.table.column_names:
            message = (
                f"{self.table.full_name} has the columns {_listed(names)}, "
                f"not {_listed(self.table.column_names)} as when capture started"
            )
            raise UnexpectedValue(message)

    def row(self, values: Mapping[str, Any]) -> Row:
        """The canonical row; `UnexpectedValue` for a value that its column cannot have."""
        return {column.name: self._value(column, convert, values) for column, convert in self._converters}

    def _value(self, column: Column, convert: Converter, values: Mapping[str, Any]) -> Value:
        value = values[column.name]
        if value is None and column.nullable:
            return None
        try:
            return convert(value)
        except (TypeError, ValueError) as error:
            message = f"{self.table.full_name}.{column.name} ({column.sql_type}) has {error}"
            raise UnexpectedValue(message) from error


def _listed(names: Sequence[str | None]) -> str:
    return ", ".join(name or "?" for name in names)


def _exactly(wanted: type, convert: Converter) -> Callable[[Column], Converter]:
    def check(value: object) -> Value:
        if type(value) is not wanted:
            found = (
                "a zero date or NULL" if value is None else f"a value of Python's type {type(value).__name__}"
            )
            message = f"{found}, which this release cannot tell apart from others"
            raise TypeError(message)
        return convert(value)

    return lambda _: check


def _bytes(value: object) -> Value:
    # The library gives an empty BLOB as '': Python decodes no bytes without looking the charset up.
    return b"" if value == "" else value  # type: ignore[return-value] # checked by the caller


def _moment(column: Column) -> Converter:
    digits = column.fraction_digits

    def convert(value: Any) -> Value:  # noqa: ANN401 - what the library gives is what is checked here
        if type(value) is not dt.datetime:
            message = "a zero date, which this release cannot tell from NULL"
            raise TypeError(message)
        if column.kind is Kind.TIMESTAMP and value == EPOCH_OF_TIMESTAMP:
            message = "the zero date or 1970-01-01 00:00:00 UTC, which this release cannot tell apart"
            raise ValueError(message)
        text = value.isoformat(" ", "microseconds")
        return text[: len("2026-01-01 12:00:00.") + digits] if digits else text[: len("2026-01-01 12:00:00")]

    return convert


CONVERTERS: dict[Kind, Callable[[Column], Converter]] = {
    Kind.INTEGER: _exactly(int, int),
    Kind.DECIMAL: _exactly(decimal.Decimal, lambda value: f"{value:f}"),
    Kind.FLOAT: _exactly(float, shortest_float32),
    Kind.DOUBLE: _exactly(float, finite),
    Kind.TEXT: _exactly(str, str),
    Kind.BYTES: lambda column: lambda value: _exactly(bytes, bytes)(column)(_bytes(value)),
    Kind.DATE: _exactly(dt.date, lambda value: value.isoformat()),
    Kind.DATETIME: _moment,
    Kind.TIMESTAMP: _moment,
}
