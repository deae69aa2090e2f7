"""Negative controls: with a rule of the protocol broken, the same race must give differences.

The race: rows are updated just where the snapshot reads. Each row is updated once only, so a change that is
lost stays lost.
"""

import random
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import pytest

import changeover.decide
import changeover.targets.sqlite
from cdc.chunks import rows_between
from cdc.snapshot import Rows, Snapshot
from changeover.decide import Outcome
from changeover.demo.server import PrivateMariaDB
from changeover.demo.sql import SQLServer
from changeover.envelope import encode_key
from changeover.log import Entry, Log
from changeover.mysql.bounded import BoundedReader
from changeover.mysql.catalog import captured_tables
from changeover.mysql.control import ControlSchema
from changeover.mysql.imports import Chunk
from changeover.progress import Offsets
from changeover.table import Table
from changeover.version import Version
from changeover.wiring import open_target
from consumers.apply import Apply
from tests.support.pipeline import Pipeline, schema_of

ROWS = 6_000
WRITERS = 12
AHEAD_ROWS = 30
"""Writers update within this many rows ahead of the snapshot."""

IN_FLIGHT_S = 0.004
"""How long writers run ahead before a chunk is read: some of its rows are then being committed."""


class UnsafeSnapshot(Snapshot):
    """Stamps a read with the binlog's position, taken before it: the binlog runs ahead of what is visible."""

    def _read(self, table: Table, chunk: Chunk) -> tuple[Version, Rows]:
        file, position = self._connection.query("SHOW MASTER STATUS")[0][:2]
        found = self._connection.raw(*rows_between(table, chunk.above, chunk.up_to))
        gtid = self._connection.value(f"SELECT BINLOG_GTID_POS('{file}', {position})")
        return Version.of_read(1, int(gtid.rpartition("-")[2])), found


class SlowLog:
    """A log that an import writes to slowly, so that its rows come late."""

    def __init__(self, log: Log, delay_s: float) -> None:
        self._log = log
        self._delay_s = delay_s

    def append(self, entries: Sequence[Entry]) -> Offsets:
        time.sleep(self._delay_s)
        return self._log.append(entries)


class Race:
    """Writers that update each row once, just ahead of a snapshot that walks through the table."""

    def __init__(self, server: SQLServer, schema: str) -> None:
        self._server = server
        self._schema = schema
        self._left = list(range(1, ROWS + 1))
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.cursor = 0
        self._threads = [threading.Thread(target=self._write, args=(seed,)) for seed in range(WRITERS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _write(self, seed: int) -> None:
        chance = random.Random(seed)
        connection = self._server.connect(database=self._schema)
        with connection.cursor() as cursor:
            while not self._stop.is_set():
                row = self._take(chance)
                if row is None:
                    time.sleep(0.001)
                else:
                    cursor.execute("UPDATE hot SET value = value + 1 WHERE id = %s", (row,))
        connection.close()

    def _take(self, chance: random.Random) -> int | None:
        with self._lock:
            near = [row for row in self._left[:100] if row <= self.cursor + AHEAD_ROWS]
            if not near:
                return None
            row = chance.choice(near)
            self._left.remove(row)
            return row


@pytest.fixture
def pipeline(mariadb: PrivateMariaDB, tmp_path: Path) -> Iterator[Pipeline]:
    with (
        schema_of(
            mariadb,
            "controls",
            "CREATE TABLE hot (id INT PRIMARY KEY, value INT NOT NULL)",
            f"INSERT INTO hot SELECT seq, 0 FROM seq_1_to_{ROWS}",
        ) as schema,
        Pipeline(mariadb, schema, tmp_path, parts=["capture"]) as running,
    ):
        running.until(lambda now: now.captured_through is not None)
        yield running


def race(
    pipeline: Pipeline, kind: type[Snapshot] = Snapshot, *, chunk_rows: int = 30, late_s: float = 0.0
) -> None:
    """Copy the table in small chunks through a race, while capture runs."""
    with pipeline.connection() as connection, pipeline.open_log() as log:
        (table,) = captured_tables(connection)
        snapshot = kind(
            connection,
            SlowLog(log, late_s),
            [table],
            pipeline="test",
            worker="test",
            chunk_rows=chunk_rows,
        )
        BoundedReader(connection, "test", "test").bound()  # capture has opened its epoch
        with Race(pipeline.server, pipeline.schema) as writers:
            for above in range(0, ROWS, chunk_rows):
                writers.cursor = above
                time.sleep(IN_FLIGHT_S)
                bounds = [encode_key(table, {"id": end}) for end in (above, above + chunk_rows)]
                snapshot._copy(Chunk(table.full_name, above, *bounds))


def apply_all(pipeline: Pipeline) -> None:
    """Apply in this process until the target has applied through everything."""
    with pipeline.open_log() as log, open_target(pipeline.settings) as target:
        applying = Apply(log.reader("apply"), target, batch_max=500)
        with pipeline.connection() as connection:
            bound = BoundedReader(connection, "test", "test").bound()
            control = ControlSchema(connection, "test")
            deadline = control.now_ms() + 60_000
            while applying.through is None or applying.through.version[:2] < bound[:2]:
                applying.step()
                pipeline.supervisor.poll()
                assert control.now_ms() < deadline, pipeline.words()


def test_a_bounded_read_loses_nothing_where_writers_race_it(pipeline: Pipeline) -> None:
    race(pipeline)
    apply_all(pipeline)
    assert pipeline.compare("hot").difference_count == 0


def test_a_read_stamped_with_the_binlogs_position_loses_changes(pipeline: Pipeline) -> None:
    race(pipeline, UnsafeSnapshot)
    apply_all(pipeline)
    assert pipeline.compare("hot").difference_count > 0


def test_the_guard_keeps_late_rows_of_an_import_from_going_over_newer_changes(pipeline: Pipeline) -> None:
    race(pipeline, chunk_rows=100, late_s=0.15)
    apply_all(pipeline)
    assert pipeline.compare("hot").difference_count == 0


def test_without_the_guard_late_rows_go_over_newer_changes(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    race(pipeline, chunk_rows=100, late_s=0.15)
    for module in (changeover.decide, changeover.targets.sqlite):
        monkeypatch.setattr(module, "decide", lambda _held, _new: Outcome.APPLIED)
    apply_all(pipeline)
    assert pipeline.compare("hot").difference_count > 0
