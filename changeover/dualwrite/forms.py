"""The application's form of a value: what it is given, and what it gives, whichever database it comes from.

Where the new database has columns, that is a mapping of columns to values. Where it has objects, it is what
an object's JSON holds, or its bytes, where a mapping function makes something else of it.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import orjson

from changeover.dualwrite.canonical import canonical_row
from changeover.dualwrite.tables import Known
from changeover.errors import ValueRefused
from changeover.mapping import Body, ObjectMapping
from changeover.mapping.body import JSON
from changeover.settings import Settings
from changeover.targets.wiring import mapping_of
from changeover.values import Row


class Form(Protocol):
    """The form of one kind of target."""

    def of_row(self, known: Known, row: Row) -> Any:  # noqa: ANN401
        """The body that the target holds for a (masked) row."""

    def of_value(self, known: Known, value: Any) -> Any:  # noqa: ANN401
        """The body for a value of the application's; `ValueRefused` if it can be none."""

    def value(self, body: Any) -> Any:  # noqa: ANN401
        """What the application gets of a body."""

    def are_same(self, one: Any, other: Any) -> bool:  # noqa: ANN401
        """Whether a reader of the new database gets the same of both bodies."""


class RowForm:
    """A target with columns: its bodies are rows."""

    def of_row(self, known: Known, row: Row) -> Row:
        """The row itself."""
        del known
        return row

    def of_value(self, known: Known, value: Any) -> Row:  # noqa: ANN401
        """The row in canonical form; it must have every column."""
        if not isinstance(value, Mapping):
            message = f"a value of {known.to.full_name} must be a mapping of its columns"
            raise ValueRefused(message)
        return canonical_row(known.to, value)

    def value(self, body: Row) -> dict[str, Any]:
        """The row as a dictionary of one's own."""
        return dict(body)

    def are_same(self, one: Row, other: Row) -> bool:
        """Each value in its canonical form."""
        return one == other


class ObjectForm:
    """A target with objects: its bodies are bytes with a type."""

    def __init__(self, mapping: ObjectMapping) -> None:
        self._mapping = mapping

    def of_row(self, known: Known, row: Row) -> Body:
        """What the mapping makes of the row, as the target gives it back."""
        return self._mapping.body_as_read(known.to, row)

    def of_value(self, known: Known, value: Any) -> Body:  # noqa: ANN401
        """The value as an object: a `Body` as it is, bytes, or what JSON can carry."""
        if isinstance(value, Body):
            return value._replace(indexes=tuple(sorted(value.indexes)))
        if isinstance(value, bytes):
            return Body(value, "application/octet-stream")
        try:
            return Body(orjson.dumps(value))
        except TypeError as error:
            message = f"a value of {known.to.full_name} cannot be written as JSON: {error}"
            raise ValueRefused(message, hint="Give a Body, bytes, or what JSON can carry.") from error

    def value(self, body: Body) -> Any:  # noqa: ANN401
        """What the JSON holds, else the bytes."""
        return orjson.loads(body.value) if body.content_type == JSON else body.value

    def are_same(self, one: Body, other: Body) -> bool:
        """Type, indexes and bytes; of JSON what it says, since its members have no order."""
        return one._replace(value=b"") == other._replace(value=b"") and self.value(one) == self.value(other)


def form_of(settings: Settings) -> "Form":
    """The form of the settings' target."""
    return ObjectForm(mapping_of(settings)) if settings.target.nodes else RowForm()
