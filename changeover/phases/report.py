"""The final report: what moved, what was proved, every move of the phase, and what went wrong on the way."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from changeover.epoch import Epoch
from changeover.mysql.imports import TableProgress
from changeover.mysql.phases import PhaseMove
from changeover.phase import Phase, PhaseState
from changeover.verify.findings import Finding
from changeover.verify.verdicts import TableVerdict

Report = Mapping[str, Any]

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;margin:.5rem 0 2rem}th,td{text-align:left;padding:.2rem .9rem .2rem 0;"
    "border-bottom:1px solid #ccc;vertical-align:top}code{font-size:.9em}"
)


def report_of(  # noqa: PLR0913 - all that is told
    *,
    pipeline: str,
    source: str,
    target: str,
    at_ms: int,
    state: PhaseState,
    imported: Sequence[TableProgress],
    changes_captured: int,
    verdicts: Sequence[TableVerdict],
    moves: Sequence[PhaseMove],
    epochs: Sequence[Epoch],
    findings: Sequence[Finding],
) -> Report:
    """All of it, as JSON has it; no value of a row is in it but keys of findings."""
    copied = {table.table_name: table.rows_copied for table in imported}
    return {
        "pipeline": pipeline,
        "source": source,
        "target": target,
        "written_at": _time(at_ms),
        "new_since": _time(state.since_ms),
        "fence": state.fence.text if state.fence else None,
        "changes_captured": changes_captured,
        "tables": [_table(verdict, copied) for verdict in verdicts],
        "moves": [{**asdict(move), "at": _time(move.at_ms)} for move in moves],
        "forced_moves": [move.attempt for move in moves if move.forced],
        "incidents": [*_undone(moves), *_switches(epochs), *_found(findings)],
    }


def page_of(report: Report) -> str:
    """The report as a page that needs nothing beside itself."""
    plain = ("source", "target", "new_since", "fence", "changes_captured", "written_at")
    facts = [(name.replace("_", " "), report[name]) for name in plain]
    tables = [
        [table["table"], table["rows_copied"], table["rows_compared"], table["verdict"], table["as_of"]]
        for table in report["tables"]
    ]
    moves = [
        [
            move["attempt"],
            move["at"],
            f"{move['before']} → {move['after']}",
            move["took_ms"],
            move["who"],
            f"FORCED: {move['forced']}" if move["forced"] else "",
            _gates(move["evidence"]),
        ]
        for move in report["moves"]
    ]
    parts = [
        _grid((), facts),
        "<h2>What moved</h2>",
        _grid(("table", "rows copied", "rows compared", "verdict", "as of"), tables),
        "<h2>Moves of the phase</h2>",
        _grid(("move", "at", "", "took ms", "by", "", "gates"), moves),
        "<h2>Incidents</h2>",
        _grid(("at", "what"), [(one["at"], one["what"]) for one in report["incidents"]])
        if report["incidents"]
        else "<p>None.</p>",
    ]
    title = f"The move of {html.escape(report['pipeline'])}"
    head = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    )
    return f"{head}<h1>{title}</h1>{''.join(parts)}</html>\n"


def _table(verdict: TableVerdict, copied: Mapping[str, int]) -> dict[str, Any]:
    return {
        "table": verdict.table_name,
        "rows_copied": copied.get(verdict.table_name),
        "rows_compared": verdict.rows,
        "bytes_compared": verdict.bytes,
        "verdict": verdict.state.value,
        "as_of": verdict.as_of.text if verdict.as_of else None,
    }


def _undone(moves: Sequence[PhaseMove]) -> list[dict[str, Any]]:
    return [
        {"at": _time(move.at_ms), "what": f"move {move.attempt}: the way into NEW was undone"}
        for move in moves
        if move.before is Phase.FENCED and move.after is not Phase.NEW
    ]


def _switches(epochs: Sequence[Epoch]) -> list[dict[str, Any]]:
    return [
        {"at": None, "what": f"epoch {epoch.number}: the source became {epoch.identity}"}
        for epoch in epochs
        if epoch.after is not None
    ]


def _found(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    return [
        {
            "at": _time(finding.first_seen_ms),
            "what": f"finding {finding.number}: {finding.table_name} {finding.key.decode(errors='replace')} "
            f"was {finding.kind.value}; {finding.closed_how or 'open'}",
        }
        for finding in findings
    ]


def _gates(evidence: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(
        f"{gate['name']}: {gate['figure']}{'' if gate['holds'] else ' (SHUT)'}" for gate in evidence
    )


def _grid(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    titles = "".join(f"<th>{html.escape(title)}</th>" for title in head)
    lines = ["".join(f"<td>{html.escape(_text(value))}</td>" for value in row) for row in rows]
    return f"<table><tr>{titles}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _text(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else "" if value is None else str(value)


def _time(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1_000, UTC):%Y-%m-%dT%H:%M:%SZ}"
