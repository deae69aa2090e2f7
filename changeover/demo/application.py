"""The transactions of the busy application: what is hard to follow above all.

Keys that change and come back, deletes and inserts of one key in one transaction, rollbacks, hot rows.
"""

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from changeover.demo.keys import KEYS_HELD_MAX, Keys
from changeover.demo.records import SCHEMA, insert_statement
from changeover.demo.rows import CITIZENS_MAX, Records, Row, citizen_number

if TYPE_CHECKING:
    from pymysql.connections import Connection
    from pymysql.cursors import Cursor

MANY_ROWS = range(200, 401)

K = TypeVar("K")


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
        return self._choices(KINDS, [kind.weight for kind in KINDS])[0]

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


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of transaction: how often it comes, of about a thousand, what it does, and how it ends."""

    name: str
    weight: int
    act: Callable[[Application, Work], None]
    is_committed: bool = True


KINDS = (
    Kind("insert", 200, Application.dispense),
    Kind("insert_family", 40, Application.register),
    Kind("update_citizen", 150, Application.update_citizen),
    Kind("update_prescription", 200, Application.update_prescription),
    Kind("update_medicine", 60, Application.update_medicine),
    Kind("update_twice", 50, Application.update_twice),
    Kind("delete", 60, Application.delete),
    Kind("delete_family", 20, Application.delete_citizen),
    Kind("change_key", 30, Application.change_key),
    Kind("change_key_and_back", 10, Application.change_key_and_back),
    Kind("swap_keys", 10, Application.swap_keys),
    Kind("change_composite_key", 30, Application.change_composite_key),
    Kind("delete_and_insert", 40, Application.delete_and_insert),
    Kind("insert_and_delete", 30, Application.insert_and_delete),
    Kind("change_nothing", 30, Application.change_nothing),
    Kind("many_rows", 5, Application.many_rows),
    Kind("rollback", 15, Application.update_twice, is_committed=False),
    Kind("rollback_insert", 15, Application.register, is_committed=False),
    Kind("rollback_many_rows", 2, Application.many_rows, is_committed=False),
)


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
