"""Writes docs/metrics.md from the metrics themselves."""

from pathlib import Path

from changeover.metrics import names
from changeover.metrics.metric import Metric

HEAD = """# Metrics

Each daemon answers `/metrics` where `[metrics] listen` says ([settings.md](settings.md)). Every metric has
the labels `pipeline` and `part`, before its own. What is not known has no sample: it is never shown as 0.
`make pages` generates this page from `changeover/metrics/names.py`.

| metric | kind | labels | told by | meaning |
|---|---|---|---|---|
"""

PROCESS_HEAD = """
## Of the process

Each part has these of prometheus_client, without labels.

| metric | meaning |
|---|---|
"""


def page() -> str:
    """The page's text."""
    process = "".join(f"| `{name}` | {text} |\n" for name, text in names.PROCESS.items())
    return HEAD + "".join(map(_row, names.METRICS)) + PROCESS_HEAD + process


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    parts = "every part" if metric.parts == names.EVERY else ", ".join(metric.parts)
    return f"| `{metric.name}` | {metric.kind} | {labels} | {parts} | {metric.help} |\n"


if __name__ == "__main__":
    Path(__file__).parents[1].joinpath("docs/metrics.md").write_text(page())
