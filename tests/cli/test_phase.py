"""`changeover phase`: refused with every reason, moved and recorded, forced for ever, and back again."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from changeover.demo.server import PrivateMariaDB
from changeover.exits import DIFFERENT, OK, REFUSED, USAGE
from tests.support.accounts import run
from tests.support.commands import Said, said_by
from tests.support.pipeline import Pipeline, schema_of, write_settings

SETTINGS = """
[phases]
processes_min = 0
compared_min = 0
direct_success_percent_min = 0
lag_ms_max = 600_000
"""
"""Gates that hold, however busy the machine is."""


@pytest.fixture(scope="module")
def pipeline(mariadb: PrivateMariaDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    tables = ("CREATE TABLE item (id INT PRIMARY KEY)", "INSERT INTO item VALUES (1), (2)")
    with schema_of(mariadb, "phase_cli", *tables) as schema:
        folder = tmp_path_factory.mktemp("phase")
        with Pipeline(mariadb, schema, folder, extra=SETTINGS) as pipeline:
            pipeline.until(lambda now: now.is_import_applied and now.lag_ms is not None)
            yield pipeline


def phase(pipeline: Pipeline, *words: str) -> Said:
    return said_by(pipeline.config, "phase", *words)


def shown(pipeline: Pipeline) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(phase(pipeline, "show", "--json").stdout)
    return found


def test_before_the_pipeline_has_begun_there_is_nothing_to_move(
    mariadb: PrivateMariaDB, tmp_path: Path
) -> None:
    with schema_of(mariadb, "phase_none", "CREATE TABLE item (id INT PRIMARY KEY)") as schema:
        config = write_settings(mariadb, schema, tmp_path)
        done = said_by(config, "phase", "advance")
        assert done.returncode == REFUSED
        assert "pipeline test has not begun" in done.stderr
        assert said_by(config, "phase", "show").stdout == "OLD, move 0\n"
        assert run(mariadb, f"SHOW DATABASES LIKE '{schema}_control'") == ()


def test_what_a_shut_gate_asks_for_is_shown_whole_on_a_narrow_terminal(pipeline: Pipeline) -> None:
    strict = pipeline.config.with_name("strict.toml")
    strict.write_text(pipeline.config.read_text().replace("_min = 0", "_min = 1"))
    plan = said_by(strict, "phase", "plan")
    assert plan.returncode == DIFFERENT
    shut = [line for line in plan.stdout.splitlines() if line.startswith(" processes: 0 of at least 1 ")]
    assert shut, plan.stdout
    assert all(line.endswith("forgotten after phases.process_forgotten_h") for line in shut)


def test_the_way_there_and_back(pipeline: Pipeline) -> None:
    refused = phase(pipeline, "back")
    assert refused.returncode == REFUSED
    assert "OLD is the first phase" in refused.stderr

    first = phase(pipeline, "advance")
    assert (first.returncode, first.stdout) == (OK, "OLD -> BOTH_READ_OLD\n"), first.stdout + first.stderr

    pipeline.drain()  # the target has what was written in OLD
    # Nothing has been verified: the verdict's gate is shut, and says so. Each reason is there.
    shut = phase(pipeline, "advance")
    assert shut.returncode == DIFFERENT
    assert "it was never scanned to its end: changeover verify" in shut.stdout
    plan = phase(pipeline, "plan", "--json")
    assert plan.returncode == DIFFERENT
    ahead = json.loads(plan.stdout)
    assert [one["to"] for one in ahead] == ["BOTH_READ_NEW", "NEW"]
    assert [gate["name"] for gate in ahead[0]["gates"] if not gate["holds"]] == ["verdict"]
    assert {"verdict", "tx.changed", "fence"} <= {gate["name"] for gate in ahead[1]["gates"]}

    assert phase(pipeline, "advance", "--force", " ").returncode == USAGE
    forced = phase(pipeline, "advance", "--force", "the night of the move")
    assert forced.returncode == OK
    assert forced.stdout.splitlines() == [
        "BOTH_READ_OLD -> BOTH_READ_NEW",
        "forced against verdict: phase_cli.item: it was never scanned to its end",
    ]
    assert phase(pipeline, "back").stdout == "BOTH_READ_NEW -> BOTH_READ_OLD\n"

    assert said_by(pipeline.config, "verify").returncode == OK
    again = phase(pipeline, "advance", "--force", "not needed any more")
    assert (again.returncode, again.stdout) == (OK, "BOTH_READ_OLD -> BOTH_READ_NEW\n"), again.stdout

    now = shown(pipeline)
    assert (now["phase"], now["attempt"]) == ("BOTH_READ_NEW", 4)
    # A reason is kept where a gate was shut, and only there.
    assert [move["forced"] for move in now["moves"]] == [None, "the night of the move", None, None]
    told = phase(pipeline, "show").stdout
    assert "FORCED: the night of the move (against verdict)" in told
    verdict = next(gate for gate in now["moves"][-1]["evidence"] if gate["name"] == "verdict")
    assert verdict["holds"]
    assert verdict["figure"].startswith("clean, ")
