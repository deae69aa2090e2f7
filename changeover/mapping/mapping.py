"""From rows to objects: where each goes, what it looks like there, and what that rests on."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from changeover.envelope import JSON_TYPES, decode_key
from changeover.errors import KeysCollide, MappingFailed, MappingUnfit
from changeover.mapping import object_key
from changeover.mapping.body import JSON, Body
from changeover.mapping.rules import Constant, Function, Rules
from changeover.table import Table
from changeover.values import Row, row_to_json

ENCODER = 1
"""Of the bytes that a row becomes; part of every fingerprint."""

RESERVED = "changeover"
"""The bucket of our own few objects."""

CALLED_TWICE = 100
"""Rows of each table whose body a function is asked for twice, to see that it gives the same."""


class Place(NamedTuple):
    """Where an object lies."""

    bucket: str
    key: str


class ObjectMapping:
    """The mapping of a pipeline's tables, by their full names; a table without rules has the default."""

    def __init__(self, rules: Mapping[str, Rules] | None = None) -> None:
        self._rules = rules or {}
        self._known: dict[str, _Mapped] = {}

    def place(self, table: Table, key: bytes) -> Place:
        """The place of the row with this key (`envelope.encode_key`).

        Two rows, of whichever tables, never have one place: `KeysCollide` where they would.
        """
        mapped = self._of(table)
        return Place(mapped.bucket, mapped.prefix + object_key.encode(table, decode_key(table, key)))

    def key_at(self, table: Table, place: Place) -> Row | None:
        """The key columns of the table's row whose place this is, None if it is no place of this table's."""
        mapped = self._of(table)
        if place.bucket != mapped.bucket or not place.key.startswith(mapped.prefix):
            return None
        try:
            return object_key.decode(table, place.key.removeprefix(mapped.prefix))
        except ValueError:
            return None

    def is_of_another(self, table: Table, place: Place) -> bool:
        """Whether the place is that of another table, which shares the bucket by the rules."""
        return any(
            name != table.full_name
            and rules.bucket == place.bucket
            and rules.key_prefix
            and place.key.startswith(rules.key_prefix)
            for name, rules in self._rules.items()
        )

    def body(self, table: Table, row: Row) -> Body:
        """What the row becomes. `MappingFailed` if a function fails or does not give a body."""
        mapped = self._of(table)
        if mapped.function:
            return mapped.by_function(row)
        # `row_to_json` for the few that need it: for all columns it takes as long again as the rest of this.
        value = {member: row[name] for name, member in mapped.members}
        value |= row_to_json(table, {member: value[member] for member in mapped.bytes_members})
        value.update(mapped.constants)
        return Body(orjson.dumps(value), JSON, tuple(mapped.indexes_of(row)))

    def body_as_read(self, table: Table, row: Row) -> Body:
        """As `body`, with the indexes in the order in which a target gives them back."""
        body = self.body(table, row)
        return body._replace(indexes=tuple(sorted(body.indexes)))

    def bucket(self, table: Table) -> str:
        """The bucket of the table's objects."""
        return self._of(table).bucket

    def fingerprint(self, table: Table) -> str:
        """32 hex digits that stand for this mapping of the table: another mapping has others.

        A change of the table's columns is none of the mapping: each record in the log knows its own columns.
        """
        rules = self._rules_of(table)
        plain = {
            "encoder": ENCODER,
            "key": object_key.FORM,
            **rules.plain,
            "bucket": _bucket_of(table, rules),
        }
        return hashlib.blake2b(orjson.dumps(plain), digest_size=16).hexdigest()

    def check(self, tables: Iterable[Table]) -> None:
        """Return if the mapping fits exactly these tables, else raise `MappingUnfit` or `KeysCollide`."""
        names = set()
        for table in tables:
            self._of(table)
            names.add(table.full_name)
        if unknown := sorted(self._rules.keys() - names):
            message = (
                f"mapping.tables has rules for {', '.join(unknown)}, which is not among the captured tables"
            )
            raise MappingUnfit(message, hint="Mend the name, or include the table.")

    def _of(self, table: Table) -> "_Mapped":
        known = self._known.get(table.fingerprint)
        if known is None:
            known = self._known[table.fingerprint] = self._make(table)
        return known

    def _make(self, table: Table) -> "_Mapped":
        rules = self._rules_of(table)
        bucket = _bucket_of(table, rules)
        if bucket == RESERVED:
            message = (
                f"{table.full_name} would go into the bucket {RESERVED}, which changeover keeps for itself"
            )
            raise MappingUnfit(message)
        members = rules.members(table)
        mapped = _Mapped(
            table=table,
            bucket=bucket,
            prefix=rules.key_prefix,
            members=members,
            bytes_members=tuple(member for name, member in members if name in table.bytes_columns),
            constants=rules.constants,
            indexes=tuple(_index(table, rules, name) for name in rules.index),
            function=rules.own.function if rules.own else None,
        )
        for other in self._known.values():
            _refuse_collision(mapped, other)
        return mapped

    def _rules_of(self, table: Table) -> Rules:
        return self._rules.get(table.full_name) or Rules()


@dataclass(slots=True, kw_only=True)
class _Mapped:
    """The rules of a table, made ready for its rows."""

    table: Table
    bucket: str
    prefix: str
    members: tuple[tuple[str, str], ...]
    """Column and member of the body."""

    bytes_members: tuple[str, ...]
    constants: Mapping[str, Constant]
    indexes: tuple[tuple[str, str], ...]
    """Column and name of the index."""

    function: Function | None
    calls: int = 0

    def indexes_of(self, row: Row) -> Iterator[tuple[str, str]]:
        for column, index in self.indexes:
            value = row[column]
            if value is not None:
                yield index, value.hex() if isinstance(value, bytes) else str(value)

    def by_function(self, row: Row) -> Body:
        body = self._call(row)
        if self.calls < CALLED_TWICE:
            self.calls += 1
            if self._call(row) != body:
                raise self._failed(row, "it gives another body when it is called again")
        return body

    def _call(self, row: Row) -> Body:
        assert self.function is not None  # noqa: S101 - the caller has looked
        # Of its own, for it may change it.
        given = {member: row[name] for name, member in self.members}
        given.update(self.constants)
        try:
            body = self.function(given)
        except Exception as error:
            # Not what the exception says: it may quote a value.
            raise self._failed(row, f"it raises {type(error).__name__}") from error
        if complaint := _complaint(body):
            raise self._failed(row, complaint)
        return body

    def _failed(self, row: Row, why: str) -> MappingFailed:
        key = object_key.encode(self.table, row)
        return MappingFailed(f"the mapping function of {self.table.full_name} fails at the key {key}: {why}")


def _bucket_of(table: Table, rules: Rules) -> str:
    return rules.bucket or table.name


def _index(table: Table, rules: Rules, name: str) -> tuple[str, str]:
    kind = next(column.kind for column in table.columns if column.name == name)
    return name, f"{rules.rename.get(name, name)}_{'int' if JSON_TYPES.get(kind) is int else 'bin'}"


def _refuse_collision(one: _Mapped, other: _Mapped) -> None:
    """Two tables share a bucket only if no key of one can be a key of the other."""
    if one.table.full_name == other.table.full_name or one.bucket != other.bucket:
        return
    if one.prefix.startswith(other.prefix) or other.prefix.startswith(one.prefix):
        names = sorted((one.table.full_name, other.table.full_name))
        message = f"rows of {' and of '.join(names)} could become one object of the bucket {one.bucket}"
        raise KeysCollide(message)


def _complaint(body: object) -> str:
    if not isinstance(body, Body):
        return f"it gives a {type(body).__name__}, not a changeover.mapping.Body"
    if type(body.value) is not bytes or type(body.content_type) is not str or not body.content_type:
        return "the body's value must be bytes, and its content_type a text"
    if type(body.indexes) is not tuple:
        return "the body's indexes must be a tuple"
    for pair in body.indexes:
        if type(pair) is not tuple or [type(part) for part in pair] != [str, str]:
            return "each index must be a name and a value, both texts"
        if not pair[0].endswith(("_int", "_bin")):
            return f"the index {pair[0]!r} ends neither in _int nor in _bin"
    return ""
