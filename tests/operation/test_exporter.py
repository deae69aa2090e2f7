"""Figures of the pipeline while source or log are away: the unknown is not shown, and lag grows on."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from changeover.daemon import Duty
from changeover.demo.server import PrivateMariaDB
from changeover.exporter import Exporter
from changeover.figures import Figures, of_pipeline
from changeover.metrics import names
from changeover.metrics.metric import Metric
from changeover.settings import Settings
from changeover.status import Status
from tests.support.pipeline import Pipeline, schema_of, write_settings
from tests.support.processes import wait_until

EXTRA = '[metrics]\nlisten = "127.0.0.1:0"\nbehind_s = 4\n'


def now_ms() -> int:
    """The clock of this machine, which is the server's too."""
    return time.time_ns() // 1_000_000


def values(exporter: Exporter) -> dict[Metric, float]:
    """What a scrape has of metrics without labels."""
    return {metric: value for metric, labels, value in exporter._samples() if not labels}


def test_where_the_source_never_answered_nothing_is_shown_and_the_reason_is_told(
    mariadb: PrivateMariaDB, tmp_path: Path
) -> None:
    config = write_settings(mariadb, "away", tmp_path, extra=EXTRA)
    config.write_text(config.read_text().replace(f":{mariadb.port}", ":1"))
    duty = Duty(Settings.load(config), "capture", lambda: False)
    duty.health.rounds = 1
    exporter = Exporter(duty.settings)
    with exporter.telling(duty):
        assert wait_until(lambda: values(exporter)[names.OBSERVATION_FAILURES] > 0)
        assert set(values(exporter)) == {names.OBSERVATION_FAILURES}
        away, unknown = duty.health.unreadiness()
    assert away.startswith("the source at root@127.0.0.1:1 did not answer")
    assert unknown == "how far it is behind is not known yet"
    assert list(duty.health.unreadiness()) == []  # nobody asks it any more


@pytest.fixture
def moved(tmp_path: Path) -> Iterator[Pipeline]:
    """A pipeline on a server of its own, in step."""
    with (
        PrivateMariaDB() as server,
        schema_of(server, "away", "CREATE TABLE item (id INT PRIMARY KEY)") as schema,
        Pipeline(server, schema, tmp_path, extra=EXTRA) as pipeline,
    ):
        pipeline.until(lambda now: now.is_import_applied)
        pipeline.drain()
        yield pipeline
        server.resume()


def test_while_the_source_stands_still_lag_grows_and_capture_is_behind(moved: Pipeline) -> None:
    duty = Duty(moved.settings, "capture", lambda: False)
    duty.health.rounds = 1
    exporter = Exporter(moved.settings)
    exporter.captured_ms = lambda: None
    with exporter.telling(duty):
        assert wait_until(lambda: names.LAG in values(exporter))
        exporter.captured_ms = now_ms
        assert wait_until(lambda: list(duty.health.unreadiness()) == [])
        moved.server.pause()
        captured_ms, lag_s = now_ms(), values(exporter)[names.LAG]
        exporter.captured_ms = lambda: captured_ms
        assert wait_until(lambda: values(exporter)[names.LAG] > lag_s + 4)
        assert wait_until(lambda: values(exporter)[names.CAPTURE_LAG] > 4)
        assert any(reason.startswith("behind the source by ") for reason in duty.health.unreadiness())
        moved.server.resume()


def test_lag_is_split_at_the_log_and_never_below_zero() -> None:
    status = Status(
        now_ms=100_000,
        orders=(),
        tables=(),
        changes_captured=5,
        records_applied=3,
        stale=1,
        captured_through=None,
        applied_through=None,
        lag_ms=4_000,
        is_import_logged=True,
        is_import_applied=True,
    )
    figures = Figures(status=status, log_kept_s=3_600)
    found = {metric: value for metric, _, value in of_pipeline(figures, 0.5, captured_ms=98_000)}
    assert (found[names.LAG], found[names.CAPTURE_LAG], found[names.APPLY_LAG]) == (4.5, 2.5, 2.0)
    assert found[names.LOG_RETENTION] == 3_600 - 4.5
    later = {metric: value for metric, _, value in of_pipeline(figures, 0.0, captured_ms=101_000)}
    assert later[names.CAPTURE_LAG] == 0
    unknown = {metric for metric, _, _ in of_pipeline(figures, 0.0, captured_ms=None)}
    assert names.LAG in unknown
    assert not {names.CAPTURE_LAG, names.APPLY_LAG} & unknown
