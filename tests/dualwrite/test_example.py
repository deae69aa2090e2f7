"""The example of a web application goes through all phases, beside its pipeline, and no request fails."""

import itertools
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from changeover.demo.private import free_ports
from changeover.demo.server import PrivateMariaDB
from changeover.mysql.control import ControlSchema
from changeover.phase import Phase
from changeover.phases.operator import Operator
from changeover.riak.client import Client
from changeover.settings import Settings
from changeover.targets.riak.control import Control
from tests.riak.double.running import running
from tests.support.accounts import run
from tests.support.pipeline import Pipeline
from tests.support.processes import environment, wait_until
from tests.support.ward import TABLE, Ward

EXAMPLE = Path(__file__).parents[2] / "examples/fastapi_app"


@contextmanager
def riak() -> Iterator[str]:
    """The settings of a Riak that was found to order writes."""
    with running(3) as double:
        with Client(double.access) as client:
            Control(client, "test", "plain3", "merge").keep_proof("3.2.3", {"by": "the tests of the proof"})
        nodes = ",".join(str(node.address) for node in double.nodes)
        yield f'url = "riak://{nodes}"\nbucket_type = "plain3"'


@contextmanager
def sqlite() -> Iterator[str]:
    """The settings of a file."""
    yield 'url = "sqlite:target.db"'


TARGETS = {"sqlite": sqlite, "riak": riak}


@pytest.fixture(params=TARGETS)
def web(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[httpx.Client, Ward, Pipeline]]:
    # A database server of its own, since the way into NEW freezes it.
    with PrivateMariaDB() as server, TARGETS[request.param]() as target:
        run(server, "CREATE DATABASE clinic", "USE clinic", TABLE)
        ward = Ward(server, "clinic", tmp_path)
        parts = ("capture", "snapshot-1", "apply")
        with Pipeline(server, "clinic", tmp_path, parts=parts, target=target) as pipeline:
            ward.settings(target=target)
            pipeline.until(lambda now: now.is_import_applied)
            with served(tmp_path / "changeover.toml") as client:
                yield client, ward, pipeline


@contextmanager
def served(config: Path) -> Iterator[httpx.Client]:
    """A browser, and uvicorn with two processes of the example behind it."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(EXAMPLE), "clinic:app", "--workers", "2"]
    server = subprocess.Popen(
        [*command, "--port", str(port), "--log-level", "warning"],
        env=environment() | {"CHANGEOVER_CONFIG": str(config)},
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            assert wait_until(lambda: answers(client))
            yield client
    finally:
        server.terminate()
        server.wait(60)


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/prescriptions/0").status_code == 404
    except httpx.TransportError:
        return False


def advance(pipeline: Pipeline) -> Phase:
    """One step of the operator, who has his reasons: the example has run for seconds, and not for days."""
    settings = Settings.load(pipeline.config)
    with pipeline.connection() as connection, pipeline.open_log() as log:
        operator = Operator(settings, ControlSchema(connection, "test"), log)
        answer = operator.advance("the example is in a hurry")
    assert answer.is_made, answer.why
    return answer.state.phase


def test_the_example_goes_through_all_phases_without_a_failed_request(
    web: tuple[httpx.Client, Ward, Pipeline],
) -> None:
    client, ward, pipeline = web
    numbers = itertools.count(1)
    came_from: dict[str, str] = {}
    phase = Phase.OLD
    while True:
        came_from[phase] = use(client, next(numbers))
        if phase is Phase.NEW:
            break
        phase = advance(pipeline)
        ward.after_lease()
    assert came_from == {"OLD": "old", "BOTH_READ_OLD": "old", "BOTH_READ_NEW": "new", "NEW": "new"}
    assert ward.run("SELECT count(*) FROM prescription") == [(3,)]  # NEW has left the old database alone
    for number in range(1, next(numbers)):
        assert client.get(f"/prescriptions/{number}").json()["note"] == "twice"


def use(web: httpx.Client, number: int) -> str:
    """Write, read, change, delete as a user does; where the last answer came from."""
    place = f"/prescriptions/{number}"
    assert web.put(place, json={"dose": "2.5", "note": "once"}).status_code == 204
    assert web.get(place).json() == {"dose": "2.500", "note": "once"}
    assert web.delete(place).status_code == 204
    assert web.get(place).status_code == 404
    assert web.put(place, json={"dose": "2.5", "note": "twice"}).status_code == 204
    found = web.get(place)
    assert found.json() == {"dose": "2.500", "note": "twice"}
    return str(found.headers["x-origin"])
