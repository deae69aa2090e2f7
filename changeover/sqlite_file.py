"""Opening a SQLite file that several processes write durably, or saying why it cannot be."""

import os
import sqlite3
from pathlib import Path


def connect(path: Path, wait_s_max: float) -> sqlite3.Connection:
    """A connection in autocommit: readers never wait, writers take turns, and each commit is on the disk."""
    connection = sqlite3.connect(path, timeout=wait_s_max, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def why_unusable(path: Path) -> str | None:
    """Why the file can be neither written nor made, None if it can; makes nothing."""
    if path.is_dir():
        return "it is a folder"
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}"
    if not os.access(path.parent, os.W_OK):
        return f"the folder {path.parent} is not writable, and SQLite keeps files beside its own"
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        return "it is not writable"
    return None


def header_of(path: Path, table: str) -> tuple[object, ...] | None:
    """The only row of a file's header table; None where the file or the table is not there.

    Raises `sqlite3.DatabaseError` if the file is no database.
    """
    if not path.exists():
        return None
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone():
            return None
        row = connection.execute(f"SELECT * FROM {table}").fetchone()
        return tuple(row) if row else None
    finally:
        connection.close()
