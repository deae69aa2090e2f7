"""The Grafana dashboard as it is delivered: its panels, and what they ask Prometheus."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy/grafana/changeover.json"

Json = dict[str, Any]


class Query(NamedTuple):
    """A query of a panel; `expr` has variables of Grafana's in it."""

    panel: str
    expr: str
    legend: str

    def filled(self, pipeline: str, rate_interval: str) -> str:
        """PromQL, with the variables' values in place as Grafana puts them there."""
        return self.expr.replace("$pipeline", pipeline).replace("$__rate_interval", rate_interval)

    @property
    def labels(self) -> list[str]:
        """The labels that its legend names."""
        return re.findall(r"{{(\w+)}}", self.legend)


def panels() -> Iterator[Json]:
    """Every panel that shows something."""
    yield from (panel for panel in json.loads(FILE.read_text())["panels"] if panel["type"] != "row")


def queries() -> list[Query]:
    """What all panels ask."""
    return [
        Query(panel["title"], target["expr"], target["legendFormat"])
        for panel in panels()
        for target in panel["targets"]
    ]


def choice_of_pipelines() -> tuple[str, str]:
    """The metric and its label from which Grafana offers the pipelines to choose from."""
    (asked,) = (
        variable["query"]
        for variable in json.loads(FILE.read_text())["templating"]["list"]
        if variable["name"] == "pipeline"
    )
    found = re.fullmatch(r"label_values\((\w+), (\w+)\)", asked)
    assert found, asked
    return found[1], found[2]
