"""An independent witness, Riak's own client of 2016: it reads what we write, and writes as applications."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from changeover.errors import UnversionedObject
from changeover.mapping import Rules
from changeover.riak.access import Access
from changeover.targets.riak.fitness import Way
from changeover.version import Version
from tests.contracts.target import change, delete, put
from tests.riak.objects import Place, place_in

PYTHON = Path(__file__).parents[2] / ".venv-witness" / "bin" / "python"
SCRIPT = Path(__file__).with_name("witness.py")

both_ways = pytest.mark.parametrize("way", ["merge", "siblings"])


class Witness:
    """The witness's process."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self, do: str, place: Place, **said: str) -> Any:  # noqa: ANN401 - whatever it answers
        bucket = place.bucket()
        line = {"do": do, "type": bucket.type.decode(), "bucket": bucket.name.decode(), **said}
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def sees(self, place: Place, key: str = "1") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("get", place, key=key)["siblings"]
        return found


@pytest.fixture(scope="module")
def witness(access: Access) -> Iterator[Witness]:
    assert PYTHON.exists(), "make .venv-witness/requirements-witness.installed"
    host, port = access.nodes[0]
    with subprocess.Popen(
        [PYTHON, SCRIPT, host, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Witness(process)
        process.kill()


@both_ways
def test_it_reads_what_we_wrote(access: Access, witness: Witness, way: Way) -> None:
    place = place_in(access, way, citizen=Rules(index=("name", "id")))
    with place.open() as target:
        target.write([put(1, change(5), "Åse")._replace(position="0-1-5")])
    assert witness.sees(place) == [
        {
            "value": '{"id":1,"name":"Åse"}',
            "content_type": "application/json",
            "metadata": {"changeover-version": change(5).text, "changeover-position": "0-1-5"},
            "indexes": [["id_int", 1], ["name_bin", "Åse"]],
        }
    ]
    assert witness.ask("find", place, index="name_bin", value="Åse") == {"keys": ["1"]}


@both_ways
def test_it_sees_what_says_that_a_row_is_gone(access: Access, witness: Witness, way: Way) -> None:
    place = place_in(access, way)
    with place.open() as target:
        target.write([put(1, change(5)), delete(1, change(6))])
    (seen,) = witness.sees(place)
    assert seen["value"] == ""
    assert seen["metadata"]["changeover-deleted"] == "true"


def test_after_it_has_overwritten_an_object_late_and_repeated_ordered_writes_are_dropped(
    access: Access, witness: Witness
) -> None:
    place = place_in(access)
    with place.open() as target:
        target.write([put(1, Version.of_read(1, 5)), delete(2, change(5))])
        for key in ("1", "2"):
            witness.ask("overwrite", place, key=key, value="the application's")
        target.write([put(1, change(4), "late"), put(2, change(4), "late")])
        target.write([put(1, change(5), "late"), delete(2, change(5))])
        target.write([put(1, Version.of_read(1, 5))])
    for key in ("1", "2"):
        assert [seen["value"] for seen in witness.sees(place, key)] == ["the application's"]


def test_what_it_has_overwritten_by_siblings_is_no_longer_ours_to_write(
    access: Access, witness: Witness
) -> None:
    place = place_in(access, "siblings")
    with place.open() as target:
        target.write([put(1, change(5))])
        witness.ask("overwrite", place, key="1", value="the application's")
        with pytest.raises(UnversionedObject):
            target.write([put(1, change(4), "late")])
    assert [seen["value"] for seen in witness.sees(place)] == ["the application's"]


@both_ways
def test_what_it_had_written_before_gives_way_where_it_is_adopted(
    access: Access, witness: Witness, way: Way
) -> None:
    place = place_in(access, way)
    witness.ask("overwrite", place, key="1", value="of another tool")
    with place.open() as target, pytest.raises(UnversionedObject):
        target.write([put(1, change(5))])
    with place.open(adopt=True) as target:
        target.write([put(1, change(5))])
    assert [seen["value"] for seen in witness.sees(place)] == ['{"id":1,"name":"Ada"}']
