"""Findings for people and programs: lines of a table, JSON, and a page of HTML that needs nothing else."""

import html
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from changeover.verify.findings import Finding
from changeover.verify.verdicts import TableVerdict, whole
from changeover.version import Version

COLUMNS = (
    "number",
    "table",
    "key",
    "kind",
    "columns",
    "first seen",
    "last seen",
    "target's version",
    "state",
)
VERDICT_COLUMNS = ("table", "verdict", "rows", "bytes", "open findings", "as of", "at", "why")


def time_of(ms: int | None) -> str:
    """A time in UTC, for people.

    >>> time_of(1_700_000_000_000)
    '2023-11-14 22:13:20'
    """
    return "unknown" if ms is None else f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def cells(finding: Finding) -> tuple[str, ...]:
    """The finding as texts, one for each of `COLUMNS`."""
    return (
        str(finding.number),
        finding.table_name,
        finding.key.decode(errors="backslashreplace"),
        finding.kind.value,
        ", ".join(finding.columns),
        time_of(finding.first_seen_ms),
        time_of(finding.last_seen_ms),
        _text(finding.target_version),
        finding.state.value,
    )


def plain(finding: Finding) -> dict[str, object]:
    """The finding for programs."""
    return {
        "number": finding.number,
        "table": finding.table_name,
        "key": finding.key.decode(errors="backslashreplace"),
        "kind": finding.kind.value,
        "columns": list(finding.columns),
        "first_seen_ms": finding.first_seen_ms,
        "last_seen_ms": finding.last_seen_ms,
        "source_version": finding.source_version.text,
        "target_version": finding.target_version.text if finding.target_version else None,
        "source_digest": finding.source_digest,
        "target_digest": finding.target_digest,
        "last_writer": finding.last_writer,
        "state": finding.state.value,
        "closed_how": finding.closed_how,
    }


def page(pipeline: str, verdicts: Sequence[TableVerdict], findings: Iterable[Finding], now_ms: int) -> str:
    """A page of HTML with verdicts and findings: no script, nothing loaded, and no value but keys."""
    title = f"Verification of {html.escape(pipeline)}"
    return PAGE.format(
        title=title,
        at=f"{time_of(now_ms)} UTC",
        verdicts=_table(VERDICT_COLUMNS, map(_verdict_cells, [*verdicts, whole(verdicts)])),
        findings=_table(COLUMNS, map(cells, findings)),
    )


def _verdict_cells(verdict: TableVerdict) -> tuple[str, ...]:
    return (
        verdict.table_name,
        verdict.state.value,
        f"{verdict.rows:,}",
        f"{verdict.bytes:,}",
        f"{verdict.findings_open:,}",
        _text(verdict.as_of),
        time_of(verdict.as_of_ms),
        verdict.why,
    )


def _text(version: Version | None) -> str:
    return version.text if version else "none"


def _table(names: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    lines = "\n".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{lines}\n</tbody></table>"


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2em; color: #1b1f24; background: #fff }}
table {{ border-collapse: collapse; margin: 1em 0 }}
th, td {{ border: 1px solid #c8ced6; padding: .3em .6em; text-align: left; overflow-wrap: anywhere }}
th {{ background: #eef1f4 }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>As of {at}. Values are not kept: <code>changeover findings show</code> reads them anew.</p>
<h2>Verdicts</h2>
{verdicts}
<h2>Findings</h2>
{findings}
</body>
</html>
"""
