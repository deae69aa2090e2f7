"""The busy application of the demonstration: it keeps writing to `records` until it is told to stop.

    python -P -m changeover.demo.writer --port 3306 --user root --rate 300

The password comes from the environment variable CHANGEOVER_DEMO_PASSWORD. At SIGTERM or SIGINT the writer
ends its current transaction and prints one JSON line with what it has done.
"""

import argparse
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Any

import pymysql
from pymysql.constants import CR, ER

from changeover.demo.application import Application, Kind, Work
from changeover.demo.records import SCHEMA

if TYPE_CHECKING:
    from pymysql.connections import Connection

PASSWORD_VARIABLE = "CHANGEOVER_DEMO_PASSWORD"  # noqa: S105 - a variable's name

RATE_DEFAULT = 300.0
BACKLOG_S_MAX = 0.2
"""After a stall at most this much of what was missed is caught up with: a burst would measure the writer."""

RETRIES_MAX = 20
RECONNECT_S_MAX = 60.0
RECONNECT_PAUSE_S = 0.1

PROGRESS_INTERVAL_S = 1.0

RETRIED = frozenset({ER.LOCK_DEADLOCK, ER.LOCK_WAIT_TIMEOUT, ER.DUP_ENTRY})
"""The next attempt takes other keys, so it also gets past a key that another writer has just made."""

CONNECTION_LOST = frozenset(
    {
        CR.CR_SERVER_GONE_ERROR,
        CR.CR_SERVER_LOST,
        CR.CR_CONN_HOST_ERROR,
        ER.SERVER_SHUTDOWN,
        1927,  # ER_CONNECTION_KILLED of MariaDB
        0,  # what PyMySQL raises on a connection that it has given up
    }
)


@dataclass(slots=True)
class Tally:
    """What the writer has done so far; the only value here that changes, for it is a count."""

    started_s: float = field(default_factory=time.monotonic)
    rows: int = 0
    rolled_back: int = 0
    retried: int = 0
    errors: int = 0
    by_kind: Counter[str] = field(default_factory=Counter)

    def line(self) -> str:
        """One line of JSON. `transactions` are the committed ones, `rows` the rows that those changed."""
        return json.dumps(
            {
                "transactions": self.by_kind.total() - self.rolled_back,
                "rows": self.rows,
                "by_kind": dict(sorted(self.by_kind.items())),
                "seconds": round(time.monotonic() - self.started_s, 3),
                "rolled_back": self.rolled_back,
                "retried": self.retried,
                "errors": self.errors,
            }
        )


class Pace:
    """A steady rate: `wait` returns when the next transaction is due."""

    def __init__(self, rate: float, stopping: Event) -> None:
        self._interval_s = 1 / rate
        self._stopping = stopping
        self._due_s = time.monotonic()

    def wait(self) -> None:
        """Return when the next transaction is due, or at once when the writer is told to stop."""
        now_s = time.monotonic()
        self._due_s = max(self._due_s + self._interval_s, now_s - BACKLOG_S_MAX)
        if self._due_s > now_s:
            self._stopping.wait(self._due_s - now_s)


class Writer:
    """Runs the application's transactions one after the other and counts them."""

    def __init__(self, connect: Callable[[], "Connection[Any]"], seed: int) -> None:
        self._connect = connect
        self._connection = connect()
        self._application = Application(self._connection, seed)
        self.tally = Tally()

    def write(self) -> None:
        """Run one transaction to its end, over lock conflicts and a lost connection."""
        kind = self._application.next_kind()
        for _ in range(RETRIES_MAX):
            try:
                self._attempt(kind)
            except pymysql.MySQLError as error:
                if not self._again_after(error):
                    return
            else:
                return
        self.tally.errors += 1

    def _attempt(self, kind: Kind) -> None:
        with self._connection.cursor() as cursor:
            self._connection.begin()
            work = Work(cursor)
            kind.act(self._application, work)
            if not kind.is_committed:
                self._connection.rollback()
                self.tally.rolled_back += 1
            else:
                self._connection.commit()
                self.tally.rows += work.rows
                work.committed()
            self.tally.by_kind[kind.name] += 1

    def _again_after(self, error: pymysql.MySQLError) -> bool:
        """Make the connection fit for the next transaction; true if this one may be tried again.

        With a lost connection nobody knows whether it was committed, so it is not repeated.
        """
        code = error.args[0] if error.args else 0
        if code in CONNECTION_LOST:
            self.tally.errors += 1
            self._reconnect()
            return False
        self._connection.rollback()
        if code in RETRIED:
            self.tally.retried += 1
            return True
        self.tally.errors += 1
        return False

    def _reconnect(self) -> None:
        deadline_s = time.monotonic() + RECONNECT_S_MAX
        while True:
            try:
                self._connection = self._connect()
            except pymysql.err.OperationalError:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(RECONNECT_PAUSE_S)
            else:
                return


def run(writer: Writer, pace: Pace, stopping: Event, *, seconds: float, progress: bool) -> None:
    """Write at that pace until told to stop or `seconds` are over, then print the tally."""
    started_s = reported_s = time.monotonic()
    while not stopping.is_set() and time.monotonic() - started_s < seconds:
        writer.write()
        if progress and time.monotonic() - reported_s >= PROGRESS_INTERVAL_S:
            reported_s += PROGRESS_INTERVAL_S
            print(writer.tally.line(), flush=True)  # noqa: T201 - this is what the program gives
        pace.wait()
    print(writer.tally.line(), flush=True)  # noqa: T201 - this is what the program gives


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; 0 when it was told to stop, 2 when it was called wrongly."""
    options = _parser().parse_args(arguments)
    password = os.environ.get(PASSWORD_VARIABLE)
    if password is None:
        print(f"Set the environment variable {PASSWORD_VARIABLE}.", file=sys.stderr)  # noqa: T201
        return 2

    def connect() -> "Connection[Any]":
        return pymysql.connect(
            host=options.host,
            port=options.port,
            user=options.user,
            password=password,
            database=SCHEMA,
            charset="utf8mb4",
            init_command="SET time_zone = '+00:00'",  # the records' moments are in UTC
        )

    stopping = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    writer = Writer(connect, options.seed)
    run(writer, Pace(options.rate, stopping), stopping, seconds=options.seconds, progress=options.progress)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="changeover.demo.writer", description="Keep writing to `records`.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=3306)
    parser.add_argument("--user", default="root")
    parser.add_argument("--seed", type=int, default=1, help="what is written, new keys apart")
    parser.add_argument("--rate", type=float, default=RATE_DEFAULT, help="transactions a second")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop by itself after so long")
    parser.add_argument("--progress", action="store_true", help="print a JSON line a second")
    return parser


if __name__ == "__main__":
    sys.exit(main())
