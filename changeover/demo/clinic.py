"""One process of the demo's clinic: it writes visits, reads each back, and remembers what was acknowledged.

    python -P -m changeover.demo.clinic changeover.toml --place 0          # with the library
    python -P -m changeover.demo.clinic changeover.toml --place 2 --old    # plain SQL on the old database

At SIGTERM it ends its transaction and prints one JSON line. Each place has keys of its own, so what a process
has last been acknowledged is what both databases must show.
"""

import argparse
import json
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol

from changeover.dualwrite import DualStore
from changeover.mysql.application import connect
from changeover.settings import Settings

if TYPE_CHECKING:
    from pymysql.connections import Connection

TABLE = "visit"
DEFINITION = (
    "CREATE TABLE records.visit (id INT NOT NULL PRIMARY KEY, room INT NOT NULL, note VARCHAR(80) NOT NULL)"
    " ENGINE = InnoDB"
)
KEYS_EACH = 20
"""Few, so that every key is written again and again, in every phase."""

EVERY_S = 0.03
DELETED_SHARE = 0.1
FAILURES_KEPT = 5


class Desk(Protocol):
    """A way to write and read visits."""

    def write(self, key: int, room: int, note: str | None) -> None:
        """Return once it is acknowledged; a note of None deletes."""

    def read(self, key: int) -> str | None:
        """The note of the visit, None if there is no such visit."""


class OldCode:
    """Plain SQL on the old database, as before there was any move."""

    def __init__(self, connection: "Connection[Any]") -> None:
        self._connection = connection

    def write(self, key: int, room: int, note: str | None) -> None:
        """See `Desk`."""
        with self._connection.cursor() as cursor:
            cursor.execute(*statement(key, room, note))
        self._connection.commit()

    def read(self, key: int) -> str | None:
        """See `Desk`."""
        with self._connection.cursor() as cursor:
            cursor.execute(f"SELECT note FROM {TABLE} WHERE id = %s", (key,))
            found = cursor.fetchone()
        self._connection.commit()
        return str(found[0]) if found else None


class NewCode:
    """The library, in the shape that lives on in NEW."""

    def __init__(self, records: DualStore) -> None:
        self._records = records

    def write(self, key: int, room: int, note: str | None) -> None:
        """See `Desk`."""
        with self._records.transaction() as tx:
            tx.old.execute(*statement(key, room, note))
            if note is None:
                tx.delete(TABLE, key)
            else:
                tx.put(TABLE, key, {"id": key, "room": room, "note": note})

    def read(self, key: int) -> str | None:
        """See `Desk`."""
        found = self._records.get(TABLE, id=key).value
        return None if found is None else str(found["note"])


def statement(key: int, room: int, note: str | None) -> tuple[str, tuple[object, ...]]:
    """The SQL of a write and its values."""
    if note is None:
        return f"DELETE FROM {TABLE} WHERE id = %s", (key,)
    return f"REPLACE INTO {TABLE} VALUES (%s, %s, %s)", (key, room, note)


@dataclass(slots=True)
class Day:
    """What a process has done; `took` has the moment (UNIX time) and the milliseconds of each write."""

    requests: int = 0
    failed: int = 0
    stale: int = 0
    failures: list[str] = field(default_factory=list)
    took: list[tuple[float, float]] = field(default_factory=list)
    acknowledged: dict[int, str | None] = field(default_factory=dict)

    def line(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))


class Clerk:
    """Writes and reads at one desk, one request after the other."""

    def __init__(self, desk: Desk, place: int, day: Day) -> None:
        self._desk = desk
        self._first = place * KEYS_EACH
        self._chance = random.Random()  # noqa: S311 - no secrets
        self.day = day

    def serve(self) -> None:
        """Write a visit, and read it back."""
        key = self._first + self._chance.randrange(KEYS_EACH)
        is_deleted = self._chance.random() < DELETED_SHARE
        note = None if is_deleted else f"Ønsker tid nr. {self._chance.getrandbits(64)} 📅"
        began_s, moment = time.monotonic(), time.time()
        if self._request(partial(self._desk.write, key, self._chance.randrange(100), note)):
            self.day.took.append((moment, (time.monotonic() - began_s) * 1_000))
            self.day.acknowledged[key] = note
            self._request(partial(self._read_back, key, note))

    def _read_back(self, key: int, note: str | None) -> None:
        if self._desk.read(key) != note:
            self.day.stale += 1

    def _request(self, act: Callable[[], None]) -> bool:
        self.day.requests += 1
        try:
            act()
        except Exception as error:  # noqa: BLE001 - whatever it is, a patient was sent away
            self.day.failed += 1
            if len(self.day.failures) < FAILURES_KEPT:
                self.day.failures.append(f"{type(error).__name__}: {error}")
            return False
        return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop, then print the day."""
    options = _parser().parse_args(arguments)
    stopping = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    with ExitStack() as stack:
        clerk = Clerk(_desk(options, stack), options.place, Day())
        while not stopping.wait(EVERY_S):
            clerk.serve()
    print(clerk.day.line(), flush=True)  # noqa: T201 - this is what the program gives
    return 0


def _desk(options: argparse.Namespace, stack: ExitStack) -> Desk:
    if options.old:
        connection = connect(Settings.load(options.config))
        stack.callback(connection.close)
        return OldCode(connection)
    return NewCode(stack.enter_context(DualStore.from_settings(options.config)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="changeover.demo.clinic", description="Write and read visits.")
    parser.add_argument("config", type=Path)
    parser.add_argument("--place", type=int, required=True, help="whose keys: no two processes share one")
    parser.add_argument("--old", action="store_true", help="plain SQL, without the library")
    return parser


if __name__ == "__main__":
    sys.exit(main())
