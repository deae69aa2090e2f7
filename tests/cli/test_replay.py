"""`changeover replay`: the log applied again, into the same target or a fresh one, from any place."""

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import changeover.decide
import changeover.targets.sqlite
from changeover.decide import Outcome
from changeover.demo import oracle
from changeover.demo.broker import PrivateKafka
from changeover.demo.server import PrivateMariaDB
from changeover.exits import OK, REFUSED
from changeover.log import GroupProgress, History, writes_of
from changeover.log.kafka.history import KafkaHistory
from changeover.log.sqlite_reading import SQLiteHistory
from changeover.mysql.catalog import captured_tables
from changeover.progress import Offsets, has_passed
from changeover.replay import parse_from, replay, starts_of
from changeover.targets.sqlite import SQLiteTarget
from changeover.wiring import create_topics
from tests.support.pipeline import Pipeline, schema_of
from tests.support.processes import wait_until

CHANGEOVER = str(Path(sys.executable).with_name("changeover"))
TABLES = (
    "CREATE TABLE person (id INT PRIMARY KEY, name VARCHAR(50))",
    "INSERT INTO person SELECT seq, CONCAT('ž', seq) FROM seq_1_to_300",
    "CREATE TABLE visit (id INT PRIMARY KEY, at DATETIME(3) NOT NULL)",
    "INSERT INTO visit SELECT seq, '2024-02-29 12:00:00.123' FROM seq_1_to_50",
)
ROWS = 350
CHANGES = (
    "UPDATE person SET name = 'first' WHERE id <= 20",
    "DELETE FROM person WHERE id BETWEEN 100 AND 119",
    "UPDATE person SET name = 'second' WHERE id <= 10",
    "INSERT INTO visit VALUES (100, '2024-02-29 13:00:00')",
)
CHANGED = 20 + 20 + 10 + 1

Json = Mapping[str, Any]


class Moved:
    """A pipeline whose target is in step, and which still runs."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.folder = pipeline.folder

    def change(self, *statements: str) -> None:
        """As the application; the pipeline applies it."""
        with closing(self.pipeline.server.connect(database=self.pipeline.schema)) as client:
            for statement in statements:
                with client.cursor() as cursor:
                    cursor.execute(statement)
        self.pipeline.drain()

    def replay(self, *arguments: str, status: int = OK) -> str:
        """What `changeover replay` prints, beside the pipeline that runs."""
        done = subprocess.run(
            [CHANGEOVER, "replay", "--config", str(self.pipeline.config), *arguments],
            capture_output=True,
            text=True,
            cwd=self.folder,
            check=False,
            timeout=60,
        )
        assert done.returncode == status, done
        return done.stdout if status == OK else done.stderr

    def counts(self, *arguments: str) -> Json:
        """The same, for programs."""
        counts: Json = json.loads(self.replay("--json", *arguments))
        assert counts["records"] == counts["applied"] + counts["stale"]
        return counts

    def group(self) -> GroupProgress:
        """How far the running group is, at the end of each topic: Kafka's markers take offsets too."""
        with self.pipeline.open_log() as log:
            ends = ends_of(log.history())
            assert wait_until(lambda: has_passed(log.progress_of("apply").committed, ends))
            return log.progress_of("apply")

    def differences(self, target: str) -> int:
        """How many rows of the target differ from the source."""
        with closing(self.pipeline.server.connect()) as connection:
            tables = ("person", "visit")
            found = oracle.compare(connection, self.pipeline.schema, tables, self.folder / target)
            return found.difference_count

    def content(self, target: str = "target.db") -> list[list[tuple[Any, ...]]]:
        """All rows and versions that a target holds; tables are numbered as they come, so by their names."""
        versions = (
            "(SELECT name, key, version, deleted FROM changeover_version "
            "JOIN changeover_table ON changeover_table.id = table_id)"
        )
        with closing(sqlite3.connect(self.folder / target)) as file:
            tables = ("person", "visit", versions)
            return [file.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in tables]

    def version(self) -> str:
        """What is captured through."""
        with self.pipeline.open_log() as log:
            checkpoint = log.checkpoint()
        assert checkpoint
        return checkpoint.version.text


def ends_of(history: History) -> Offsets:
    """Where each partition ended when the history was made."""
    if isinstance(history, SQLiteHistory):
        return history._ends
    assert isinstance(history, KafkaHistory)
    return {partition: end for partition, (_, end) in history._held.items()}


@pytest.fixture(params=["sqlite", "kafka"])
def moved(request: pytest.FixtureRequest, mariadb: PrivateMariaDB, tmp_path: Path) -> Iterator[Moved]:
    log = "sqlite:log.db"
    if request.param == "kafka":
        broker: PrivateKafka = request.getfixturevalue("kafka")
        log = f"kafka://{broker.bootstrap}"
    with schema_of(mariadb, f"replayed_{request.param}", *TABLES) as schema:
        pipeline = Pipeline(mariadb, schema, tmp_path, log=log)
        if request.param == "kafka":
            with pipeline.connection() as connection:
                create_topics(pipeline.settings, captured_tables(connection))
        with pipeline:
            pipeline.until(lambda now: now.is_import_applied)
            moved = Moved(pipeline)
            moved.change(*CHANGES)
            yield moved


SQLITE = pytest.mark.parametrize("moved", ["sqlite"], indirect=True)


@pytest.fixture
def kafka() -> Iterator[PrivateKafka]:
    with PrivateKafka() as broker:
        yield broker


def test_a_replay_into_the_same_target_changes_nothing_and_moves_no_offset(moved: Moved) -> None:
    before, content = moved.group(), moved.content()
    assert moved.counts("--from", "offset:0") == {
        "records": ROWS + CHANGED,
        "applied": 0,
        "stale": ROWS + CHANGED,
    }
    assert moved.content() == content
    after = moved.group()
    assert (after.committed, after.records, after.stale) == (before.committed, before.records, before.stale)
    moved.change("DELETE FROM visit WHERE id = 1")
    assert moved.differences("target.db") == 0


@SQLITE
@pytest.mark.parametrize("has_guard", [True, False])
def test_only_the_guard_keeps_old_records_from_going_over_new_ones(
    moved: Moved, monkeypatch: pytest.MonkeyPatch, *, has_guard: bool
) -> None:
    if not has_guard:
        for module in (changeover.decide, changeover.targets.sqlite):
            monkeypatch.setattr(module, "decide", lambda _held, _new: Outcome.APPLIED)
    with moved.pipeline.open_log() as log, SQLiteTarget(moved.folder / "target.db", "test") as target:
        history = log.history()
        for batch in reversed(list(history.read(history.firsts(), 1))):
            target.write(list(writes_of(batch)))
    assert (moved.differences("target.db") == 0) == has_guard


def test_a_replay_from_the_first_record_makes_a_fresh_target_equal_to_the_source(moved: Moved) -> None:
    counts = moved.counts("--from", "offset:0", "--target", "sqlite:fresh.db")
    assert counts["records"] == ROWS + CHANGED
    assert moved.differences("fresh.db") == 0
    assert moved.content("fresh.db") == moved.content()
    assert moved.replay("--from", "offset:0", "--target", "sqlite:fresh.db") == (
        f"{ROWS + CHANGED} records read, 0 applied, {ROWS + CHANGED} stale\n"
    )


@SQLITE
def test_a_replay_of_one_table_leaves_the_others_alone(moved: Moved) -> None:
    schema = moved.pipeline.schema
    counts = moved.counts("--from", "offset:0", "--target", "sqlite:fresh.db", "--table", f"{schema}.visit")
    assert counts == {"records": 51, "applied": 51, "stale": 0}
    said = moved.replay("--from", "offset:0", "--table", f"{schema}.nobody", status=REFUSED)
    assert f"the log holds nothing of {schema}.nobody" in said
    assert said.count("\n") == 1


def test_a_replay_from_a_version_begins_with_its_transaction(moved: Moved) -> None:
    moved.change("UPDATE person SET name = 'before' WHERE id = 200")
    version = moved.version()
    moved.change("UPDATE person SET name = 'behind' WHERE id IN (201, 202)", "DELETE FROM visit WHERE id = 3")
    counts = moved.counts("--from", f"version:{version}", "--target", "sqlite:fresh.db")
    with closing(sqlite3.connect(moved.folder / "fresh.db")) as fresh:
        assert {201, 202} <= {row[0] for row in fresh.execute("SELECT id FROM person")}
    assert 3 <= counts["applied"] < ROWS


@SQLITE
def test_a_replay_from_a_time_begins_with_what_was_committed_then(moved: Moved) -> None:
    time.sleep(1.1)
    at = time.strftime("%Y-%m-%dT%H:%M:%S.999Z", time.gmtime())  # commits tell whole seconds
    moved.change("UPDATE person SET name = 'behind' WHERE id IN (201, 202)")
    counts = moved.counts("--from", f"timestamp:{at}", "--target", "sqlite:fresh.db")
    assert counts == {"records": 2, "applied": 2, "stale": 0}
    in_an_hour = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    assert moved.counts("--from", f"timestamp:{in_an_hour}")["records"] == 0


@SQLITE
def test_a_replay_from_records_that_are_gone_is_refused_and_from_later_ones_it_is_not(moved: Moved) -> None:
    version = moved.version()
    moved.change("UPDATE person SET name = 'third' WHERE id = 1", "UPDATE visit SET at = at WHERE id = 1")
    moved.pipeline.supervisor.stop()
    with closing(sqlite3.connect(moved.folder / "log.db")) as log, log:
        log.execute("DELETE FROM record WHERE offset < 30")
    for start in ("offset:0", "offset:29", "version:" + "0" * 32, "timestamp:2001-01-01T00:00:00Z"):
        said = moved.replay("--from", start, "--target", "sqlite:fresh.db", status=REFUSED)
        assert "the log no longer holds the first 30 records" in said
        assert said.count("\n") == 1
    assert not (moved.folder / "fresh.db").exists()
    assert moved.counts("--from", "offset:30")["applied"] == 0
    assert moved.counts("--from", f"version:{version}", "--table", f"{moved.pipeline.schema}.person")


@SQLITE
@pytest.mark.parametrize(
    ("start", "words"),
    [
        ("offset:-1", "no offset"),
        ("offset:", "names no place"),
        ("earliest", "names no place"),
        ("timestamp:2026-11-23T10:00:00", "time zone"),
        ("version:12", "no version"),
    ],
)
def test_what_is_no_place_in_the_log_is_refused_in_one_line(moved: Moved, start: str, words: str) -> None:
    said = moved.replay("--from", start, status=REFUSED)
    assert words in said
    assert said.count("\n") == 1


@SQLITE
def test_a_replay_reads_no_further_than_the_log_went_when_it_began(moved: Moved) -> None:
    with moved.pipeline.open_log() as log, SQLiteTarget(moved.folder / "fresh.db", "test") as fresh:
        history = log.history()
        starts = starts_of(history, parse_from("offset:0"))
        moved.change("UPDATE person SET name = 'later' WHERE id <= 7")
        assert replay(history, starts, fresh, 100).records == ROWS + CHANGED
