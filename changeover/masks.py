"""Masks: what must not leave the source is hashed, replaced or left out before anything is logged.

The import's rows and the binlog's go through the same function, so both write the same masked values. A
masked table has a definition of its own, by which log and target know it: another mask, or another secret,
is another definition, and is refused where the first one was written.
"""

import fnmatch
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

from changeover.envelope import decode_key, encode_key
from changeover.errors import SettingsInvalid
from changeover.settings import MasksSettings
from changeover.table import BYTES_KINDS, Column, Kind, Table
from changeover.values import Row, Value

HASH_BYTES = 16
"""Of a masked value: two of a thousand million values share one in one of 10^21 cases."""

HASH, LEAVE_OUT = "hash", "leave out"

KIND_OF_CONSTANT = {Kind.INTEGER: int, Kind.YEAR: int, Kind.BIT: int, Kind.FLOAT: float, Kind.DOUBLE: float}
"""Python's type of a constant; text for the kinds not named."""


@dataclass(frozen=True)
class Mask:
    """How one table's rows are masked; `to` is the table that they are rows of then."""

    to: Table
    replaced: Mapping[str, Callable[[Value], Value]]
    left_out: frozenset[str] = frozenset()

    def row(self, row: Row) -> Row:
        """The masked row."""
        if not self.replaced and not self.left_out:
            return row
        masked = {name: value for name, value in row.items() if name not in self.left_out}
        for name, mask in self.replaced.items():
            masked[name] = mask(row[name])
        return masked

    @property
    def hides_key(self) -> bool:
        """Whether the key of a masked row does not tell which row it is of."""
        return not self.replaced.keys().isdisjoint(self.to.key)

    def key(self, table: Table, key: bytes) -> bytes:
        """The key of the masked row (`envelope.encode_key`), by that of the row, of this table."""
        if not self.hides_key:
            return key
        row = decode_key(table, key)
        masked = {name: mask(row[name]) for name, mask in self.replaced.items() if name in row}
        return encode_key(self.to, {**row, **masked})


class Masks:
    """The masks of all tables; `SettingsInvalid` if one of them names no column, or cannot be."""

    def __init__(self, settings: MasksSettings, tables: Sequence[Table]) -> None:
        self._settings = settings
        wanted = (*settings.hash, *settings.leave_out, *settings.constants)
        for pattern in wanted:
            if not any(_matches(table, column, pattern) for table in tables for column in table.columns):
                raise SettingsInvalid(f"masks name {pattern}, and no captured table has such a column")
        self._masks = {table.fingerprint: self._mask(table) for table in tables}

    def of(self, table: Table) -> Mask:
        """The table's mask."""
        return self._masks[table.fingerprint]

    @cached_property
    def _secret(self) -> bytes:
        # Of any length; blake2b takes keys of up to 64 bytes.
        return hashlib.blake2b(self._settings.secret_key().encode()).digest()

    def _mask(self, table: Table) -> Mask:
        columns: list[Column] = []
        replaced: dict[str, Callable[[Value], Value]] = {}
        left_out = set()
        for column in table.columns:
            chosen = list(self._chosen(table, column))
            if len(chosen) > 1:
                raise SettingsInvalid(f"masks say of {table.full_name}.{column.name} more than one thing")
            if not chosen:
                columns.append(column)
            elif chosen == [HASH]:
                columns.append(self._hashed_column(column))
                replaced[column.name] = partial(hashed, self._secret)
            elif chosen == [LEAVE_OUT]:
                _check_no_key(table, column)
                left_out.add(column.name)
            else:
                _check_no_key(table, column)
                constant = _constant(table, column, self._settings.constants[chosen[0]])
                columns.append(replace(column, sql_type=f"{column.sql_type} /* {_digest(constant)} */"))
                replaced[column.name] = partial(_always, constant)
        masked = replace(table, columns=tuple(columns)) if replaced or left_out else table
        return Mask(masked, replaced, frozenset(left_out))

    def _chosen(self, table: Table, column: Column) -> Iterator[str]:
        """What the settings say of a column: HASH, LEAVE_OUT, or the pattern of its constant."""
        for how, patterns in ((HASH, self._settings.hash), (LEAVE_OUT, self._settings.leave_out)):
            if any(_matches(table, column, pattern) for pattern in patterns):
                yield how
        yield from (pattern for pattern in self._settings.constants if _matches(table, column, pattern))

    def _hashed_column(self, column: Column) -> Column:
        # The secret's own hash stands for it: with another one the table is another.
        sql_type = f"char({2 * HASH_BYTES}) /* {_digest_of_secret(self._secret)} of {column.sql_type} */"
        return Column(
            name=column.name, kind=Kind.TEXT, sql_type=sql_type, nullable=column.nullable, charset="ascii"
        )


def hashed(secret: bytes, value: Value) -> str | None:
    """The value's keyed hash in hexadecimal; NULL stays NULL. Equal values of all columns have equal hashes.

    >>> hashed(b"secret", 7) == hashed(b"secret", 7) != hashed(b"secret", "7")
    True
    """
    if value is None:
        return None
    written = value if isinstance(value, bytes) else str(value).encode()
    message = type(value).__name__.encode() + b":" + written
    return hashlib.blake2b(message, key=secret, digest_size=HASH_BYTES).hexdigest()


def _digest_of_secret(secret: bytes) -> str:
    return hashlib.blake2b(b"changeover", key=secret, digest_size=HASH_BYTES).hexdigest()


def _always(constant: Value, _: Value) -> Value:
    return constant


def _digest(constant: Value) -> str:
    return hashlib.blake2b(repr(constant).encode(), digest_size=HASH_BYTES).hexdigest()


def _matches(table: Table, column: Column, pattern: str) -> bool:
    return fnmatch.fnmatchcase(f"{table.full_name}.{column.name}", pattern)


def _check_no_key(table: Table, column: Column) -> None:
    if column.name in table.key:
        message = f"masks take {table.full_name}.{column.name} away, which is in the primary key"
        raise SettingsInvalid(message, hint="A key can be hashed: it still tells rows apart then.")


def _constant(table: Table, column: Column, constant: Value) -> Value:
    wanted = KIND_OF_CONSTANT.get(column.kind, str)
    if column.kind in BYTES_KINDS or type(constant) is not wanted:
        message = (
            f"masks give {table.full_name}.{column.name} ({column.sql_type}) a constant that it cannot have"
        )
        hint = (
            "Bytes can be hashed or left out."
            if column.kind in BYTES_KINDS
            else f"It must be a {wanted.__name__}."
        )
        raise SettingsInvalid(message, hint=hint)
    return constant
