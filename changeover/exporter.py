"""The exporter: reads a pipeline's figures every few seconds, in a thread, and gives the last ones."""

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import structlog

from changeover.background import Background
from changeover.daemon import Duty
from changeover.errors import ChangeoverError
from changeover.figures import Figures, Prospects, lag_of_capture_s, of_pipeline, of_prospects
from changeover.log import Log
from changeover.metrics import names
from changeover.metrics.metric import Sample
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.mysql.phases import phase_now
from changeover.phases.facts import gather
from changeover.phases.gates import judge
from changeover.phases.transitions import Step, after
from changeover.settings import Settings
from changeover.status import Statuses
from changeover.verify.verdicts import Verdicts
from changeover.wiring import open_log

log = structlog.get_logger("exporter")

READ_EVERY_S = 2.0
"""How old figures get: a part of what lag reads high."""

JUDGE_EVERY_S = 5.0
"""How old the gates get, for which the source is asked a dozen things."""

AWAY_WAIT_S = 5.0
"""How long it waits after an error before it connects again."""

STOP_WAIT_S = 5.0


class Exporter:
    """Figures of the pipeline, while the block runs; a source or a log that is away stops nobody."""

    def __init__(self, settings: Settings) -> None:
        self.captured_ms: Callable[[], int | None] = lambda: None
        """Through when the source is captured; capture says how to know."""

        self._settings = settings
        self._last: tuple[Figures, float] | None = None
        self._prospects: Prospects | None = None
        self._failures = 0
        self._away = ""
        self._reading = Background(
            "exporter", self._read, self._failed, rest_s=AWAY_WAIT_S, stop_wait_s=STOP_WAIT_S
        )

    def _samples(self) -> Iterator[Sample]:
        yield names.OBSERVATION_FAILURES.of(self._failures)
        if self._last is not None:
            figures, read_s = self._last
            yield from of_pipeline(figures, time.monotonic() - read_s, self.captured_ms())
        if self._prospects is not None:
            yield from of_prospects(self._prospects)

    def _unreadiness(self) -> Iterator[str]:
        if self._away:
            yield self._away
        if self._last is None:
            yield "how far it is behind is not known yet"
            return
        figures, read_s = self._last
        lag_s = lag_of_capture_s(figures, time.monotonic() - read_s, self.captured_ms())
        if lag_s is None:
            yield "how far it is behind is not known yet"
        elif lag_s > self._settings.metrics.behind_s:
            yield f"behind the source by {lag_s:.0f} s"

    def _failed(self, error: ChangeoverError) -> None:
        self._failures += 1
        if not self._away:
            log.warning("figures of the pipeline cannot be read", reason=str(error))
        self._away = str(error)

    def _read(self, over: threading.Event) -> None:
        settings = self._settings
        with Connection(settings.source) as connection, open_log(settings) as pipeline_log:
            control = ControlSchema(connection, settings.pipeline)
            statuses = Statuses(control, pipeline_log, settings.consumer.group)
            judged_s = -math.inf
            while not over.is_set():
                begun_s = time.monotonic()  # before what is read: it is at least that old
                kept_s = settings.log.replay_window_h * 3600 if settings.log.servers else None
                self._last = (Figures(status=statuses.now(), log_kept_s=kept_s), begun_s)
                if begun_s - judged_s >= JUDGE_EVERY_S and control.exists():
                    tables = [table.table_name for table in self._last[0].status.tables]
                    self._prospects, judged_s = _prospects(settings, control, pipeline_log, tables), begun_s
                self._away = ""
                over.wait(READ_EVERY_S)

    @contextmanager
    def telling(self, duty: Duty) -> Iterator[None]:
        """Read, and tell through this duty, while the block runs."""
        with (
            self._reading,
            duty.exposition.telling(self._samples),
            duty.health.asking(self._unreadiness),
        ):
            yield


def _prospects(
    settings: Settings, control: ControlSchema, pipeline_log: Log, tables: Sequence[str]
) -> Prospects:
    state = phase_now(control)
    facts = gather(settings, control, pipeline_log)
    to = after(state.phase, Step.ADVANCE)
    gates = judge(to, facts, settings.phases) if to else ()
    verdicts = Verdicts(control).now(tables)
    return Prospects(state=state, to=to, facts=facts, gates=gates, verdicts=verdicts)
