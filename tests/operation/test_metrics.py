"""Metrics of real daemons that move a real schema: each documented one is there, and tells the truth."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from changeover.demo.server import PrivateMariaDB
from changeover.exits import OK
from changeover.metrics import names
from changeover.metrics.metric import Kind, Metric
from changeover.mysql.control import ControlSchema
from changeover.mysql.processes import report_process
from changeover.phase import Phase
from tests.operation.scraping import Scrape, addresses, asked
from tests.support.commands import said_by
from tests.support.pipeline import Pipeline, schema_of
from tests.support.processes import environment, wait_until

ROOT = Path(__file__).parents[2]
CHANGEOVER = str(Path(sys.executable).with_name("changeover"))
ROWS = 2_000
LISTENING = """
[metrics]
listen = "127.0.0.1:0"
[snapshot]
workers = 1
chunk_rows = 5
"""

TABLES = (
    "CREATE TABLE item (id INT PRIMARY KEY, name VARCHAR(40))",
    f"INSERT INTO item SELECT seq, CONCAT('name ', seq) FROM seq_1_to_{ROWS}",
)


@pytest.fixture(scope="module")
def moved(mariadb: PrivateMariaDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """A pipeline whose import is applied, with what each part said meanwhile."""
    with schema_of(mariadb, "measured", *TABLES) as schema:
        pipeline = Pipeline(mariadb, schema, tmp_path_factory.mktemp("measured"), extra=LISTENING)
        slow = said_by(pipeline.config, "throttle", "snapshot", "20")  # or it may be over before it is asked
        assert slow.returncode == OK, slow
        with pipeline:
            yield pipeline


@pytest.fixture(scope="module")
def scrapes(moved: Pipeline) -> dict[str, Scrape]:
    """A scrape of each part, taken while it ran: of the snapshot worker when it had copied something."""
    found: dict[str, Scrape] = {}

    def has_seen_the_import() -> bool:
        moved.supervisor.poll()
        address = addresses(moved.folder / "daemons.log").get("snapshot")
        if address:
            found["snapshot"] = Scrape(address)
        return "snapshot" in found and bool(found["snapshot"].value("changeover_snapshot_chunks_total"))

    assert wait_until(has_seen_the_import), moved.words()
    assert said_by(moved.config, "unthrottle").returncode == OK
    moved.until(lambda now: now.is_import_applied)
    with moved.connection() as connection:
        scanned = subprocess.run([CHANGEOVER, "verify", "--config", str(moved.config)], check=False)
        assert scanned.returncode == OK
        report = {"direct_writes": 5, "direct_failed": 1, "compared": 4, "compared_mismatch": 0, "puts": 3}
        report_process(ControlSchema(connection, "test"), "shop-1", "0.1.0", Phase.OLD, report)
        connection.execute(f"UPDATE {moved.schema}.item SET name = 'x' WHERE id <= 7")
    moved.drain()
    where = addresses(moved.folder / "daemons.log")
    assert wait_until(lambda: asked(where["capture"], "/readyz")[0] == 200), asked(
        where["capture"], "/readyz"
    )
    for name, value in (("captured_changes_total", 7), ("processes", 1), ("findings_open", 0)):
        assert wait_until(lambda: Scrape(where["capture"]).value(f"changeover_{name}") == value), name  # noqa: B023
    with serving(moved) as address:
        return (
            found | {part: Scrape(where[part]) for part in ("capture", "apply")} | {"serve": Scrape(address)}
        )


@contextmanager
def serving(moved: Pipeline) -> Iterator[str]:
    """`changeover serve` beside it; where it answers with its metrics."""
    log = moved.folder / "serve.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [CHANGEOVER, "serve", "--config", str(moved.config)],
            stdout=output,
            stderr=output,
            env=environment() | {"CHANGEOVER_PAGE__PORT": "0"},
        )
    try:
        assert wait_until(lambda: "serve" in addresses(log)), log.read_text()
        yield addresses(log)["serve"]
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.parametrize("part", names.EVERY)
def test_every_documented_metric_of_a_part_is_in_its_scrape_and_nothing_else(
    scrapes: dict[str, Scrape], part: str
) -> None:
    documented = {metric.name for metric in names.METRICS if part in metric.parts} | set(names.PROCESS)
    assert scrapes[part].names - documented == set()
    assert documented - scrapes[part].names - names.SOMETIMES == set()


def test_the_figures_are_those_of_what_was_moved(scrapes: dict[str, Scrape]) -> None:
    capture, apply = scrapes["capture"], scrapes["apply"]
    assert capture.value("changeover_capture_changes_total", pipeline="test", part="capture") == 7
    assert capture.value("changeover_captured_changes_total") == 7
    assert apply.value("changeover_apply_records_total") == ROWS + 7
    assert capture.value("changeover_import_copied_rows", table="measured.item") == ROWS
    assert capture.value("changeover_import_done", table="measured.item") == 1
    assert capture.value("changeover_import_applied") == 1
    assert capture.value("changeover_phase", phase="OLD") == 1
    assert capture.value("changeover_phase", phase="NEW") == 0
    assert capture.value("changeover_gate", gate="import", to="BOTH_READ_OLD") == 1
    assert capture.value("changeover_verdict", table="measured.item", state="clean") == 1
    assert 0 < (capture.value("changeover_verdict_age_seconds", table="measured.item") or 0) < 120
    assert capture.value("changeover_direct_writes_total", process="shop-1") == 5
    assert 0 < (capture.value("changeover_lag_seconds") or 0) < 60
    assert (apply.value("process_resident_memory_bytes") or 0) > 10_000_000


def test_a_name_says_what_kind_a_metric_is() -> None:
    with pytest.raises(ValueError, match="its name says something else"):
        Metric(name="changeover_eggs", kind=Kind.COUNTER, parts=(), help="Eggs.")
