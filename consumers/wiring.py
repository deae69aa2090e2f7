"""Builds the apply side from the settings."""

import structlog

from changeover.daemon import ShouldStop
from changeover.settings import Settings
from changeover.wiring import open_log, open_target
from consumers.apply import Apply

log = structlog.get_logger("apply")


def apply(settings: Settings, should_stop: ShouldStop) -> None:
    """Apply until told to stop."""
    with open_log(settings) as pipeline_log, open_target(settings) as target:
        log.info("apply begins", group=settings.consumer.group)
        running = Apply(
            pipeline_log.reader(settings.consumer.group), target, batch_max=settings.consumer.batch_rows
        )
        running.run(should_stop)
        log.info("apply counted", records=running.counts.records, stale=running.counts.stale)
