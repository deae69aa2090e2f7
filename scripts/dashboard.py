"""Writes deploy/grafana/changeover.json: the dashboard, its queries made of the metrics' own names."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from changeover.metrics import names
from changeover.metrics.metric import Metric

FILE = Path(__file__).parents[1] / "deploy/grafana/changeover.json"

Json = dict[str, Any]
Query = tuple[str, str]
"""PromQL and its legend."""

SCHEMA_VERSION = 39  # of Grafana 11; newer ones read it
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24  # of Grafana's grid
RATE = "[$__rate_interval]"

GREEN, ORANGE, RED = "green", "orange", "red"
Steps = Sequence[tuple[float | None, str]]


def of(metric: Metric | str, labels: str = "") -> str:
    """A metric of the chosen pipeline."""
    name = metric if isinstance(metric, str) else metric.name
    pipeline = 'pipeline=~"$pipeline"'
    return f"{name}{{{pipeline}, {labels}}}" if labels else f"{name}{{{pipeline}}}"


def rate(metric: Metric, labels: str = "") -> str:
    """A counter's rise a second."""
    return f"rate({of(metric, labels)}{RATE})"


def panel(  # noqa: PLR0913 - a panel's parts
    kind: str,
    title: str,
    queries: Sequence[Query],
    *,
    width: int,
    unit: str = "short",
    steps: Steps = ((None, GREEN),),
    description: str = "",
    options: Json | None = None,
    mappings: Sequence[Json] = (),
) -> Json:
    """A panel; where it stands is found by `placed`."""
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": SOURCE,
        "gridPos": {"h": 4 if kind == "stat" else 8, "w": width},
        "targets": [
            {"datasource": SOURCE, "expr": expr, "legendFormat": legend, "refId": chr(ord("A") + place)}
            for place, (expr, legend) in enumerate(queries)
        ],
        "fieldConfig": {
            "defaults": {
                "unit": unit,
                "noValue": "unknown",
                "mappings": list(mappings),
                "thresholds": {
                    "mode": "absolute",
                    "steps": [{"value": value, "color": color} for value, color in steps],
                },
                # What is not known is a gap, never a line through it.
                "custom": {"spanNulls": False} if kind == "timeseries" else {},
            },
            "overrides": [],
        },
        "options": options or {},
    }


def stat(title: str, query: Query, *, width: int = 4, **rest: Any) -> Json:  # noqa: ANN401
    """One figure, or one for each series."""
    shown = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "graphMode": "area"}
    return panel("stat", title, [query], width=width, options={**shown, **rest.pop("shown", {})}, **rest)


def lines(title: str, *queries: Query, width: int = 12, **rest: Any) -> Json:  # noqa: ANN401
    """Lines over time."""
    shown = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    return panel("timeseries", title, queries, width=width, options=shown, **rest)


def words(**by_value: tuple[str, str]) -> list[Json]:
    """Words and colours in place of values."""
    options = {value.lstrip("_"): {"text": text, "color": color} for value, (text, color) in by_value.items()}
    return [{"type": "value", "options": options}]


def named() -> Json:
    """Show a series by its name and not by its value."""
    return {"textMode": "name", "graphMode": "none"}


def glance() -> Iterator[Json]:
    """What to see first."""
    yield stat("Phase", (f"{of(names.PHASE)} == 1", "{{phase}}"), shown=named())
    yield stat(
        "Lag",
        (of(names.LAG), "{{pipeline}}"),
        unit="s",
        steps=((None, GREEN), (10, ORANGE), (60, RED)),
        description=names.LAG.help,
    )
    copied, expected = f"sum({of(names.IMPORT_COPIED)})", f"sum({of(names.IMPORT_ESTIMATED)})"
    yield stat(
        "Import",
        (f"{copied} / ({expected} > 0)", "copied"),
        unit="percentunit",
        description="Rows in the log, of those that the server estimates.",
    )
    yield stat(
        "Findings",
        (f"sum({of(names.FINDINGS)})", "open"),
        steps=((None, GREEN), (1, RED)),
        description=names.FINDINGS.help,
    )
    yield stat(
        "Gates shut",
        (f"sum({of(names.GATE)} == bool 0)", "of the next phase"),
        steps=((None, GREEN), (1, ORANGE)),
    )
    yield stat(
        "Parts",
        (of(names.READY), "{{part}}"),
        mappings=words(_0=("not ready", RED), _1=("ready", GREEN)),
        shown={"graphMode": "none"},
    )


def following() -> Iterator[Json]:
    """How far behind."""
    yield lines(
        "Lag, end to end and by half",
        (of(names.LAG), "end to end"),
        (of(names.CAPTURE_LAG), "source to log"),
        (of(names.APPLY_LAG), "log to target"),
        unit="s",
        description="A gap is a time of which it is not known.",
    )
    yield lines(
        "Changes a second",
        (rate(names.CAPTURED), "captured"),
        (rate(names.APPLIED), "applied, import included"),
        (rate(names.STALE), "stale"),
        unit="cps",
    )
    yield lines(
        "Time left before changes are lost",
        (of(names.BINLOG_RETENTION), "the source's binlog"),
        (of(names.LOG_RETENTION), "the log"),
        unit="s",
        description="How long capture and the consumers may stay away. Nothing for what waits for ever.",
    )
    yield lines(
        "Target",
        (f"sum by (part) ({rate(names.APPLY_WRITING)})", "busy writing"),
        (f"sum by (part) ({rate(names.TARGET_RETRIES)})", "retries a second"),
        description="Near 1 for each member, the target is what limits.",
    )


def importing() -> Iterator[Json]:
    """The import, by table."""
    yield panel(
        "bargauge",
        "Copied",
        [(f"{of(names.IMPORT_COPIED)} / ({of(names.IMPORT_ESTIMATED)} > 0)", "{{table}}")],
        width=12,
        unit="percentunit",
        options={"orientation": "horizontal", "reduceOptions": {"calcs": ["lastNotNull"]}},
    )
    yield lines(
        "Rows copied a second", (f"sum by (table) (deriv({of(names.IMPORT_COPIED)}[2m]))", "{{table}}")
    )


def proof() -> Iterator[Json]:
    """Whether it is right."""
    yield panel(
        "stat",
        "Verdict by table",
        [(f"{of(names.VERDICT)} == 1", "{{table}}: {{state}}")],
        width=12,
        options={"reduceOptions": {"calcs": ["lastNotNull"]}, **named()},
    )
    yield lines("Age of the verdict", (of(names.VERDICT_AGE), "{{table}}"), unit="s")


def application() -> Iterator[Json]:
    """The application's processes."""
    yield lines(
        "Direct writes a second",
        (f"sum({rate(names.DIRECT_WRITES)})", "made"),
        (f"sum({rate(names.DIRECT_FAILED)})", "failed"),
        width=8,
        description=names.DIRECT_FAILED.help,
    )
    yield lines(
        "Answers and values that differed",
        (f"sum(increase({of(names.COMPARED_MISMATCH)}{RATE}))", "compared reads"),
        (f"sum(increase({of(names.PUT_MISMATCH)}{RATE}))", "values of tx.put"),
        width=8,
    )
    yield lines("Processes: last report", (of(names.PROCESS_AGE), "{{process}}"), unit="s", width=8)


def parts() -> Iterator[Json]:
    """The daemons as processes."""
    where = 'pipeline=~"$pipeline", part!=""'
    about = f"on (instance, job) group_left (pipeline, part) {names.INFO.name}{{{where}}}"
    yield lines(
        "Memory", (f"process_resident_memory_bytes * {about}", "{{part}} {{instance}}"), unit="bytes", width=8
    )
    yield lines(
        "Processor",
        (f"rate(process_cpu_seconds_total{RATE}) * {about}", "{{part}} {{instance}}"),
        unit="percentunit",
        width=8,
    )
    yield lines("Time since progress", (of(names.PROGRESS_AGE), "{{part}} {{instance}}"), unit="s", width=8)


ROWS = (
    ("At a glance", glance),
    ("How far behind", following),
    ("Import", importing),
    ("Is it right", proof),
    ("The application", application),
    ("The daemons", parts),
)


def placed() -> Iterator[Json]:
    """Every panel, row below row, from left to right."""
    top = 0
    number = 0
    for title, make in ROWS:
        number += 1
        position = {"h": 1, "w": COLUMNS, "x": 0, "y": top}
        yield {"type": "row", "title": title, "id": number, "gridPos": position, "panels": []}
        top += 1
        left = height = 0
        for made in make():
            number += 1
            if left + made["gridPos"]["w"] > COLUMNS:
                left, top = 0, top + height
            height = made["gridPos"]["h"]
            yield {"id": number, **made, "gridPos": {**made["gridPos"], "x": left, "y": top}}
            left += made["gridPos"]["w"]
        top += height


def dashboard() -> Json:
    """The dashboard."""
    return {
        "uid": "changeover",
        "title": "changeover",
        "description": "A move to another database. Made by scripts/dashboard.py: make dashboard.",
        "tags": ["changeover"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "graphTooltip": 1,
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Prometheus",
                    "type": "datasource",
                    "query": "prometheus",
                    "current": {},
                },
                {
                    "name": "pipeline",
                    "label": "Pipeline",
                    "type": "query",
                    "datasource": SOURCE,
                    "query": f"label_values({names.INFO.name}, pipeline)",
                    "refresh": 2,
                    "includeAll": False,
                    "multi": False,
                },
            ]
        },
        "panels": list(placed()),
    }


def page() -> str:
    """The file's text."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(page())
