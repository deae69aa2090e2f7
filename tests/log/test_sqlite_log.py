"""The log in a SQLite file: the contract of every log, and what only a file can do."""

import functools
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

import changeover.log.sqlite
import changeover.log.sqlite_watermarks
from changeover.errors import LogTrimmed, LogUnavailable, LogUnusable, StateNewer
from changeover.log.sqlite import SQLiteLog
from tests.contracts.log import LogContract, beat, behind, checkpoint, entry, take
from tests.support.tables import named

PIPELINE = "moving"


class TestSQLiteLog(LogContract):
    @pytest.fixture
    def open_log(self, tmp_path: Path) -> Callable[[], SQLiteLog]:
        return functools.partial(SQLiteLog, tmp_path / "log.db", PIPELINE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


def test_offsets_begin_at_0_and_leave_nothing_out(path: Path) -> None:
    with SQLiteLog(path, PIPELINE) as log:
        for sequence in range(5):
            log.append([entry(1, sequence), entry(2, sequence)])
        assert [record.offset for record in take(log.reader("apply"), 10)] == list(range(10))


def test_a_log_that_is_opened_again_is_the_same_log(path: Path) -> None:
    with SQLiteLog(path, PIPELINE) as log:
        identity = log.identity
    with SQLiteLog(path, PIPELINE) as again:
        assert again.identity == identity


def test_another_log_of_the_same_pipeline_has_another_identity(tmp_path: Path) -> None:
    with SQLiteLog(tmp_path / "one", PIPELINE) as one, SQLiteLog(tmp_path / "two", PIPELINE) as two:
        assert one.identity != two.identity


def test_a_log_of_another_pipeline_is_refused_and_stays_as_it_is(path: Path) -> None:
    SQLiteLog(path, "other").close()
    before = path.read_bytes()
    with pytest.raises(LogUnusable, match="'other'"):
        SQLiteLog(path, PIPELINE)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_stays_as_it_is(path: Path) -> None:
    path.write_bytes(b"these are somebody's notes" * 100)
    with pytest.raises(LogUnusable, match="not a database"):
        SQLiteLog(path, PIPELINE)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == b"these are somebody's notes" * 100


def test_a_folder_that_is_missing_is_named_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(LogUnusable, match="there is no folder"):
        SQLiteLog(tmp_path / "missing" / "log.db", PIPELINE)
    assert not list(tmp_path.iterdir())


def test_a_path_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LogUnusable, match="it is a folder"):
        SQLiteLog(tmp_path, PIPELINE)
    assert not list(tmp_path.iterdir())


def test_a_log_of_a_newer_format_is_refused(path: Path) -> None:
    SQLiteLog(path, PIPELINE).close()
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE changeover_log SET format = 99")
    with pytest.raises(StateNewer, match="format 99"):
        SQLiteLog(path, PIPELINE)


@pytest.mark.parametrize(
    "newer",
    [
        # Under a table definition that this release cannot read, and would not know to be another one's.
        """INSERT INTO table_definition VALUES (99, 'new', 'new');
           INSERT INTO record SELECT id, end, 99, 'key', 'new' FROM topic;
           UPDATE topic SET end = end + 1""",
        # Nothing but a watermark.
        f"INSERT INTO watermark VALUES ('{'f' * 32}', 1, 'new')",
        # Nothing that could not be read at all.
        "UPDATE topic SET end = end",
    ],
)
def test_a_consumer_that_runs_takes_nothing_of_what_a_newer_release_writes(path: Path, newer: str) -> None:
    with SQLiteLog(path, PIPELINE) as log:
        log.append([entry(1), entry(2)])
        reader = log.reader("apply")
        reader.commit(behind(take(reader, 2)))
        committed = log.progress_of("apply")
        with closing(sqlite3.connect(path)) as file, file:
            file.executescript(f"BEGIN; UPDATE changeover_log SET format = 99; {newer}; COMMIT")
        with pytest.raises(StateNewer, match="format 99"):
            reader.poll(10)
        with pytest.raises(StateNewer, match="format 99"):
            reader.commit({})
        with closing(sqlite3.connect(path)) as file, file:
            file.execute("UPDATE changeover_log SET format = 1")
        assert log.progress_of("apply") == committed


def test_a_lock_that_nobody_gives_back_is_waited_for_no_longer_than_the_bound(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changeover.log.sqlite, "LOCK_WAIT_S_MAX", 0.05)
    with SQLiteLog(path, PIPELINE) as log, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LogUnavailable, match="locked"):
            log.append([entry(1)])
        other.execute("ROLLBACK")
        log.append([entry(2)])
        assert [record.key for record in take(log.reader("apply"), 1)] == [entry(2).key]


def test_a_full_disk_is_named_and_leaves_nothing_of_the_transaction(path: Path) -> None:
    with SQLiteLog(path, PIPELINE) as log:
        (pages,) = log.connection.execute("PRAGMA page_count").fetchone()
        log.connection.execute(f"PRAGMA max_page_count = {pages + 5}")
        with pytest.raises(LogUnavailable, match="full"):
            log.append([entry(1)._replace(value=bytes(4096))] * 50)
        log.connection.execute(f"PRAGMA max_page_count = {pages + 500}")
        log.append([entry(2)])
        assert [record.key for record in take(log.reader("apply"), 1)] == [entry(2).key]


def test_watermarks_that_all_groups_have_passed_do_not_pile_up(path: Path) -> None:
    with SQLiteLog(path, PIPELINE) as log:
        capture, reader = log.capture(), log.reader("apply")
        for sequence in range(1, 301):
            capture.append([entry(1, sequence)], checkpoint(sequence), beat(sequence))
            reader.commit(behind(take(reader, 1)))
        (count,) = log.connection.execute("SELECT count(*) FROM watermark").fetchone()
    assert count <= changeover.log.sqlite_watermarks.TRIMMED_AT


def test_a_poll_gives_no_more_than_it_was_asked_for_from_however_many_topics(path: Path) -> None:
    with SQLiteLog(path, PIPELINE) as log:
        log.append([entry(1, 1, named(f"t{number}")) for number in range(5)])
        reader = log.reader("g")
        assert [len(reader.poll(2)) for _ in range(4)] == [2, 2, 1, 0]


@pytest.mark.parametrize("ddl", ["CREATE TABLE log (x)", "CREATE TABLE app (x)"])
def test_a_database_of_something_else_is_refused_and_stays_as_it_is(path: Path, ddl: str) -> None:
    with closing(sqlite3.connect(path)) as file:
        file.execute(ddl)
    before = path.read_bytes()
    with pytest.raises(LogUnusable, match="something else"):
        SQLiteLog(path, PIPELINE)
    assert path.read_bytes() == before


def test_a_commit_that_failed_has_passed_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("changeover.log.sqlite.LOCK_WAIT_S_MAX", 0.05)
    with SQLiteLog(path, PIPELINE) as log, closing(sqlite3.connect(path, isolation_level=None)) as other:
        log.capture().append([entry(1, 11)], checkpoint(11), beat(11))
        reader = log.reader("g")
        records = reader.poll(9)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LogUnavailable):
            reader.commit(behind(records))
        other.execute("ROLLBACK")
        assert reader.commit({}) is None
        assert reader.commit(behind(records)) is not None


def test_a_new_file_may_be_opened_by_many_at_once(tmp_path: Path) -> None:
    def open_all(path: Path) -> list[str]:
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(lambda _: identity_of(path), range(8)))

    def identity_of(path: Path) -> str:
        with SQLiteLog(path, PIPELINE) as log:
            return log.identity

    assert all(len(set(open_all(tmp_path / f"{number}.db"))) == 1 for number in range(40))


class Clock:
    """The wall clock, in hours."""

    def __init__(self) -> None:
        self.hours = 0.0

    def __call__(self) -> float:
        return self.hours * 3_600


def test_records_are_kept_for_the_replay_window_and_until_every_group_has_passed_them(path: Path) -> None:
    clock = Clock()
    with SQLiteLog(path, PIPELINE, replay_window_h=10, now_s=clock) as log:
        log.append([entry(number) for number in range(3)])
        clock.hours = 5
        log.append([entry(number) for number in range(3, 6)])
        fast, slow = log.reader("fast"), log.reader("slow")
        fast.commit(behind(take(fast, 6)))
        polled = take(slow, 6)
        slow.commit(behind(polled[:2]))
        assert log.trim() == 0  # all is younger than the window
        clock.hours = 16
        log.append([entry(6)])
        assert log.trim() == 2  # the first three are old, and the slow group stands before the third
        slow.commit(behind(polled))
        assert log.trim() == 1
        clock.hours = 40
        assert log.trim() == 3  # what came last is kept until something comes behind it


def test_a_group_that_comes_too_late_for_what_was_trimmed_is_told(path: Path) -> None:
    clock = Clock()
    with SQLiteLog(path, PIPELINE, replay_window_h=1, now_s=clock) as log:
        log.append([entry(1)])
        clock.hours = 2
        log.append([entry(2)])
        reader = log.reader("early")
        reader.commit(behind(take(reader, 2)))
        clock.hours = 4
        assert log.trim() == 1
        with pytest.raises(LogTrimmed, match="records 0 to 0"):
            log.reader("late").poll(10)


def test_nothing_is_trimmed_while_nobody_has_read(path: Path) -> None:
    clock = Clock()
    with SQLiteLog(path, PIPELINE, replay_window_h=1, now_s=clock) as log:
        log.append([entry(1)])
        clock.hours = 100
        log.append([entry(2)])
        assert log.trim() == 0


@pytest.mark.parametrize("is_there", [False, True])
def test_a_new_file_is_its_owner_s_alone_and_one_that_is_there_keeps_its_rights(
    path: Path,
    is_there: bool,  # noqa: FBT001 - a parameter
) -> None:
    before = os.umask(0)
    try:
        if is_there:
            path.touch(0o640)
        with SQLiteLog(path, PIPELINE):
            files = {file: file.stat().st_mode & 0o777 for file in path.parent.glob(f"{path.name}*")}
    finally:
        os.umask(before)
    assert len(files) == 3  # with what SQLite keeps beside it
    assert set(files.values()) == {0o640 if is_there else 0o600}
