"""Whole moves: a database that is written to, every part killed on the way, each row compared by the oracle.

`make test` runs one pair for each source and each log; `make test-full` the full cross.
"""

import itertools
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from changeover.demo import oracle, records
from changeover.demo.broker import PrivateKafka
from changeover.demo.mysql8 import PrivateMySQL
from changeover.demo.server import PrivateMariaDB
from changeover.demo.sql import SQLServer
from changeover.mysql.catalog import captured_tables
from changeover.wiring import create_topics
from tests.support.moving import RATE, Killer, writing
from tests.support.odd_servers import PrivateMySQL57
from tests.support.pipeline import Pipeline

ROWS = 12_000
STEADY_S = 3.0
WAIT_S_MAX = 150

WITHOUT_GTIDS = {"gtid_mode": "OFF", "enforce_gtid_consistency": "OFF"}
SOURCES: dict[str, Callable[[], SQLServer]] = {
    "mariadb": PrivateMariaDB,
    "mysql": PrivateMySQL,
    "mysql-files": lambda: PrivateMySQL(options=WITHOUT_GTIDS),
    "mysql57": PrivateMySQL57,
    "mysql57-files": lambda: PrivateMySQL57(options=WITHOUT_GTIDS),
}
LOGS = ("sqlite", "kafka")
ALWAYS = {("mariadb", "sqlite"), ("mysql", "kafka"), ("mysql57", "sqlite")}


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
