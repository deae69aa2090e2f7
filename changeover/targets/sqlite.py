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
from changeover.decide import Outcome, Write, decide
from changeover.envelope import decode_key
from changeover.errors import ChangeUnreadable, TargetUnavailable, TargetUnusable, UnversionedObject
from changeover.table import Column, Kind, Table
from changeover.targets import Held, adopting
from changeover.values import Row, Value
from changeover.version import Version

FORMAT = 1
LOCK_WAIT_S_MAX = 30.0
"""How long a write waits while somebody else holds the file: a reader of the application, a backup."""

SQLITE_INTEGER_MAX = 2**63 - 1

SCHEMA = """
CREATE TABLE changeover_target (format INTEGER, pipeline TEXT);
CREATE TABLE changeover_table (name TEXT PRIMARY KEY, id INTEGER, fingerprint TEXT) WITHOUT ROWID;
CREATE TABLE changeover_version (table_id INTEGER, key BLOB, version TEXT, deleted INTEGER,
                                 PRIMARY KEY (table_id, key)) WITHOUT ROWID;
"""

OWN_TABLES = "changeover_"

AFFINITIES = {
    Kind.INTEGER: "INTEGER",
    Kind.FLOAT: "",  # REAL would store -0.0 as 0
    Kind.DOUBLE: "",
    Kind.BYTES: "BLOB",
}
"""Declared types that keep a canonical value as it is; TEXT for the kinds not named."""


class SQLiteTarget:
    """A target in a SQLite file, made on first use."""

    def __init__(self, path: Path, pipeline: str, *, adopt: bool = False) -> None:
        self._pipeline = pipeline
        self._adopt = adopt
        self._statements: dict[str, _Statements] = {}
        check(path, pipeline, adopt=adopt)
        try:
            self._connection = sqlite_file.connect(path, LOCK_WAIT_S_MAX)
        except sqlite3.Error as error:
            raise _unusable(path, str(error)) from error
        with self._transaction():
            self._make_header()

    def write(self, batch: Sequence[Write]) -> list[Outcome]:
        """Write the batch in one transaction; see `changeover.targets.Target`."""
        with self._transaction():
            return [self._write_one(write) for write in batch]

    def read(self, table: Table, key: bytes) -> Held | None:
        """What the target holds for the key."""
        with self._reading():
            statements = self._find(table)
            if statements is None:
                return None
            held = self._connection.execute(VERSION_OF, (statements.table_id, key)).fetchone()
            if held is None:
                return None
            row = None if held[1] else self._row(table, statements, key)
            return Held(Version.parse(held[0]), row)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        """The target itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _write_one(self, write: Write) -> Outcome:
        statements = self._statements.get(write.table.fingerprint) or self._prepare(write.table)
        execute = self._connection.execute
        found = execute(VERSION_OF, (statements.table_id, write.key)).fetchone()
        held = Version.parse(found[0]) if found else None
        outcome = decide(held, write.version)
        if outcome is Outcome.APPLIED:
            # A row of another tool has no version, so it is lower than every one.
            is_there = self._adopt or (found is not None and not found[1])
            if write.row is not None:
                self._put(statements.replace if is_there else statements.insert, write, write.row)
            elif is_there:
                execute(statements.delete, _stored_key(write.table, decode_key(write.table, write.key)))
            marker = (statements.table_id, write.key, write.version.text, write.row is None)
            execute("INSERT OR REPLACE INTO changeover_version VALUES (?, ?, ?, ?)", marker)
        return outcome

    def _put(self, statement: str, write: Write, row: Row) -> None:
        try:
            self._connection.execute(statement, [_stored(row[name]) for name in write.table.column_names])
        except sqlite3.IntegrityError as error:
            if "UNIQUE" not in str(error):
                message = f"the target's table {write.table.name} does not take a row: {error}"
                raise ChangeUnreadable(message) from error
            message = (
                f"the target's table {write.table.name} has a row {write.key.decode()} "
                f"that changeover did not write"
            )
            raise UnversionedObject(message) from error

    def _row(self, table: Table, statements: "_Statements", key: bytes) -> Row | None:
        values = self._connection.execute(
            statements.select, _stored_key(table, decode_key(table, key))
        ).fetchone()
        if values is None:
            return None
        return {
            column.name: _canonical(column, value)
            for column, value in zip(table.columns, values, strict=True)
        }

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
        if execute("SELECT 1 FROM sqlite_master WHERE name = ? COLLATE NOCASE", (table.name,)).fetchone():
            if not self._adopt or table.name.lower().startswith(OWN_TABLES):
                message = f"the target has a table {table.name} that changeover did not make"
                raise UnversionedObject(message)
            adopting.check(self._rows, table, {column.name: _affinity(column) for column in table.columns})
            return self._note(table)
        columns = ", ".join(
            f"{_quoted(column.name)} {_affinity(column)}{'' if column.nullable else ' NOT NULL'}"
            for column in table.columns
        )
        key = ", ".join(_quoted(name) for name in table.key)
        execute(f"CREATE TABLE {_quoted(table.name)} ({columns}, PRIMARY KEY ({key}))")
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

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        known = dict(self._statements)
        with self._reading():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.execute("ROLLBACK")
                self._statements = known  # a table that was made in between is gone again
                raise

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
    if header and header != (FORMAT, pipeline):
        message = (
            f"the target {path} belongs to pipeline {header[1]!r} in format {header[0]}, "
            f"not to {pipeline!r} in format {FORMAT}"
        )
        raise TargetUnusable(message, hint="Its versions mean nothing here: move into a new file.")


def _unusable(path: Path, why: str) -> TargetUnusable:
    hint = "Set target.url to a file in a folder that this user can write, with space left."
    return TargetUnusable(f"the target {path} cannot be opened for writing: {why}", hint=hint)


VERSION_OF = "SELECT version, deleted FROM changeover_version WHERE table_id = ? AND key = ?"


class _Statements:
    """The SQL for one table, made once."""

    def __init__(self, table: Table, table_id: int) -> None:
        name = _quoted(table.name)
        columns = ", ".join(_quoted(column) for column in table.column_names)
        marks = ", ".join("?" * len(table.columns))
        key = " AND ".join(f"{_quoted(column)} = ?" for column in table.key)
        self.table_id = table_id
        self.insert = f"INSERT INTO {name} ({columns}) VALUES ({marks})"
        self.replace = f"INSERT OR REPLACE INTO {name} ({columns}) VALUES ({marks})"
        self.delete = f"DELETE FROM {name} WHERE {key}"
        self.select = f"SELECT {columns} FROM {name} WHERE {key}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _affinity(column: Column) -> str:
    if column.is_unsigned_bigint:
        return ""  # values beyond SQLite's integers are text, and INTEGER would make them floats
    return AFFINITIES.get(column.kind, "TEXT")


def _stored(value: Value) -> Value:
    if isinstance(value, int) and value > SQLITE_INTEGER_MAX:
        return str(value)
    return value


def _stored_key(table: Table, row: Row) -> list[Value]:
    return [_stored(row[name]) for name in table.key]


def _canonical(column: Column, value: Value) -> Value:
    if column.kind is Kind.INTEGER and isinstance(value, str):
        return int(value)
    return value
