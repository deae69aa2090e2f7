"""Opening a SQLite file that several processes write durably, or saying why it cannot be."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_BUSY_RECOVERY, sqlite3.SQLITE_BUSY_SNAPSHOT})
BUSY_WAIT_S = 0.02

OWNER_ALONE = 0o600


def connect(path: Path, wait_s_max: float) -> sqlite3.Connection:
    """A connection in autocommit: readers never wait, writers take turns, and each commit is on the disk.

    A new file is its owner's alone, for it holds the rows of somebody's database.
    """
    # Made, and never merely opened: to close a file drops all locks that this process has on it, those of its
    # other connections too, and whoever closes last elsewhere then takes the WAL away under them.
    with suppress(OSError):  # it is there; or what is wrong, SQLite says in a moment
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, OWNER_ALONE))
    connection = sqlite3.connect(path, timeout=wait_s_max, isolation_level=None)
    # FULL before WAL is switched on, which happens once in a file's life, and without SQLite's own waiting:
    # of several processes that open a new file at once, some find it locked.
    connection.execute("PRAGMA synchronous = FULL")
    deadline = time.monotonic() + wait_s_max
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode not in BUSY or time.monotonic() > deadline:
                raise
            time.sleep(BUSY_WAIT_S)
        else:
            return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """A write transaction: all or nothing, durable at the end."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # of a full disk SQLite has rolled back by itself
            connection.execute("ROLLBACK")
        raise


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


def header_of(path: Path, table: str, *, may_lack: bool = False) -> tuple[object, ...] | None:
    """The row of a file's header table: format and pipeline; None where the file is not there or is empty.

    Raises `sqlite3.DatabaseError` if the file is no database, or one that has no such header, unless it
    `may_lack` one.
    """
    if not path.exists():
        return None
    # Without a WAL nobody has the file open: read as immutable, it gets no new files beside it, which a mere
    # reader could not take away again.
    is_open = path.with_name(f"{path.name}-wal").exists()
    mode = "mode=ro" if is_open else "mode=ro&immutable=1"
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True)
    try:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if not names or (may_lack and table not in names):
            return None
        row = connection.execute(f"SELECT format, pipeline FROM {table}").fetchone()
    except sqlite3.OperationalError as error:
        message = f"it is a database of something else ({error})"
        raise sqlite3.DatabaseError(message) from error
    finally:
        connection.close()
    return tuple(row) if row else None
