"""`changeover findings list|show|export`."""

import base64
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from changeover.commands.grid import grid
from changeover.commands.options import CONFIG, AsJson, Config
from changeover.errors import SettingsInvalid
from changeover.mapping import Body
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.settings import Settings
from changeover.verify import report
from changeover.verify.comparing import canonical
from changeover.verify.findings import Finding, Findings
from changeover.verify.keys import is_key
from changeover.verify.verdicts import Verdicts
from changeover.verify.verifier import Verifier, verifying

VALUE_LENGTH_MAX = 200
"""Characters of a value that are shown: what differs behind them is told by the columns' names."""

app = typer.Typer(help="Keys at which source and target differed.", no_args_is_help=True)

All = Annotated[bool, typer.Option("--all", help="Closed ones too.")]
OfTable = Annotated[str | None, typer.Option(help="Of one schema.table alone.")]


@app.command("list")
def list_findings(
    config: Config = CONFIG, *, table: OfTable = None, every: All = False, as_json: AsJson = False
) -> None:
    """List the open findings. No value is shown but the keys."""
    settings = Settings.load(config)
    with Connection(settings.source) as connection:
        found = _found(ControlSchema(connection, settings.pipeline), table, every=every)
    if as_json:
        typer.echo(json.dumps([report.plain(finding) for finding in found], indent=2))
    elif not found:
        typer.echo("no findings" if every else "no open findings")
    else:
        _print(report.COLUMNS, map(report.cells, found))


@app.command("show")
def show(
    number: Annotated[int, typer.Argument(help="The finding's number, as in the list.")],
    config: Config = CONFIG,
    *,
    as_json: AsJson = False,
) -> None:
    """Show a finding with the values of both sides as they are now, masked as the settings say."""
    with verifying(Settings.load(config)) as verifier:
        finding = verifier.findings.get(number)
        if finding is None:
            raise SettingsInvalid(f"there is no finding {number}", hint="See: changeover findings list --all")
        values = _values(verifier, finding)
    if as_json:
        typer.echo(json.dumps({**report.plain(finding), "values": values}, indent=2))
        return
    for name, cell in zip(report.COLUMNS, report.cells(finding), strict=True):
        typer.echo(f"{name}: {cell}")
    if finding.last_writer:
        typer.echo(f"last writer: {finding.last_writer}")
    rows = [
        (name, source, target, "" if source == target else "differs")
        for name, (source, target) in values.items()
    ]
    _print(("column", "source now", "target now", ""), rows)


@app.command("export")
def export(
    file: Annotated[Path, typer.Argument(help="report.html or report.json.")],
    config: Config = CONFIG,
    *,
    table: OfTable = None,
    every: All = False,
) -> None:
    """Write verdicts and findings to a file: a page of HTML, or JSON."""
    if file.suffix not in {".html", ".json"}:
        raise SettingsInvalid(f"{file} ends neither in .html nor in .json")
    settings = Settings.load(config)
    with Connection(settings.source) as connection:
        control = ControlSchema(connection, settings.pipeline)
        found = _found(control, table, every=every)
        verdicts = Verdicts(control).now() if control.exists() else []
        now_ms = control.now_ms()
    if file.suffix == ".html":
        text = report.page(settings.pipeline, verdicts, found, now_ms)
    else:
        text = json.dumps([report.plain(finding) for finding in found], indent=2)
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingsInvalid(f"{file} cannot be written: {error.strerror}") from error
    typer.echo(f"{len(found):,} findings written to {file}")


def _found(control: ControlSchema, table: str | None, *, every: bool) -> list[Finding]:
    if not control.exists():
        return []  # nothing was ever verified
    findings = Findings(control)
    return findings.all(table) if every else findings.open(table)


def _values(verifier: Verifier, finding: Finding) -> dict[str, tuple[str, str]]:
    """What both sides have at the finding's key now, by the names of columns, in texts of bounded length."""
    (table,) = verifier.chosen([finding.table_name])
    mask = verifier.source.mask(table)
    if not is_key(mask.to, finding.key):
        return {}
    (held,) = verifier.target.read_many(mask.to, [finding.key])
    row = None if mask.hides_key else verifier.source.keys(table, [finding.key]).rows.get(finding.key)
    source = _parts(None if row is None else verifier.target.body_of(mask.to, row))
    target = _parts(held.body if held else None)
    absent = "unknown: its key is masked" if mask.hides_key else ABSENT
    return {name: (source.get(name, absent), target.get(name, ABSENT)) for name in {**source, **target}}


ABSENT = "(nothing)"


def _parts(body: object) -> dict[str, str]:
    """A body's columns, or what else it is made of, as texts."""
    if isinstance(body, Body):
        value = body.value.decode(errors="backslashreplace")
        return {
            "value": _short(value),
            "content type": body.content_type,
            "indexes": _short(str(body.indexes)),
        }
    if isinstance(body, Mapping):
        return {str(name): _written(value) for name, value in body.items()}
    return {}


def _written(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return _short(f"base64 {base64.b64encode(value).decode()}")
    return _short(canonical(value).decode())


def _short(text: str) -> str:
    """The text's beginning, with nothing in it that a terminal would obey."""
    text = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
    return text if len(text) <= VALUE_LENGTH_MAX else f"{text[:VALUE_LENGTH_MAX]}… ({len(text):,} characters)"


def _print(names: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    listed = grid(*names)
    for row in rows:
        listed.add_row(*(Text(cell) for cell in row))
    Console(highlight=False, soft_wrap=True).print(listed)
