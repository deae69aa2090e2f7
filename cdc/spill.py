"""A store for the changes of a transaction that is too large for memory: beyond a bound it is a file."""

import sqlite3
from collections.abc import Iterator, MutableMapping

import orjson

from cdc.transaction import Folded, KeyId
from changeover.table import Table
from changeover.values import row_from_json, row_to_json

KEYS_IN_MEMORY_MAX = 20_000
"""About 40 MB at two images of 1 kB; a transaction of the usual size never touches the disk."""


class SpillingStore(MutableMapping[KeyId, Folded]):
    """Folded changes by key, in the order of first touch; in memory at first, then in a temporary file.

    The file is SQLite's own temporary database: without a name, gone with the connection.
    """

    def __init__(self, keys_in_memory_max: int = KEYS_IN_MEMORY_MAX) -> None:
        self._max = keys_in_memory_max
        self._memory: dict[KeyId, Folded] = {}
        self._tables: dict[str, Table] = {}
        self._file: sqlite3.Connection | None = None

    @property
    def is_spilled(self) -> bool:
        """Whether the changes lie in the file."""
        return self._file is not None

    def __getitem__(self, key_id: KeyId) -> Folded:
        """The key's folded change."""
        if self._file is None:
            return self._memory[key_id]
        row = self._file.execute(
            "SELECT before, after FROM folded WHERE tbl = ? AND key = ?", key_id
        ).fetchone()
        if row is None:
            raise KeyError(key_id)
        return self._folded(key_id.table, *row)

    def __setitem__(self, key_id: KeyId, folded: Folded) -> None:
        """Keep the key's folded change; a key that is there keeps its place."""
        if self._file is None:
            self._memory[key_id] = folded
            if len(self._memory) > self._max:
                self._spill()
        else:
            self._insert(self._file, key_id, folded)

    def __delitem__(self, key_id: KeyId) -> None:
        """Forget the key."""
        if self._file is None:
            del self._memory[key_id]
        elif not self._file.execute("DELETE FROM folded WHERE tbl = ? AND key = ?", key_id).rowcount:
            raise KeyError(key_id)

    def __iter__(self) -> Iterator[KeyId]:
        """The keys in order of first touch."""
        if self._file is None:
            yield from self._memory
        else:
            for table, key in self._file.execute("SELECT tbl, key FROM folded ORDER BY place"):
                yield KeyId(table, key)

    def __len__(self) -> int:
        """How many keys have changed."""
        if self._file is None:
            return len(self._memory)
        (count,) = self._file.execute("SELECT count(*) FROM folded").fetchone()
        return int(count)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    def _spill(self) -> None:
        file = sqlite3.connect("", isolation_level=None)  # "": on disk, deleted when it is closed
        file.execute("PRAGMA journal_mode = OFF")
        file.execute(
            "CREATE TABLE folded (place INTEGER PRIMARY KEY, tbl TEXT, key BLOB, before BLOB, after BLOB, "
            "UNIQUE (tbl, key))"
        )
        for key_id, folded in self._memory.items():
            self._insert(file, key_id, folded)
        self._memory.clear()
        self._file = file

    def _insert(self, file: sqlite3.Connection, key_id: KeyId, folded: Folded) -> None:
        table = folded.table
        self._tables[key_id.table] = table
        images = [
            None if image is None else orjson.dumps(row_to_json(table, image))
            for image in (folded.before, folded.after)
        ]
        file.execute(
            "INSERT INTO folded (tbl, key, before, after) VALUES (?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET before = excluded.before, after = excluded.after",
            (*key_id, *images),
        )

    def _folded(self, table_name: str, *images: bytes | None) -> Folded:
        table = self._tables[table_name]
        before, after = (
            None if image is None else row_from_json(table, orjson.loads(image)) for image in images
        )
        return Folded(table, before, after)
