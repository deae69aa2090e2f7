"""Each alert fired by its cause: real daemons, scraped by a real Prometheus with the delivered rules.

The rules are made faster by `hastened.py`, which says how; `test_rules.py` has them as they are. Three
pipelines are told at once, each its own story, and the dashboard is asked about them meanwhile.
"""

import itertools
import signal
from dataclasses import dataclass

import pytest

from changeover.demo.broker import PrivateKafka
from changeover.demo.server import PrivateMariaDB
from changeover.doctor.riak import riak_findings
from changeover.finding import refusals
from changeover.metrics import names
from changeover.mysql.catalog import captured_tables
from changeover.mysql.connection import Connection
from changeover.wiring import create_topics
from tests.alerts.asked import Dashboard
from tests.alerts.play import Story, Teller, Wait, play
from tests.alerts.prometheus import Alerts, rules, watching
from tests.alerts.watched import Watched
from tests.deploy.dashboard import Query, queries
from tests.riak.double.node import Node
from tests.riak.double.running import running
from tests.riak.objects import TYPES as BUCKET_TYPES

pytestmark = pytest.mark.timeout(1_800)  # a minute as a rule; the time is that of the first test's fixture

OF_KAFKA = [query for query in queries() if names.LOG_RETENTION.name in query.expr]
OF_ANY = [query for query in queries() if query not in OF_KAFKA]
"""What the dashboard asks: only of a pipeline with Kafka is there everything."""

CRASHES = 3
"""The rule wants more than three starts anew; the story has one before."""

WIDE = 45
WIDE_ROWS = f"INSERT INTO {{0}}.t SELECT 1000 + seq, 'x', REPEAT('x', 2000000) FROM {{0}}.seq_1_to_{WIDE}"
"""A transaction of 90 MB: with it in memory, a daemon takes some 250 MB in place of 70."""


def parts_that_fail(watched: Watched, alerts: Alerts) -> Story:
    """What becomes of the daemons: never started, gone, kept waiting, full, killed, stopped."""
    prometheus = alerts.prometheus
    with watched:
        watched.start("capture", "snapshot-1")
        yield alerts.fire("ChangeoverLagUnknown")  # nobody applies anything yet
        watched.start("apply")
        yield watched.in_step(prometheus)
        yield alerts.end()

        watched.end("apply")
        yield alerts.fire("ChangeoverPartGone", "ChangeoverBehind")
        watched.execute(WIDE_ROWS.format(watched.name))
        captured = f'changeover_captured_changes_total{{pipeline="{watched.name}"}}'
        yield Wait("the wide rows to be in the log", lambda: (prometheus.value(captured) or 0) >= WIDE)

        # Halted with all of them in memory, and somebody holds the target when it goes on.
        yield from watched.start_halting("apply", at="apply.polled")
        with watched.locked_target():
            watched.go_on("apply")
            yield alerts.fire("ChangeoverStalled", "ChangeoverMemory")
        # How much of its memory a process gives back is up to the C library.
        yield alerts.end(but="ChangeoverMemory")

        for _ in range(CRASHES):
            yield from watched.crash("apply", prometheus)
        yield alerts.fire("ChangeoverRestarts")

        watched.execute(f"ALTER TABLE {watched.name}.t ADD w INT")
        yield alerts.fire("ChangeoverStopped")


def application_that_goes_wrong(watched: Watched, alerts: Alerts, dashboard: Dashboard) -> Story:
    """What becomes of the move: the application depends on the new database, and that is not right."""
    with watched:
        watched.start("capture", "snapshot-1", "apply")
        yield watched.in_step(alerts.prometheus)
        yield alerts.end()
        yield from watched.command("verify")
        yield from watched.command("phase", "advance", "--force", "a rehearsal")
        with watched.application() as change:
            watched.meanwhile = change
            yield dashboard.answered(watched.name, OF_ANY)
            yield alerts.fire("ChangeoverVerdictOld")
            yield alerts.end(but="ChangeoverVerdictOld")

            change("wrong value")
            yield alerts.fire("ChangeoverAnswersDiffer")
            with watched.locked_target():
                yield alerts.fire("ChangeoverDirectWritesFail")
            watched.meanwhile = lambda: None
        yield alerts.fire("ChangeoverProcessSilent")

        watched.falsify()
        yield from watched.command("verify", status=1)
        yield alerts.fire("ChangeoverDifferences")

        yield from watched.command("phase", "advance", "--force", "a rehearsal")
        fenced = ("phase", "advance", "--force", "a rehearsal")
        yield from watched.command(*fenced, status=-signal.SIGKILL, crash="phase.frozen:1:kill")
        yield alerts.fire("ChangeoverFenceLeft")
        yield from watched.command("phase", "back")


def outside_that_fails(
    watched: Watched, alerts: Alerts, dashboard: Dashboard, broker: PrivateKafka, node: Node
) -> Story:
    """What becomes of source, log and target: they forget too soon, hang up, and fall silent."""
    keys = itertools.count(1_000)
    insert = f"INSERT INTO {watched.name}.t VALUES ({{}}, 'x', NULL)"
    with watched.server, broker, watched:  # their start is long: the other stories wait meanwhile anyway
        with Connection(watched.settings.source) as connection:
            tables = captured_tables(connection)
        create_topics(watched.settings, tables)
        assert not refusals(riak_findings(watched.settings, tables))
        watched.start("capture", "snapshot-1", "apply")
        yield watched.in_step(alerts.prometheus)
        yield alerts.end()
        yield dashboard.answered(watched.name, OF_KAFKA)

        watched.execute("SET GLOBAL binlog_expire_logs_seconds = 3600")
        yield alerts.fire("ChangeoverBinlogRunsOut")
        watched.execute("SET GLOBAL binlog_expire_logs_seconds = 0")
        yield alerts.end()

        watched.end("apply", by=signal.SIGTERM)
        yield alerts.fire("ChangeoverLogRunsOut")
        watched.start("apply")
        yield alerts.end()

        node.faults.cut_share = 0.5
        watched.meanwhile = lambda: watched.execute(insert.format(next(keys)))
        yield alerts.fire("ChangeoverTargetRetries")
        watched.meanwhile = lambda: None
        node.faults.cut_share = 0

        watched.server.pause()
        try:
            yield alerts.fire("ChangeoverNotReady", "ChangeoverLagUnknown")
        finally:
            watched.server.resume()


@dataclass(frozen=True, slots=True)
class Told:
    """What has come of all stories."""

    failed: dict[str, Exception]
    fired: set[str]
    unanswered: list[Query]
    """What the dashboard asks, and nobody had data for."""

    pipelines: set[str]


@pytest.fixture(scope="module")
def told(mariadb: PrivateMariaDB, tmp_path_factory: pytest.TempPathFactory) -> Told:
    folder = tmp_path_factory.mktemp("causes")
    other = PrivateMariaDB()
    other.password = mariadb.password  # the daemons have it by the environment, which is one for all
    broker = PrivateKafka()
    with pytest.MonkeyPatch.context() as patch, running(1) as riak:
        patch.setenv("CHANGEOVER_LOG__REPLAY_WINDOW_H", "6")  # the least that the rule allows
        (node,) = riak.nodes
        types = f'bucket_type = "{BUCKET_TYPES["merge"]}"\nallow_plain_text = true'
        parts = Watched(mariadb, "parts", folder / "parts")
        application = Watched(mariadb, "application", folder / "application")
        outside = Watched(
            other,
            "outside",
            folder / "outside",
            log=f"kafka://{broker.bootstrap}",
            target=f'url = "riak://{node.address}"\n{types}',
        )
        every = (parts, application, outside)
        scraped = [address for watched in every for address in watched.scraped]
        with watching(folder / "prometheus", scraped) as prometheus:
            dashboard = Dashboard(prometheus)
            alerts = [Alerts(prometheus, watched.name) for watched in every]
            stories = (
                parts_that_fail(parts, alerts[0]),
                application_that_goes_wrong(application, alerts[1], dashboard),
                outside_that_fails(outside, alerts[2], dashboard, broker, node),
            )
            failed = play(
                {
                    watched.name: Teller(story, watched.keep_going)
                    for watched, story in zip(every, stories, strict=True)
                }
            )
            # Tests that read this server's binlog from its beginning need not read the wide rows.
            parts.execute("FLUSH BINARY LOGS", "PURGE BINARY LOGS BEFORE NOW() + INTERVAL 1 DAY")
            fired = {name for of_one in alerts for name in of_one.have_fired}
            return Told(failed, fired, dashboard.unanswered, dashboard.pipelines())


def test_each_story_comes_to_its_end(told: Told) -> None:
    if told.failed:
        raise ExceptionGroup("stories that did not", list(told.failed.values()))


def test_each_alert_is_fired_by_its_cause(told: Told) -> None:
    assert told.fired == {rule["alert"] for rule in rules()}


def test_the_dashboard_shows_something_in_every_panel(told: Told) -> None:
    assert not told.unanswered
    assert told.pipelines == {"parts", "application", "outside"}
