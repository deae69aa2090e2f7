"""The busy application of the demonstration: it keeps writing to `records` until it is told to stop.

    python -P -m changeover.demo.writer --port 3306 --user root --rate 300

The password comes from the environment variable CHANGEOVER_DEMO_PASSWORD. At SIGTERM or SIGINT the writer
ends its current transaction and prints one JSON line with what it has done. It writes what is hard to follow:
keys that change and come back, deletes and inserts of one key in one transaction, rollbacks, hot rows.
"""

import argparse
import json
import os
import random
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import pymysql
from pymysql.constants import CR, ER

from changeover.demo.records import CITIZENS_MAX, SCHEMA, Records, Row, citizen_number, insert_statement

if TYPE_CHECKING:
    from pymysql.connections import Connection
    from pymysql.cursors import Cursor

PASSWORD_VARIABLE = "CHANGEOVER_DEMO_PASSWORD"  # noqa: S105 - a variable's name

RATE_DEFAULT = 300.0
BACKLOG_S_MAX = 0.2
"""After a stall at most this much of what was missed is caught up with: a burst would measure the writer."""

KEYS_HELD_MAX = 50_000
"""Keys of a table that the writer knows: the first ones at the start, then the newest; about 10 MB."""

KEYS_RELEASED_MAX = 1_000
RELEASED_SHARE = 0.3
"""How many of the new keys are keys that were deleted before."""

HOT_KEYS = 20
HOT_SHARE = 0.3

MANY_ROWS = range(200, 401)

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

K = TypeVar("K")


class Keys(Generic[K]):
    """The keys of a table, as far as the writer knows them: some are hot, deleted ones come back."""

    def __init__(self, chance: random.Random, held: Sequence[K], fresh: Callable[[], K]) -> None:
        self._chance = chance
        self._held = list(held)
        self._place = {key: place for place, key in enumerate(self._held)}
        self._released: deque[K] = deque(maxlen=KEYS_RELEASED_MAX)
        self._fresh = fresh

    def __len__(self) -> int:
        """How many keys are held."""
        return len(self._held)

    def pick(self) -> K:
        """A key that the table holds, one of the hot ones more often; an unknown one if it holds none."""
        if not self._held:
            return self._fresh()
        hot = self._chance.random() < HOT_SHARE
        among = min(len(self._held), HOT_KEYS) if hot else len(self._held)
        return self._held[int(self._chance.random() * among)]

    def new(self) -> K:
        """A key that the table does not hold: a fresh one, or one that was there before."""
        if self._released and self._chance.random() < RELEASED_SHARE:
            return self._released[int(self._chance.random() * len(self._released))]
        return self._fresh()

    def hold(self, key: K) -> None:
        """Remember that the table holds the key. Beyond `KEYS_HELD_MAX` another one is forgotten."""
        if key in self._released:
            self._released.remove(key)
        if key in self._place:
            return
        if len(self._held) >= KEYS_HELD_MAX:
            self._forget(self._held[int(self._chance.random() * len(self._held))])
        self._place[key] = len(self._held)
        self._held.append(key)

    def release(self, key: K) -> None:
        """Remember that the table holds the key no more."""
        if key in self._place:
            self._forget(key)
            self._released.append(key)

    def _forget(self, key: K) -> None:
        place, last = self._place.pop(key), self._held.pop()
        if place < len(self._held):
            self._held[place] = last
            self._place[last] = place


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


class Work:
    """One transaction under way: its statements, the rows they changed, and what to do after its commit."""

    def __init__(self, cursor: "Cursor") -> None:
        self._cursor = cursor
        self._when_committed: list[Callable[[], None]] = []
        self.rows = 0

    def run(self, sql: str, *values: object) -> None:
        """Run one statement."""
        self._cursor.execute(sql, values)
        self.rows += self._cursor.rowcount

    def insert(self, table: str, *rows: Row) -> None:
        """Insert whole rows with one statement."""
        self._cursor.executemany(insert_statement(table), rows)
        self.rows += self._cursor.rowcount

    def when_committed(self, act: Callable[[K], None], *keys: K) -> None:
        """Call `act` with each key after the commit, not at all if there is none."""
        self._when_committed.extend(partial(act, key) for key in keys)

    def committed(self) -> None:
        """Do what was kept for after the commit."""
        for act in self._when_committed:
            act()


class Application:
    """The transactions of the application, one method for each kind; each leaves the commit to its caller."""

    def __init__(self, connection: "Connection[Any]", seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - no secrets
        # New keys do not come from the seed: a second run with it must not meet the keys of the first one.
        fresh = random.SystemRandom()
        self._records = Records(chance)
        self._choices = chance.choices
        self._citizens = Keys(
            chance,
            _keys(connection, f"SELECT cpr FROM {SCHEMA}.citizen LIMIT %s"),
            lambda: citizen_number(fresh.randrange(CITIZENS_MAX)),
        )
        self._dispensings = Keys(
            chance,
            _keys(connection, f"SELECT id FROM {SCHEMA}.dispensing LIMIT %s"),
            lambda: fresh.getrandbits(64),
        )
        self._medicines = _keys(connection, f"SELECT id FROM {SCHEMA}.medicine LIMIT %s")
        self._batches: deque[list[int]] = deque(maxlen=3)

    def next_kind(self) -> "Kind":
        """The kind of the next transaction."""
        return self._choices(KINDS, WEIGHTS)[0]

    def dispense(self, work: Work) -> None:
        """Insert one row."""
        key = self._dispensings.new()
        work.insert("dispensing", self._dispensing(key))
        work.when_committed(self._dispensings.hold, key)

    def register(self, work: Work) -> None:
        """Insert a citizen with two prescriptions."""
        cpr = self._citizens.new()
        work.insert("citizen", self._records.citizen(cpr))
        work.insert("prescription", self._prescription(cpr, 1), self._prescription(cpr, 2))
        work.when_committed(self._citizens.hold, cpr)

    def update_citizen(self, work: Work) -> None:
        """Update one row of a text key."""
        _, name, address, *_, note, _, preferences, _, _ = self._records.citizen("")
        work.run(
            "UPDATE citizen SET full_name = %s, address = %s, note = %s, preferences = %s WHERE cpr = %s",
            *(name, address, note, preferences, self._citizens.pick()),
        )

    def update_prescription(self, work: Work) -> None:
        """Update one row of a composite key."""
        _, _, medicine, status, dose, a_day, text, *_ = self._prescription("", 0)
        work.run(
            "UPDATE prescription SET medicine_id = %s, status = %s, dose = %s, doses_a_day = %s,"
            " instructions = %s WHERE cpr = %s AND number = %s",
            *(medicine, status, dose, a_day, text, self._citizens.pick(), self._records.pick((1, 2, 2, 3))),
        )

    def update_medicine(self, work: Work) -> None:
        """Update one row of a small table."""
        work.run(
            "UPDATE medicine SET price = %s, stock_change = %s, half_life_h = %s, barcode = %s WHERE id = %s",
            f"{self._records.below(5_000)}.{self._records.below(10**15):030}",
            self._records.below(2_000) - 1_000,
            self._records.below(10**6) / 7,
            self._records.below(2**63) * 2 + 1,
            self._records.pick(self._medicines),
        )

    def update_twice(self, work: Work) -> None:
        """Update one row twice."""
        key = self._dispensings.pick()
        for _ in range(2):
            self._update_dispensing(work, key)

    def delete(self, work: Work) -> None:
        """Delete one row."""
        key = self._dispensings.pick()
        work.run("DELETE FROM dispensing WHERE id = %s", key)
        work.when_committed(self._dispensings.release, key)

    def delete_citizen(self, work: Work) -> None:
        """Delete a citizen and their prescriptions."""
        cpr = self._citizens.pick()
        work.run("DELETE FROM prescription WHERE cpr = %s", cpr)
        work.run("DELETE FROM citizen WHERE cpr = %s", cpr)
        work.when_committed(self._citizens.release, cpr)

    def change_key(self, work: Work) -> None:
        """Give a citizen another number: the key of one table, a part of the key of another."""
        old, new = self._citizens.pick(), self._citizens.new()
        self._change_cpr(work, old, new)
        work.when_committed(self._citizens.release, old)
        work.when_committed(self._citizens.hold, new)

    def change_key_and_back(self, work: Work) -> None:
        """Give a citizen another number and take it back, with an update in between."""
        old, new = self._citizens.pick(), self._citizens.new()
        self._change_cpr(work, old, new)
        work.run("UPDATE citizen SET height_cm = %s WHERE cpr = %s", self._records.below(256), new)
        self._change_cpr(work, new, old)

    def swap_keys(self, work: Work) -> None:
        """Let two citizens swap their numbers, by way of a third."""
        one, other, third = self._citizens.pick(), self._citizens.pick(), self._citizens.new()
        if one != other:
            self._change_cpr(work, one, third)
            self._change_cpr(work, other, one)
            self._change_cpr(work, third, other)

    def change_composite_key(self, work: Work) -> None:
        """Renumber a prescription from 1 to 3, or from 3 to 1."""
        work.run(
            "UPDATE prescription SET number = 4 - number WHERE cpr = %s AND number IN (1, 3)",
            self._citizens.pick(),
        )

    def delete_and_insert(self, work: Work) -> None:
        """Delete a row and insert another one with its key."""
        key = self._dispensings.pick()
        work.run("DELETE FROM dispensing WHERE id = %s", key)
        work.insert("dispensing", self._dispensing(key))
        work.when_committed(self._dispensings.hold, key)

    def insert_and_delete(self, work: Work) -> None:
        """Insert a row and delete it again."""
        key = self._dispensings.new()
        work.insert("dispensing", self._dispensing(key))
        work.run("DELETE FROM dispensing WHERE id = %s", key)

    def change_nothing(self, work: Work) -> None:
        """Update a row to what it is, which the server does not log, and beside it one that changes."""
        work.run(
            "UPDATE citizen SET note = note, height_cm = height_cm WHERE cpr = %s", self._citizens.pick()
        )
        if self._records.below(2):
            self._update_dispensing(work, self._dispensings.pick())

    def many_rows(self, work: Work) -> None:
        """Insert some hundred rows; every fourth time delete such a batch, else update one."""
        if len(self._batches) == self._batches.maxlen and self._records.below(3) == 0:
            self._delete_batch(work, self._batches[0])
        elif self._batches and self._records.below(2):
            self._update_batch(work, self._batches[-1])
        else:
            self._insert_batch(work, MANY_ROWS[self._records.below(len(MANY_ROWS))])

    def _insert_batch(self, work: Work, rows: int) -> None:
        keys = list(dict.fromkeys(self._dispensings.new() for _ in range(rows)))
        work.insert("dispensing", *map(self._dispensing, keys))
        work.when_committed(self._dispensings.hold, *keys)
        work.when_committed(self._batches.append, keys)

    def _update_batch(self, work: Work, keys: list[int]) -> None:
        work.run(
            f"UPDATE dispensing SET quantity = quantity + 1, fridge_c = 3.5 WHERE id IN ({_unsigned(keys)})",
            *keys,
        )

    def _delete_batch(self, work: Work, keys: list[int]) -> None:
        work.run(f"DELETE FROM dispensing WHERE id IN ({_unsigned(keys)})", *keys)
        work.when_committed(self._dispensings.release, *keys)
        work.when_committed(self._batches.remove, keys)

    def _change_cpr(self, work: Work, old: str, new: str) -> None:
        work.run("UPDATE citizen SET cpr = %s WHERE cpr = %s", new, old)
        work.run("UPDATE prescription SET cpr = %s WHERE cpr = %s", new, old)

    def _update_dispensing(self, work: Work, key: int) -> None:
        _, _, _, _, quantity, paid, balance, fridge, grams, receipt, *_ = self._dispensing(key)
        work.run(
            "UPDATE dispensing SET quantity = %s, paid = %s, balance_oere = %s, fridge_c = %s,"
            " dispensed_g = %s, receipt = %s WHERE id = %s",
            *(quantity, paid, balance, fridge, grams, receipt, key),
        )

    def _dispensing(self, key: int) -> Row:
        return self._records.dispensing(key, self._citizens.pick())

    def _prescription(self, cpr: str, number: int) -> Row:
        return self._records.prescription(cpr, number, max(1, len(self._medicines)))


Kind = tuple[str, Callable[[Application, Work], None], bool]

# How often each kind comes, of about a thousand: name, weight, what it does, and whether it is committed.
_MIX: tuple[tuple[str, int, Callable[[Application, Work], None], bool], ...] = (
    ("insert", 200, Application.dispense, True),
    ("insert_family", 40, Application.register, True),
    ("update_citizen", 150, Application.update_citizen, True),
    ("update_prescription", 200, Application.update_prescription, True),
    ("update_medicine", 60, Application.update_medicine, True),
    ("update_twice", 50, Application.update_twice, True),
    ("delete", 60, Application.delete, True),
    ("delete_family", 20, Application.delete_citizen, True),
    ("change_key", 30, Application.change_key, True),
    ("change_key_and_back", 10, Application.change_key_and_back, True),
    ("swap_keys", 10, Application.swap_keys, True),
    ("change_composite_key", 30, Application.change_composite_key, True),
    ("delete_and_insert", 40, Application.delete_and_insert, True),
    ("insert_and_delete", 30, Application.insert_and_delete, True),
    ("change_nothing", 30, Application.change_nothing, True),
    ("many_rows", 5, Application.many_rows, True),
    ("rollback", 15, Application.update_twice, False),
    ("rollback_insert", 15, Application.register, False),
    ("rollback_many_rows", 2, Application.many_rows, False),
)
KINDS: tuple[Kind, ...] = tuple((name, act, committed) for name, _, act, committed in _MIX)
WEIGHTS = tuple(weight for _, weight, _, _ in _MIX)


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
        name, act, is_committed = kind
        with self._connection.cursor() as cursor:
            self._connection.begin()
            work = Work(cursor)
            act(self._application, work)
            if not is_committed:
                self._connection.rollback()
                self.tally.rolled_back += 1
            else:
                self._connection.commit()
                self.tally.rows += work.rows
                work.committed()
            self.tally.by_kind[name] += 1

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


def _unsigned(keys: Sequence[int]) -> str:
    """A place for each key in an IN list.

    With plain literals on both sides of 2^63, MariaDB compares as DECIMAL and scans the table: measured
    150 ms for 300 keys of 80,000 rows.
    """
    return ", ".join(["CAST(%s AS UNSIGNED)"] * len(keys))


def _keys(connection: "Connection[Any]", sql: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, (KEYS_HELD_MAX,))
        return [key for (key,) in cursor.fetchall()]


if __name__ == "__main__":
    sys.exit(main())
