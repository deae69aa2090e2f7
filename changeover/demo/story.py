"""The demo: a database that is being written to moves, with kills in the middle, and comes out equal."""

import enum
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TextIO

from rich.console import Console

from changeover.daemon import configure_logging
from changeover.demo import oracle, records
from changeover.demo.broker import PrivateKafka
from changeover.demo.server import PrivateMariaDB
from changeover.demo.show import Show
from changeover.errors import ChangeoverError
from changeover.mysql.bounded import BoundedReader
from changeover.mysql.catalog import captured_tables
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.settings import Settings
from changeover.status import Status, Statuses
from changeover.supervisor import Supervisor, parts_of
from changeover.wiring import create_topics, open_log

SETTINGS = """
pipeline = "demo"

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
url = "sqlite:records.db"
"""

POLL_S = 0.1
IN_STEP_MS_MAX = 1_000
"""Lag below which the target counts as caught up, after the import and the kills."""

IMPORT_WAIT_S_MAX = 300.0
DRAIN_WAIT_S_MAX = 120.0
WRITER_WAIT_S_MAX = 30.0


class DemoLog(enum.StrEnum):
    """Where the demo's changes go on their way."""

    SQLITE = "sqlite"
    KAFKA = "kafka"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the demo does."""

    rows: int
    rate: int
    steady_s: float
    seed: int
    log: DemoLog
    keep: Path | None


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
    ):
        show.event(f"a private MariaDB runs on port {server.port}; everything else is in {folder}")
        _fill(server, plan, show)
        settings, config = _settings(server, folder, log_url)
        if plan.log is DemoLog.KAFKA:
            _make_topics(settings, show)
        with (
            (folder / "daemons.log").open("a") as output,
            _writer(server, plan) as writer,
            _pipeline(settings, config, output) as supervisor,
            Connection(settings.source) as connection,
            open_log(settings) as log,
        ):
            statuses = Statuses(ControlSchema(connection, settings.pipeline), log, settings.consumer.group)
            story = Story(plan, show, supervisor, statuses, writer)
            story.until_steady()
            written = story.stop_writer()
            last = story.drain(BoundedReader(connection, settings.pipeline, "demo"))
        show.event("every row of every table is compared both ways by the oracle")
        compared = _compare(server, folder)
        _end(show, last, written, story, compared)
        return compared.difference_count == 0


class Story:
    """The middle of the demo, while everything runs; `kills` and `lags_ms` are what it counts on its way."""

    def __init__(
        self, plan: Plan, show: Show, supervisor: Supervisor, statuses: Statuses, writer: "Writer"
    ) -> None:
        self.kills: list[str] = []
        self.lags_ms: list[int] = []
        self._plan = plan
        self._show = show
        self._supervisor = supervisor
        self._statuses = statuses
        self._writer = writer
        self._to_kill = list(KILLS)

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
            self._supervisor.poll()
            for part in self._supervisor.failed():
                message = f"{part.name} has stopped with exit status {part.exit_status}"
                raise DemoFailed(
                    message, hint="Its last lines are in daemons.log; run with --keep to keep it."
                )
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


class Writer:
    """The process that keeps writing to the sample database."""

    def __init__(self, process: subprocess.Popen[bytes], output: IO[bytes]) -> None:
        self._process = process
        self._output = output
        self._heard = b""
        self._totals: dict[str, int] = {"transactions": 0}
        os.set_blocking(output.fileno(), False)

    def transactions(self) -> int:
        """How many transactions it has committed, as of its last word."""
        self._listen()
        return self._totals["transactions"]

    def stop(self) -> dict[str, int]:
        """Have it finish its transaction and end; its totals."""
        self._process.terminate()
        self._process.wait(WRITER_WAIT_S_MAX)
        self._listen()
        if self._process.returncode != 0:
            message = f"the writer ended with exit status {self._process.returncode}"
            raise DemoFailed(message)
        return self._totals

    def _listen(self) -> None:
        with suppress(BlockingIOError):
            while some := os.read(self._output.fileno(), 65_536):
                self._heard += some
        *lines, self._heard = self._heard.split(b"\n")
        if lines:
            self._totals = json.loads(lines[-1])


@contextmanager
def _writer(server: PrivateMariaDB, plan: Plan) -> Iterator[Writer]:
    arguments = ["--host", server.host, "--port", str(server.port), "--user", server.user]
    arguments += ["--seed", str(plan.seed), "--rate", str(plan.rate), "--progress"]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "changeover.demo.writer", *arguments],
        stdout=subprocess.PIPE,
        env=os.environ | {"CHANGEOVER_DEMO_PASSWORD": server.password},
    )
    assert process.stdout is not None  # noqa: S101 - it was made with a pipe
    try:
        yield Writer(process, process.stdout)
    finally:
        process.kill()
        process.wait()


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


def _make_topics(settings: Settings, show: Show) -> None:
    with Connection(settings.source) as connection:
        made = create_topics(settings, captured_tables(connection))
    show.event(f"{len(made)} topics are made")


def _settings(server: PrivateMariaDB, folder: Path, log: str) -> tuple[Settings, Path]:
    config = folder / "changeover.toml"
    config.write_text(SETTINGS.format(user=server.user, port=server.port, schema=records.SCHEMA, log=log))
    os.environ["CHANGEOVER_SOURCE__PASSWORD"] = server.password  # for the daemons; it stands in no file
    return Settings.load(config), config


def _compare(server: PrivateMariaDB, folder: Path) -> oracle.Comparison:
    connection = server.connect()
    try:
        return oracle.compare(connection, records.SCHEMA, records.TABLES, folder / "records.db")
    finally:
        connection.close()


def _end(
    show: Show, last: Status, written: dict[str, int], story: Story, compared: oracle.Comparison
) -> None:
    show.result(
        "moved while it was written to",
        {
            "rows copied by the import": f"{last.rows_copied:,}",
            "transactions written meanwhile": f"{written['transactions']:,}",
            "changes captured": f"{last.changes_captured:,}",
            "stale writes skipped": f"{last.stale:,}",
            "processes killed with SIGKILL": f"{len(story.kills)} ({', '.join(story.kills)})",
            "lag in step, median / worst": _lag(story.lags_ms),
            "rows in the source": f"{sum(compared.rows_source.values()):,}",
            "rows in the target": f"{sum(compared.rows_target.values()):,}",
            "differences": f"{compared.difference_count:,}",
        },
    )
    for difference in compared.differences[:10]:
        show.event(f"different: {difference}")


def _lag(lags_ms: Sequence[int]) -> str:
    return f"{statistics.median(lags_ms):,.0f} / {max(lags_ms):,} ms" if lags_ms else "unknown"
