"""`changeover repair`: keys that differ are brought in step again, through the log."""

import getpass
import json
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer

from changeover.commands.options import CONFIG, AsJson, Config
from changeover.errors import RepairRefused
from changeover.exits import DIFFERENT
from changeover.repair.plan import Step
from changeover.repair.preview import Preview, preview
from changeover.repair.repair import Order, Repair, Repaired, refuse_hidden_keys
from changeover.repair.selection import Selection, numbered, of_findings
from changeover.settings import Settings
from changeover.verify.findings import Finding
from changeover.verify.keys import parse_key
from changeover.verify.verifier import Verifier, verifying

WRITER = "repair"
"""Its name as a writer of the log: of two repairs at a time the later one fences the earlier."""


def repair(  # noqa: PLR0913 - typer makes options of arguments
    config: Config = CONFIG,
    *,
    finding: Annotated[
        list[int] | None, typer.Option(metavar="N", help="A finding's number; may be given again.")
    ] = None,
    table: Annotated[
        list[str] | None,
        typer.Option(help="A schema.table, with all its open findings; may be given again."),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(help="A key of the one --table, whether it has a finding or not; may be given again."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be written; touch nothing.")
    ] = False,
    force: Annotated[
        str,
        typer.Option(metavar="REASON", help="Overwrite what is ahead of the source too; it is written down."),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Bring keys that differ in step with the source again; without options those of all open findings.

    Reads each row at a bound above what the target holds, writes it through the log, waits until it is
    applied, judges the key again, and closes its finding. Exit status 0: all of it is equal now; 1: not all.
    """
    settings = Settings.load(config)
    with verifying(settings, WRITER) as verifier:
        selection = _selection(verifier, finding or (), table or (), key or ())
        for name in selection.keys:
            refuse_hidden_keys(verifier.source, *verifier.chosen([name]))
        if dry_run:
            _tell_previews(preview(verifier, selection), selection, as_json=as_json)
            return
        running = _repair(verifier, force)
        done = {
            name: list(running.repair(verifier.chosen([name])[0], keys))
            for name, keys in selection.keys.items()
        }
    _tell(done, selection, as_json=as_json)
    if selection.not_ours or not all(one.is_mended for some in done.values() for one in some):
        raise typer.Exit(DIFFERENT)


def _selection(
    verifier: Verifier, numbers: Sequence[int], names: Sequence[str], keys: Sequence[str]
) -> Selection:
    if numbers and (names or keys):
        raise RepairRefused("a finding has a table and a key of its own: leave --table and --key out")
    if keys:
        if len(names) != 1:
            raise RepairRefused("--key is of one table", hint="Name it with --table.")
        (table,) = verifier.chosen(names)
        return Selection({table.full_name: [parse_key(table, text) for text in keys]})
    found: list[Finding]
    if numbers:
        found = numbered(verifier.findings, numbers)
    elif names:
        found = [
            one for name in names for one in verifier.findings.open(verifier.chosen([name])[0].full_name)
        ]
    else:
        found = verifier.findings.open()
    return of_findings(found, verifier.tables)


def _repair(verifier: Verifier, reason: str) -> Repair:
    settings = verifier.settings
    return Repair(
        verifier.source,
        verifier.log,
        verifier.target,
        verifier.judge,
        pipeline=settings.pipeline,
        group=settings.consumer.group,
        order=Order(f"{getpass.getuser()}@{socket.gethostname()}", reason),
        adopts=settings.target.adopt,
        wait_s_max=settings.verify.wait_s_max,
    )


NOTHING = "no open finding: nothing to repair"
WHY = {
    "ahead": "left as it is: what the target holds is ahead of the source (see --force)",
    "new": "left as it is: it was written after the move into NEW, and the target is the truth",
    "different": "still different",
    "unsettled": "not settled: verify it again",
    "not_ours": "left as it is: no row of the table could have become it; remove it by hand",
}


def _tell(done: Mapping[str, Sequence[Repaired]], selection: Selection, *, as_json: bool) -> None:
    names = dict.fromkeys([*done, *(name for name, _ in selection.not_ours)])
    tables = {name: _plain(done.get(name, ()), name, selection) for name in names}
    if as_json:
        typer.echo(json.dumps(tables, indent=2))
        return
    if not tables:
        typer.echo(NOTHING)
    for name, said in tables.items():
        typer.echo(
            f"{name}: rows written {said['written']:,}, deleted {said['deleted']:,}, "
            f"replaced first {said['replaced']:,}; equal now {said['equal']:,}"
        )
        for why, words in WHY.items():
            for key in said[why]:
                typer.echo(f"{name} {key}: {words}")
        for words in said["refused"]:
            typer.echo(words)


def _plain(some: Sequence[Repaired], name: str, selection: Selection) -> dict[str, Any]:
    return {
        "written": sum(one.written for one in some),
        "deleted": sum(one.deleted for one in some),
        "replaced": sum(one.replaced for one in some),
        "equal": sum(len(one.judgement.equal) for one in some),
        "ahead": _left(some, Step.AHEAD),
        "new": _left(some, Step.NEW),
        "different": [_shown(found.key) for one in some for found in one.judgement.differences],
        "unsettled": [_shown(key) for one in some for key in one.judgement.unsettled],
        "refused": list(dict.fromkeys(one.refused for one in some if one.refused)),
        "not_ours": [_shown(key) for table, key in selection.not_ours if table == name],
    }


def _left(some: Sequence[Repaired], step: Step) -> list[str]:
    return [_shown(key) for one in some for key, (why, _) in one.left.items() if why is step]


def _shown(key: bytes) -> str:
    return key.decode(errors="backslashreplace")


def _tell_previews(previews: Iterable[Preview], selection: Selection, *, as_json: bool) -> None:
    found = list(previews)
    if as_json:
        typer.echo(json.dumps([one.plain() for one in found], indent=2))
        return
    for one in found:
        typer.echo(str(one))
    for name, key in selection.not_ours:
        typer.echo(f"{name} {_shown(key)}: {WHY['not_ours']}")
    if not found and not selection.not_ours:
        typer.echo(NOTHING)
