"""`changeover finish`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from changeover.commands.options import CONFIG, AsJson, Config
from changeover.errors import StartRefused
from changeover.exits import DIFFERENT
from changeover.mysql import grants
from changeover.mysql.catalog import captured_tables
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.phases.finish import Finisher
from changeover.settings import Settings
from changeover.targets.wiring import open_target
from changeover.wiring import check_log_of, open_log, require_log


def finish(
    config: Config = CONFIG,
    *,
    report: Annotated[
        Path, typer.Option(help="The folder for the final report, as JSON and as a page.", file_okay=False)
    ] = Path(),
    revoke: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME@HOST", help="A daemon's account on the source: all it has is revoked."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """End the move for good: write the final report, and take away what served the move alone.

    Only in NEW, once a full scan from behind the fence is clean, with `changeover run` stopped. Delete
    markers, versions, the control schema and its findings go. Killed on its way, it goes on when started
    again. Exit status 1, and every reason, while it cannot be done.
    """
    settings = Settings.load(config)
    check_log_of(settings)
    require_log(settings)
    if not report.is_dir():
        raise StartRefused(f"the folder for the report, {report}, is not there", hint="Make it first.")
    with (
        Connection(settings.source) as connection,
        open_log(settings) as log,
        open_target(settings) as target,
    ):
        control = ControlSchema(connection, settings.pipeline)
        finisher = Finisher(settings, control, log, target, captured_tables(connection))
        reasons = finisher.why_not()
        if reasons:
            _refuse(reasons, as_json=as_json)
        _revoke(connection, revoke or ())
        done = finisher.finish(report)
    if as_json:
        typer.echo(json.dumps({"markers": done.markers, "files": [str(file) for file in done.files]}))
        return
    typer.echo(f"finished: {done.markers:,} delete markers removed; the control schema is gone")
    for file in done.files:
        typer.echo(f"report: {file}")
    if not revoke:
        typer.echo(LEFT)


LEFT = (
    "left to you: REVOKE what the daemons' accounts have on the source and the target, remove the log, "
    "and retire the old database"
)


def _refuse(reasons: list[str], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"reasons": reasons}))
    else:
        for reason in reasons:
            typer.echo(f"not yet: {reason}")
    raise typer.Exit(DIFFERENT)


def _revoke(connection: Connection, users: list[str] | tuple[str, ...]) -> None:
    """First of all: who has no access cannot write behind us."""
    for user in users:
        connection.execute(f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {grants.account(user)}")
