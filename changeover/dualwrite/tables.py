"""The captured tables as the application names them, with their masks and their keys."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from changeover.dualwrite.canonical import canonical_key
from changeover.envelope import encode_key
from changeover.errors import TableUnknown
from changeover.masks import Mask, Masks
from changeover.table import Table
from changeover.values import Row


class Place(NamedTuple):
    """A row's place in the new database: its table's full name there, and its key (`envelope.encode_key`)."""

    table_name: str
    key: bytes


@dataclass(frozen=True, slots=True)
class Known:
    """A captured table, and how its rows are masked. `is_safe`: its engine keeps transactions."""

    table: Table
    mask: Mask
    is_safe: bool

    @property
    def to(self) -> Table:
        """The table as the new database has it."""
        return self.mask.to

    @property
    def hides_key(self) -> bool:
        """Whether a mask makes the key another one."""
        return not self.mask.replaced.keys().isdisjoint(self.table.key)

    def place_of(self, row: Row) -> Place:
        """The place of a whole row of the old database."""
        return Place(self.to.full_name, encode_key(self.to, self.mask.row(row)))

    def place_at(self, key: Mapping[str, object]) -> Place:
        """The place of the row that has this key, given in the application's own values."""
        found = canonical_key(self.table, key)
        masked = {
            name: self.mask.replaced[name](v) if name in self.mask.replaced else v
            for name, v in found.items()
        }
        return Place(self.to.full_name, encode_key(self.to, masked))

    def parameters(self, key: Mapping[str, object]) -> list[object]:
        """The key's values in the order in which `carried.select_row` takes them; the key is checked."""
        canonical_key(self.table, key)
        return [key[name] for name in self.table.key]

    def keyed(self, key: object) -> dict[str, object]:
        """The key by its columns' names, from a value or a tuple of them in the key's order."""
        parts = key if isinstance(key, tuple) else (key,)
        if len(parts) != len(self.table.key):
            message = (
                f"the key of {self.table.full_name} is ({', '.join(self.table.key)}), not {len(parts)} values"
            )
            raise TableUnknown(message)
        return dict(zip(self.table.key, parts, strict=True))


class Tables:
    """All captured tables, by name."""

    def __init__(self, tables: Sequence[Table], masks: Masks, unsafe: Iterable[str] = ()) -> None:
        without = frozenset(unsafe)
        known = [Known(table, masks.of(table), table.full_name not in without) for table in tables]
        self._by_name = {one.table.full_name: one for one in known}
        short = [one.table.name for one in known]
        self._by_name |= {one.table.name: one for one in known if short.count(one.table.name) == 1}

    def find(self, name: str) -> Known:
        """The table of that name, `schema.name` or, where only one schema has it, `name`."""
        known = self._by_name.get(name)
        if known is None:
            message = f"{name} is no captured table, or the name of several"
            raise TableUnknown(
                message, hint="Name it as schema.table; source.include says which are captured."
            )
        return known
