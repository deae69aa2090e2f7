"""The doctor's report in words for people, and in plain values for programs."""

from dataclasses import asdict
from itertools import groupby

from rich.console import Console
from rich.text import Text

from changeover.doctor.estimate import IMPORT_BYTES_PER_S, IMPORT_ROWS_PER_S, Estimate, spoken
from changeover.doctor.examine import Report
from changeover.finding import Finding, Severity

STYLES = {Severity.REFUSE: "bold red", Severity.WARN: "yellow", Severity.NOTE: "cyan"}

MB = 1_000_000


def plain(report: Report) -> dict[str, object]:
    """The report for programs: verdict, findings, estimate."""
    return {
        "verdict": verdict(report),
        "server": report.server,
        "tables": report.tables,
        "estimate": asdict(report.estimate),
        "findings": [
            {
                "severity": finding.severity.value,
                "subject": finding.subject,
                "what": finding.what,
                "mend": finding.mend,
            }
            for finding in report.findings
        ],
    }


def verdict(report: Report) -> str:
    """The answer in a word or two."""
    return "go" if report.is_go else "no go"


def show(report: Report, console: Console) -> None:
    """The report for people: the worst first, the answer last."""
    console.print(Text(f"source: {report.server}"))
    console.print(Text(f"to move: {_size(report.tables, report.estimate)}"), soft_wrap=True)
    for severity, findings in groupby(report.findings, key=lambda finding: finding.severity):
        console.print()
        console.print(Text(severity.value, style=STYLES[severity]))
        for finding in findings:
            _show_one(finding, console)
    console.print()
    console.print(_last_line(report))


def _show_one(finding: Finding, console: Console) -> None:
    # Not wrapped by us: statements are to be copied from here.
    console.print(Text(f"  {finding.subject}: {finding.what}"), soft_wrap=True)
    if finding.mend:
        console.print(Text(f"      {finding.mend}", style="dim"), soft_wrap=True)


def _size(tables: int, estimate: Estimate) -> str:
    return (
        f"{tables} tables, about {estimate.rows:,} rows and {estimate.data_bytes / MB:,.0f} MB; "
        f"the import takes about {spoken(estimate.import_s)} "
        f"(at {IMPORT_ROWS_PER_S:,} rows or {IMPORT_BYTES_PER_S / MB:.0f} MB a second)"
    )


def _last_line(report: Report) -> Text:
    counts = dict.fromkeys(Severity, 0)
    for finding in report.findings:
        counts[finding.severity] += 1
    said = ", ".join(f"{count} {severity}" for severity, count in counts.items())
    line = Text(verdict(report), style="bold green" if report.is_go else "bold red")
    return line.append(f": {said}", style="not bold default")
