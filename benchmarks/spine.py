"""Rows a second of each part of the spine alone, on a private MariaDB.

    python -m benchmarks.spine [rows]

Each part runs in this one process, one after the other, so that a figure is what one core does.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from cdc.events import Stream
from cdc.frames import frames_at
from cdc.snapshot import Snapshot
from cdc.stream import BinlogStream
from cdc.wiring import resumed
from changeover.demo import records
from changeover.demo.server import PrivateMariaDB
from changeover.log.sqlite import SQLiteLog
from changeover.mysql.bounded import BoundedReader
from changeover.mysql.catalog import captured_tables
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.process import give_back_memory
from changeover.settings import SourceSettings
from changeover.start import Start, StartKind
from changeover.table import Table
from changeover.targets.sqlite import SQLiteTarget
from consumers.apply import Apply

ROWS = 100_000
SERVER_ID = 77_777
NOW = Start(StartKind.NOW)


def timed(what: str, rows: int, work: Callable[[], None]) -> None:
    """Print how many rows a second the work did, by the clock and by its own processor time."""
    began, began_cpu = time.perf_counter(), time.process_time()
    work()
    took, took_cpu = time.perf_counter() - began, time.process_time() - began_cpu
    print(f"{what:<42} {rows / took:>10,.0f} rows/s {rows / took_cpu:>10,.0f} rows/s of CPU")


def sample_source(server: PrivateMariaDB) -> SourceSettings:
    """The settings for the demo's sample database on the server."""
    return SourceSettings(
        url=f"mysql://{server.user}@{server.host}:{server.port}",
        password=server.password,
        include=(f"{records.SCHEMA}.*",),
    )


def stream_of(source: SourceSettings, tables: Sequence[Table]) -> Callable[[str, str], Stream]:
    """The binlog from a position on; it is asked for nothing before it is read."""
    return lambda position, identity: BinlogStream(
        source, "bench", tables, frames_at(position, identity), SERVER_ID
    )


def main(rows: int) -> None:
    """Snapshot, capture in large and in one-row transactions, apply: the sample database of the demo."""
    give_back_memory()  # as every daemon does
    with tempfile.TemporaryDirectory() as name, PrivateMariaDB() as server:
        folder = Path(name)
        source = sample_source(server)
        root = server.connect()
        records.create(root)
        with ExitStack() as stack:
            connection = stack.enter_context(Connection(source))
            log = stack.enter_context(SQLiteLog(folder / "log.db", "bench"))
            control = ControlSchema(connection, "bench")
            tables = captured_tables(connection)
            capture = stack.enter_context(resumed(control, log, tables, stream_of(source, tables), start=NOW))
            filled = records.fill(root, rows, 1)
            one_row = rows // 20
            with root.cursor() as cursor:
                for number in range(one_row):
                    cursor.execute("UPDATE medicine SET price = price / 2 WHERE id = %s", (number % 200 + 1,))
            worker = Snapshot(connection, log, tables, pipeline="bench", worker="bench", chunk_rows=2_000)
            timed("snapshot, one worker", filled, lambda: worker.run(lambda: False))
            end = BoundedReader(connection, "bench", "bench").bound()

            def is_filled() -> bool:
                return capture.counts.changes >= filled

            def is_at_end() -> bool:
                checkpoint = log.checkpoint()
                return checkpoint is not None and checkpoint.version[:2] >= end[:2]

            timed("capture, transactions of 1,000 rows", filled, lambda: capture.run(is_filled))
            timed("capture, transactions of one row", one_row, lambda: capture.run(is_at_end))

            with SQLiteTarget(folder / "target.db", "bench") as target:
                applying = Apply(log.reader("bench"), target, batch_max=2_000)

                def apply_all() -> None:
                    while applying.step():
                        pass

                timed("apply to SQLite", filled * 2 + one_row, apply_all)
        root.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
