"""A target in memory: one copy, as a database has it, or three that a write reaches one after the other.

With three copies a write returns when two have it; the third gets it later, in any order, and a reader asks
two. What a write does to a copy is the guard's business: `decide`, or each copy's own merge.
"""

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Self

import orjson

from changeover.decide import Outcome, Write, decide
from changeover.errors import TargetClosed, TargetUnavailable
from changeover.table import Table
from changeover.targets import CLOSED, Found, Held, Note, Page
from changeover.values import Row
from changeover.version import Version
from tests.simulation.chance import Choices
from tests.simulation.history import History
from tests.simulation.sql import Steps
from tests.simulation.world import Action

Key = tuple[str, bytes]
Guard = Callable[[Version | None, Version], Outcome]
COPIES = 3
PAGE_KEYS = 3
"""So few that a walk has several pages."""


NO_ROW = "no row"
FALSE = (NO_ROW, "another row", "the row is back")


class Copies:
    """What the target holds: a dict for each copy."""

    def __init__(self, count: int, choices: Choices, history: History, guard: Guard = decide) -> None:
        self.copies: list[dict[Key, Held[Row]]] = [{} for _ in range(count)]
        self.guard = guard
        self._choices = choices
        self._history = history
        self._lock = threading.Lock()  # for contract tests, whose writers are threads
        self._late: list[tuple[dict[Key, Held[Row]], Write]] = []
        self._notes: dict[str, Note] = {}

    @property
    def quorum(self) -> int:
        """How many copies a write waits for, and a reader asks."""
        return len(self.copies) // 2 + 1

    def put(self, write: Write) -> Outcome:
        """Give the write to as many copies as it waits for, and to the others later."""
        late = self.copies[self._choices.below(len(self.copies))] if len(self.copies) > 1 else None
        with self._lock:
            outcomes = [self._merge(copy, write) for copy in self.copies if copy is not late]
        if late is not None:
            self._late.append((late, write))
        self._note(write)
        return outcomes[0] if late is None else Outcome.ACCEPTED

    def replace(self, write: Write, held: Version) -> bool:
        """Give the write to every copy if a reader gets exactly this version; whether he does."""
        key = (write.table.full_name, write.key)
        with self._lock:
            there = self.get(key)
            if there is None or there.version != held:
                return False
            for copy in self.copies:
                copy[key] = Held(write.version, write.row)
        self._note(write)
        return True

    def overwrite(self, key: Key, held: Held[Row]) -> None:
        """Give it to every copy, whatever is there."""
        with self._lock:
            for copy in self.copies:
                copy[key] = held
        version = held.version.text
        self._history.note(
            "written", table=key[0], key=key[1].decode(), version=version, row=held.body, by=version
        )

    def get(self, key: Key) -> Held[Row] | None:
        """What the least lucky reader gets: the newest of the two copies that know least."""
        seen = [
            max((copy[key] for copy in some if key in copy), key=lambda held: held.version, default=None)
            for some in itertools.combinations(self.copies, self.quorum)
        ]
        return min(seen, key=lambda held: held.version if held else Version(0, 0, 0), default=None)

    def remember(self, name: str, note: Note) -> None:
        """Remember the note unless there is a later one: each reader sees it at once."""
        with self._lock:
            held = self._notes.get(name)
            if held is None or held.version < note.version:
                self._notes[name] = note

    def remembered(self, name: str) -> Note | None:
        """The note of that name."""
        return self._notes.get(name)

    def held_keys(self) -> set[Key]:
        """Every key that a copy has."""
        return {key for copy in self.copies for key in copy}

    def purge(self, key: Key) -> None:
        """Forget a delete marker."""
        for copy in self.copies:
            copy.pop(key, None)

    def plant(self, key: Key) -> None:
        """Falsify what every copy holds under the key: the row another one or gone, a deleted row back."""
        held = self.get(key)
        if held is None or any(copy.get(key) != held for copy in self.copies):
            return  # not yet everywhere
        if held.body and held.body["name"] in FALSE:
            return
        what = FALSE[self._choices.below(2)] if held.body else FALSE[2]
        body = {**orjson.loads(key[1]), "name": what}
        for copy in self.copies:
            if what == NO_ROW:
                del copy[key]
            else:
                copy[key] = Held(held.version, body)
        row = None if what == NO_ROW else body
        self._history.note("planted", table=key[0], key=key[1].decode(), row=row, what=what)

    def happens(self) -> list[Action]:
        """A copy gets what it still lacks."""
        return [("a copy catches up", self._catch_up)] if self._late else []

    @property
    def is_quiet(self) -> bool:
        """Whether every copy has everything."""
        return not self._late

    def _catch_up(self) -> None:
        copy, write = self._late.pop(self._choices.below(len(self._late)))
        self._merge(copy, write)
        self._note(write)

    def _merge(self, copy: dict[Key, Held[Row]], write: Write) -> Outcome:
        key = (write.table.full_name, write.key)
        held = copy.get(key)
        outcome = self.guard(held.version if held else None, write.version)
        if outcome is Outcome.APPLIED:
            copy[key] = Held(write.version, write.row)
        return outcome

    def _note(self, write: Write) -> None:
        held = self.get((write.table.full_name, write.key))
        if held:
            self._history.note(
                "written",
                table=write.table.full_name,
                key=write.key.decode(),
                version=held.version.text,
                row=held.body,
                by=write.version.text,
            )


class SimTarget:
    """One process's connection to the target."""

    def __init__(self, copies: Copies, process: Steps) -> None:
        self.retries = 0
        self.closing_s = 0.0
        self._copies = copies
        self._process = process

    def write(self, batch: Sequence[Write]) -> list[Outcome]:
        """Write each key in turn, each a step of its own: a batch is not one."""
        if self._copies.remembered(CLOSED):
            raise TargetClosed("the move of the simulation is finished")
        return [self._put(write) for write in batch]

    def read(self, table: Table, key: bytes) -> Held[Row] | None:
        """What a reader gets."""
        place = (table.full_name, key)
        return self._process.step("read the target", lambda: self._copies.get(place), TargetUnavailable)

    def read_many(self, table: Table, keys: Sequence[bytes]) -> list[Held[Row] | None]:
        """What a reader gets, key by key."""
        return [self.read(table, key) for key in keys]

    def walk(self, table: Table, place: bytes | None = None) -> Iterator[Page]:
        """All keys of all copies that have come up by now, a page for a few."""
        names = sorted(key for name, key in self._copies.held_keys() if name == table.full_name)
        behind = [key for key in names if place is None or key > place]
        for start in range(0, len(behind), PAGE_KEYS):
            keys = behind[start : start + PAGE_KEYS]
            held = [(key, one) for key, one in zip(keys, self.read_many(table, keys), strict=True) if one]
            found = [Found(key, key.decode(), one.version, one.body is not None) for key, one in held]
            yield Page(found, keys[-1] if keys[-1] != behind[-1] else None)

    def replace(self, write: Write, held: Version) -> bool:
        """Write over exactly the version `held`, on every copy at once."""
        what = f"replace {write.table.name} {write.key.decode()}"
        return self._process.step(what, lambda: self._copies.replace(write, held), TargetUnavailable)

    def overwrite(self, table: Table, key: bytes, held: Held[Row]) -> None:
        """Put it over whatever is there."""
        what = f"overwrite {table.name} {key.decode()}"
        place = (table.full_name, key)
        self._process.step(what, lambda: self._copies.overwrite(place, held), TargetUnavailable)

    def body_of(self, table: Table, row: Row) -> Row:
        """The row itself."""
        del table
        return row

    def remember(self, name: str, note: Note) -> None:
        """Remember the note."""
        self._process.step("write a note", lambda: self._copies.remember(name, note), TargetUnavailable)

    def remembered(self, name: str) -> Note | None:
        """The note of that name."""
        return self._process.step("read a note", lambda: self._copies.remembered(name), TargetUnavailable)

    def let_go(self, table: Table) -> int:
        """Purge the table's delete markers."""
        keys = [key for key in self._copies.held_keys() if key[0] == table.full_name]
        gone = [key for key in keys if (held := self._copies.get(key)) and held.body is None]
        for key in gone:
            self._copies.purge(key)
        return len(gone)

    def close(self) -> None:
        """Hang up."""

    def __enter__(self) -> Self:
        """The target itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""

    def _put(self, write: Write) -> Outcome:
        what = f"write {write.table.name} {write.key.decode()}"
        return self._process.step(what, lambda: self._copies.put(write), TargetUnavailable)
