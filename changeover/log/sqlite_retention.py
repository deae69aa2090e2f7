"""What the SQLite log may forget: records that every group has passed, older than the replay window.

The wall clock decides only how long something is kept, never an order.
"""

import sqlite3

SCHEMA = """
CREATE TABLE appended (topic INTEGER, first INTEGER, at_ms INTEGER, PRIMARY KEY (topic, first)) WITHOUT ROWID;
"""
"""All records of the topic before `first` were appended at or before `at_ms`."""

NOTED_EVERY_MS = 60_000
"""How finely the age of records is known."""

RECORDS_AT_ONCE_MAX = 20_000
"""Records removed in one transaction: a tenth of a second in which nobody else can write."""


def note_append(connection: sqlite3.Connection, topic: int, first: int, now_ms: int) -> None:
    """Note, once in a while, that the records before `first` are as old as now."""
    (last_ms,) = connection.execute("SELECT max(at_ms) FROM appended WHERE topic = ?", (topic,)).fetchone()
    if last_ms is None or now_ms - last_ms >= NOTED_EVERY_MS:
        connection.execute("INSERT OR REPLACE INTO appended VALUES (?, ?, ?)", (topic, first, now_ms))


def trim(connection: sqlite3.Connection, older_than_ms: int) -> int:
    """Remove records that are older and that every group has passed; how many. Inside a transaction.

    Where no group has ever read, nothing is removed.
    """
    (groups,) = connection.execute("SELECT count(*) FROM consumer_group").fetchone()
    removed = 0
    for topic, name in connection.execute("SELECT id, name FROM topic").fetchall() if groups else ():
        (old,) = connection.execute(
            "SELECT max(first) FROM appended WHERE topic = ? AND at_ms < ?", (topic, older_than_ms)
        ).fetchone()
        passed, groups_here = connection.execute(
            "SELECT min(offset), count(*) FROM committed WHERE topic = ?", (name,)
        ).fetchone()
        if old is not None and groups_here == groups:
            removed += _remove(connection, topic, min(old, passed), RECORDS_AT_ONCE_MAX - removed)
    return removed


def _remove(connection: sqlite3.Connection, topic: int, before: int, limit: int) -> int:
    (first,) = connection.execute("SELECT min(offset) FROM record WHERE topic = ?", (topic,)).fetchone()
    end = min(before, (first or 0) + limit)
    connection.execute("DELETE FROM appended WHERE topic = ? AND first < ?", (topic, end))
    return connection.execute("DELETE FROM record WHERE topic = ? AND offset < ?", (topic, end)).rowcount
