"""`changeover explain`: each change of a key in the log, and what has become of it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from changeover.change import Op
from changeover.cli import app
from changeover.demo.server import PrivateMariaDB
from changeover.explain import Fate, Logged, fates
from changeover.version import Version
from tests.repair.planting import ONE_WORKER, Moved, moved
from tests.support.pipeline import Pipeline, schema_of

CREATE = "CREATE TABLE thing (id INT PRIMARY KEY, name VARCHAR(50), secret VARCHAR(50))"
FILL = "INSERT INTO thing VALUES (1, 'Ada', 'hidden'), (2, 'Ben', 'hidden'), (3, 'Cid', 'hidden')"
MASKED = '[masks]\nleave_out = ["*.thing.secret"]\n'


def at(offset: int, sequence: int) -> Logged:
    return Logged(offset, Op.UPDATE, Version.of_change(1, sequence), 0, None)


@pytest.mark.parametrize(
    ("logged", "committed", "held", "expected"),
    [
        ([at(0, 5)], 1, 5, [Fate.HELD]),
        ([at(0, 5), at(1, 6)], 2, 6, [Fate.SUPERSEDED, Fate.HELD]),
        ([at(0, 6), at(1, 5)], 2, 6, [Fate.HELD, Fate.STALE]),
        ([at(0, 5), at(1, 5)], 2, 5, [Fate.HELD, Fate.STALE]),
        ([at(0, 5), at(1, 6)], 1, 5, [Fate.HELD, Fate.WAITING]),
        ([at(0, 5), at(1, 6)], 2, 5, [Fate.HELD, Fate.NOT_HELD]),
        ([at(0, 5)], 1, None, [Fate.NOT_HELD]),
        ([at(0, 5), at(1, 6)], 2, 9, [Fate.SUPERSEDED, Fate.SUPERSEDED]),
        ([], 0, 9, []),
    ],
)
def test_a_change_has_a_fate(
    logged: list[Logged], committed: int, held: int | None, expected: list[Fate]
) -> None:
    version = None if held is None else Version.of_change(1, held)
    assert list(fates(logged, committed, version)) == expected


@pytest.fixture(scope="module")
def place(mariadb: PrivateMariaDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moved]:
    with pytest.MonkeyPatch.context() as patch, schema_of(mariadb, "explained", CREATE, FILL) as schema:
        patch.setattr("changeover.commands.explain.WAIT_S_MAX", 60.0)  # a busy consumer is no finding here
        pipeline = Pipeline(mariadb, schema, tmp_path_factory.mktemp("explained"), extra=MASKED + ONE_WORKER)
        with moved(pipeline) as place:
            yield place


def explained(place: Moved, key: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(shown(place.pipeline.config, place.table.full_name, key, "--json"))
    return found


def shown(config: Path, *arguments: str, status: int = 0) -> str:
    done = CliRunner().invoke(app, ["explain", *arguments, "--config", str(config)])
    assert done.exit_code == status, done.output
    return done.stdout


def test_a_key_is_shown_from_the_source_to_the_target(place: Moved) -> None:
    place.execute("UPDATE thing SET name = 'Grace' WHERE id = 1")
    place.pipeline.drain()
    found = explained(place, "1")
    assert found["source"]["row"] == found["target"]["body"] == {"id": 1, "name": "Grace"}
    assert [(change["op"], change["fate"]) for change in found["log"]["changes"]] == [
        ("r", "superseded"),
        ("u", "held"),
    ]
    assert found["log"]["changes"][1]["transaction"].startswith("0-")
    assert found["target"]["version"] == found["log"]["changes"][1]["version"]
    assert found["conclusion"].startswith("equal")


def test_the_picture_has_all_of_it_and_no_masked_value(place: Moved) -> None:
    place.execute("UPDATE thing SET name = 'Bob' WHERE id = 2")
    place.pipeline.drain()
    picture = shown(place.pipeline.config, place.table.full_name, '{"id": 2}')
    assert "hidden" not in picture
    for part in (
        'source  {"id":2,"name":"Bob"}',
        'target  {"id":2,"name":"Bob"}',
        "applied, and superseded since",
        "held: the target holds its version",
        "the binlog, epoch 1",
        "└─ equal",
    ):
        assert part in picture


def test_a_deleted_row_shows_its_marker(place: Moved) -> None:
    place.execute("DELETE FROM thing WHERE id = 3")
    place.pipeline.drain()
    found = explained(place, "3")
    assert (found["source"]["row"], found["target"]["holds"]) == (None, "marker")
    assert [change["fate"] for change in found["log"]["changes"]] == ["superseded", "held"]
    assert found["conclusion"].startswith("equal")


def test_a_row_that_is_missing_in_the_target_is_told_with_the_change_that_should_be_there(
    place: Moved,
) -> None:
    place.store.forget(place.table, place.key(2))
    found = explained(place, "2")
    assert found["target"]["holds"] == "nothing"
    assert {change["fate"] for change in found["log"]["changes"]} == {"not_held"}
    assert found["conclusion"].startswith("different")
    place.repair(2)
    assert explained(place, "2")["conclusion"].startswith("equal")


def test_a_target_ahead_of_the_source_is_called_so(place: Moved) -> None:
    held = place.held(1)
    assert held
    place.plant(1, held.body, Version(1, 2**50, 1))
    found = explained(place, "1")
    assert found["target"]["is_ahead"]
    assert found["conclusion"].startswith("ahead")
    place.repair(1, reason="a test")


def test_a_key_that_is_nowhere_is_told_as_equal_absence(place: Moved) -> None:
    found = explained(place, "77")
    assert (found["source"]["row"], found["target"]["holds"], found["log"]["changes"]) == (
        None,
        "nothing",
        [],
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("no.such", "1"), "no.such is no table of this pipeline"),
        (("{table}", "Ada"), "is no key"),
        (("{table}", '{"name": 1}'), "is no key"),
    ],
)
def test_what_there_is_not_is_refused_in_a_line(place: Moved, words: tuple[str, str], said: str) -> None:
    arguments = [word.replace("{table}", place.table.full_name) for word in words]
    done = CliRunner().invoke(app, ["explain", *arguments, "--config", str(place.pipeline.config)])
    assert done.exit_code == 1
    assert said in str(done.exception)
