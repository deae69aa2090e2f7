"""The rules of one table's mapping, as the settings give them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from changeover.errors import MappingUnfit
from changeover.mapping.body import Body
from changeover.table import Table
from changeover.values import Value

Constant = bool | int | float | str | None
"""What can stand in a settings file and in JSON."""

Function = Callable[[dict[str, Value]], Body]
"""A function of the user's own, from a row to its body. It gets canonical values (`changeover.values`)."""

PREFIX = re.compile(r"[A-Za-z0-9_-]*").fullmatch


@dataclass(frozen=True, slots=True)
class Own:
    """A function of the user's own: its import path, the function, and what its file holds."""

    path: str
    function: Function
    digest: str


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How the rows of one table become objects; without rules, each column is a member of a JSON object.

    `bucket` is the table's name if empty. `own` makes the body of what the other rules leave of the row.
    """

    bucket: str = ""
    key_prefix: str = ""
    rename: Mapping[str, str] = field(default_factory=dict)
    leave_out: tuple[str, ...] = ()
    constants: Mapping[str, Constant] = field(default_factory=dict)
    index: tuple[str, ...] = ()
    own: Own | None = None

    def members(self, table: Table) -> tuple[tuple[str, str], ...]:
        """Column and member of the body for each column that is kept, in the table's order.

        Raises `MappingUnfit` where the rules do not fit the table.
        """
        self._check(table)
        kept = [name for name in table.column_names if name not in self.leave_out]
        members = tuple((name, self.rename.get(name, name)) for name in kept)
        names = [*(member for _, member in members), *self.constants]
        if twice := {name for name in names if names.count(name) > 1}:
            raise _unfit(table, f"two values would be called {', '.join(sorted(twice))}")
        return members

    def _check(self, table: Table) -> None:
        if not PREFIX(self.key_prefix):
            raise _unfit(
                table, f"key_prefix {self.key_prefix!r} has other characters than letters, digits, - and _"
            )
        if self.index and self.own:
            raise _unfit(table, "index does not go with a function, which makes its own indexes")
        named = {*self.rename, *self.leave_out, *self.index}
        if unknown := named.difference(table.column_names):
            raise _unfit(table, f"it has no column {', '.join(sorted(unknown))}")
        if both := set(self.leave_out).intersection(self.rename):
            raise _unfit(table, f"{', '.join(sorted(both))} is both renamed and left out")

    @cached_property
    def plain(self) -> Mapping[str, object]:
        """All that decides what a row becomes, for the fingerprint."""
        return {
            "bucket": self.bucket,
            "key_prefix": self.key_prefix,
            "rename": dict(sorted(self.rename.items())),
            "leave_out": sorted(self.leave_out),
            "constants": list(self.constants.items()),  # their order is the order in the body
            "index": sorted(self.index),
            "own": [self.own.path, self.own.digest] if self.own else None,
        }


def _unfit(table: Table, why: str) -> MappingUnfit:
    return MappingUnfit(f"the mapping of {table.full_name} does not fit: {why}")
