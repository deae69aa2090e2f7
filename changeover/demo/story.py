"""The demo: a database that is being written to moves, with kills in the middle, and comes out equal."""

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from rich.console import Console

from changeover.daemon import configure_logging
from changeover.demo import records, takeover
from changeover.demo.broker import PrivateKafka
from changeover.demo.destination import Destination, into_riak, into_sqlite
from changeover.demo.ending import compare, end_of_move, end_of_way
from changeover.demo.load import Writer, writing
from changeover.demo.plan import DemoLog, DemoTarget, Plan
from changeover.demo.practice import Practice, practice
from changeover.demo.server import PrivateMariaDB
from changeover.demo.show import Show
from changeover.doctor.riak import riak_findings
from changeover.errors import ChangeoverError
from changeover.finding import refusals
from changeover.mysql.bounded import BoundedReader
from changeover.mysql.catalog import captured_tables
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.settings import Settings
from changeover.status import Status, Statuses
from changeover.supervisor import Supervisor, parts_of
from changeover.wiring import create_topics, open_log

SETTINGS = """
pipeline = "{pipeline}"

[source]
url = "mysql://{user}@127.0.0.1:{port}"
include = ["{schema}.*"]
heartbeat_s = 0.2

[log]
url = "{log}"
partitions = 2
replication = 1
min_insync = 1

[target]
{target}
{more}
"""

POLL_S = 0.1
IN_STEP_MS_MAX = 1_000
"""Lag below which the target counts as caught up, after the import and the kills."""

IMPORT_WAIT_S_MAX = 300.0
DRAIN_WAIT_S_MAX = 120.0


@dataclass(frozen=True, slots=True)
class Kill:
    """A part to be killed once this share of the rows has been copied."""

    part: str
    at_share: float


KILLS = (
    Kill("capture", 0.2),
    Kill("snapshot-1", 0.4),
    Kill("apply", 0.6),
    Kill("capture", 1.0),
    Kill("apply", 1.0),
)


class DemoFailed(ChangeoverError):
    """The demo did not get to its end."""


def tell(plan: Plan, console: Console) -> bool:
    """Run the demo; whether source and target came out equal."""
    with (
        _folder(plan.keep) as folder,
        Show(console) as show,
        PrivateMariaDB() as server,
        _log(plan.log, show) as log_url,
        _into(plan, show) as destination,
    ):
        show.event(f"a private MariaDB runs on port {server.port}; everything else is in {folder}")
        _fill(server, plan, show)
        settings, config = _settings(server, folder, log_url, destination, plan)
        if plan.log is DemoLog.KAFKA:
            _make_topics(settings, show)
        if plan.target is DemoTarget.RIAK:
            _prove(settings, show)
        with (
            (folder / "daemons.log").open("a") as output,
            writing(server, seed=plan.seed, rate=plan.rate) as writer,
            _pipeline(settings, config, output) as supervisor,
            Connection(settings.source) as connection,
            open_log(settings) as log,
        ):
            statuses = Statuses(ControlSchema(connection, settings.pipeline), log, settings.consumer.group)
            control = ControlSchema(connection, settings.pipeline)
            with practice(config) as people:
                story = Story(plan, show, supervisor, statuses, writer)
                if plan.takes_over:
                    story.until_begun()
                    _open(server, people, show)
                story.until_steady()
                written = story.stop_writer()
                last = story.drain(BoundedReader(connection, settings.pipeline, "demo"))
                show.event("every row of every table is compared both ways by the oracle")
                show.doing("comparing")
                compared = compare(server, destination.side(folder))
                is_equal = end_of_move(
                    show, last, written, kills=story.kills, lags_ms=story.lags_ms, compared=compared
                )
                if not plan.takes_over:
                    show.event("the application's part is left out: it is told with the file log and SQLite")
                    return is_equal
                way = takeover.Takeover(settings, log, control, practice=people, show=show, tend=story.tend)
                way.into_new(folder / "records.db")
                people.close()
            supervisor.stop()
            way.finish(folder)
        return end_of_way(server, folder / "records.db", show, way.took, people.books) and is_equal


class Story:
    """The middle of the demo, while everything runs; `kills` and `lags_ms` are what it counts on its way."""

    def __init__(
        self, plan: Plan, show: Show, supervisor: Supervisor, statuses: Statuses, writer: Writer
    ) -> None:
        self.kills: list[str] = []
        self.lags_ms: list[int] = []
        self._plan = plan
        self._show = show
        self._supervisor = supervisor
        self._statuses = statuses
        self._writer = writer
        self._to_kill = list(KILLS)

    def until_begun(self) -> None:
        """Wait until the import has begun, so that all books are there."""
        for now in self._watch(IMPORT_WAIT_S_MAX):
            if now.rows_total:
                return

    def tend(self) -> None:
        """Bring back what has ended; raise if a part has given up."""
        self._supervisor.poll()
        for part in self._supervisor.failed():
            message = f"{part.name} has stopped with exit status {part.exit_status}"
            raise DemoFailed(message, hint="Its last lines are in daemons.log; run with --keep to keep it.")

    def until_steady(self) -> None:
        """Copy everything and catch up, with kills on the way, then stay in step for a while."""
        steady_since: float | None = None
        for now in self._watch(IMPORT_WAIT_S_MAX):
            self._kill_what_is_due(now)
            is_in_step = now.lag_ms is not None and now.lag_ms < IN_STEP_MS_MAX
            if now.is_import_applied and not self._to_kill and (is_in_step or steady_since):
                if steady_since is None:
                    self._show.event("all rows are copied and applied; capture keeps the target in step")
                    steady_since = time.monotonic()
                if now.lag_ms is not None:
                    self.lags_ms.append(now.lag_ms)
                if time.monotonic() - steady_since >= self._plan.steady_s:
                    return

    def stop_writer(self) -> dict[str, int]:
        """Stop the writer; its totals."""
        totals = self._writer.stop()
        self._show.event(f"the writer has stopped after {totals['transactions']:,} transactions")
        return totals

    def drain(self, reader: BoundedReader) -> Status:
        """Wait until the target has applied through all that was written."""
        bound = reader.bound()
        for now in self._watch(DRAIN_WAIT_S_MAX):
            if now.applied_through and (now.applied_through.epoch, now.applied_through.sequence) >= bound[:2]:
                self._show.event(
                    f"the target has applied through transaction {bound.sequence:,}, the last one"
                )
                return now
        raise AssertionError  # _watch ends by raising

    def _watch(self, s_max: float) -> Iterator[Status]:
        deadline = time.monotonic() + s_max
        while time.monotonic() < deadline:
            self.tend()
            now = self._statuses.now()
            self._show.status(now, self._writer.transactions())
            yield now
            time.sleep(POLL_S)
        message = f"the pipeline was not done after {s_max:.0f} s"
        raise DemoFailed(message, hint="Is this machine very busy? Run with --keep and see daemons.log.")

    def _kill_what_is_due(self, now: Status) -> None:
        if not self._to_kill or not now.rows_total:
            return
        kill = self._to_kill[0]
        is_due = (
            now.is_import_logged if kill.at_share >= 1 else now.rows_copied >= kill.at_share * now.rows_total
        )
        part = self._supervisor.part(kill.part)
        if is_due and part.exit_status == 0:
            self._to_kill.pop(0)  # a worker that has already finished cannot be killed
        elif is_due and part.process is not None and part.is_running:
            part.process.send_signal(signal.SIGKILL)
            self.kills.append(kill.part)
            self._show.event(
                f"{kill.part} (pid {part.process.pid}) is killed with SIGKILL, and will come back"
            )
            self._to_kill.pop(0)


@contextmanager
def _pipeline(settings: Settings, config: Path, output: TextIO) -> Iterator[Supervisor]:
    configure_logging(output)  # the supervisor's lines beside those of its daemons
    supervisor = Supervisor(parts_of(settings, config), output)
    try:
        yield supervisor
    finally:
        supervisor.stop()


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
    else:
        with tempfile.TemporaryDirectory(prefix="changeover-demo-") as folder:
            yield Path(folder)


def _fill(server: PrivateMariaDB, plan: Plan, show: Show) -> None:
    connection = server.connect()
    records.create(connection)
    records.fill(connection, plan.rows, plan.seed, on_progress=show.filled)
    if plan.takes_over:
        takeover.prepare(connection, server.password)
    connection.close()
    show.event(f"the sample database {records.SCHEMA} has at least {plan.rows:,} rows")


@contextmanager
def _log(log: DemoLog, show: Show) -> Iterator[str]:
    """The URL of the log."""
    if log is DemoLog.SQLITE:
        yield "sqlite:log.db"
        return
    with PrivateKafka() as broker:
        show.event(f"a private Kafka runs at {broker.bootstrap}")
        yield f"kafka://{broker.bootstrap}"


def _into(plan: Plan, show: Show) -> AbstractContextManager[Destination]:
    """The new database."""
    return into_riak(plan.riak, show.event) if plan.target is DemoTarget.RIAK else into_sqlite()


def _make_topics(settings: Settings, show: Show) -> None:
    with Connection(settings.source) as connection:
        made = create_topics(settings, captured_tables(connection))
    show.event(f"{len(made)} topics are made")


def _prove(settings: Settings, show: Show) -> None:
    """What doctor does before a move into Riak."""
    with Connection(settings.source) as connection:
        found = refusals(riak_findings(settings, captured_tables(connection)))
    if found:
        raise DemoFailed(found[0].what, hint=found[0].mend)
    show.event("doctor has proved that this Riak orders writes by their versions")


def _settings(
    server: PrivateMariaDB, folder: Path, log: str, destination: Destination, plan: Plan
) -> tuple[Settings, Path]:
    config = folder / "changeover.toml"
    places = {"schema": records.SCHEMA, "log": log, "target": destination.settings}
    places["pipeline"] = destination.pipeline
    own = takeover.SETTINGS.format(port=server.port, schema=records.SCHEMA)
    places["more"] = own if plan.takes_over else ""
    config.write_text(SETTINGS.format(user=server.user, port=server.port, **places))
    os.environ["CHANGEOVER_SOURCE__PASSWORD"] = server.password  # for the daemons; it stands in no file
    os.environ["CHANGEOVER_APPLICATION__PASSWORD"] = server.password
    return Settings.load(config), config


def _open(server: PrivateMariaDB, people: Practice, show: Show) -> None:
    connection = server.connect()
    takeover.let_report(connection)
    connection.close()
    people.open()
    show.event("a clinic opens: 2 processes with the library, and 2 of old code, write and read visits")
