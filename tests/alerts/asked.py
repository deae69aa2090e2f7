"""The dashboard's queries, asked of a Prometheus that has real data, as Grafana would ask them."""

import math
from collections.abc import Sequence
from typing import Any

from tests.alerts.play import Wait
from tests.alerts.prometheus import EVERY_S, Prometheus
from tests.deploy.dashboard import Query, choice_of_pipelines, queries

RATE_INTERVAL = f"{4 * EVERY_S}s"
"""What Grafana makes of $__rate_interval where the data source says how often it is scraped."""


class Dashboard:
    """What it asks, less what has been answered so far."""

    def __init__(self, prometheus: Prometheus) -> None:
        self.unanswered = queries()
        self._prometheus = prometheus

    def answered(self, pipeline: str, asked: Sequence[Query]) -> Wait:
        """Until each of these has data for this pipeline; `QueryRefused` where Prometheus finds an error."""
        waiting = list(asked)

        def are_answered() -> bool:
            for query in list(waiting):
                if self._has_data(query, pipeline):
                    waiting.remove(query)
                    self.unanswered.remove(query)
            return not waiting

        return Wait(f"the dashboard to show {pipeline}", are_answered, lambda: f"no data for {waiting}")

    def pipelines(self) -> set[str]:
        """Those that one can choose from."""
        return set(self._prometheus.values_of(*choice_of_pipelines()))

    def _has_data(self, query: Query, pipeline: str) -> bool:
        series = self._prometheus.query(query.filled(pipeline, RATE_INTERVAL))
        return bool(series) and all(_is_shown(query, one) for one in series)


def _is_shown(query: Query, series: dict[str, Any]) -> bool:
    """Whether it has a figure and whatever its legend names."""
    _, value = series["value"]
    return not math.isnan(float(value)) and set(query.labels) <= set(series["metric"])
