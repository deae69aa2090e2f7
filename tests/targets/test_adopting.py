"""Tables and rows of another tool in a SQLite target: older than every write, or no place to write into."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from changeover.decide import Outcome
from changeover.envelope import encode_key
from changeover.errors import TargetUnusable, UnversionedObject
from changeover.table import Table
from changeover.targets import UNVERSIONED, Found, Held
from changeover.targets.sqlite import SQLiteTarget
from tests.contracts.target import PASSPORT, change, delete, held, put
from tests.support.tables import CITIZEN, EVERY_KIND, citizen, named

LIKE_OURS = "CREATE TABLE citizen (id INTEGER PRIMARY KEY, name TEXT)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "target.db"


def ask(path: Path, *statements: str) -> list[tuple[object, ...]]:
    """What the other tool's program does."""
    with closing(sqlite3.connect(path)) as file, file:
        return [row for statement in statements for row in file.execute(statement).fetchall()]


def adopting(path: Path) -> SQLiteTarget:
    return SQLiteTarget(path, "moving", adopt=True)


def test_a_row_of_another_tool_is_older_than_every_version(path: Path) -> None:
    ask(path, LIKE_OURS, "INSERT INTO citizen VALUES (1, 'theirs'), (2, 'theirs'), (3, 'theirs')")
    with adopting(path) as target:
        assert held(target, 1) is None
        outcomes = target.write([put(1, change(0), "ours"), delete(2, change(0)), put(4, change(5))])
        assert outcomes == [Outcome.APPLIED] * 3
        assert held(target, 1) == Held(change(0), citizen(1, "ours"))
        assert held(target, 2) == Held(change(0), None)
    assert ask(path, "SELECT * FROM citizen") == [(1, "ours"), (3, "theirs"), (4, "Ada")]


def test_a_table_of_another_tool_is_read_before_anything_is_written_to_it(path: Path) -> None:
    ask(path, LIKE_OURS, "INSERT INTO citizen VALUES (1, 'theirs')")
    key = encode_key(CITIZEN, citizen(1))
    with adopting(path) as target:
        assert target.read_many(CITIZEN, [key]) == [Held(UNVERSIONED, citizen(1, "theirs"))]
        found = [one for page in target.walk(CITIZEN) for one in page.found]
        assert found == [Found(key, '{"id":1}', UNVERSIONED, is_row=True)]
        assert target.read_many(PASSPORT, [key]) == [None]


def test_a_table_that_cannot_be_adopted_is_refused_before_it_is_read(path: Path) -> None:
    ask(path, "CREATE TABLE citizen (id INTEGER PRIMARY KEY)")
    with adopting(path) as target, pytest.raises(TargetUnusable, match="it lacks name"):
        target.read_many(CITIZEN, [encode_key(CITIZEN, citizen(1))])


def test_an_adopted_row_has_a_version_from_then_on(path: Path) -> None:
    ask(path, LIKE_OURS, "INSERT INTO citizen VALUES (1, 'theirs')")
    with adopting(path) as target:
        target.write([put(1, change(6), "new"), delete(2, change(6))])
        assert target.write([put(1, change(5), "old"), put(2, change(5), "old")]) == [Outcome.STALE] * 2
    assert ask(path, "SELECT * FROM citizen") == [(1, "new")]


def test_a_table_that_is_not_there_is_made_as_ever(path: Path) -> None:
    ask(path, LIKE_OURS)
    with adopting(path) as target:
        target.write([put(1, change(5), table=PASSPORT)])
    assert ask(path, "SELECT * FROM passport") == [(1, "Ada")]


def test_a_row_that_comes_later_from_the_other_tool_is_adopted_too(path: Path) -> None:
    with adopting(path) as target:
        target.write([put(1, change(5))])
        ask(path, "INSERT INTO citizen VALUES (2, 'theirs')")
        target.write([put(2, change(5), "ours")])
        assert held(target, 2) == Held(change(5), citizen(2, "ours"))


def test_without_adopt_a_file_of_another_tool_is_refused_and_stays_as_it_is(path: Path) -> None:
    ask(path, LIKE_OURS)
    before = path.read_bytes()
    with pytest.raises(TargetUnusable, match="a database of something else"):
        SQLiteTarget(path, "moving")
    assert path.read_bytes() == before


def test_our_own_tables_are_never_taken_for_another_tools(path: Path) -> None:
    with adopting(path) as target, pytest.raises(UnversionedObject):
        target.write([put(1, change(5), table=named("changeover_version"))])


def test_a_target_of_another_pipeline_is_not_adopted(path: Path) -> None:
    SQLiteTarget(path, "other").close()
    with pytest.raises(TargetUnusable, match="'other'"):
        adopting(path)


@pytest.mark.parametrize(
    "made",
    [
        "CREATE TABLE citizen (id INT PRIMARY KEY, name VARCHAR(50))",
        "CREATE TABLE citizen (name, id, PRIMARY KEY (id))",
        "CREATE TABLE citizen (name BLOB, id INTEGER NOT NULL, PRIMARY KEY (id)) WITHOUT ROWID",
        "CREATE TABLE Citizen (id BIGINT, name TEXT DEFAULT 'x', PRIMARY KEY (id))",
    ],
)
def test_a_table_that_keeps_each_value_as_it_is_is_adopted(path: Path, made: str) -> None:
    ask(path, made, "INSERT INTO citizen (id, name) VALUES (1, 'theirs')")
    with adopting(path) as target:
        target.write([put(1, change(5), "1.10"), put(2, change(5))])
        assert held(target, 1) == Held(change(5), citizen(1, "1.10"))


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ("CREATE TABLE citizen (id INTEGER PRIMARY KEY)", "it lacks name"),
        ("CREATE TABLE citizen (id INTEGER PRIMARY KEY, name TEXT, born TEXT)", "it has born beside"),
        ("CREATE TABLE citizen (id INTEGER, name TEXT)", r"its key is \(\), not \(id\)"),
        ("CREATE TABLE citizen (id INTEGER, name TEXT, PRIMARY KEY (id, name))", r"its key is \(id, name\)"),
        ("CREATE TABLE citizen (id INTEGER PRIMARY KEY, name NUMERIC)", "name is declared NUMERIC"),
        ("CREATE TABLE citizen (id INTEGER PRIMARY KEY, name INT)", "name is declared INT"),
        ("CREATE TABLE citizen (id REAL PRIMARY KEY, name TEXT)", "id is declared REAL"),
        ("CREATE TABLE citizen (id INTEGER PRIMARY KEY, name TEXT NOT NULL)", "name takes no NULL"),
        ("CREATE TABLE citizen (id INTEGER PRIMARY KEY, name TEXT UNIQUE)", "unique index"),
        ("CREATE TABLE citizen (id INTEGER PRIMARY KEY, name TEXT AS ('x'))", "name is declared"),
        ("CREATE VIEW citizen AS SELECT 1 AS id, 'x' AS name", "its key is"),
    ],
)
def test_a_table_that_cannot_hold_the_rows_is_refused_and_stays(path: Path, made: str, words: str) -> None:
    ask(path, made)
    before = ask(path, "SELECT sql FROM sqlite_master WHERE name = 'citizen'")
    with adopting(path) as target, pytest.raises(TargetUnusable, match=words):
        target.write([put(1, change(5), table=PASSPORT), put(1, change(5))])
    assert ask(path, "SELECT sql FROM sqlite_master WHERE name = 'citizen'") == before
    assert ask(path, "SELECT name FROM sqlite_master WHERE name = 'passport'") == []


def test_a_table_with_a_trigger_is_refused(path: Path) -> None:
    trigger = "CREATE TRIGGER louder AFTER INSERT ON citizen BEGIN UPDATE citizen SET name = 'X'; END"
    ask(path, LIKE_OURS, trigger)
    with adopting(path) as target, pytest.raises(TargetUnusable, match="trigger louder"):
        target.write([put(1, change(5))])


def test_a_key_that_folds_case_is_refused_since_one_row_would_delete_another(path: Path) -> None:
    table: Table = replace(CITIZEN, key=("name",))
    ask(path, "CREATE TABLE citizen (id INTEGER, name TEXT COLLATE NOCASE, PRIMARY KEY (name))")
    write = put(1, change(5))._replace(table=table, key=encode_key(table, citizen(1)))
    with adopting(path) as target, pytest.raises(TargetUnusable, match="does not compare name by bytes"):
        target.write([write])


def test_every_kind_is_adopted_in_a_table_as_changeover_makes_it(path: Path, tmp_path: Path) -> None:
    row = dict.fromkeys(EVERY_KIND.column_names) | {"id": 1}
    write = put(1, change(5))._replace(table=EVERY_KIND, key=encode_key(EVERY_KIND, row), row=row)
    ours = tmp_path / "ours.db"
    with SQLiteTarget(ours, "moving") as target:
        target.write([write])
    ((made,),) = ask(ours, "SELECT sql FROM sqlite_master WHERE name = 'everything'")
    ask(path, str(made))
    with adopting(path) as target:
        target.write([write])
        assert target.read(EVERY_KIND, write.key) == Held(change(5), row)
