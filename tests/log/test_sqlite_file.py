"""Files of SQLite: who opens one once more takes nothing away from whoever has it open already."""

import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from changeover.sqlite_file import connect

WRITE = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('INSERT INTO t VALUES (2)')"
LOOK_AND_LEAVE = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT * FROM t').fetchall()"


def other_process(code: str, file: Path) -> int:
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, check=False)
    return done.returncode


def test_a_second_connection_of_a_process_leaves_the_locks_of_the_first(tmp_path: Path) -> None:
    file = tmp_path / "log.db"
    with closing(connect(file, 1)) as first:
        first.execute("CREATE TABLE t (n INT)")
        first.execute("BEGIN IMMEDIATE")
        first.execute("INSERT INTO t VALUES (1)")
        with closing(connect(file, 1)):
            assert other_process(WRITE, file) != 0
        first.execute("COMMIT")


def test_who_leaves_does_not_take_the_wal_from_a_process_that_has_opened_the_file_twice(
    tmp_path: Path,
) -> None:
    file = tmp_path / "log.db"
    with closing(connect(file, 1)) as first:
        first.execute("CREATE TABLE t (n INT)")
        with closing(connect(file, 1)):
            pass
        assert other_process(LOOK_AND_LEAVE, file) == 0
        first.execute("INSERT INTO t VALUES (1)")
        assert file.with_name("log.db-wal").exists()
        with closing(sqlite3.connect(file)) as reader:
            assert reader.execute("SELECT n FROM t").fetchall() == [(1,)]


def test_a_new_file_is_its_owners_alone_and_an_old_one_keeps_its_mode(tmp_path: Path) -> None:
    new, old = tmp_path / "new.db", tmp_path / "old.db"
    old.touch(mode=0o640)
    for file, mode in ((new, 0o600), (old, 0o640)):
        connect(file, 1).close()
        assert stat.S_IMODE(file.stat().st_mode) == mode
