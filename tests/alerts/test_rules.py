"""The alert rules by the clock: when each fires, when it does not yet, and that none else does."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from changeover.metrics import names
from tests.alerts.prometheus import ROOT, RULES, program, rules

KNOWN = {metric.name for metric in names.METRICS} | set(names.PROCESS)
LABELS = 'pipeline="shop",part="capture",instance="a:1",job="changeover"'
UP = {f"changeover_info{{{LABELS}}}": "1x3000", f"changeover_lag_seconds{{{LABELS}}}": "0.2x3000"}
"""A pipeline that is well."""


class Case(NamedTuple):
    """Series, one value a minute; a minute at which the alert is still silent, and one at which it fires."""

    alert: str
    series: Mapping[str, str]
    silent_min: int
    firing_min: int


def one(name: str, values: str, labels: str = "") -> dict[str, str]:
    return {f"changeover_{name}{{{','.join(filter(None, (LABELS, labels)))}}}": values}


IN_PHASE = one("phase", "1x3000", 'phase="BOTH_READ_NEW"')

CASES = (
    Case(
        "ChangeoverRestarts",
        {'process_start_time_seconds{instance="a:1",job="changeover"}': "7x9 8 9 10 11x20"},
        12,
        13,
    ),
    Case("ChangeoverStopped", one("stopped", "0x9 1x20"), 9, 10),
    Case("ChangeoverFenceLeft", one("phase", "0x9 1x20", 'phase="FENCED"'), 10, 11),
    Case(
        "ChangeoverPartGone",
        {f"changeover_info{{{LABELS}}}": "1x9 stale", **one("lag_seconds", "1x40")},
        11,
        13,
    ),
    Case("ChangeoverStalled", one("progress_age_seconds", "1x9 121x20"), 10, 11),
    Case("ChangeoverNotReady", one("ready", "1x9 0x30"), 24, 25),
    Case("ChangeoverBehind", {f"changeover_lag_seconds{{{LABELS}}}": "300x9 301x20"}, 14, 15),
    Case("ChangeoverLagUnknown", {f"changeover_lag_seconds{{{LABELS}}}": "1x9 stale"}, 14, 15),
    Case("ChangeoverLagUnknown", one("observed_age_seconds", "2x9 61x20"), 14, 15),
    Case("ChangeoverBinlogRunsOut", one("binlog_retention_left_seconds", "21600x9 21599x20"), 14, 15),
    Case("ChangeoverLogRunsOut", one("log_retention_left_seconds", "21600x9 21599x20"), 14, 15),
    Case("ChangeoverTargetRetries", one("target_retries_total", "0x9 1+1x40"), 19, 20),
    Case("ChangeoverDifferences", one("findings_open", "0x9 1x20", 'table="shop.a"'), 9, 10),
    Case(
        "ChangeoverVerdictOld",
        {**one("verdict_age_seconds", "86400x9 86401x30", 'table="shop.a"'), **IN_PHASE},
        24,
        25,
    ),
    Case(
        "ChangeoverProcessSilent",
        {**one("process_report_age_seconds", "1x9 61x20", 'process="web-1"'), **IN_PHASE},
        10,
        11,
    ),
    Case(
        "ChangeoverDirectWritesFail",
        {
            **one("direct_writes_total", "0+1000x60", 'process="web-1"'),
            **one("direct_writes_failed_total", "0x9 20+20x60", 'process="web-1"'),
        },
        28,
        34,
    ),
    Case(
        "ChangeoverAnswersDiffer",
        {
            **one("compared_reads_mismatched_total", "0x9 1x40", 'process="web-1"'),
            **one("puts_mismatched_total", "0x50", 'process="web-1"'),
            **one("process_report_age_seconds", "2x50", 'process="web-1"'),
        },
        9,
        10,
    ),
    Case(
        "ChangeoverMemory",
        {'process_resident_memory_bytes{instance="a:1",job="changeover"}': "1e9x9 1.6e9x40"},
        24,
        25,
    ),
)

QUIET = (
    # Before the application depends on the new database, and where the source keeps its binlog for ever.
    {**one("verdict_age_seconds", "999999x60", 'table="shop.a"'), **one("phase", "1x60", 'phase="OLD"')},
    {**one("process_report_age_seconds", "99999x60", 'process="gone-for-long"'), **IN_PHASE},
    one("binlog_retention_left_seconds", " ".join(["+Inf"] * 60)),
    # A worker of the import has ended.
    {'changeover_info{pipeline="shop",part="snapshot",instance="a:2",job="changeover"}': "1x9 stale"},
    # A process whose answers differed, and which was ended for it.
    {
        **one("compared_reads_mismatched_total", "7x60", 'process="old"'),
        **one("puts_mismatched_total", "0x60", 'process="old"'),
        **one("process_report_age_seconds", "3601+60x60", 'process="old"'),
    },
    # One failed write in a thousand.
    {
        **one("direct_writes_total", "0+1000x60", 'process="web-1"'),
        **one("direct_writes_failed_total", "0+1x60", 'process="web-1"'),
    },
)


def judged(tmp_path: Path, series: Mapping[str, str], expected: Mapping[int, set[str]]) -> None:
    """Have promtool judge the delivered rules: by minute, the alerts that must fire, and no others."""
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in {**UP, **series}.items()],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": f"{minute}m",
                "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(firing)],
            }
            for minute, firing in expected.items()
        ],
    }
    file = tmp_path / "rules.test.yml"
    file.write_text(
        yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]})
    )
    done = subprocess.run(
        [program("promtool"), "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("case", CASES, ids=[case.alert for case in CASES])
def test_an_alert_fires_at_its_time_and_no_other_does(case: Case, tmp_path: Path) -> None:
    judged(tmp_path, case.series, {case.silent_min: set(), case.firing_min: {case.alert}})


@pytest.mark.parametrize("series", QUIET)
def test_nothing_fires_where_nothing_is_wrong(series: Mapping[str, str], tmp_path: Path) -> None:
    judged(tmp_path, series, {5: set(), 30: set(), 50: set()})


def test_these_tests_would_notice(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="FAILED"):
        judged(tmp_path, one("stopped", "1x20"), {10: set()})


def test_every_alert_has_its_case() -> None:
    assert {case.alert for case in CASES} == {rule["alert"] for rule in rules()}


def test_every_metric_of_a_rule_exists() -> None:
    named = set(re.findall(r"\b(?:changeover|process)_[a-z_]+", " ".join(rule["expr"] for rule in rules())))
    assert len(named) > 10
    assert named <= KNOWN


@pytest.mark.parametrize("rule", rules(), ids=[rule["alert"] for rule in rules()])
def test_the_runbook_says_of_every_alert_whether_data_is_safe(rule: Mapping[str, Mapping[str, str]]) -> None:
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert anchor == str(rule["alert"]).lower()
    _, heading, entry = (ROOT / page).read_text().partition(f"\n## {rule['alert']}\n")
    assert heading
    assert "**Is data safe?**" in entry.partition("\n## ")[0]
    assert rule["labels"]["severity"] in {"page", "ticket"}
