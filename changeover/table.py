"""Table: what a captured table is called, which columns it has, and what its key is."""

import enum
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import orjson


class Kind(enum.StrEnum):
    """How a column's values are written in canonical form (`values.py`)."""

    INTEGER = "integer"
    YEAR = "year"
    BIT = "bit"
    DECIMAL = "decimal"
    FLOAT = "float"
    DOUBLE = "double"
    TEXT = "text"
    ENUM = "enum"
    SET = "set"
    JSON = "json"  # of MySQL; MariaDB's JSON is TEXT
    BYTES = "bytes"
    BINARY = "binary"  # of fixed length: the server pads it with zero bytes
    GEOMETRY = "geometry"
    DATE = "date"
    TIME = "time"
    DATETIME = "datetime"
    TIMESTAMP = "timestamp"
    UUID = "uuid"
    INET4 = "inet4"
    INET6 = "inet6"


NUMBER_KINDS = frozenset({Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT, Kind.DOUBLE})
"""The kinds that can have a sign."""

TEXT_KINDS = frozenset({Kind.TEXT, Kind.ENUM, Kind.SET})
"""The kinds whose values are text in a character set of the column's own."""

BYTES_KINDS = frozenset({Kind.BYTES, Kind.BINARY, Kind.GEOMETRY})
"""The kinds whose canonical values are bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column: its name, its kind, and the source's own words for its type.

    `charset` is the source's name of a text's character set (TEXT, ENUM, SET), empty for other kinds.
    """

    name: str
    kind: Kind
    sql_type: str
    nullable: bool
    fraction_digits: int = 0
    charset: str = ""

    @property
    def is_unsigned(self) -> bool:
        """Whether it is a number without a sign, as one that is filled with zeros always is."""
        return self.kind in NUMBER_KINDS and "unsigned" in self.sql_type

    @property
    def exceeds_int64(self) -> bool:
        """Whether values can lie beyond what a signed 64-bit integer holds."""
        return self.sql_type == "bit(64)" or (self.is_unsigned and self.sql_type.startswith("bigint"))

    @property
    def length(self) -> int:
        """The length in the type: bytes of a BINARY, bits of a BIT, characters of a CHAR.

        >>> Column(name="hash", kind=Kind.BINARY, sql_type="binary(20)", nullable=False).length
        20
        """
        found = LENGTH.search(self.sql_type)
        return int(found[1]) if found else 0

    @property
    def members(self) -> tuple[str, ...]:
        r"""The labels of an ENUM or SET, in their order, as the server prints them.

        It prints them in 3-byte UTF-8: a label outside of that has question marks here. Row metadata of the
        binlog has them right.

        >>> Column(name="c", kind=Kind.ENUM, sql_type=r"enum('S','it''s','a\\b','')", nullable=True).members
        ('S', "it's", 'a\\b', '')
        """
        quoted = MEMBER.findall(self.sql_type)
        return tuple(ESCAPED.sub(lambda found: ESCAPES[found[0]], label) for label in quoted)


LENGTH = re.compile(r"\((\d+)")
MEMBER = re.compile(r"'((?:[^']|'')*)'")
ESCAPED = re.compile(r"''|\\.")
ESCAPES = {"''": "'", r"\\": "\\", r"\0": "\0", r"\n": "\n", r"\r": "\r"}
"""How the server writes a label in a type."""


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
        return tuple(column.name for column in self.columns if column.kind in BYTES_KINDS)

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
                        "charset": column.charset,
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
