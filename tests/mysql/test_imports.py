"""The import's books: every row in exactly one chunk, and a chunk in the hands of one living worker."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from cdc.snapshot import Snapshot
from changeover.demo.server import PrivateMariaDB
from changeover.log import Entry
from changeover.mysql.catalog import captured_tables
from changeover.mysql.chunks import rows_between
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.mysql.imports import Chunk, ImportBooks
from changeover.progress import Offsets, Partition
from changeover.settings import Settings, SourceSettings
from changeover.table import Table
from changeover.version import Version
from tests.support.pipeline import schema_of, write_settings

ROWS = 500
CHUNK_ROWS = 7
VERSION = Version.of_read(1, 42)
FREED_S_MAX = 60.0
"""The server frees the locks of a connection when it notices its end: at once, on a machine that has time."""

TABLES = (
    "CREATE TABLE empty (id INT PRIMARY KEY)",
    "CREATE TABLE numbers (id INT PRIMARY KEY, v INT)",
    f"INSERT INTO numbers SELECT seq * 3, 0 FROM seq_1_to_{ROWS}",
    "CREATE TABLE pairs (a INT, b VARCHAR(20), v INT, PRIMARY KEY (a, b))",
    f"INSERT INTO pairs SELECT seq DIV 40, CONCAT('ž', seq), 0 FROM seq_1_to_{ROWS}",
    "CREATE TABLE words (id VARCHAR(40) COLLATE utf8mb4_unicode_ci PRIMARY KEY)",
    f"INSERT INTO words SELECT CONCAT(IF(seq % 2, 'a', 'B'), MD5(seq)) FROM seq_1_to_{ROWS}",
    "CREATE TABLE hashes (id VARBINARY(20) PRIMARY KEY)",
    f"INSERT INTO hashes SELECT UNHEX(SHA1(seq)) FROM seq_1_to_{ROWS}",
)


class Nowhere:
    """A log that keeps nothing: what is tested is which chunks there are."""

    def append(self, entries: Sequence[Entry]) -> Offsets:
        raise NotImplementedError(entries)


class Worker:
    """The books in the hands of one worker, with its own connection."""

    def __init__(self, source: SourceSettings) -> None:
        self.connection = Connection(source)
        self.control = ControlSchema(self.connection, "test")
        self.books = ImportBooks(self.control)
        self.tables = captured_tables(self.connection)
        self._snapshot = Snapshot(
            self.connection, Nowhere(), self.tables, pipeline="test", worker="test", chunk_rows=CHUNK_ROWS
        )

    @property
    def id(self) -> str:
        """The number of its connection."""
        return self.connection.value("SELECT CONNECTION_ID()")

    def cut(self) -> Chunk | None:
        """Cut the next chunk, as a snapshot worker does."""
        return self._snapshot._cut()

    def first(self) -> Chunk:
        """The first chunk of the first table that has one."""
        chunk = self.cut()
        assert chunk is not None
        return chunk

    def keys(self, chunk: Chunk) -> list[tuple[bytes | None, ...]]:
        """The rows of the chunk."""
        table = next(table for table in self.tables if table.full_name == chunk.table_name)
        return list(self.connection.raw(*rows_between(table, chunk.above, chunk.up_to)))


Hire = Callable[[], Worker]


@pytest.fixture
def hire(mariadb: PrivateMariaDB, tmp_path: Path) -> Iterator[Hire]:
    """Gives workers, as many as one asks for."""
    with ExitStack() as stack:
        schema = stack.enter_context(schema_of(mariadb, "books", *TABLES))
        source = Settings.load(write_settings(mariadb, schema, tmp_path)).source
        workers: list[Worker] = []

        def worker() -> Worker:
            workers.append(Worker(source))
            stack.callback(workers[-1].connection.close)
            return workers[-1]

        worker().control.make()
        yield worker


@pytest.fixture
def one(hire: Hire) -> Worker:
    worker = hire()
    worker.books.enrol(worker.tables)
    return worker


def only(worker: Worker, name: str) -> None:
    """Leave the import with one table alone."""
    worker.connection.execute(
        f"DELETE FROM {worker.control.table('import_table')} WHERE table_name <> %s", (name,)
    )


def taken_in_time(worker: Worker) -> Chunk | None:
    """What the worker can take over within the time in which the server notices a lost connection."""
    deadline = time.monotonic() + FREED_S_MAX
    while (chunk := worker.books.take_over()) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return chunk


def table_of(worker: Worker, name: str) -> Table:
    """The table of this name."""
    return next(table for table in worker.tables if table.name == name)


# -- cutting -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["numbers", "pairs", "words", "hashes"])
def test_chunks_cut_by_two_workers_at_once_cover_each_row_exactly_once(
    hire: Hire, one: Worker, name: str
) -> None:
    only(one, name)
    workers = [one, hire()]
    chunks: list[Chunk] = []
    start = threading.Barrier(len(workers))

    def cut_all(worker: Worker) -> None:
        start.wait()
        while chunk := worker.cut():
            chunks.append(chunk)

    threads = [threading.Thread(target=cut_all, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = Counter(row for chunk in chunks for row in one.keys(chunk))
    assert len(rows) == ROWS
    assert set(rows.values()) == {1}
    assert len({chunk.number for chunk in chunks}) == len(chunks) == ROWS // CHUNK_ROWS + 1


def test_chunks_follow_each_other_without_a_gap_from_no_limit_to_no_limit(one: Worker) -> None:
    only(one, "pairs")
    chunks = []
    while chunk := one.cut():
        chunks.append(chunk)
    assert [chunk.number for chunk in chunks] == list(range(1, len(chunks) + 1))
    assert [chunk.above for chunk in chunks] == [None, *(chunk.up_to for chunk in chunks[:-1])]
    assert chunks[-1].up_to is None


def test_an_empty_table_is_one_chunk_without_limits(one: Worker) -> None:
    only(one, "empty")
    assert one.cut() == Chunk("books.empty", 1, None, None)
    assert one.cut() is None


def test_rows_that_appear_behind_the_last_cut_are_in_the_last_chunk(one: Worker) -> None:
    only(one, "numbers")
    chunks = []
    while chunk := one.cut():
        chunks.append(chunk)
    one.connection.execute("INSERT INTO books.numbers VALUES (1000000, 0), (-1000000, 0)")
    assert sum(len(one.keys(chunk)) for chunk in chunks) == ROWS + 2
    assert (b"1000000", b"0") in one.keys(chunks[-1])
    assert (b"-1000000", b"0") in one.keys(chunks[0])


def test_tables_are_cut_one_after_the_other_in_the_order_of_their_enrolment(one: Worker) -> None:
    names = []
    while chunk := one.cut():
        names.append(chunk.table_name)
    assert list(dict.fromkeys(names)) == [table.full_name for table in one.tables]


def test_enrolling_again_changes_nothing(hire: Hire, one: Worker) -> None:
    first = one.first()
    one.books.copied(first, VERSION, 3, {})
    before = one.books.progress()
    for worker in (one, hire()):
        worker.books.enrol(reversed(worker.tables))
    assert one.books.progress() == before


def test_a_cut_that_fails_leaves_no_chunk(one: Worker) -> None:
    with pytest.raises(ZeroDivisionError), one.connection.transaction():  # noqa: PT012 - its end counts
        cut = one.books.lock_table_to_cut()
        assert cut is not None
        one.books.cut(cut, None)
        raise ZeroDivisionError
    assert [table.chunks_open for table in one.books.progress()] == [0] * len(one.tables)
    assert one.first().number == 1


# -- holding and taking over -------------------------------------------------------------------------------


def test_a_chunk_held_by_a_living_worker_is_not_taken_over(hire: Hire, one: Worker) -> None:
    one.first()
    assert hire().books.take_over() is None


@pytest.mark.parametrize("how", ["hangs up", "is killed"])
def test_a_worker_whose_connection_dies_loses_its_chunk_to_another_at_once(
    hire: Hire, one: Worker, how: str
) -> None:
    held = one.first()
    two = hire()
    if how == "hangs up":
        one.connection.close()
    else:
        two.connection.execute(f"KILL CONNECTION {one.id}")
    assert taken_in_time(two) == held


def test_a_chunk_that_was_taken_over_is_held_again(hire: Hire, one: Worker) -> None:
    held = one.first()
    two, three = hire(), hire()
    one.connection.close()
    assert taken_in_time(two) == held
    assert three.books.take_over() is None


def test_of_many_who_want_a_dead_workers_chunks_each_gets_its_own(hire: Hire, one: Worker) -> None:
    held = [one.first() for _ in range(3)]
    others = [hire() for _ in range(3)]
    one.connection.close()
    taken = [taken_in_time(other) for other in others]
    assert Counter(taken) == Counter(held)  # in whatever order the server frees them
    assert hire().books.take_over() is None


def test_a_chunk_that_was_let_go_uncopied_is_there_for_anyone(hire: Hire, one: Worker) -> None:
    held = one.first()
    one.books.let_go(held)
    assert hire().books.take_over() == held


def test_a_copied_chunk_is_taken_over_by_nobody(hire: Hire, one: Worker) -> None:
    one.books.copied(one.first(), VERSION, 7, {})
    assert hire().books.take_over() is None
    assert one.books.take_over() is None


def test_the_chunks_of_two_pipelines_do_not_hold_each_other(hire: Hire, one: Worker) -> None:
    two = hire()
    two.books = ImportBooks(ControlSchema(two.connection, "test2"))
    two.books.enrol(two.tables)
    two.books._control.connection.execute("START TRANSACTION")
    cut = two.books.lock_table_to_cut()
    assert cut is not None
    theirs = two.books.cut(cut, None)
    two.books._control.connection.execute("COMMIT")
    two.books.let_go(theirs)
    ours = one.first()
    assert ours.number == theirs.number
    assert two.books.take_over() == theirs
    assert one.books.progress()[0].chunks_open == 1


# -- progress ----------------------------------------------------------------------------------------------


def test_an_import_without_tables_is_not_finished(hire: Hire) -> None:
    books = hire().books
    assert books.progress() == []
    assert not books.is_finished()


def test_progress_counts_rows_and_open_chunks_and_the_import_is_finished_with_the_last_of_them(
    one: Worker,
) -> None:
    only(one, "numbers")
    chunks = []
    while chunk := one.cut():
        assert not one.books.is_finished()
        chunks.append(chunk)
    for done, chunk in enumerate(chunks):
        (progress,) = one.books.progress()
        assert progress.table_name == "books.numbers"
        assert (progress.rows_copied, progress.chunks_open) == (done * CHUNK_ROWS, len(chunks) - done)
        assert progress.is_cut
        assert not progress.is_done
        assert not one.books.is_finished()
        one.books.copied(chunk, VERSION, CHUNK_ROWS, {})
    assert one.books.progress()[0].is_done
    assert one.books.is_finished()


def test_an_import_is_finished_only_when_every_table_is(one: Worker) -> None:
    while chunk := one.cut():
        if chunk.table_name == "books.empty":
            one.books.copied(chunk, VERSION, 0, {})
    assert [table.is_done for table in one.books.progress()].count(True) == 1
    assert not one.books.is_finished()


def test_the_number_of_rows_is_estimated_by_the_server(one: Worker) -> None:
    estimates = {table.table_name: table.rows_estimated for table in one.books.progress()}
    assert estimates["books.empty"] == 0
    assert ROWS / 2 < estimates["books.numbers"] < ROWS * 2


def test_the_imports_ends_are_the_highest_of_each_partition(one: Worker) -> None:
    only(one, "numbers")
    log, other = Partition("test.books.numbers", 0), Partition("test.books.numbers", 1)
    for ends in ({log: 7}, {log: 3, other: 1}, {}):
        one.books.copied(one.first(), VERSION, 7, ends)
    one.first()
    assert one.books.ends() == {log: 7, other: 1}
