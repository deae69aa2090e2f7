"""`changeover repair`, as an operator uses it."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from changeover.demo.server import PrivateMariaDB
from changeover.exits import DIFFERENT, OK, REFUSED, UNAVAILABLE
from changeover.mysql.control import TABLES as TABLES_OF_CONTROL
from changeover.version import Version
from tests.repair.planting import ONE_WORKER, Moved, moved
from tests.support.pipeline import Pipeline, schema_of, write_settings

CHANGEOVER = Path(sys.executable).with_name("changeover")
TABLES = (
    "CREATE TABLE thing (id INT PRIMARY KEY, name VARCHAR(50), data LONGBLOB)",
    "INSERT INTO thing SELECT seq, CONCAT('ž', seq), NULL FROM seq_1_to_50",
    "CREATE TABLE person (cpr CHAR(11) PRIMARY KEY, name VARCHAR(50))",
    "INSERT INTO person VALUES ('010125-0000', 'Ada')",
)
MASKED = '[masks]\nhash = ["*.person.cpr"]\nsecret = "sixteen letters or more"\n'
BLOB_BYTES = 16_777_216


@pytest.fixture(scope="module")
def place(mariadb: PrivateMariaDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moved]:
    with schema_of(mariadb, "mended", *TABLES) as schema:
        pipeline = Pipeline(mariadb, schema, tmp_path_factory.mktemp("mended"), extra=MASKED + ONE_WORKER)
        with moved(pipeline) as place:
            yield place


def repair(place: Moved, *words: str, status: int = OK) -> str:
    """What the command prints; where it fails, its line."""
    command = [str(CHANGEOVER), "repair", *words, "--config", str(place.pipeline.config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == status, done
    return done.stdout if status in {OK, DIFFERENT} else done.stderr


def spoil(place: Moved, number: int) -> None:
    held, row = place.held(number), place.row(number)
    assert held
    assert row
    place.plant(number, {**row, "name": "wrong"}, held.version)


def everything(place: Moved) -> list[Any]:
    """All that the control schema, the log and the target hold, heartbeats included."""
    found: list[Any] = []
    for name in ("log.db", "target.db"):
        with closing(sqlite3.connect(place.pipeline.folder / name)) as file:
            found.append(list(file.iterdump()))
    with place.pipeline.connection() as connection:
        for table in TABLES_OF_CONTROL:
            schema = f"{place.pipeline.schema}_control"
            found.append(connection.query(f"SELECT * FROM {schema}.{table}"))
    return found


def test_without_findings_there_is_nothing_to_do(place: Moved) -> None:
    assert place.verify() == []
    assert "nothing to repair" in repair(place)
    assert json.loads(repair(place, "--json")) == {}


def test_all_open_findings_are_mended_and_closed(place: Moved) -> None:
    for number in (1, 2, 3):
        spoil(place, number)
    assert len(place.verify()) == 3
    said = repair(place)
    assert "mended.thing: rows written 3, deleted 0, replaced first 0; equal now 3" in said
    assert place.findings.open() == []
    assert place.verify() == []


def test_a_finding_or_a_key_or_a_table_may_be_named(place: Moved) -> None:
    for number in (4, 5, 6):
        spoil(place, number)
    first = place.verify()[0]
    assert json.loads(repair(place, "--finding", str(first.number), "--json"))["mended.thing"]["equal"] == 1
    assert len(place.findings.open()) == 2
    repair(place, "--table", "mended.thing", "--key", "5", "--key", '{"id": 6}')
    assert place.findings.open() == []
    spoil(place, 4)
    place.verify()
    repair(place, "--table", "mended.thing")
    assert place.verify() == []


def test_a_dry_run_says_what_would_be_written_and_touches_nothing(
    mariadb: PrivateMariaDB, tmp_path: Path
) -> None:
    with schema_of(mariadb, "dry", *TABLES) as schema:
        pipeline = Pipeline(mariadb, schema, tmp_path, extra=ONE_WORKER)
        with moved(pipeline) as place:
            spoil(place, 7)
            row = place.row(7)
            assert row
            place.plant(900, {**row, "id": 900}, Version.of_change(1, 1))
            place.plant(8, {**row, "id": 8}, Version(1, 2**50, 1))
            place.store.put_foreign(place.table, place.key(9), {**row, "id": 9})
            place.verify()
            place.pipeline.drain()
        before = everything(place)
        said = repair(place, "--dry-run").splitlines()
        plain = json.loads(repair(place, "--dry-run", "--json"))
        assert everything(place) == before
    assert {(json.loads(one["key"])["id"], one["write"], one["how"]) for one in plain} == {
        (7, "row", "log"),
        (8, "row", "ahead"),
        (9, "row", "replace"),
        (900, "delete", "log"),
    }
    assert len(said) == 4
    assert any('{"id":900}: delete: the source has no such row, through the log' in line for line in said)


def test_what_is_ahead_is_left_with_a_line_and_overwritten_with_a_reason(place: Moved) -> None:
    row = place.row(10)
    place.plant(10, row, Version(1, 2**50, 1))
    place.verify()
    said = repair(place, status=DIFFERENT)
    assert '{"id":10}: left as it is: what the target holds is ahead of the source (see --force)' in said
    repair(place, "--force", "ticket 18")
    assert place.verify() == []
    assert place.forced_writes()[-1].reason == "ticket 18"
    assert "@" in place.forced_writes()[-1].who


def test_a_large_blob_that_was_cut_off_is_mended(place: Moved) -> None:
    place.execute(f"UPDATE thing SET data = REPEAT(x'ff', {BLOB_BYTES}) WHERE id = 11")
    place.pipeline.drain()
    held, row = place.held(11), place.row(11)
    assert held
    assert row
    place.plant(11, {**row, "data": b"\xff" * (BLOB_BYTES - 1)}, held.version)
    assert [(found.key, found.columns) for found in place.verify()] == [(place.key(11), ("data",))]
    repair(place)
    assert place.verify() == []
    place.execute("UPDATE thing SET data = NULL WHERE id = 11")
    place.pipeline.drain()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--finding", "999"), "there is no finding 999"),
        (("--finding", "1", "--table", "mended.thing"), "a finding has a table and a key of its own"),
        (("--key", "1"), "--key is of one table"),
        (("--table", "no.such"), "no.such is no table of this pipeline"),
        (("--table", "mended.thing", "--key", "Ada"), "Ada is no key of mended.thing"),
        (("--table", "mended.person", "--key", "010125-0000"), "masks hide the key of mended.person"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_line_and_nothing_is_written(
    place: Moved, words: tuple[str, ...], said: str
) -> None:
    line = repair(place, *words, status=REFUSED)
    assert said in line
    assert "Traceback" not in line
    assert line.count("\n") == 1


def test_a_pipeline_that_never_began_has_nothing_to_repair(mariadb: PrivateMariaDB, tmp_path: Path) -> None:
    with schema_of(mariadb, "never", *TABLES) as schema:
        config = write_settings(mariadb, schema, tmp_path)
        done = subprocess.run(
            [str(CHANGEOVER), "repair", "--config", str(config)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == REFUSED
    assert "has not begun" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["changeover.toml"]


def test_where_no_consumer_runs_the_wait_ends_and_the_repair_is_applied_later(
    mariadb: PrivateMariaDB, tmp_path: Path
) -> None:
    with schema_of(mariadb, "stopped", *TABLES) as schema:
        with moved(Pipeline(mariadb, schema, tmp_path, extra=ONE_WORKER)) as place:
            spoil(place, 12)
            place.verify()
        write_settings(mariadb, schema, tmp_path, extra=ONE_WORKER + "[verify]\nwait_s_max = 2\n")
        line = repair(place, status=UNAVAILABLE)
        assert "the repair is in the log" in line
        assert "changeover status" in line
        with moved(Pipeline(mariadb, schema, tmp_path, extra=ONE_WORKER)) as place:
            assert place.verify() == []
