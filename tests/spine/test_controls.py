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
from cdc.snapshot import Snapshot
from changeover.decide import Outcome
from changeover.demo.server import PrivateMariaDB
from changeover.demo.sql import SQLServer
from changeover.envelope import encode_key
from changeover.log import Entry, Log
from changeover.mysql.bounded import BoundedReader
from changeover.mysql.catalog import captured_tables
from changeover.mysql.chunks import rows_between
from changeover.mysql.control import ControlSchema
from changeover.mysql.imports import Chunk
from changeover.mysql.numbering import FileNumbering, GtidNumbering, numbering_of, sequence_of_file
from changeover.progress import Offsets
from changeover.table import Table
from changeover.values import Row
from changeover.version import Version
from changeover.wiring import open_target
from consumers.apply import Apply
from tests.spine.test_moves import SOURCES
from tests.support.pipeline import POLL_S, Pipeline, schema_of

ROWS = 6_000
WRITERS = 12
AHEAD_ROWS = 30
"""Writers update within this many rows ahead of the snapshot."""

IN_FLIGHT_S = 0.004
"""How long writers run ahead before a chunk is read: some of its rows are then being committed."""


LATE_S = 0.05
"""So long the writers go on behind a read, before its rows are written to the log."""

LATE_S_MAX = 60.0

BINLOG_BEGIN = 4
"""Where the first event of a binlog file lies."""


class UnsafeSnapshot(Snapshot):
    """Stamps a read with the binlog's position, taken before it: the binlog runs ahead of what is visible."""

    _last = (BINLOG_BEGIN, 0)
    """Where the binlog ended at the read before, and the number of the last transaction up to there."""

    def _read(self, table: Table, chunk: Chunk) -> tuple[Version, list[Row]]:
        file, position = self._connection.query("SHOW MASTER STATUS")[0][:2]
        found = self._connection.rows(
            *rows_between(table, chunk.above, chunk.up_to), table.full_name, table.columns
        )
        self._last = int(position), self._sequence_at(file, int(position))
        return Version.of_read(1, self._last[1]), found

    def _sequence_at(self, file: str, position: int) -> int:
        match numbering_of(self._connection):
            case FileNumbering():
                return sequence_of_file(file, position)
            case GtidNumbering():
                since, number = self._last
                events = self._connection.query(f"SHOW BINLOG EVENTS IN '{file}' FROM {since}")
                began = [info for _, at, kind, _, _, info in events if kind == "Gtid" and int(at) < position]
                return int(began[-1].rpartition(":")[2].rstrip("'")) if began else number
            case _:
                gtid = self._connection.value(f"SELECT BINLOG_GTID_POS('{file}', {position})")
                return int(gtid.rpartition("-")[2])


class LateLog:
    """A log that an import writes to late: behind the changes that were made since it has read."""

    def __init__(self, log: Log, bounds: BoundedReader, late_s: float) -> None:
        self._log = log
        self._bounds = bounds
        self._late_s = late_s

    def append(self, entries: Sequence[Entry]) -> Offsets:
        if self._late_s:
            time.sleep(self._late_s)
            self._until_captured()
        return self._log.append(entries)

    def _until_captured(self) -> None:
        bound = self._bounds.bound()
        deadline = time.monotonic() + LATE_S_MAX
        while (checkpoint := self._log.checkpoint()) is None or checkpoint.version[:2] < bound[:2]:
            assert time.monotonic() < deadline
            time.sleep(POLL_S)


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


@pytest.fixture(scope="module", params=SOURCES)
def source(request: pytest.FixtureRequest) -> Iterator[SQLServer]:
    """Each kind of source in turn, since each bounds its reads in its own way."""
    with SOURCES[request.param]() as server:
        yield server


@pytest.fixture
def pipeline(source: SQLServer, tmp_path: Path) -> Iterator[Pipeline]:
    yield from pipeline_of(source, tmp_path)


@pytest.fixture
def pipeline_of_mariadb(mariadb: PrivateMariaDB, tmp_path: Path) -> Iterator[Pipeline]:
    yield from pipeline_of(mariadb, tmp_path)


def pipeline_of(server: SQLServer, folder: Path) -> Iterator[Pipeline]:
    values = ", ".join(f"({number}, 0)" for number in range(1, ROWS + 1))
    with (
        schema_of(
            server,
            "controls",
            "CREATE TABLE hot (id INT PRIMARY KEY, value INT NOT NULL)",
            f"INSERT INTO hot VALUES {values}",
        ) as schema,
        Pipeline(server, schema, folder, parts=["capture"]) as running,
    ):
        running.until(lambda now: now.captured_through is not None)
        yield running


def race(
    pipeline: Pipeline, kind: type[Snapshot] = Snapshot, *, chunk_rows: int = 30, late_s: float = 0.0
) -> None:
    """Copy the table in small chunks through a race, while capture runs."""
    with pipeline.connection() as connection, pipeline.connection() as another, pipeline.open_log() as log:
        (table,) = captured_tables(connection)
        snapshot = kind(
            connection,
            LateLog(log, BoundedReader(another, "test", "late"), late_s),
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


def test_the_guard_keeps_late_rows_of_an_import_from_going_over_newer_changes(
    pipeline_of_mariadb: Pipeline,
) -> None:
    race(pipeline_of_mariadb, chunk_rows=100, late_s=LATE_S)
    apply_all(pipeline_of_mariadb)
    assert pipeline_of_mariadb.compare("hot").difference_count == 0


def test_without_the_guard_late_rows_go_over_newer_changes(
    pipeline_of_mariadb: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    race(pipeline_of_mariadb, chunk_rows=100, late_s=LATE_S)
    for module in (changeover.decide, changeover.targets.sqlite):
        monkeypatch.setattr(module, "decide", lambda _held, _new: Outcome.APPLIED)
    apply_all(pipeline_of_mariadb)
    assert pipeline_of_mariadb.compare("hot").difference_count > 0
