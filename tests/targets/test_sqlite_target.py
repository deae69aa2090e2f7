"""The target in a SQLite file: the contract of every target, and what only a file can do."""

import functools
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

import changeover.targets.sqlite
from changeover.decide import Write
from changeover.envelope import encode_key
from changeover.errors import StateNewer, TargetUnavailable, TargetUnusable, UnversionedObject
from changeover.table import Column, Kind, Table
from changeover.targets import UNVERSIONED, Found, Held
from changeover.targets.sqlite import SQLiteTarget
from changeover.targets.sqlite_columns import canonical, stored
from changeover.values import Value
from tests.contracts.target import PASSPORT, TargetContract, change, delete, held, put
from tests.support.tables import CITIZEN, citizen, named, widened

PIPELINE = "moving"


class TestSQLiteTarget(TargetContract):
    @pytest.fixture
    def open_target(self, tmp_path: Path) -> Callable[[], SQLiteTarget]:
        return functools.partial(SQLiteTarget, tmp_path / "target.db", PIPELINE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "target.db"


@pytest.fixture
def target(path: Path) -> Iterator[SQLiteTarget]:
    with SQLiteTarget(path, PIPELINE) as target:
        yield target


def ask(path: Path, sql: str) -> list[tuple[object, ...]]:
    """What somebody else's program gets from the file."""
    with closing(sqlite3.connect(path)) as file, file:
        return file.execute(sql).fetchall()


def test_users_find_the_rows_in_a_plain_table_and_no_deleted_ones(path: Path, target: SQLiteTarget) -> None:
    target.write([put(1, change(5)), put(2, change(5)), delete(2, change(6))])
    assert ask(path, "SELECT id, name FROM citizen") == [(1, "Ada")]


def test_names_that_need_quotes_are_quoted(target: SQLiteTarget) -> None:
    key = Column(name='the "key', kind=Kind.INTEGER, sql_type="int(11)", nullable=False)
    table = Table(schema="s", name='select"; --', columns=(key,), key=(key.name,))
    row: dict[str, Value] = {key.name: 1}
    target.write([put(1, change(5))._replace(table=table, key=encode_key(table, row), row=row)])
    assert target.read(table, encode_key(table, row)) == Held(change(5), row)


@pytest.mark.parametrize(
    "key", ["Zürich", "zürich", "ZURICH", "", " ", "a\0b", "a\0c", "1", "01", "'", '"', "ß", "ss"]
)
def test_text_keys_that_a_collation_calls_equal_are_kept_apart(target: SQLiteTarget, key: str) -> None:
    table = replace(CITIZEN, key=("name",))
    others = {"Zürich", "zürich", "ZURICH", "", " ", "a\0b", "a\0c", "1", "01", "'", '"', "ß", "ss"}
    places = {one: encode_key(table, citizen(1, one)) for one in others}
    target.write(
        [put(1, change(5))._replace(table=table, key=places[one], row=citizen(1, one)) for one in others]
    )
    target.write([delete(1, change(6))._replace(table=table, key=places[key])])
    for one, place in places.items():
        assert target.read(table, place) == (
            Held(change(6), None) if one == key else Held(change(5), citizen(1, one))
        )


def test_a_batch_that_fails_leaves_nothing_of_itself(path: Path, target: SQLiteTarget) -> None:
    target.write([put(1, change(5))])
    with pytest.raises(KeyError):
        target.write([put(1, change(6), "new"), put(2, change(6)), put(1, change(7))._replace(row={"id": 1})])
    assert held(target, 1) == Held(change(5), citizen(1))
    assert held(target, 2) is None
    assert ask(path, "SELECT id FROM citizen") == [(1,)]


def test_a_table_that_came_with_a_failed_batch_comes_with_the_next(target: SQLiteTarget) -> None:
    with pytest.raises(KeyError):
        target.write([put(1, change(5)), put(1, change(6))._replace(row={"id": 1})])
    target.write([put(1, change(5))])
    assert held(target, 1) == Held(change(5), citizen(1))


def test_a_row_that_changeover_did_not_write_stops_the_batch_and_stays(
    path: Path, target: SQLiteTarget
) -> None:
    target.write([put(1, change(5))])
    ask(path, "INSERT INTO citizen VALUES (2, 'by hand')")
    with pytest.raises(UnversionedObject, match=r'citizen has a row \{"id":2\}'):
        target.write([put(1, change(6), "new"), put(2, change(6))])
    assert held(target, 1) == Held(change(5), citizen(1))
    assert held(target, 2) is None
    assert ask(path, "SELECT name FROM citizen WHERE id = 2") == [("by hand",)]


@pytest.mark.parametrize("name", ["citizen", "CITIZEN"])
def test_a_table_that_changeover_did_not_make_stops_the_batch_and_stays(
    path: Path, target: SQLiteTarget, name: str
) -> None:
    ask(path, f"CREATE TABLE {name} (note TEXT)")
    ask(path, f"INSERT INTO {name} VALUES ('by hand')")
    with pytest.raises(UnversionedObject, match="did not make"):
        target.write([put(1, change(5), table=PASSPORT), put(1, change(5))])
    assert ask(path, f"SELECT * FROM {name}") == [("by hand",)]
    assert held(target, 1, PASSPORT) is None


def test_a_table_with_another_definition_is_refused_and_stays(target: SQLiteTarget) -> None:
    target.write([put(1, change(5))])
    with pytest.raises(TargetUnusable, match="another definition"):
        target.write([put(1, change(6), table=widened(CITIZEN))])
    with pytest.raises(TargetUnusable, match="another definition"):
        held(target, 1, widened(CITIZEN))
    assert held(target, 1) == Held(change(5), citizen(1))


def test_a_table_of_the_same_name_in_another_schema_is_refused(target: SQLiteTarget) -> None:
    target.write([put(1, change(5))])
    with pytest.raises(TargetUnusable, match="another definition"):
        target.write([put(1, change(6), table=named("citizen", schema="archive"))])


def test_a_table_named_as_one_of_our_own_is_refused(target: SQLiteTarget) -> None:
    with pytest.raises(UnversionedObject):
        target.write([put(1, change(5), table=named("changeover_version"))])


def test_a_target_of_another_pipeline_is_refused_and_stays_as_it_is(path: Path) -> None:
    SQLiteTarget(path, "other").close()
    before = path.read_bytes()
    with pytest.raises(TargetUnusable, match="'other'"):
        SQLiteTarget(path, PIPELINE)
    assert path.read_bytes() == before


def test_a_target_of_a_newer_format_is_refused(path: Path) -> None:
    SQLiteTarget(path, PIPELINE).close()
    ask(path, "UPDATE changeover_target SET format = 99")
    with pytest.raises(StateNewer, match="format 99"):
        SQLiteTarget(path, PIPELINE)


def test_a_file_that_is_no_database_is_refused_and_stays_as_it_is(path: Path) -> None:
    path.write_bytes(b"these are somebody's notes" * 100)
    with pytest.raises(TargetUnusable, match="not a database"):
        SQLiteTarget(path, PIPELINE)
    assert path.read_bytes() == b"these are somebody's notes" * 100


def test_a_folder_that_is_missing_is_named_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(TargetUnusable, match="there is no folder"):
        SQLiteTarget(tmp_path / "missing" / "target.db", PIPELINE)
    assert not list(tmp_path.iterdir())


def test_a_path_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TargetUnusable, match="it is a folder"):
        SQLiteTarget(tmp_path, PIPELINE)


def test_a_lock_that_nobody_gives_back_is_waited_for_no_longer_than_the_bound(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changeover.targets.sqlite, "LOCK_WAIT_S_MAX", 0.05)
    with (
        SQLiteTarget(path, PIPELINE) as target,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TargetUnavailable, match="locked"):
            target.write([put(1, change(5))])
        other.execute("ROLLBACK")
        target.write([put(1, change(5))])
        assert held(target, 1) == Held(change(5), citizen(1))


def test_a_full_disk_is_named_and_the_next_batch_makes_the_table_that_went_with_it(
    target: SQLiteTarget,
) -> None:
    execute = target._connection.execute
    (pages,) = execute("PRAGMA page_count").fetchone()
    execute(f"PRAGMA max_page_count = {pages + 5}")
    with pytest.raises(TargetUnavailable, match="full"):
        target.write([put(number, change(5), "x" * 4_000) for number in range(50)])
    execute(f"PRAGMA max_page_count = {pages + 500}")
    target.write([put(1, change(5))])
    assert held(target, 1) == Held(change(5), citizen(1))


def test_a_row_without_a_version_is_told_by_readers_of_many_and_by_the_walk(
    path: Path, target: SQLiteTarget
) -> None:
    target.write([put(1, change(5))])
    ask(path, "INSERT INTO citizen VALUES (2, 'by hand')")
    key = encode_key(CITIZEN, citizen(2))
    assert target.read_many(CITIZEN, [key]) == [Held(UNVERSIONED, citizen(2, "by hand"))]
    assert Found(key, '{"id":2}', UNVERSIONED, is_row=True) in walked(target)
    assert target.read(CITIZEN, key) is None


def test_a_row_that_came_back_beside_its_marker_is_a_row_to_whoever_looks(
    path: Path, target: SQLiteTarget
) -> None:
    target.write([put(1, change(5)), delete(1, change(6))])
    ask(path, "INSERT INTO citizen VALUES (1, 'risen')")
    key = encode_key(CITIZEN, citizen(1))
    assert target.read_many(CITIZEN, [key]) == [Held(change(6), citizen(1, "risen"))]
    assert walked(target) == [Found(key, '{"id":1}', change(6), is_row=True)]


@pytest.mark.parametrize("write", [delete(1, change(7)), put(1, change(7), "new")])
def test_a_later_write_takes_a_row_away_that_stands_beside_its_marker(
    path: Path, target: SQLiteTarget, write: Write
) -> None:
    target.write([put(1, change(5)), delete(1, change(6))])
    ask(path, "INSERT INTO citizen VALUES (1, 'risen')")
    target.write([write])
    assert ask(path, "SELECT name FROM citizen") == ([("new",)] if write.row else [])


@pytest.mark.parametrize("write", [delete(2, change(7)), put(2, change(7), "ours")])
def test_a_row_of_somebody_else_is_replaced(path: Path, target: SQLiteTarget, write: Write) -> None:
    target.write([put(1, change(5))])
    ask(path, "INSERT INTO citizen VALUES (2, 'by hand')")
    assert target.replace(write, UNVERSIONED)
    assert held(target, 2) == Held(change(7), write.row)
    assert ask(path, "SELECT name FROM citizen WHERE id = 2") == ([("ours",)] if write.row else [])


@pytest.mark.parametrize("text", ["5", "0018446744073709551615", "\u0665"])
def test_a_text_that_we_would_not_have_made_of_a_number_is_told_as_it_is(text: str) -> None:
    column = Column(name="n", kind=Kind.INTEGER, sql_type="bigint(20) unsigned", nullable=False)
    assert canonical(column, stored(2**64 - 1)) == 2**64 - 1
    assert canonical(column, text) == text


def walked(target: SQLiteTarget) -> list[Found]:
    return [found for page in target.walk(CITIZEN) for found in page.found]
