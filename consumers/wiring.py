"""Builds the apply side from the settings."""

import time
from collections.abc import Iterator

import structlog

from changeover.daemon import Duty
from changeover.orders import Orders
from changeover.wiring import open_log, open_target
from consumers.apply import Apply
from consumers.counted import of_apply
from consumers.noting import Noting

log = structlog.get_logger("apply")


def apply_as_ordered(duty: Duty) -> None:
    """Apply until told to stop, resting while paused."""
    with Orders(duty) as orders:
        orders.obey(apply)


def apply(duty: Duty) -> None:
    """Apply until told to stop."""
    settings = duty.settings
    with open_log(settings) as pipeline_log, open_target(settings) as target:
        log.info("apply begins", group=settings.consumer.group)
        running = Apply(
            pipeline_log.reader(settings.consumer.group),
            target,
            batch_max=duty.at_once_max(settings.consumer.batch_rows),
            behind=Noting(target, lambda: pipeline_log.progress_of(settings.consumer.group).through).look,
        )
        duty.rows = lambda: running.counts.records
        duty.health.place = running.place
        with (
            duty.exposition.telling(lambda: of_apply(running)),
            duty.health.asking(lambda: _unreadiness(running, settings.metrics.behind_s)),
        ):
            running.run(duty.should_stop)
        log.info("apply counted", records=running.counts.records, stale=running.counts.stale)


def _unreadiness(running: Apply, behind_s: float) -> Iterator[str]:
    """Why apply is not ready. Its lag is told by the clock of this host: it does not know the source's."""
    if running.through is None:
        yield "how far it is behind is not known yet"
        return
    lag_s = time.time() - running.through.source_ms / 1000
    if lag_s > behind_s:
        yield f"behind the source by {lag_s:.0f} s"
