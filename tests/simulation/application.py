"""The application that writes both databases: the product's own library, over a driver that takes steps.

The library is put together as `DualStore` does it, but without threads: what its workers do for the new
database is done at once, or, where they are late, by a process of its own while nobody waits for it.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from types import SimpleNamespace
from typing import Any, TypeVar, cast
from unittest import mock

import changeover.dualwrite.reads
import changeover.dualwrite.store
import changeover.phases.move
from changeover.dualwrite.commits import CommitPlaces
from changeover.dualwrite.counts import Counts
from changeover.dualwrite.direct import Direct
from changeover.dualwrite.forms import RowForm
from changeover.dualwrite.lease import PhaseLease
from changeover.dualwrite.old import Connections
from changeover.dualwrite.reads import Reads
from changeover.dualwrite.session import Session
from changeover.dualwrite.store import DualStore
from changeover.dualwrite.tables import Tables
from changeover.dualwrite.takeover import NewTransactions
from changeover.dualwrite.transaction import Parts, Transaction
from changeover.dualwrite.workers import TookTooLong, Workers
from changeover.errors import ChangeoverError, FenceStands, PhaseHeld, PhaseMoved, SourceUnavailable
from changeover.masks import Masks
from changeover.mysql.control import PHASE, ControlSchema
from changeover.mysql.phases import phase_now
from changeover.phase import Phase, PhaseState
from changeover.phases.gates import Facts, Proved, failing, judge
from changeover.phases.move import Mover
from changeover.phases.takeover import Takeover
from changeover.settings import ApplicationSettings, MasksSettings, PhasesSettings
from changeover.targets import Target
from changeover.targets.applied import note_applied
from changeover.version import Version
from tests.simulation import server as servers
from tests.simulation.daemons import GROUP, PIPELINE, TABLES, Site, Step, images, is_import_applied
from tests.simulation.log import SimLog, through_of
from tests.simulation.server import Kind
from tests.simulation.sql import CONTROL, Parameters, SimConnection, key_text
from tests.simulation.target import SimTarget
from tests.simulation.world import Process

T = TypeVar("T")

LEASE_S = 0.15
FENCE_S = 1.5
WAITS_S = 0.5
THINKS_STEPS_MAX = 200
LATE_ONE_IN = 5
LATE_STEPS_MAX = 400
TRIES = 5
RESOLVES_EVERY_S = 0.1
GATES_S_MAX = 1.0
LIMITS = PhasesSettings(processes_min=0, compared_min=0, direct_success_percent_min=0)
LOST = 2013
"""The code of drivers for a server that has gone away."""

SETTINGS = [
    ApplicationSettings(wait_s_max=WAITS_S, fence_wait_s_max=WAITS_S, when_new_fails="go on"),
    ApplicationSettings(wait_s_max=WAITS_S, fence_wait_s_max=WAITS_S, when_new_fails="wait"),
]


class DriverError(Exception):
    """The driver's own: the connection is lost."""


class Driver:
    """A connection of DB-API 2.0 to the old database."""

    def __init__(self, process: Process, site: Site) -> None:
        self.process = process
        self.session = SimConnection(process, site.cluster)
        self.steps: list[Step] = []
        self.said = ""

    def cursor(self) -> "Cursor":
        """A cursor."""
        return Cursor(self)

    def commit(self) -> None:
        """Commit what was played."""
        fill = partial(images, self.steps, name=self.said.format)
        transaction = servers.Transaction(fill=fill, at_ms=self.process.world.now_ms)
        with lost_as_drivers_say_it():
            if self.steps:
                self.session.commit_changes(transaction)
        self._over()

    def rollback(self) -> None:
        """Forget it."""
        self._over()
        if self.session.server.is_down:
            raise DriverError(LOST, "it is gone")

    def close(self) -> None:
        """Hang up."""
        self._over()

    def play(self, steps: Sequence[Step], said: str) -> None:
        """Change rows, which are locked from now on; in one order, so that nobody waits in a circle."""
        for lock in sorted({(table, key) for _, table, *keys in steps for key in keys}):
            self.session.lock(lock)
        self.steps, self.said = list(steps), said
        self.session.own_changes = lambda rows: images(self.steps, rows, name=said.format)

    def _over(self) -> None:
        self.steps, self.session.own_changes = [], None
        self.session.server.let_go(self.session)


class Cursor:
    """A cursor."""

    description = ("something",)

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._rows: list[tuple[bytes | None, ...]] = []

    def execute(self, sql: str, parameters: Any = None) -> None:  # noqa: ANN401
        """Run a statement: of the library's, or the application's own."""
        with lost_as_drivers_say_it():
            match sql:
                case "START TRANSACTION":
                    pass
                case "PLAY":
                    self._driver.play(*parameters)
                case _:
                    self._rows = self._driver.session.raw(sql, cast("Parameters", parameters or ()))

    def fetchall(self) -> list[tuple[bytes | None, ...]]:
        """What the statement answered."""
        return self._rows

    def close(self) -> None:
        """Done."""


@contextmanager
def lost_as_drivers_say_it() -> Iterator[None]:
    """A driver knows nothing of our errors."""
    try:
        yield
    except SourceUnavailable as error:
        raise DriverError(LOST, str(error)) from None


class SimWorkers:
    """The library's workers without their threads: now and then they are late, and do it all the same."""

    def __init__(self, process: Process, site: Site) -> None:
        self._process = process
        self._site = site
        self._target = SimTarget(site.copies, process)

    def do(self, work: Callable[[Target[Any]], T], timeout_s: float, *, is_patient: bool = False) -> T:
        """See `changeover.dualwrite.workers.Workers`."""
        del timeout_s, is_patient
        if self._site.choices.rarely(LATE_ONE_IN):
            self._do_later(work)
            message = "the new database took too long"
            raise TookTooLong(message)
        return work(self._target)

    def _do_later(self, work: Callable[[Target[Any]], object]) -> None:
        waits_s = self._site.choices.below(LATE_STEPS_MAX) / 1000
        waiting = [work]

        def main(late: Process) -> None:
            if waiting:
                late.sleep(waits_s)
                with suppress(ChangeoverError):
                    waiting.pop()(SimTarget(self._site.copies, late))

        world = self._process.world
        world.start(f"{self._process.name} late", main)


def store_of(process: Process, site: Site) -> DualStore:
    """The library's store of one process."""
    store: Any = object.__new__(DualStore)
    tables = list(TABLES.values())
    workers = cast("Workers", SimWorkers(process, site))
    counts, form = Counts(), RowForm()
    settings = SETTINGS[site.choices.below(len(SETTINGS))]
    is_mariadb = site.cluster.primary.kind is Kind.MARIADB
    takes_direct_writes = site.cluster.primary.kind is not Kind.FILES
    phase_table, epoch_table = (f"`{CONTROL}`.`{name}`" for name in (PHASE, "epoch"))
    store.counts = counts
    store.tables = store._tables = Tables(tables, Masks(MasksSettings(), tables))
    store._settings = SimpleNamespace(application=settings, pipeline=PIPELINE)
    store._phase_table = phase_table
    store._places = CommitPlaces(phase_table, epoch_table, PIPELINE, is_mariadb=is_mariadb)
    store._readers = workers
    store._lease = PhaseLease(
        lambda: SimConnection(process, site.cluster), store._handover, PIPELINE, LEASE_S, clock=process.clock
    )
    store._connections = Connections(lambda: Driver(process, site))
    direct = Direct(
        workers,
        settings,
        counts,
        is_allowed=lambda: takes_direct_writes,
        sleep=process.sleep,
        clock=process.clock,
    )
    store._parts = Parts(tables=store.tables, form=form, places=store._places, direct=direct, counts=counts)
    store._in_new = NewTransactions(
        store.tables, form, workers, store._lease, counts, timeout_s=WAITS_S, sleep=process.sleep
    )
    store._reads = Reads(
        store._lease,
        store._connections,
        workers,
        form,
        counts,
        pipeline=PIPELINE,
        phase_table=phase_table,
        timeout_s=WAITS_S,
        new_timeout_s=WAITS_S,
    )
    store._compared = mock.Mock()
    return cast("DualStore", store)


def application(site: Site, plans: list[list[Step]]) -> Callable[[Process], None]:
    """A process of the application that uses the library: each plan is a transaction, tried once."""
    number = iter(range(1, 1_000))

    def main(process: Process) -> None:
        if site.choices.below(4):  # most begin when there is something to see
            process.wait(lambda: site.cluster.primary.books.phase is not None)
        store, session = store_of(process, site), Session()
        wrote: dict[tuple[str, int], dict[str, Any] | None] = {}
        while plans:
            process.sleep(site.choices.below(THINKS_STEPS_MAX) / 1000)
            steps = plans.pop(0)
            said = f"{process.name} {next(number)}.{{}}"
            final = {(table, key): step for step in enumerate(steps) for _, table, key, _ in [step[1]]}
            rows = {
                place: None if step[0] == "delete" else {"id": place[1], "name": said.format(index)}
                for place, (index, step) in final.items()
            }
            try:
                with store.transaction(session=session) as tx:
                    _write(tx, site, steps, said, rows)
            except (ChangeoverError, DriverError) as error:
                site.history.note("gave up", who=process.name, why=str(error))
                continue
            site.history.note(
                "acknowledged",
                who=process.name,
                rows=[[*place, row] for place, row in rows.items()],
                mismatches=store.counts.now()["put_mismatch"],
            )
            wrote |= rows
            for place in (*rows, list(wrote)[site.choices.below(len(wrote))]):
                with suppress(ChangeoverError, DriverError):
                    _read_back(store, session, site, place, wrote[place])

    return main


def _write(
    tx: Transaction,
    site: Site,
    steps: Sequence[Step],
    said: str,
    rows: dict[tuple[str, int], dict[str, Any] | None],
) -> None:
    tx.old.execute("PLAY", (steps, said))
    for (table, key), row in rows.items():
        if row is None:
            tx.delete(table, key)
        else:
            tx.put(table, key, row)
    is_new = not hasattr(tx, "phase")
    if is_new:
        for (table, key), row in rows.items():
            site.history.note("written in NEW", table=table, key=key_text(key), row=row)


def _read_back(
    store: DualStore, session: Session, site: Site, place: tuple[str, int], wrote: dict[str, Any] | None
) -> None:
    table, key = place
    answer = store.get(table, session=session, id=key)
    site.history.note(
        "read", table=table, key=key_text(key), row=answer.value, wrote=wrote, origin=answer.origin.value
    )


class SimFreezer:
    """Freezes the primary, as read_only does."""

    def __init__(self, process: Process, site: Site) -> None:
        self._process = process
        self._site = site

    def freeze(self) -> None:
        """From now on nobody commits rows who has not begun to."""
        self._set(value=True)

    def thaw(self) -> None:
        """As before."""
        self._set(value=False)

    def is_frozen(self) -> bool:
        """Whether it is."""
        return self._site.cluster.primary.is_read_only

    def _set(self, *, value: bool) -> None:
        def act() -> None:
            self._site.cluster.primary.is_read_only = value

        self._process.step("freeze" if value else "thaw", act, SourceUnavailable)


def mover(site: Site, waits: list[int], *, into_new: bool) -> Callable[[Process], None]:
    """Somebody who moves the phase on, now and then back, and at last into NEW, if he may."""

    def main(process: Process) -> None:
        process.wait(lambda: is_import_applied(site))
        control = ControlSchema(SimConnection(process, site.cluster), PIPELINE)
        moving = Mover(control, tries=TRIES, sleep=process.sleep, clock=process.clock)
        takeover = takeover_of(process, site, moving)
        moving.begin()
        while waits or phase_now(control).phase is Phase.FENCED:
            process.sleep(waits.pop(0) / 1000 if waits else RESOLVES_EVERY_S)
            state = phase_now(control)
            with suppress(PhaseHeld, PhaseMoved, FenceStands):
                match state.phase:
                    case Phase.FENCED:
                        takeover.resolve()
                    case Phase.NEW:
                        return
                    case Phase.OLD:
                        moving.move(state, Phase.BOTH_READ_OLD, ())
                    case Phase.BOTH_READ_OLD:
                        if site.choices.below(4) == 3:
                            moving.move(state, Phase.OLD, ())
                        else:
                            _read_new(process, site, moving)
                    case Phase.BOTH_READ_NEW:
                        if not into_new or site.choices.below(4) == 3:
                            moving.move(state, Phase.BOTH_READ_OLD, ())
                        else:
                            takeover.run(state, (), None)

    return main


def _read_new(process: Process, site: Site, moving: Mover) -> None:
    """Move on to reading the new database, if within a while the product's gates let one."""
    state = moving.with_fence(phase_now(moving.control))

    def is_open() -> bool:
        return not failing(judge(Phase.BOTH_READ_NEW, _facts(site, state), LIMITS))

    process.wait(is_open, GATES_S_MAX)
    if is_open():
        moving.move(state, Phase.BOTH_READ_NEW, ())


def _facts(site: Site, state: PhaseState) -> Facts:
    """What the gates judge: how far the target is, as it is; what is not played is as it must be."""
    now_ms = site.cluster.primary.now_ms()
    through = through_of(site.store, site.store.groups[GROUP])
    return Facts(
        now_ms=now_ms,
        phase=state.phase,
        fence=state.fence,
        applied_through=through.version if through else None,
        is_imported=is_import_applied(site),
        lag_ms=now_ms - through.source_ms if through else None,
        findings_open=0,
        proved=Proved(state="clean", is_clean=True, why="", as_of_ms=now_ms),
        retention_left_s=math.inf,
        processes=(),
        lacking=(),
        is_read_only=False,
    )


def takeover_of(process: Process, site: Site, moving: Mover) -> Takeover:
    """The way into NEW, over the mover's connection."""
    log = SimLog(site.store, process, process.name)

    def through() -> Version | None:
        found = log.progress_of(GROUP).through
        return found.version if found else None

    def target() -> AbstractContextManager[Any]:
        return SimTarget(site.copies, process)

    @contextmanager
    def reopened() -> Iterator[Takeover]:
        control = ControlSchema(SimConnection(process, site.cluster), PIPELINE)
        again = Mover(control, tries=TRIES, sleep=process.sleep, clock=process.clock)
        again.begin()
        yield takeover_of(process, site, again)

    return Takeover(
        moving,
        SimFreezer(process, site),
        target,
        through,
        fence_s=FENCE_S,
        reopened=reopened,
        sleep=process.sleep,
    )


def noting(site: Site) -> Callable[[Process], None]:
    """The consumer's note in the target of how far it is."""

    def main(process: Process) -> None:
        log, target = SimLog(site.store, process, process.name), SimTarget(site.copies, process)
        while True:
            through = log.progress_of(GROUP).through
            if through:
                note_applied(target, through.version)
            process.sleep(0.1)

    return main


@contextmanager
def clocks_of(sleep: Callable[[float], None], now_s: Callable[[], float]) -> Iterator[None]:
    """No wait of the library's takes time of ours, and nobody looks over a real connection."""
    clock = mock.Mock(sleep=sleep, monotonic=now_s)
    watch = SimpleNamespace(text="somebody")
    with (
        mock.patch.object(changeover.dualwrite.store, "time", clock),
        mock.patch.object(changeover.dualwrite.reads, "time", clock),
        mock.patch.object(changeover.phases.move, "watched", return_value=nullcontext(watch)),
        mock.patch.object(changeover.phases.move, "who", return_value="operator"),
    ):
        yield
