"""The processes of a pipeline: the product's own loops, put together as its composition roots do."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import orjson

from cdc.snapshot import Snapshot
from cdc.wiring import resumed
from changeover.envelope import encode_key
from changeover.masks import Masks
from changeover.mysql.control import ControlSchema
from changeover.progress import Partition
from changeover.repair.repair import Order, Repair
from changeover.settings import MasksSettings
from changeover.start import OF_CAPTURE, Start
from changeover.table import Column, Kind, Table
from changeover.verify.applied import Applied
from changeover.verify.judge import Judge, Judgement
from changeover.verify.source import Source
from consumers.apply import Apply
from tests.simulation.chance import Choices
from tests.simulation.history import History
from tests.simulation.log import SimLog, Store
from tests.simulation.server import Cluster, Images, Row, TableKey, Transaction
from tests.simulation.sql import SimConnection
from tests.simulation.stream import SimStream
from tests.simulation.target import Copies, SimTarget
from tests.simulation.world import Process

PIPELINE = "moving"
GROUP = "apply"


def _played(name: str) -> Table:
    columns = (
        Column(name="id", kind=Kind.INTEGER, sql_type="int", nullable=False),
        Column(name="name", kind=Kind.TEXT, sql_type="varchar(100)", nullable=True, charset="utf8mb4"),
    )
    return Table(schema="records", name=name, columns=columns, key=("id",))


TABLES = {table.full_name: table for table in (_played("citizen"), _played("passport"))}
NOW = Start.parse("now", OF_CAPTURE)
CHUNK_ROWS = 2
BATCH_MAX = 8
THINKS_STEPS_MAX = (20, 80, 200)
"""How long the application waits between two transactions at most: so that it goes on through the import."""

BEAT_S = 0.06
VERIFIES_EVERY_S = 0.05
APPLIED_S_MAX = 2.0
IDLE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What the processes of one pipeline work with."""

    cluster: Cluster
    store: Store
    copies: Copies
    choices: Choices
    history: History


def capture(site: Site) -> Callable[[Process], None]:
    """The capture daemon."""

    def main(process: Process) -> None:
        connection = SimConnection(process, site.cluster)
        log = SimLog(site.store, process, process.name)

        def stream_at(position: str, identity: str) -> SimStream:
            del identity
            return SimStream(process, connection.server, position, TABLES)

        control = ControlSchema(connection, PIPELINE)
        tables = list[Table](TABLES.values())
        with resumed(control, log, tables, stream_at, start=NOW, clock=process.clock) as running:
            running.run(lambda: False)

    return main


def snapshot(site: Site) -> Callable[[Process], None]:
    """A worker of the import, started again by whoever sees in `status` that the import is not done."""

    def main(process: Process) -> None:
        log = SimLog(site.store, process, process.name)
        tables = list(TABLES.values())
        while True:
            connection = SimConnection(process, site.cluster)
            ControlSchema(connection, PIPELINE).make()
            Snapshot(
                connection,
                log,
                tables,
                pipeline=PIPELINE,
                worker=process.name,
                chunk_rows=CHUNK_ROWS,
                sleep=process.sleep,
            ).run(lambda: False)
            # A failover that loses the books' last rows opens a chunk again that was done for him.
            process.wait(lambda: not site.cluster.primary.books.is_import_done)

    return main


def apply(site: Site) -> Callable[[Process], None]:
    """A consumer."""

    def main(process: Process) -> None:
        reader = SimLog(site.store, process, process.name).reader(GROUP)

        def rest(seconds: float) -> None:
            del seconds  # nobody counts how often an idle consumer looks
            process.wait(reader.has_news, IDLE_S)

        batch_max = 1 + site.choices.below(BATCH_MAX)
        target = SimTarget(site.copies, process)
        Apply(reader, target, batch_max=batch_max, sleep=rest).run(lambda: False)

    return main


@dataclass(slots=True)
class Audit:
    """What the verifier has come to."""

    clean_since_ms: int = -1
    """When the last pass began that found every key equal."""


def verifier(site: Site, audit: Audit, keys: int) -> Callable[[Process], None]:
    """Somebody who verifies over and over, and repairs what is found."""

    def main(process: Process) -> None:
        process.wait(lambda: is_import_applied(site))
        connection, log = SimConnection(process, site.cluster), SimLog(site.store, process, process.name)
        tables = list(TABLES.values())
        source = Source(connection, PIPELINE, Masks(MasksSettings(), tables), process.sleep)
        target = SimTarget(site.copies, process)
        applied = Applied(log, GROUP, APPLIED_S_MAX, process.clock, process.sleep)
        judge = Judge(source, target, applied, PIPELINE)
        repair = Repair(
            source,
            log,
            target,
            judge,
            pipeline=PIPELINE,
            group=GROUP,
            order=Order(process.name),
            wait_s_max=APPLIED_S_MAX,
            clock=process.clock,
            sleep=process.sleep,
        )
        while True:
            begun_ms = process.world.now_ms
            judged = [_judge(site, table, judge, keys) for table in tables]
            for table, found in zip(tables, judged, strict=True):
                for _ in repair.repair(table, [difference.key for difference in found.differences]):
                    pass
            if not any(found.differences or found.unsettled for found in judged):
                audit.clean_since_ms = begun_ms
            process.sleep(VERIFIES_EVERY_S)

    return main


def _judge(site: Site, table: Table, judge: Judge, keys: int) -> Judgement:
    site.history.note("judging", table=table.full_name)
    judgement = judge.judge(table, [encode_key(table, {"id": number}) for number in range(1, keys + 1)])
    site.history.note(
        "judged",
        table=table.full_name,
        equal=[key.decode() for key in judgement.equal],
        differences={difference.key.decode(): difference.kind for difference in judgement.differences},
    )
    return judgement


def is_import_applied(site: Site) -> bool:
    """Whether the target has all of the import."""
    books, committed = site.cluster.primary.books, site.store.groups[GROUP].committed
    ends = [end for chunk in books.chunks.values() for end in orjson.loads(chunk["ends"] or b"[]")]
    return books.is_import_done and all(
        committed.get(Partition(topic, number), 0) >= end for topic, number, end in ends
    )


def heart(site: Site, is_over: Callable[[], bool]) -> Callable[[Process], None]:
    """The thread of the capture daemon that beats."""

    def main(process: Process) -> None:
        control = ControlSchema(SimConnection(process, site.cluster), PIPELINE)
        while not is_over():
            process.sleep(BEAT_S)
            control.beat("capture")

    return main


Step = tuple[str, str, int, int]
"""What is done, to which table and row, and to which other row if the key changes."""


def writer(site: Site, plans: list[list[Step]]) -> Callable[[Process], None]:
    """A process of the application: each plan is a transaction, tried once."""
    number = iter(range(1, 1_000))
    thinks_max = THINKS_STEPS_MAX[site.choices.below(len(THINKS_STEPS_MAX))]

    def main(process: Process) -> None:
        connection = SimConnection(process, site.cluster)
        while plans:
            process.sleep(site.choices.below(thinks_max) / 1000)
            steps = plans.pop(0)
            said = f"{process.name} {next(number)}.{{}}"
            locks = {(table, key) for _, table, *keys in steps for key in keys}
            transaction = Transaction(locks=set(locks), fill=partial(images, steps, name=said.format))
            transaction.at_ms = process.world.now_ms
            connection.commit_changes(transaction)

    return main


def images(steps: Iterable[Step], rows: dict[TableKey, Row], *, name: Callable[[int], str]) -> list[Images]:
    """What the statements of a transaction do to the rows, one image after the other."""
    now = dict(rows)
    done: list[Images] = []

    def change(table: str, before: Row | None, after: Row | None) -> None:
        if before is not None:
            del now[table, before["id"]]
        if after is not None:
            now[table, after["id"]] = after
        if before is not None or after is not None:
            done.append((table, before, after))

    for place, (what, table, key, other) in enumerate(steps):
        held = now.get((table, key))
        new = {"id": key, "name": name(place)}
        match what:
            case "put":
                change(table, held, new)
            case "delete":
                change(table, held, None)
            case "replace":
                change(table, held, None)
                change(table, None, new)
            case "move" if held and (table, other) not in now:
                change(table, held, {**held, "id": other})
    return done


def operator(acts: Iterable[tuple[int, Callable[[], None]]]) -> Callable[[Process], None]:
    """Somebody who does things at their times."""
    waiting = list(acts)

    def main(process: Process) -> None:
        while waiting:
            steps, act = waiting[0]
            process.sleep(steps / 1000)
            act()
            waiting.pop(0)

    return main
