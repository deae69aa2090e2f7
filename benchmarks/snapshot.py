"""Rows a second of the import, whole and by its parts, on a private MariaDB.

    python -m benchmarks.snapshot [rows]

Reading is measured beside what it replaced: PyMySQL's tuples, and a function call for each value.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.spine import NOW, sample_source, stream_of, timed
from cdc.snapshot import Snapshot, _entry
from cdc.wiring import resumed
from changeover.change import Origin
from changeover.demo import records
from changeover.demo.server import PrivateMariaDB
from changeover.log.sqlite import SQLiteLog
from changeover.mysql.catalog import captured_tables
from changeover.mysql.chunks import rows_between
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.table import Table
from changeover.values import Row, reader_of_text
from changeover.version import Version

ROWS = 100_000
VERSION = Version.of_read(1, 1)
ORIGIN = Origin(0)


def main(rows: int) -> None:
    """The sample database of the demo, all tables one after another."""
    with tempfile.TemporaryDirectory() as name, PrivateMariaDB() as server:
        source = sample_source(server)
        root = server.connect()
        records.create(root)
        filled = records.fill(root, rows, 1)
        root.close()
        with Connection(source) as connection, SQLiteLog(Path(name) / "log.db", "bench") as log:
            tables = captured_tables(connection)
            found: dict[str, list[Row]] = {}

            def read() -> None:
                for table in tables:
                    query = rows_between(table, None, None)
                    found[table.name] = connection.rows(*query, table.full_name, table.columns)

            def read_as_before() -> None:
                for table in tables:
                    _value_by_value(table, connection.raw(*rows_between(table, None, None)))

            def encode_all() -> None:
                for table in tables:
                    for row in found[table.name]:
                        _entry(table, row, VERSION, ORIGIN, "bench")

            timed("reading by PyMySQL and value by value", filled, read_as_before)
            timed("reading by functions for each table", filled, read)
            timed("keys and envelopes", filled, encode_all)
            control = ControlSchema(connection, "bench")
            with resumed(
                control, log, tables, stream_of(source, tables), start=NOW
            ):  # a read needs its epoch
                worker = Snapshot(connection, log, tables, pipeline="bench", worker="bench", chunk_rows=2_000)
                timed("snapshot, one worker", filled, lambda: worker.run(lambda: False))


def _value_by_value(table: Table, found: Sequence[tuple[bytes | None, ...]]) -> list[Row]:
    readers = [(column.name, reader_of_text(column)) for column in table.columns]
    return [
        {
            name: None if value is None else read(value)
            for (name, read), value in zip(readers, row, strict=True)
        }
        for row in found
    ]


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
