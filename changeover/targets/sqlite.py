"""A SQLite file as the new database: plain tables for users, versions in a table beside them.

A source table becomes a table of the same name, columns and primary key. Each key's version and delete
marker stand in `changeover_version`, written in one transaction with the row. SQLite's column affinities
change values (a DECIMAL '1.10' becomes 1.1, -0.0 becomes 0.0), so columns are declared with the one
affinity that keeps the canonical value as it is.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from changeover import sqlite_file
from changeover.crashpoints import reach
from changeover.decide import Outcome, Write, decide
from changeover.envelope import decode_key
from changeover.errors import (
    ChangeUnreadable,
    TargetClosed,
    TargetUnavailable,
    TargetUnusable,
    UnversionedObject,
)
from changeover.formats import require_known
from changeover.table import Table
from changeover.targets import CLOSED, KEYS_AT_ONCE, UNVERSIONED, Held, Note, Page, adopting
from changeover.targets.sqlite_columns import affinity, quoted, stored, stored_key, text_of
from changeover.targets.sqlite_keys import Keys
from changeover.values import Row, Value
from changeover.version import Version

FORMAT = 1
LOCK_WAIT_S_MAX = 30.0
"""How long a write waits while somebody else holds the file: a reader of the application, a backup."""

SCHEMA = """
CREATE TABLE changeover_target (format INTEGER, pipeline TEXT);
CREATE TABLE changeover_table (name TEXT PRIMARY KEY, id INTEGER, fingerprint TEXT) WITHOUT ROWID;
CREATE TABLE changeover_version (table_id INTEGER, key BLOB, version TEXT, deleted INTEGER,
                                 PRIMARY KEY (table_id, key)) WITHOUT ROWID;
"""

NOTES = (
    "CREATE TABLE IF NOT EXISTS changeover_note (name TEXT PRIMARY KEY, version TEXT, text TEXT) "
    "WITHOUT ROWID"
)
LET_GO_AT_ONCE = 20_000
"""Versions removed in one transaction: some 30 ms, in which nobody else can write."""

SOME = f"SELECT {{}} FROM changeover_version WHERE table_id = ? ORDER BY key LIMIT {LET_GO_AT_ONCE}"
COUNT_SOME = f"SELECT count(*), coalesce(sum(deleted), 0) FROM ({SOME.format('deleted')})"
DROP_SOME = f"DELETE FROM changeover_version WHERE table_id = ? AND key IN ({SOME.format('key')})"

OWN_TABLES = "changeover_"

NOT_WRITTEN = 0
"""Stands for the number of a table of another tool that we have not written to: no key has a version."""


class SQLiteTarget:
    """A target in a SQLite file, made on first use."""

    def __init__(
        self, path: Path, pipeline: str, *, adopt: bool = False, lock_wait_s: float | None = None
    ) -> None:
        self.retries = 0
        self.closing_s = 0.0  # each write looks, in its own transaction
        self._pipeline = pipeline
        self._adopt = adopt
        self._statements: dict[str, _Statements] = {}
        check(path, pipeline, adopt=adopt)
        try:
            self._connection = sqlite_file.connect(
                path, LOCK_WAIT_S_MAX if lock_wait_s is None else lock_wait_s
            )
        except sqlite3.Error as error:
            raise _unusable(path, str(error)) from error
        with self._transaction():
            self._make_header()

    def write(self, batch: Sequence[Write]) -> list[Outcome]:
        """Write the batch in one transaction; see `changeover.targets.Target`."""
        with self._transaction():
            if self._note_of(CLOSED):
                raise TargetClosed(f"the move of pipeline {self._pipeline} is finished")
            return [self._write_one(write) for write in batch]

    def replace(self, write: Write, held: Version) -> bool:
        """Write over exactly the version `held`; see `changeover.targets.Target`."""
        with self._transaction():
            known = self._find(write.table)
            (there,) = Keys(write.table, known.table_id, self._found).held([write.key]) if known else (None,)
            if known is None or there is None or there.version != held:
                return False
            self._hold(known, write, is_there=True)
            return True

    def overwrite(self, table: Table, key: bytes, held: Held[Row]) -> None:
        """Write without the guard; see `changeover.targets.Target`."""
        with self._transaction():
            known = self._prepare(table)
            self._hold(known, Write(table, key, held.version, held.body), is_there=True)

    def body_of(self, table: Table, row: Row) -> Row:  # noqa: ARG002 - the interface is every target's
        """The row as it is."""
        return row

    def read(self, table: Table, key: bytes) -> Held[Row] | None:
        """What the target holds for the key."""
        (held,) = self.read_many(table, [key])
        return None if held is None or held.version == UNVERSIONED else held

    def read_many(self, table: Table, keys: Sequence[bytes]) -> list[Held[Row] | None]:
        """What it holds for each key; see `changeover.targets.Target`."""
        found: list[Held[Row] | None] = []
        for start in range(0, len(keys), KEYS_AT_ONCE):
            some = keys[start : start + KEYS_AT_ONCE]
            with self._snapshot():
                known = self._keys(table)
                found += known.held(some) if known else [None] * len(some)
        return found

    def walk(self, table: Table, place: bytes | None = None) -> Iterator[Page]:
        """All rows by their keys, then all delete markers; see `changeover.targets.Target`."""
        while (page := self._page(table, place)) is not None:
            yield page
            if page.place is None:
                return
            place = page.place

    def remember(self, name: str, note: Note) -> None:
        """Remember the note, unless there is one with a later version."""
        with self._transaction():
            held = self._note_of(name)
            if held is None or held.version < note.version:
                values = (name, note.version.text, note.text)
                self._connection.execute("INSERT OR REPLACE INTO changeover_note VALUES (?, ?, ?)", values)

    def remembered(self, name: str) -> Note | None:
        """The note of that name."""
        with self._reading():
            return self._note_of(name)

    def let_go(self, table: Table) -> int:
        """Remove markers and versions, some at a time: others use the file too."""
        markers = 0
        while True:
            with self._transaction():
                known = self._find(table)
                if known is None:
                    return markers
                execute = self._connection.execute
                versions, deleted = execute(COUNT_SOME, (known.table_id,)).fetchone()
                execute(DROP_SOME, (known.table_id, known.table_id))
            markers += int(deleted)
            if versions < LET_GO_AT_ONCE:
                return markers

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        """The target itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _note_of(self, name: str) -> Note | None:
        sql = "SELECT version, text FROM changeover_note WHERE name = ?"
        held = self._connection.execute(sql, (name,)).fetchone()
        return Note(Version.parse(held[0]), held[1]) if held else None

    def _write_one(self, write: Write) -> Outcome:
        statements = self._statements.get(write.table.fingerprint) or self._prepare(write.table)
        execute = self._connection.execute
        found = execute(VERSION_OF, (statements.table_id, write.key)).fetchone()
        held = Version.parse(found[0]) if found else None
        outcome = decide(held, write.version)
        if outcome is Outcome.APPLIED:
            # A row of another tool has no version, so it is lower than every one. Beside a marker there is
            # none, unless somebody put it there, and the key is ours.
            self._hold(statements, write, is_there=self._adopt or found is not None)
            reach("target.row_written")
        return outcome

    def _hold(self, statements: "_Statements", write: Write, *, is_there: bool) -> None:
        """Put the row, or take it away, with its version; `is_there` where a row may be there and be ours."""
        execute = self._connection.execute
        if write.row is not None:
            self._put(statements.replace if is_there else statements.insert, write, write.row)
        elif is_there:
            execute(statements.delete, stored_key(write.table, decode_key(write.table, write.key)))
        marker = (statements.table_id, write.key, write.version.text, write.row is None)
        execute("INSERT OR REPLACE INTO changeover_version VALUES (?, ?, ?, ?)", marker)

    def _put(self, statement: str, write: Write, row: Row) -> None:
        try:
            self._connection.execute(statement, [stored(row[name]) for name in write.table.column_names])
        except sqlite3.IntegrityError as error:
            if "UNIQUE" not in str(error):
                message = f"the target's table {write.table.name} does not take a row: {error}"
                raise ChangeUnreadable(message) from error
            message = (
                f"the target's table {write.table.name} has a row {write.key.decode()} "
                f"that changeover did not write"
            )
            raise UnversionedObject(message) from error

    def _page(self, table: Table, place: bytes | None) -> Page | None:
        with self._snapshot():
            known = self._keys(table)
            return known.page(place) if known else None

    def _keys(self, table: Table) -> Keys | None:
        """The table's keys; None if the target has no such table."""
        statements = self._find(table)
        if statements is None and self._adopt and self._is_there(table):
            adopting.check(self._rows, table, _declared(table))
            return Keys(table, NOT_WRITTEN, self._found)
        return Keys(table, statements.table_id, self._found) if statements else None

    def _is_there(self, table: Table) -> bool:
        sql = "SELECT 1 FROM sqlite_master WHERE name = ? COLLATE NOCASE"
        return self._connection.execute(sql, (table.name,)).fetchone() is not None

    def _found(self, sql: str, parameters: Sequence[Value]) -> list[tuple[Value, ...]]:
        return self._connection.execute(sql, parameters).fetchall()

    def _prepare(self, table: Table) -> "_Statements":
        statements = self._find(table)
        if statements is None:
            statements = self._make(table)
        self._statements[table.fingerprint] = statements
        return statements

    def _find(self, table: Table) -> "_Statements | None":
        known = self._statements.get(table.fingerprint)
        if known:
            return known
        found = self._connection.execute(
            "SELECT id, fingerprint FROM changeover_table WHERE name = ?", (table.name,)
        ).fetchone()
        if found is None:
            return None
        table_id, fingerprint = found
        if fingerprint != table.fingerprint:
            message = f"the target's table {table.name} was made from another definition of {table.full_name}"
            raise TargetUnusable(message, hint="Move into a new target file.")
        return _Statements(table, table_id)

    def _make(self, table: Table) -> "_Statements":
        execute = self._connection.execute
        if table.name.lower().startswith("sqlite_"):
            message = f"{table.full_name} cannot be moved into SQLite, which keeps such names for itself"
            raise TargetUnusable(message, hint="Put the table in source.exclude.")
        if self._is_there(table):
            if not self._adopt or table.name.lower().startswith(OWN_TABLES):
                message = f"the target has a table {table.name} that changeover did not make"
                raise UnversionedObject(message)
            adopting.check(self._rows, table, _declared(table))
            return self._note(table)
        columns = ", ".join(
            f"{quoted(column.name)} {affinity(column)}{'' if column.nullable else ' NOT NULL'}"
            for column in table.columns
        )
        key = ", ".join(quoted(name) for name in table.key)
        execute(f"CREATE TABLE {quoted(table.name)} ({columns}, PRIMARY KEY ({key}))")
        return self._note(table)

    def _note(self, table: Table) -> "_Statements":
        execute = self._connection.execute
        (table_id,) = execute("SELECT coalesce(max(id), 0) + 1 FROM changeover_table").fetchone()
        execute("INSERT INTO changeover_table VALUES (?, ?, ?)", (table.name, table_id, table.fingerprint))
        return _Statements(table, table_id)

    def _rows(self, sql: str, name: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, (name,)).fetchall()

    def _make_header(self) -> None:
        execute = self._connection.execute
        if not execute("SELECT 1 FROM sqlite_master WHERE name = 'changeover_target'").fetchone():
            for statement in SCHEMA.split(";"):
                execute(statement)
            execute("INSERT INTO changeover_target VALUES (?, ?)", (FORMAT, self._pipeline))
        execute(NOTES)  # of its own: a target that was made before there were notes gets them too

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        known = dict(self._statements)
        try:
            with self._reading(), sqlite_file.transaction(self._connection):
                yield
        except BaseException:
            self._statements = known  # a table that was made in between is gone again
            raise

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        """All that is read in the block is one state of the file; a damaged text is read as it is."""
        with self._reading():
            self._connection.execute("BEGIN")
            self._connection.text_factory = text_of
            try:
                yield
            finally:
                self._connection.text_factory = str
                if self._connection.in_transaction:
                    self._connection.execute("COMMIT")

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            message = f"the target did not answer: {error}"
            raise TargetUnavailable(message) from error


def check(path: Path, pipeline: str, *, adopt: bool = False) -> None:
    """Return if the file is the pipeline's target or can become it, else raise `TargetUnusable`."""
    why = sqlite_file.why_unusable(path)
    if why:
        raise _unusable(path, why)
    try:
        header = sqlite_file.header_of(path, "changeover_target", may_lack=adopt)
    except sqlite3.Error as error:
        raise _unusable(path, str(error)) from error
    if header:
        require_known(f"the target {path}", header[0], FORMAT)
    if header and header != (FORMAT, pipeline):
        message = (
            f"the target {path} belongs to pipeline {header[1]!r} in format {header[0]}, "
            f"not to {pipeline!r} in format {FORMAT}"
        )
        raise TargetUnusable(message, hint="Its versions mean nothing here: move into a new file.")


def _declared(table: Table) -> dict[str, str]:
    return {column.name: affinity(column) for column in table.columns}


def _unusable(path: Path, why: str) -> TargetUnusable:
    hint = "Set target.url to a file in a folder that this user can write, with space left."
    return TargetUnusable(f"the target {path} cannot be opened for writing: {why}", hint=hint)


VERSION_OF = "SELECT version, deleted FROM changeover_version WHERE table_id = ? AND key = ?"


class _Statements:
    """The SQL for one table, made once."""

    def __init__(self, table: Table, table_id: int) -> None:
        name = quoted(table.name)
        columns = ", ".join(quoted(column) for column in table.column_names)
        marks = ", ".join("?" * len(table.columns))
        key = " AND ".join(f"{quoted(column)} = ?" for column in table.key)
        self.table_id = table_id
        self.insert = f"INSERT INTO {name} ({columns}) VALUES ({marks})"
        self.replace = f"INSERT OR REPLACE INTO {name} ({columns}) VALUES ({marks})"
        self.delete = f"DELETE FROM {name} WHERE {key}"
