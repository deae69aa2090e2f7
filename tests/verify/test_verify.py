"""`changeover verify` on real servers: what it finds, what it says, and where it goes on."""

import json
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest
from typer.testing import CliRunner, Result

from changeover.cli import app
from changeover.demo.sql import SQLServer
from changeover.verify.findings import Kind
from changeover.verify.verdicts import State
from changeover.verify.verifier import Verifier, verifying
from tests.support.pipeline import Pipeline
from tests.support.processes import environment, wait_until
from tests.verify.moved import moved, target_file

CITIZENS = (
    "CREATE TABLE citizen (id INT PRIMARY KEY, name VARCHAR(50), height DOUBLE, photo BLOB)",
    """INSERT INTO citizen SELECT n, CONCAT('citizen ', n), 0e0, CHAR(n) FROM (
        WITH RECURSIVE counted AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM counted WHERE n < 950)
        SELECT n FROM counted) numbers""",
)


@pytest.fixture(scope="module")
def pipeline(mariadb: SQLServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    with moved(mariadb, tmp_path_factory.mktemp("moved"), CITIZENS) as pipeline:
        yield pipeline


@pytest.fixture
def verifier(pipeline: Pipeline) -> Iterator[Verifier]:
    with verifying(pipeline.settings) as verifier:
        yield verifier


def plant(pipeline: Pipeline, *statements: str) -> None:
    """Do to the target what nobody should."""
    with target_file(pipeline) as connection:
        for statement in statements:
            assert connection.execute(statement).rowcount == 1, statement


def run(pipeline: Pipeline, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--config", str(pipeline.config)])


def test_a_move_that_is_right_is_clean(pipeline: Pipeline) -> None:
    done = run(pipeline, "verify", "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)["whole"]
    assert (said["state"], said["rows"], said["findings_open"]) == ("clean", 950, 0)


def test_each_kind_of_difference_is_found_with_its_columns_and_closed_once_it_is_mended(
    pipeline: Pipeline, verifier: Verifier
) -> None:
    whole = (pipeline.folder / "target.db").with_name("whole.db")
    with (
        closing(sqlite3.connect(pipeline.folder / "target.db")) as before,
        closing(sqlite3.connect(whole)) as copy,
    ):
        before.backup(copy)
    version = "(SELECT version FROM changeover_version WHERE key = CAST('{\"id\":5}' AS BLOB))"
    plant(
        pipeline,
        "UPDATE citizen SET name = 'somebody else' WHERE id = 7",
        "UPDATE citizen SET height = -1 * height WHERE id = 8",
        "UPDATE citizen SET photo = CAST(photo AS TEXT) WHERE id = 9",
        "UPDATE citizen SET name = CAST(x'FF' || substr(name, 2) AS TEXT) WHERE id = 11",  # no UTF-8
        "DELETE FROM citizen WHERE id = 300",
        "INSERT INTO citizen VALUES (5000, 'extra', 0, NULL)",
        f"INSERT INTO changeover_version SELECT table_id, CAST('{{\"id\":5000}}' AS BLOB), {version}, 0 "
        "FROM changeover_version LIMIT 1",
        "INSERT INTO citizen VALUES (6000, 'foreign', 0, NULL)",
        "UPDATE changeover_version SET version = '000000017000000000000000ffffffff' "
        "WHERE key = CAST('{\"id\":10}' AS BLOB)",
    )
    (verdict,) = verifier.scan(verifier.tables)
    found = {finding.key: (finding.kind, finding.columns) for finding in verifier.findings.open()}
    assert found == {
        b'{"id":7}': (Kind.DIFFERENT, ("name",)),
        b'{"id":8}': (Kind.DIFFERENT, ("height",)),
        b'{"id":9}': (Kind.DIFFERENT, ("photo",)),
        b'{"id":11}': (Kind.DIFFERENT, ("name",)),
        b'{"id":300}': (Kind.MISSING, ()),
        b'{"id":5000}': (Kind.EXTRA, ()),
        b'{"id":6000}': (Kind.NO_PROVENANCE, ()),
        b'{"id":10}': (Kind.AHEAD, ()),
    }
    assert (verdict.state, verdict.findings_open) == (State.DIFFERENCES, 8)
    assert run(pipeline, "verify").exit_code == 1
    with (
        closing(sqlite3.connect(whole)) as copy,
        target_file(pipeline) as target,
    ):
        copy.backup(target)
    (mended,) = verifier.scan(verifier.tables)
    assert (mended.state, mended.findings_open) == (State.CLEAN, 0)


def test_over_and_over_it_goes_on_until_it_is_asked_to_stop(pipeline: Pipeline, verifier: Verifier) -> None:
    (before,) = verifier.verdicts.now()
    command = [sys.executable, "-m", "changeover", "verify", "--continuous", "--rate", "5000"]
    process = subprocess.Popen(
        [*command, "--config", str(pipeline.config)], stdout=subprocess.PIPE, text=True, env=environment()
    )
    assert wait_until(lambda: verifier.verdicts.now()[0].judged_at_ms != before.judged_at_ms)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert re.search(r"moved\.citizen +clean +950 ", output)
