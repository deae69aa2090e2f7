"""The snapshot: whole tables into the real log, by several workers, while they change and are stopped."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from cdc.snapshot import Snapshot
from cdc.wiring import capture
from changeover.change import Change, Op
from changeover.daemon import Duty
from changeover.demo.server import PrivateMariaDB
from changeover.envelope import decode
from changeover.mysql.catalog import captured_tables
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.mysql.imports import ImportBooks
from changeover.settings import Settings
from changeover.values import Row
from changeover.version import ROW_MAX, Version
from changeover.wiring import open_log
from tests.support.pipeline import schema_of, write_settings

pytestmark = pytest.mark.filterwarnings("ignore:'db' is deprecated:DeprecationWarning")  # the library's

ROWS = 1_000
CHUNK_ROWS = 30
PAIRS = 200
WAIT_S_MAX = 60.0

TABLES = (
    "CREATE TABLE item (id INT PRIMARY KEY, value INT NOT NULL, note VARCHAR(40))",
    f"INSERT INTO item SELECT seq * 2, 0, IF(seq % 3, CONCAT('ž', seq), NULL) FROM seq_1_to_{ROWS}",
    "CREATE TABLE pair (a INT, b VARBINARY(20), PRIMARY KEY (a, b))",
    f"INSERT INTO pair SELECT seq DIV 50, UNHEX(SHA1(seq)) FROM seq_1_to_{PAIRS}",
    "CREATE TABLE nothing (id INT PRIMARY KEY)",
)


class Import:
    """A pipeline whose capture has begun, with snapshot workers in threads of this process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        capture(Duty(settings, "capture", lambda: True))  # begins, and ends at once

    def work(self, worker: str, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Be one snapshot worker until all is copied, or told to stop."""
        with Connection(self.settings.source) as connection, open_log(self.settings) as log:
            Snapshot(
                connection,
                log,
                captured_tables(connection),
                pipeline=self.settings.pipeline,
                worker=worker,
                chunk_rows=CHUNK_ROWS,
            ).run(should_stop)

    @contextmanager
    def captured(self) -> Iterator[None]:
        """Capture runs in a thread meanwhile."""
        stop = threading.Event()
        duty = Duty(self.settings, "capture", stop.is_set)
        thread = threading.Thread(target=capture, args=(duty,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def changes(self) -> list[Change]:
        """All that is in the log."""
        with open_log(self.settings) as log:
            return [decode(record.table, record.value) for record in log.reader("test").poll(100_000)]

    def is_finished(self) -> bool:
        """Whether the books say so."""
        with Connection(self.settings.source) as connection:
            return ImportBooks(ControlSchema(connection, self.settings.pipeline)).is_finished()

    def table(self, name: str) -> list[Row]:
        """The source's rows now."""
        with Connection(self.settings.source) as connection:
            rows = connection.raw(f"SELECT id, value, note FROM copied.{name} ORDER BY id")
        return [
            {
                "id": int(number or 0),
                "value": int(value or 0),
                "note": None if note is None else note.decode(),
            }
            for number, value, note in rows
        ]


@pytest.fixture
def running(mariadb: PrivateMariaDB, tmp_path: Path) -> Iterator[Import]:
    with schema_of(mariadb, "copied", *TABLES) as schema:
        yield Import(Settings.load(write_settings(mariadb, schema, tmp_path)))


def side_by_side(*works: Callable[[], None]) -> None:
    """Run each in a thread, and wait for all."""
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def latest(changes: list[Change], table: str) -> list[Row]:
    """What a target holds once it has applied the changes: the row of the highest version of each key."""
    held: dict[object, Change] = {}
    for change in changes:
        if change.table.name == table:
            key = change.image["id"]
            if key not in held or change.version >= held[key].version:
                held[key] = change
    rows = [change.after for change in held.values() if change.after is not None]
    return sorted(rows, key=lambda row: int(row["id"] or 0))


def test_two_workers_copy_every_row_of_every_table_exactly_once(running: Import) -> None:
    side_by_side(lambda: running.work("one"), lambda: running.work("two"))
    changes = running.changes()
    assert Counter(change.table.name for change in changes) == {"item": ROWS, "pair": PAIRS}
    assert latest(changes, "item") == running.table("item")
    assert (
        len({(change.image["a"], change.image["b"]) for change in changes if change.table.name == "pair"})
        == PAIRS
    )
    assert running.is_finished()


def test_a_copied_row_is_a_read_whose_version_is_a_bound(running: Import) -> None:
    running.work("one")
    changes = running.changes()
    assert {change.op for change in changes} == {Op.READ}
    assert {(change.before, change.origin.transaction) for change in changes} == {(None, None)}
    assert {(change.version.epoch, change.version.row) for change in changes} == {(1, ROW_MAX)}
    now_ms = time.time() * 1000
    assert all(abs(change.origin.at_ms - now_ms) < 60_000 for change in changes)


def test_all_rows_of_a_chunk_have_one_version_and_chunks_have_rising_ones(running: Import) -> None:
    running.work("one")
    versions = Counter(change.version for change in running.changes() if change.table.name == "item")
    assert list(versions) == sorted(versions)
    assert list(versions.values()) == [CHUNK_ROWS] * (ROWS // CHUNK_ROWS) + [ROWS % CHUNK_ROWS]


def test_rows_that_change_while_they_are_copied_arrive_in_their_last_state(
    running: Import, mariadb: PrivateMariaDB
) -> None:
    done = threading.Event()

    def write() -> None:
        with mariadb.connect(database="copied") as connection, connection.cursor() as cursor:
            turn = 0
            while turn < 20 or not done.is_set():  # each kind of change at least, however fast the copy is
                turn += 1
                number = turn * 37 % ROWS * 2
                cursor.execute("UPDATE item SET value = value + 1 WHERE id = %s", (number,))
                cursor.execute("INSERT IGNORE INTO item VALUES (%s, 1, 'new')", (number + 1,))
                cursor.execute("DELETE FROM item WHERE id = %s", (number + 8,))

    def copy() -> None:
        try:
            side_by_side(lambda: running.work("one"), lambda: running.work("two"))
        finally:
            done.set()

    with running.captured():
        side_by_side(write, copy)
        with Connection(running.settings.source) as connection:
            end = connection.value("SELECT @@global.gtid_binlog_pos")
        deadline = time.monotonic() + WAIT_S_MAX
        while not is_captured(running, int(end.rpartition("-")[2])):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    changes = running.changes()
    assert {change.op for change in changes} == set(Op)
    assert latest(changes, "item") == running.table("item")


def is_captured(running: Import, sequence: int) -> bool:
    """Whether capture's checkpoint has passed the transaction."""
    with open_log(running.settings) as log:
        checkpoint = log.checkpoint()
    return checkpoint is not None and checkpoint.version >= Version.of_change(1, sequence)


def test_a_worker_that_was_told_to_stop_goes_on_without_copying_a_chunk_twice(running: Import) -> None:
    looks = iter([False] * 5 + [True])
    running.work("one", lambda: next(looks))
    first = len(running.changes())
    assert 0 < first <= 5 * CHUNK_ROWS
    assert not running.is_finished()
    running.work("one")
    assert len(running.changes()) == ROWS + PAIRS
    assert running.is_finished()


def test_a_worker_told_to_stop_at_once_copies_nothing(running: Import) -> None:
    running.work("one", lambda: True)
    assert running.changes() == []


def test_a_finished_import_copies_nothing_again(running: Import) -> None:
    running.work("one")
    running.work("two")
    assert len(running.changes()) == ROWS + PAIRS


def test_the_chunk_of_a_worker_that_died_is_copied_by_another(running: Import) -> None:
    with ExitStack() as stack:
        connection = stack.enter_context(Connection(running.settings.source))
        log = stack.enter_context(open_log(running.settings))
        dying = Snapshot(
            connection,
            log,
            captured_tables(connection),
            pipeline=running.settings.pipeline,
            worker="dying",
            chunk_rows=CHUNK_ROWS,
        )
        dying._books.enrol(dying._tables.values())
        assert dying._cut() is not None
        other = threading.Thread(target=running.work, args=("other",))
        other.start()
        deadline = time.monotonic() + WAIT_S_MAX
        while len(running.changes()) < ROWS + PAIRS - CHUNK_ROWS:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert other.is_alive()  # it waits for the chunk of the one that lives
    other.join()
    assert len(running.changes()) == ROWS + PAIRS
    assert running.is_finished()


def test_the_end_offsets_of_the_import_are_those_of_the_log(running: Import) -> None:
    side_by_side(lambda: running.work("one"), lambda: running.work("two"))
    with Connection(running.settings.source) as connection:
        ends = ImportBooks(ControlSchema(connection, running.settings.pipeline)).ends()
    assert {partition.topic: end for partition, end in ends.items()} == {
        "test.copied.item": ROWS,
        "test.copied.pair": PAIRS,
    }
