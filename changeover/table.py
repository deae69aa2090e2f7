"""Table: what a captured table is called, which columns it has, and what its key is."""

import enum
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import orjson


class Kind(enum.StrEnum):
    """How a column's values are written in canonical form (`values.py`)."""

    INTEGER = "integer"
    DECIMAL = "decimal"
    FLOAT = "float"
    DOUBLE = "double"
    TEXT = "text"
    BYTES = "bytes"
    DATE = "date"
    DATETIME = "datetime"
    TIMESTAMP = "timestamp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column: its name, its kind, and the source's own words for its type."""

    name: str
    kind: Kind
    sql_type: str
    nullable: bool
    fraction_digits: int = 0

    @property
    def is_unsigned_bigint(self) -> bool:
        """Whether values can lie beyond what a signed 64-bit integer holds."""
        return self.sql_type.startswith("bigint") and "unsigned" in self.sql_type


@dataclass(frozen=True, kw_only=True)
class Table:
    """A captured table as it is at one time. Two with one fingerprint have the same rows."""

    schema: str
    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]

    def __post_init__(self) -> None:
        names = {column.name for column in self.columns}
        if not self.key or not names.issuperset(self.key):
            message = f"{self.full_name} needs a key of its own columns, not {self.key}"
            raise ValueError(message)

    @cached_property
    def full_name(self) -> str:
        """`schema.name`."""
        return f"{self.schema}.{self.name}"

    @cached_property
    def column_names(self) -> tuple[str, ...]:
        """Names of the columns, in the table's order."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def key_columns(self) -> tuple[Column, ...]:
        """The columns of the key, in the key's order."""
        by_name = {column.name: column for column in self.columns}
        return tuple(by_name[name] for name in self.key)

    @cached_property
    def bytes_columns(self) -> tuple[str, ...]:
        """Names of the columns whose values are bytes: base64 where the form is JSON."""
        return tuple(column.name for column in self.columns if column.kind is Kind.BYTES)

    @cached_property
    def definition(self) -> bytes:
        """The table as JSON; `parse` reads it again."""
        return orjson.dumps(
            {
                "schema": self.schema,
                "name": self.name,
                "key": self.key,
                "columns": [
                    {
                        "name": column.name,
                        "kind": column.kind.value,
                        "sql_type": column.sql_type,
                        "nullable": column.nullable,
                        "fraction_digits": column.fraction_digits,
                    }
                    for column in self.columns
                ],
            }
        )

    @cached_property
    def fingerprint(self) -> str:
        """32 hex digits that stand for exactly this definition."""
        return hashlib.blake2b(self.definition, digest_size=16).hexdigest()

    @classmethod
    def parse(cls, definition: bytes) -> Self:
        """The table whose `definition` this is."""
        fields: Mapping[str, Any] = orjson.loads(definition)
        columns = tuple(Column(**{**column, "kind": Kind(column["kind"])}) for column in fields["columns"])
        return cls(schema=fields["schema"], name=fields["name"], columns=columns, key=tuple(fields["key"]))
