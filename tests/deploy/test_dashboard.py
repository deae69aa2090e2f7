"""The dashboard is the one that its script makes, and asks for nothing that is not there."""

import json
import re
import runpy
import subprocess
from pathlib import Path

import yaml

from changeover.metrics import names
from tests.alerts.prometheus import program
from tests.deploy.dashboard import FILE, ROOT, queries

KNOWN = {metric.name: metric for metric in names.METRICS}


def test_the_dashboard_is_the_one_that_its_script_makes() -> None:
    page = runpy.run_path(str(ROOT / "scripts/dashboard.py"))["page"]
    assert FILE.read_text() == page(), "run `make dashboard`"


def test_every_metric_that_it_asks_for_exists() -> None:
    asked = " ".join(query.expr for query in queries())
    named = set(re.findall(r"\b(?:changeover|process)_[a-z_]+", asked))
    assert len(named) > 20
    assert named <= {*KNOWN, *names.PROCESS}


def test_every_label_in_a_legend_is_one_of_the_metrics() -> None:
    common = {"pipeline", "part", "instance", "job"}
    for query in queries():
        named = set(re.findall(r"changeover_[a-z_]+", query.expr))
        has = common | {label for name in named for label in KNOWN[name].labels}
        assert set(query.labels) <= has, query


def test_prometheus_understands_every_query(tmp_path: Path) -> None:
    found = [
        {"record": f"query:{place}", "expr": query.filled("shop", "1m")}
        for place, query in enumerate(queries())
    ]
    rules = tmp_path / "rules.yml"
    rules.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": found}]}))
    done = subprocess.run(
        [program("promtool"), "check", "rules", str(rules)], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_panel_lies_over_another_and_none_leaves_the_grid() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(FILE.read_text())["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
