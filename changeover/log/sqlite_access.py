"""Transactions of the SQLite log, and SQLite's errors in our words."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from changeover import sqlite_file
from changeover.errors import LogUnavailable


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """As `sqlite_file.transaction`, with its errors in our words."""
    with translated(), sqlite_file.transaction(connection):
        yield


@contextmanager
def translated() -> Iterator[None]:
    """SQLite's errors as `LogUnavailable`."""
    try:
        yield
    except sqlite3.Error as error:
        message = f"the log did not answer: {error}"
        raise LogUnavailable(message) from error
