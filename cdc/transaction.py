"""A source transaction while it is read: the changes of one key folded into one.

Only the last state of a key in a transaction was ever committed, so only that one may reach the target:
the first `before` and the last `after`; a row that came and went within it leaves nothing. A key that
changes is two changes, a delete of the old key and an insert of the new.
"""

from collections.abc import Iterator, MutableMapping
from typing import NamedTuple

from changeover.change import Change, Op, Origin
from changeover.envelope import encode_key
from changeover.table import Table
from changeover.values import Row
from changeover.version import Version


class KeyId(NamedTuple):
    """A key of a table: the table's full name and the bytes of the key."""

    table: str
    key: bytes


class Folded(NamedTuple):
    """What a transaction did to one key: its row before the first and after the last change."""

    table: Table
    before: Row | None
    after: Row | None


FoldedStore = MutableMapping[KeyId, Folded]


class Transaction:
    """The folded changes of one transaction. `store` holds them: a dict, or one that spills to disk."""

    def __init__(self, store: FoldedStore) -> None:
        self._store = store
        self.rows = 0
        """Row changes that were folded in; a plain number, which any thread may look at."""

    def __len__(self) -> int:
        """How many keys have changed."""
        return len(self._store)

    def add(self, table: Table, before: Row | None, after: Row | None) -> None:
        """Fold a row change in: an insert (no `before`), a delete (no `after`) or an update."""
        self.rows += 1
        old_key = None if before is None else encode_key(table, before)
        new_key = None if after is None else encode_key(table, after)
        if old_key == new_key and new_key is not None:
            self._fold(table, new_key, before, after)
            return
        if old_key is not None:
            self._fold(table, old_key, before, None)
        if new_key is not None:
            self._fold(table, new_key, None, after)

    def changes(self, version: Version, origin: Origin) -> Iterator[tuple[bytes, Change]]:
        """Each changed key with its one change."""
        for key_id, (table, before, after) in self._store.items():
            yield key_id.key, Change(table, _op(before, after), before, after, version, origin)

    def _fold(self, table: Table, key: bytes, before: Row | None, after: Row | None) -> None:
        key_id = KeyId(table.full_name, key)
        earlier = self._store.get(key_id)
        first = earlier.before if earlier else before
        if first is None and after is None:
            self._store.pop(key_id, None)
        else:
            self._store[key_id] = Folded(table, first, after)


def _op(before: Row | None, after: Row | None) -> Op:
    if after is None:
        return Op.DELETE
    return Op.CREATE if before is None else Op.UPDATE
