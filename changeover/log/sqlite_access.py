"""Transactions and reads of the SQLite log, with SQLite's errors in our words."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from changeover.errors import LogUnavailable


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """A write transaction: all or nothing, durable at the end."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
    except sqlite3.Error as error:
        raise LogUnavailable(_reason(error)) from error


@contextmanager
def reading() -> Iterator[None]:
    """Reads outside a transaction, with SQLite's errors translated."""
    try:
        yield
    except sqlite3.Error as error:
        raise LogUnavailable(_reason(error)) from error


def _reason(error: sqlite3.Error) -> str:
    return f"the log did not answer: {error}"
