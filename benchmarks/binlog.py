"""Rows a second out of the binlog, by this project's decoder and by mysql-replication, on one workload.

    python -m benchmarks.binlog [rows]

Both read the same binlog of a private server in this one process, one after the other, and keep no row.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.row_event import WriteRowsEvent

from cdc.events import RowsChanged
from cdc.frames import frames_at
from cdc.stream import BinlogStream
from changeover.demo.mysql8 import PrivateMySQL
from changeover.demo.server import PrivateMariaDB
from changeover.demo.sql import SQLServer
from changeover.mysql.catalog import captured_tables
from changeover.mysql.connection import Connection
from changeover.mysql.numbering import mariadb_connect_state
from changeover.settings import SourceSettings

ROWS = 50_000
ROWS_AT_ONCE = 1_000
ONE_ROW_SHARE = 4
"""Of so many rows one is written in a transaction of its own too."""
ROUNDS = 3
SERVER_ID = 77_778
NOT_NULL = "NOT NULL"

TABLE = f"""CREATE TABLE bench.mixed (
    id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, kind ENUM('small', 'large', 'other') {NOT_NULL},
    name VARCHAR(100) {NOT_NULL}, note TEXT, price DECIMAL(12,2) {NOT_NULL}, weight DOUBLE,
    ratio DECIMAL(20,8), amount INT {NOT_NULL}, is_open TINYINT {NOT_NULL}, born DATE {NOT_NULL},
    made DATETIME(3) {NOT_NULL}, changed TIMESTAMP {NOT_NULL}, tags JSON, body BLOB)"""

VALUES = """({n} % 3 + 1, CONCAT('name of ', {n}), IF({n} % 4, REPEAT('some words ', {n} % 9), NULL),
    {n} / 7, {n} / 3, {n} / 11, {n} * 13, {n} % 2, DATE '1950-01-01' + INTERVAL {n} % 27000 DAY,
    TIMESTAMP '2024-01-01 00:00:00' + INTERVAL {n} * 37 SECOND,
    TIMESTAMP '2024-01-01 00:00:00' + INTERVAL {n} SECOND,
    IF({n} % 5, CONCAT('{{"a": ', {n}, ', "list": [1, 2.5, "x"], "of": {{"b": true, "c": null}}}}'), NULL),
    UNHEX(REPEAT(HEX({n}), 8)))"""

COLUMNS = "kind, name, note, price, weight, ratio, amount, is_open, born, made, changed, tags, body"


def fill(server: SQLServer, rows: int) -> tuple[str, str]:
    """Write the rows; the places before the large transactions and before those of one row."""
    root = server.connect()
    with root.cursor() as cursor:

        def here() -> str:
            is_mariadb = isinstance(server, PrivateMariaDB)
            cursor.execute(f"SELECT @@global.{'gtid_binlog_pos' if is_mariadb else 'gtid_executed'}")
            return str(cursor.fetchall()[0][0])

        def insert(first: int, count: int) -> None:
            values = ", ".join(VALUES.format(n=number) for number in range(first, first + count))
            cursor.execute(f"INSERT INTO bench.mixed ({COLUMNS}) VALUES {values}")

        for statement in ("CREATE DATABASE bench CHARACTER SET utf8mb4", TABLE):
            cursor.execute(statement)
        before_large = here()
        for first in range(0, rows, ROWS_AT_ONCE):
            insert(first, ROWS_AT_ONCE)
        before_small = here()
        for number in range(rows // ONE_ROW_SHARE):
            insert(number, 1)
    root.close()
    return before_large, before_small


def library(source: SourceSettings, place: str, rows: int, *, is_mariadb: bool) -> None:
    """All rows behind the place by mysql-replication."""
    settings = {"host": source.host, "port": source.port, "user": source.user, "password": source.secret()}
    reader: Any = BinLogStreamReader(
        settings,
        server_id=SERVER_ID,
        only_events=[WriteRowsEvent],
        auto_position=mariadb_connect_state(place) if is_mariadb else place,
        is_mariadb=is_mariadb,
        enable_logging=False,
    )
    for event in reader:
        rows -= len(event.rows)
        if rows <= 0:
            break
    reader.close()


def ours(source: SourceSettings, place: str, rows: int) -> None:
    """All rows behind the place by the stream that capture reads."""
    with Connection(source) as connection:
        tables = captured_tables(connection)
    stream = BinlogStream(source, "bench", tables, frames_at(place, "0-1"), SERVER_ID)
    while rows > 0:
        event = stream.next(1.0)
        if isinstance(event, RowsChanged):
            rows -= len(event.rows)
    stream.close()


def rate(rows: int, read: Callable[[], None]) -> float:
    """Rows a second of processor time, the best of some rounds."""
    took = []
    for _ in range(ROUNDS):
        began = time.process_time()
        read()
        took.append(time.process_time() - began)
    return rows / min(took)


@contextmanager
def servers() -> Iterator[list[tuple[str, SQLServer]]]:
    """A private server of each kind."""
    with PrivateMariaDB() as mariadb, PrivateMySQL() as mysql:
        yield [("MariaDB 10.11", mariadb), ("MySQL 8.0.15", mysql)]


def compare(name: str, server: SQLServer, rows: int) -> None:
    """One server: large transactions, and those of one row."""
    is_mariadb = isinstance(server, PrivateMariaDB)
    source = SourceSettings(
        url=f"mysql://{server.user}@{server.host}:{server.port}",
        password=server.password,
        include=("bench.mixed",),
    )
    large, small = fill(server, rows)

    def show(what: str, place: str, count: int) -> None:
        theirs = rate(count, lambda: library(source, place, count, is_mariadb=is_mariadb))
        own = rate(count, lambda: ours(source, place, count))
        print(f"{name:<14} {what:<27} {theirs:>8,.0f} -> {own:>8,.0f} rows/s of CPU, {own / theirs:4.1f}x")

    show(f"transactions of {ROWS_AT_ONCE:,} rows", large, rows)
    show("transactions of one row", small, rows // ONE_ROW_SHARE)


def main(rows: int) -> None:
    """Each server."""
    with servers() as found:
        for name, server in found:
            compare(name, server, rows)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
