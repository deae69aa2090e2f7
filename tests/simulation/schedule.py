"""One schedule: a pipeline of some shape, what its application does, and every turn that chance takes.

`run` plays the schedule of a list of choices to its end, and says what came of it. All is drawn from the
choices: the kind of server, the number of processes, the transactions, the faults, and who goes next.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from unittest import mock

import structlog

import changeover.mysql.numbering
from changeover.decide import decide, newest_per_key
from changeover.errors import Fenced
from changeover.log import Record, writes_of
from tests.simulation import application, daemons
from tests.simulation.chance import Choices
from tests.simulation.daemons import GROUP, PIPELINE, TABLES, Audit, Site, Step
from tests.simulation.history import Event, History
from tests.simulation.invariants import Broken, Invariants
from tests.simulation.log import Store
from tests.simulation.server import Cluster, Images, Kind, Server, Transaction
from tests.simulation.target import COPIES, Copies, Guard, Key
from tests.simulation.world import PAUSE_STEPS_MAX, Process, Stuck, World

FAULTS_MAX = 4
GAP_MAX = 30
MOVES_MAX = 5
MOVES_WITHIN_STEPS = 300
CONSUMER_HALTED_STEPS_MAX = 800
INTO_NEW_AT = ("nothing", "second capture", "the consumer is halted")
"""What may befall a pipeline that goes into NEW: a server that is promoted later is not frozen."""

MOVES_AT = (*INTO_NEW_AT, "failover", "there and back", "failover while the import is halted")
PLANTS_MAX = 2
PLANTED_WITHIN_STEPS = 600
LINGERS_STEPS = 300
STEPS: tuple[str, ...] = ("put", "put", "put", "delete", "replace", "move")
IDENTITIES = {Kind.MARIADB: ("0-1", "0-2"), Kind.GTID: ("aaaa", "bbbb"), Kind.FILES: ("aaaa", "bbbb")}

SILENT = structlog.make_filtering_bound_logger(logging.CRITICAL)


@dataclass(slots=True)
class Outcome:
    """What came of a schedule: `broken` names the invariant that did not hold, None if all did."""

    events: list[Event]
    choices: list[int]
    broken: str | None = None
    why: str = ""
    key: tuple[str, str] | None = None
    """The key of which it did not hold."""
    stopped: list[str] = field(default_factory=list)
    setup: int = 0
    """How many of the choices were made before the first step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a schedule consists of; by default all is left to chance."""

    kinds: tuple[Kind, ...] = tuple(Kind)
    events: tuple[str, ...] = (
        "nothing",
        "nothing",
        "failover",
        "there and back",
        "failover while the import is halted",
        "lost tail",
        "second capture",
        "gap",
        "the consumer is halted",
    )
    workers_max: int = 2
    consumers_max: int = 2
    writers_max: int = 2
    transactions_max: int = 4
    keys: int = 3
    """Rows of each table at most."""
    faults_max: int = FAULTS_MAX
    guard: Guard = decide
    operated_within_steps: int = 250
    """How long after the start an operator acts, and again after that."""
    lingers: bool = False
    """Whether the old server is always there for a while after a failover, as the new one's replica."""
    verifies: tuple[bool, ...] = (False, False, False, True)
    """Whether somebody verifies and repairs meanwhile, and falsifies what the target holds."""
    moves: tuple[bool, ...] = (False, False, False, True)
    """Whether the application writes both databases by the library, and somebody moves its phase."""
    purges: bool = False
    """Whether delete markers are removed while all goes on."""


EVERYTHING = Shape()


def run(choices: Choices, shape: Shape = EVERYTHING) -> Outcome:
    """Play the schedule of these choices."""
    invariants = Invariants()
    history = History(invariants.take)
    outcome = Outcome(history.events, choices.drawn)
    play = Play(choices, history, shape, invariants)
    outcome.setup = len(choices.drawn)
    try:
        with play.world_of_its_own():
            play.to_the_end()
        outcome.stopped = play.stopped()
        play.judge()
    except Broken as error:
        outcome.broken, outcome.why, outcome.key = error.invariant, str(error), error.key
    except Stuck:
        outcome.broken, outcome.why = "progress", "it came to no end"
    except Exception as error:  # noqa: BLE001 - whatever a process raises that is no error of ours
        outcome.broken, outcome.why = "no traceback", f"{type(error).__name__}: {error}"
    finally:
        play.world.close()
    return outcome


class Play:
    """One schedule while it is played."""

    def __init__(self, choices: Choices, history: History, shape: Shape, invariants: Invariants) -> None:
        self._invariants = invariants
        self._choices = choices
        self._history = history
        self._shape = shape
        self.world = World(choices, history, faults=choices.below(shape.faults_max + 1))
        kind = shape.kinds[choices.below(len(shape.kinds))]
        self._identities = IDENTITIES[kind]
        server = Server(kind, self._identities[0], choices, history, lambda: self.world.now_ms)
        self._servers = [server]
        copies = Copies((1, COPIES)[choices.below(2)], choices, history, shape.guard)
        topics = [f"{PIPELINE}.{name}" for name in TABLES]
        store = Store(PIPELINE, topics, 1 + choices.below(2), history)
        self.site = Site(
            cluster=Cluster(server), store=store, copies=copies, choices=choices, history=history
        )
        self._event = shape.events[choices.below(len(shape.events))]
        if kind is Kind.FILES and self._event == "there and back":
            self._event = "failover"
        self._fill(server)
        self._moves = shape.moves[choices.below(len(shape.moves))] and self._event in MOVES_AT
        self._audit = None
        if not self._moves and shape.verifies[choices.below(len(shape.verifies))]:
            self._audit = Audit()
        self._drained_ms: int | None = None
        self._owed: int | None = None
        """How many commits there are when the application is done, and a heartbeat behind them."""
        self._writers = self._start(server)

    def to_the_end(self) -> None:
        """Run until all is done and quiet, or a process has stopped for good."""
        self.world.run(self._is_over)

    def stopped(self) -> list[str]:
        """The kinds of stops there were, but for captures that a newer one fenced."""
        return [type(stop).__name__ for stop in self.world.stops if not isinstance(stop, Fenced)]

    def judge(self) -> None:
        """What must hold at the end."""
        stopped = self.stopped()
        if stopped and not self._may_stop:
            raise Broken("I10 loud stop", f"it stopped without a reason: {stopped[0]}")
        if not stopped:
            self._replay()
            self._history.note("quiet")

    @contextlib.contextmanager
    def world_of_its_own(self) -> Iterator[None]:
        """No wait of the product's takes time of ours, and it tells nobody what it does."""
        clock = mock.Mock(sleep=self._sleep)
        configured = structlog.get_config()
        structlog.configure(wrapper_class=SILENT)
        try:
            with (
                mock.patch.object(changeover.mysql.numbering, "time", clock),
                application.clocks_of(self._sleep, lambda: self.world.now_ms / 1000),
            ):
                yield
        finally:
            structlog.configure(**configured)

    # -- the beginning

    def _fill(self, server: Server) -> None:
        """Rows from before anything began."""
        for table in TABLES:
            keys = [key for key in range(1, self._shape.keys + 1) if self._choices.below(2)]
            if keys:
                changes: list[Images] = [(table, None, {"id": key, "name": "first"}) for key in keys]
                server.prepare(Transaction(changes=changes), None)
                server.settle()
        if self._event == "gap" and server.kind is Kind.GTID:
            server.skip_numbers(1 + self._choices.below(GAP_MAX))

    def _start(self, server: Server) -> list[Process]:
        world, site, shape = self.world, self.site, self._shape
        choose = self._choices.below
        world.happens(server.happens)
        world.happens(site.copies.happens)
        world.happens(site.store.happens)
        world.start("capture", daemons.capture(site))
        for number in range(1 + choose(shape.workers_max)):
            world.start(f"snapshot-{number + 1}", daemons.snapshot(site))
        for number in range(1 + choose(shape.consumers_max)):
            world.start(f"apply-{number + 1}", daemons.apply(site))
        writers = [
            world.start(f"writer-{number + 1}", daemons.writer(site, self._plans()))
            for number in range(1 + choose(shape.writers_max))
        ]
        if self._moves:
            writers += self._start_application()
        if self._audit:
            world.start("verifier", daemons.verifier(site, self._audit, shape.keys))
        world.start("heart", daemons.heart(site, self._is_over))
        writers.append(world.start("operator", daemons.operator(self._acts())))
        return writers

    def _start_application(self) -> list[Process]:
        world, site, choose = self.world, self.site, self._choices.below
        world.start("noting", application.noting(site))
        waits = [choose(MOVES_WITHIN_STEPS) for _ in range(1 + choose(MOVES_MAX))]
        into_new = self._event in INTO_NEW_AT
        return [
            *(
                world.start(f"application-{number + 1}", application.application(site, self._puts()))
                for number in range(1 + choose(2))
            ),
            world.start("mover", application.mover(site, waits, into_new=into_new)),
        ]

    def _puts(self) -> list[list[Step]]:
        """Plans of an application that says what each row becomes, so that no key changes."""
        return [
            [("put" if what == "move" else what, table, key, key) for what, table, key, _ in plan]
            for plan in self._plans()
        ]

    def _plans(self) -> list[list[Step]]:
        choose = self._choices.below
        return [
            [
                (
                    STEPS[choose(len(STEPS))],
                    tuple(TABLES)[choose(len(TABLES))],
                    1 + choose(self._shape.keys),
                    1 + choose(self._shape.keys),
                )
                for _ in range(1 + choose(3))
            ]
            for _ in range(1 + choose(self._shape.transactions_max))
        ]

    def _acts(self) -> Iterator[tuple[int, Callable[[], None]]]:
        yield from self._befalls()
        when = self._choices.below
        if self._audit:
            for _ in range(when(PLANTS_MAX + 1)):
                yield when(PLANTED_WITHIN_STEPS), self._plant
        if self._shape.purges:
            for _ in range(3):
                yield when(self._shape.operated_within_steps), self._purge

    def _befalls(self) -> Iterator[tuple[int, Callable[[], None]]]:
        when, steps = self._choices.below, self._shape.operated_within_steps
        match self._event:
            case "failover":
                yield when(steps), lambda: self._fail_over(1)
            case "failover while the import is halted":
                yield when(steps), lambda: self._halt("snapshot", PAUSE_STEPS_MAX)
                yield 1, lambda: self._fail_over(1)
            case "there and back":
                yield when(steps), lambda: self._fail_over(1)
                yield when(steps), lambda: self._fail_over(0)
            case "lost tail":
                lost = 1 + when(2)
                yield when(steps), lambda: self._fail_over(1, lost)
            case "second capture":
                yield when(steps), self._start_another
            case "the consumer is halted":
                yield steps + when(steps), lambda: self._halt("apply", CONSUMER_HALTED_STEPS_MAX)
            case _:
                pass

    # -- what an operator does, or what befalls him

    def _fail_over(self, to: int, lost: int = 0) -> None:
        old = self.site.cluster.primary
        new = old.successor(self._identities[to], min(lost, len(old.binlog)))
        old.is_frozen = True
        if lost or (not self._shape.lingers and self._choices.below(3)):
            old.is_down = True
        else:  # it is there for a while, and takes no writes
            old.settle()
            if old.kind is not Kind.FILES:
                old.follows = new
            self.world.start("old server", daemons.operator([(LINGERS_STEPS, lambda: _end(old))]))
        self._servers.append(new)
        self.world.happens(new.happens)
        self.site.cluster.primary = new
        self._history.note("failover", to=new.identity, lost=lost)

    def _halt(self, part: str, steps_max: int) -> None:
        for process in self.world.processes:
            if process.name.startswith(part):
                process.halt(self._choices.below(steps_max))
        self._history.note("halted")

    def _start_another(self) -> None:
        self._history.note("second capture")
        self.world.start("capture-2", daemons.capture(self.site))

    def _plant(self) -> None:
        keys = sorted(self.site.copies.held_keys())
        if keys:
            self.site.copies.plant(keys[self._choices.below(len(keys))])

    def _purge(self) -> None:
        for key in self.site.copies.held_keys():
            held = self.site.copies.get(key)
            if held and held.body is None:
                self.site.copies.purge(key)
                self._history.note("purged", table=key[0], key=key[1].decode())

    # -- the end

    @property
    def _may_stop(self) -> bool:
        is_moved = self._servers[0].kind is Kind.FILES and len(self._servers) > 1
        return is_moved or self._event == "gap" or self._invariants.has_forgotten

    def _is_over(self) -> bool:
        if self.world.stops and self.stopped():
            return True
        if self._owed is None:
            if all(writer.is_over for writer in self._writers):
                self._owed = len(self._invariants.truth.commits) + 1
            return False
        is_quiet = self._invariants.complete >= self._owed and self.site.copies.is_quiet
        if not is_quiet or not self._is_drained():
            self._drained_ms = None
            return False
        if self._drained_ms is None:
            self._drained_ms = self.world.now_ms
        return self._audit is None or self._audit.clean_since_ms >= self._drained_ms

    def _is_drained(self) -> bool:
        store, server = self.site.store, self.site.cluster.primary
        is_imported = server.books.is_import_done and len(server.books.tables) == len(TABLES)
        if not is_imported or store.checkpoint is None:
            return False
        group = store.groups[GROUP]
        if any(
            group.committed.get(partition, 0) < len(records) for partition, records in store.records.items()
        ):
            return False
        return not any(
            commit.states for commit in self._invariants.truth.commits[self._invariants.complete :]
        )

    def _replay(self) -> None:
        """Everything once more, in any order: nothing changes, and a fresh target gets the same."""
        records: list[Record] = [record for part in self.site.store.records.values() for record in part]
        fresh = Copies(1, self._choices, History(), self._shape.guard)
        before = self._held(self.site.copies)
        while records:
            record = records.pop(self._choices.below(len(records)))
            for write in newest_per_key(writes_of([record])):
                self.site.copies.put(write)
                fresh.put(write)
        for happens in iter(self.site.copies.happens, []):
            happens[0][1]()
        if self._shape.purges:  # what a marker no longer holds back is another invariant's affair
            return
        if before != self._held(self.site.copies):
            raise Broken("I7 idempotence", "a replay of everything changed the target")
        if before != self._held(fresh):
            raise Broken("I7 idempotence", "a replay into a fresh target gives another one")

    def _held(self, copies: Copies) -> dict[Key, object]:
        """What a reader gets of each key that NEW has not written; with its version, if all are the log's."""
        held = {key: one for key in copies.held_keys() if (one := copies.get(key))}
        anew, planted = self._invariants.anew, self._invariants.ever_planted
        if self._moves:  # of a row that never was, a direct write may say so, and the log says nothing
            return {key: one.body for key, one in held.items() if one.body and _named(key) not in anew}
        return {key: one.body if _named(key) in planted else one for key, one in held.items()}

    def _sleep(self, seconds: float) -> None:
        running = self.world.running
        if running is not None:
            running.sleep(seconds)


def _named(key: Key) -> tuple[str, str]:
    return key[0], key[1].decode()


def _end(server: Server) -> None:
    server.is_down = True
