"""Whole moves: a database that is written to, every part killed on the way, each row compared by the oracle.

`make test` runs one pair for each source and each log; `make test-full` the full cross.
"""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from changeover.demo import oracle, records
from changeover.demo.broker import PrivateKafka
from changeover.demo.mysql8 import PrivateMySQL
from changeover.demo.server import PrivateMariaDB
from changeover.demo.sql import SQLServer
from changeover.mysql.catalog import captured_tables
from changeover.status import Status
from changeover.wiring import create_topics
from tests.support.pipeline import Pipeline

ROWS = 12_000
RATE = 200
STEADY_S = 3.0
WAIT_S_MAX = 150

SOURCES: dict[str, Callable[[], SQLServer]] = {
    "mariadb": PrivateMariaDB,
    "mysql": PrivateMySQL,
    "mysql-files": lambda: PrivateMySQL(options={"gtid_mode": "OFF", "enforce_gtid_consistency": "OFF"}),
}
LOGS = ("sqlite", "kafka")
ALWAYS = {("mariadb", "sqlite"), ("mysql", "kafka")}


@contextmanager
def writing(server: SQLServer) -> Iterator[Callable[[], dict[str, int]]]:
    """A process that keeps writing; calling the result ends it and gives its totals."""
    arguments = ["--host", server.host, "--port", str(server.port), "--user", server.user]
    arguments += ["--seed", "7", "--rate", str(RATE)]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "changeover.demo.writer", *arguments],
        stdout=subprocess.PIPE,
        env=os.environ | {"CHANGEOVER_DEMO_PASSWORD": server.password},
    )

    def stop() -> dict[str, int]:
        process.terminate()
        output, _ = process.communicate(timeout=30)
        totals: dict[str, int] = json.loads(output.splitlines()[-1])
        return totals

    try:
        yield stop
    finally:
        process.kill()
        process.communicate()


class Killer:
    """Kills what is named, one after the other, each once the import is that far."""

    def __init__(self, pipeline: Pipeline, broker: PrivateKafka | None) -> None:
        self._pipeline = pipeline
        self._broker = broker
        self._plan = [(0.1, "capture"), (0.3, "snapshot-1"), (0.5, "apply")]
        self._plan += [(1.0, "broker"), (1.0, "capture"), (1.0, "apply")] if broker else [(1.0, "capture")]
        self.killed: list[str] = []

    def look(self, now: Status) -> bool:
        """Kill what is due; whether everything was."""
        if self._plan and now.rows_total and now.rows_copied >= self._plan[0][0] * now.rows_total:
            if self._kill(self._plan[0][1]):
                self.killed.append(self._plan[0][1])
            self._plan.pop(0)
        return not self._plan

    def _kill(self, name: str) -> bool:
        if name == "broker":
            assert self._broker is not None
            self._broker.kill()
            self._broker.start()
            return True
        process = self._pipeline.supervisor.part(name).process
        if process is None or process.poll() is not None:
            return False
        process.send_signal(signal.SIGKILL)
        return True


@pytest.mark.parametrize(
    ("source", "log"),
    [
        pytest.param(*pair, marks=[] if pair in ALWAYS else [pytest.mark.full])
        for pair in itertools.product(SOURCES, LOGS)
    ],
)
@pytest.mark.timeout(300)
def test_a_database_that_is_written_to_comes_out_equal_though_every_part_is_killed(
    source: str, log: str, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        broker = stack.enter_context(PrivateKafka()) if log == "kafka" else None
        server = stack.enter_context(SOURCES[source]())
        connection = server.connect()
        records.create(connection, json_type="JSON" if source == "mariadb" else "LONGTEXT")
        records.fill(connection, ROWS, 7)
        stop_writing = stack.enter_context(writing(server))
        pipeline = Pipeline(
            server,
            records.SCHEMA,
            tmp_path,
            log=f"kafka://{broker.bootstrap}" if broker else "sqlite:log.db",
            extra="[snapshot]\nchunk_rows = 500\n",
        )
        if broker:
            with pipeline.connection() as connected:
                create_topics(pipeline.settings, captured_tables(connected))
        stack.enter_context(pipeline)
        killer = Killer(pipeline, broker)
        pipeline.until(lambda now: killer.look(now) and now.is_import_applied, WAIT_S_MAX)
        time.sleep(STEADY_S)
        totals = stop_writing()
        pipeline.drain(WAIT_S_MAX)
        compared = oracle.compare(connection, records.SCHEMA, records.TABLES, tmp_path / "target.db")
    assert compared.difference_count == 0, compared.differences[:3]
    assert sum(compared.rows_source.values()) == sum(compared.rows_target.values()) > ROWS / 2
    assert totals["transactions"] > RATE
    assert {"capture", "apply"} <= set(killer.killed)
