"""Transactions of the SQLite log, and SQLite's errors in our words."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from changeover.errors import LogUnavailable


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """A write transaction: all or nothing, durable at the end."""
    with translated():
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # of a full disk SQLite has rolled back by itself
                connection.execute("ROLLBACK")
            raise


@contextmanager
def translated() -> Iterator[None]:
    """SQLite's errors as `LogUnavailable`."""
    try:
        yield
    except sqlite3.Error as error:
        message = f"the log did not answer: {error}"
        raise LogUnavailable(message) from error
