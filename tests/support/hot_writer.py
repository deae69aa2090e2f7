"""A process that writes as hard as a test asks: keys that never rest, ranges that move, vanish and come back.

    python -m tests.support.hot_writer PORT USER PASSWORD SCHEMA SECONDS RATE ROWS

Makes RATE row changes a second, or as many as the server takes, until SIGTERM or for SECONDS. Prints its
totals as JSON at the end: all changes, those of the hottest key, and the seconds that it took.
"""

import json
import random
import signal
import sys
import threading
import time

import pymysql

HOT_RATE = 350
"""Changes of the hottest key a second."""

ROWS = 20_000
RANGE = 50
MOVED = 1_000_000


def tables(rows: int = ROWS) -> tuple[str, ...]:
    """What is written to, with so many rows (a multiple of 1,000)."""
    digits = {"a": 10, "b": 10, "c": 10, "e": rows // 1_000}
    numbers = ", ".join(
        f"({' UNION '.join(f'SELECT {number} AS d' for number in range(count))}) {name}"
        for name, count in digits.items()
    )
    filled = "SELECT 1 + a.d + 10 * b.d + 100 * c.d + 1000 * e.d, 'citizen', a.d / 7, '2026-11-25 00:00:00'"
    return (
        "CREATE TABLE hot (id INT PRIMARY KEY, n BIGINT NOT NULL, note VARCHAR(40))",
        "CREATE TABLE citizen (id INT PRIMARY KEY, name VARCHAR(60), amount DECIMAL(20,4), seen DATETIME(3))",
        f"INSERT INTO citizen {filled} FROM {numbers}",
        "INSERT INTO hot VALUES (1, 0, 'a'), (2, 0, 'b')",
    )


class Writers:
    """Two threads: one for the hot keys, one for ranges."""

    def __init__(self, arguments: list[str]) -> None:
        port, self._user, self._password, self._schema, seconds, rate, rows = arguments
        self._port = int(port)
        self._began_s = time.monotonic()
        self._end_s = self._began_s + float(seconds)
        self._rate = float(rate)
        self._rows = int(rows)
        self.changes = 0
        self.hottest = 0

    @property
    def totals(self) -> dict[str, float]:
        """What was done."""
        seconds = time.monotonic() - self._began_s
        return {"changes": self.changes + self.hottest, "hottest": self.hottest, "seconds": seconds}

    def stop(self, *_: object) -> None:
        """End soon."""
        self._end_s = 0.0

    def run(self) -> None:
        """Write until the time is over."""
        threads = [threading.Thread(target=work) for work in (self._heat, self._shuffle)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _connect(self) -> "pymysql.connections.Connection[pymysql.cursors.Cursor]":
        return pymysql.connect(
            host="127.0.0.1",
            port=self._port,
            user=self._user,
            password=self._password,
            database=self._schema,
            autocommit=True,
        )

    def _heat(self) -> None:
        """Key 1 changes all the time, key 2 is deleted and inserted again, both between few values."""
        began_s = time.monotonic()
        with self._connect() as connection, connection.cursor() as cursor:
            while time.monotonic() < self._end_s:
                self.hottest += cursor.execute(
                    "UPDATE hot SET n = 1 - n, note = %s WHERE id = 1", (str(self.hottest % 3),)
                )
                if self.hottest % 10 == 0 and not cursor.execute("DELETE FROM hot WHERE id = 2"):
                    cursor.execute("INSERT INTO hot VALUES (2, %s, NULL)", (self.hottest % 20,))
                time.sleep(max(0.0, began_s + self.hottest / HOT_RATE - time.monotonic()))

    def _shuffle(self) -> None:
        """Ranges of rows change, change their keys, go, and come back."""
        chance = random.Random(7)
        began_s = time.monotonic()
        with self._connect() as connection, connection.cursor() as cursor:
            while time.monotonic() < self._end_s:
                first = chance.randrange(1, self._rows - RANGE)
                within = f"BETWEEN {first} AND {first + RANGE - 1}"
                kind = chance.random()
                if kind < 0.8:
                    self.changes += cursor.execute(
                        f"UPDATE citizen SET amount = amount + 0.0001, seen = NOW(3) WHERE id {within}"
                    )
                elif kind < 0.9:
                    connection.begin()
                    moved = cursor.execute(f"UPDATE citizen SET id = id + {MOVED} WHERE id {within}")
                    if chance.random() < 0.5:
                        connection.commit()
                    moved += cursor.execute(
                        f"UPDATE citizen SET id = id - {MOVED}, name = 'moved' WHERE id - {MOVED} {within}"
                        f" AND id > {MOVED}"
                    )
                    connection.commit()
                    self.changes += 2 * moved
                else:
                    self.changes += cursor.execute(f"DELETE FROM citizen WHERE id {within}")
                    self.changes += cursor.execute(
                        "INSERT INTO citizen VALUES "
                        + ", ".join(
                            f"({number}, 'again', {chance.randrange(9)}, NOW(3))"
                            for number in range(first, first + RANGE - chance.randrange(2))
                        )
                    )
                time.sleep(max(0.0, began_s + self.changes / self._rate - time.monotonic()))


if __name__ == "__main__":
    writers = Writers(sys.argv[1:])
    signal.signal(signal.SIGTERM, writers.stop)
    writers.run()
    json.dump(writers.totals, sys.stdout)
