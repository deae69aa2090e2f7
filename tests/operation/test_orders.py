"""Orders to real daemons: they rest, slow down and go on as told, also when they are started anew."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from changeover.demo.server import PrivateMariaDB
from changeover.exits import OK, USAGE
from changeover.mysql.bounded import BoundedReader
from tests.operation.scraping import Scrape, addresses, asked
from tests.support.pipeline import Pipeline, schema_of
from tests.support.processes import wait_until as waited

CHANGEOVER = str(Path(sys.executable).with_name("changeover"))
ROWS = 5_000
SETTINGS = """
[metrics]
listen = "127.0.0.1:0"
[snapshot]
workers = 1
chunk_rows = 100
"""

TABLES = (
    "CREATE TABLE item (id INT PRIMARY KEY, name VARCHAR(40))",
    f"INSERT INTO item SELECT seq, CONCAT('name ', seq) FROM seq_1_to_{ROWS}",
)


class Ordered:
    """A pipeline, and who gives orders to it."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline

    def order(self, *words: str) -> str:
        """What a command says."""
        done = subprocess.run(
            [CHANGEOVER, *words, "--config", str(self.pipeline.config)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (OK, "")
        return done.stdout

    def status(self) -> Any:  # noqa: ANN401 - JSON
        return json.loads(self.order("status", "--json"))

    def change(self, name: str) -> None:
        """As the application."""
        with self.pipeline.connection() as connection:
            connection.execute(f"UPDATE {self.pipeline.schema}.item SET name = %s WHERE id <= 10", (name,))

    def address(self, part: str) -> str:
        return addresses(self.pipeline.folder / "daemons.log")[part]

    def is_paused(self, part: str) -> bool:
        self.pipeline.supervisor.poll()
        try:
            status, text = asked(self.address(part), "/readyz")
        except OSError:  # it was killed, and comes back
            return False
        return status == 503 and "paused since" in text

    def of_capture(self, name: str) -> float:
        return Scrape(self.address("capture")).value(f"changeover_{name}") or 0


def wait_until(condition: Callable[[], bool]) -> bool:
    """Whether the condition came to hold in time, on a busy machine too."""
    return waited(condition, 60)


@pytest.fixture(scope="module")
def ordered(mariadb: PrivateMariaDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ordered]:
    """A pipeline that began with a throttled import, which is told here by the time that it took."""
    with schema_of(mariadb, "ordered", *TABLES) as schema:
        pipeline = Pipeline(mariadb, schema, tmp_path_factory.mktemp("ordered"), extra=SETTINGS)
        ordered = Ordered(pipeline)
        assert ordered.order("throttle", "snapshot", "200").startswith(
            "snapshot: throttled to 200 rows/s by "
        )
        with pipeline:
            yield ordered


def test_a_throttled_import_takes_its_time_and_goes_fast_when_it_is_let_go(ordered: Ordered) -> None:
    pipeline = ordered.pipeline
    pipeline.until(lambda now: now.rows_copied > 0)
    began_s = time.monotonic()  # before the look that is counted from
    first = pipeline.until(lambda now: now.rows_copied > 0)
    pipeline.until(lambda now: now.rows_copied >= first.rows_copied + 400)
    assert time.monotonic() - began_s >= 1.0  # 400 at 200 a second, less the chunk that was half done
    assert Scrape(ordered.address("snapshot")).value("changeover_throttle_rows_per_second") == 200
    assert "throttled to 200 rows/s" in ordered.order("status")
    ordered.order("unthrottle")
    pipeline.until(lambda now: now.is_import_applied)
    assert ordered.status()["orders"] == []


def test_apply_that_is_paused_rests_also_when_it_is_started_anew_and_catches_up(ordered: Ordered) -> None:
    pipeline = ordered.pipeline
    pipeline.until(lambda now: now.is_import_applied)
    assert ordered.order("pause", "apply").startswith("apply: paused since ")
    assert wait_until(lambda: ordered.is_paused("apply"))
    before, address = ordered.status(), ordered.address("apply")
    assert [(order["part"], order["by"] != "") for order in before["orders"]] == [("apply", True)]

    ordered.change("while it rests")
    process = pipeline.supervisor.part("apply").process
    assert process is not None
    process.send_signal(signal.SIGKILL)
    assert wait_until(lambda: ordered.is_paused("apply") and ordered.address("apply") != address)
    pipeline.until(lambda now: now.changes_captured >= before["changes_captured"] + 10)
    assert asked(ordered.address("apply"), "/healthz") == (200, "healthy\n")  # to rest is no illness
    assert ordered.status()["records_applied"] == before["records_applied"]

    assert ordered.order("resume", "apply") == "apply: free\n"
    pipeline.drain()
    assert pipeline.compare("item").difference_count == 0


def test_capture_that_is_paused_reads_nothing_shows_its_lag_and_misses_nothing(ordered: Ordered) -> None:
    pipeline = ordered.pipeline
    pipeline.until(lambda now: now.is_import_applied)
    ordered.order("pause", "capture")
    assert wait_until(lambda: ordered.is_paused("capture"))
    before = pipeline.until(lambda _: True)
    ordered.change("unseen")
    with pipeline.connection() as connection:
        BoundedReader(connection, "test", "test").bound()
    lag_s = ordered.of_capture("lag_seconds")
    assert wait_until(lambda: ordered.of_capture("lag_seconds") > lag_s + 1)
    assert pipeline.until(lambda _: True).changes_captured == before.changes_captured
    ordered.order("resume")
    pipeline.drain()
    assert pipeline.compare("item").difference_count == 0


def test_capture_is_never_throttled(ordered: Ordered) -> None:
    asked_for = [CHANGEOVER, "throttle", "capture", "100", "--config", str(ordered.pipeline.config)]
    done = subprocess.run(asked_for, capture_output=True, text=True, check=False)
    assert done.returncode == USAGE
    assert ordered.status()["orders"] == []


def test_status_that_watches_says_a_line_a_look_where_there_is_no_terminal(ordered: Ordered) -> None:
    watching = [CHANGEOVER, "status", "--watch", "--every-s", "0.2", "--config", str(ordered.pipeline.config)]
    with subprocess.Popen(watching, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == OK
    assert all(f"copied {ROWS:,} of {ROWS:,}" in line and "lag " in line for line in lines)
