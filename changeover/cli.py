"""The command line: `changeover run`, `status`, `demo`."""

import json
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from changeover import __version__, settings_table
from changeover.daemon import configure_logging
from changeover.demo.story import DemoLog, Plan, tell
from changeover.doctor import report
from changeover.doctor.examine import examine
from changeover.errors import ChangeoverError, StartRefused
from changeover.exits import DIFFERENT, OK, status_of
from changeover.mysql.catalog import captured_tables
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.mysql.grants import Role
from changeover.mysql.preflight import check_source
from changeover.mysql.starting import check_start
from changeover.replay import parse_from, starts_of
from changeover.replay import replay as replay_history
from changeover.settings import Settings, with_target
from changeover.status import Status, Statuses
from changeover.supervisor import Supervisor, parts_of
from changeover.table import Table
from changeover.wiring import (
    check_stores,
    complaints_about_topics,
    create_topics,
    has_checkpoint,
    has_log,
    open_log,
    open_target,
)

POLL_S = 0.2

app = typer.Typer(
    help="Move a live MySQL or MariaDB database to another one, while it runs, without losing a row.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

topics = typer.Typer(help="Kafka's topics of the pipeline.", no_args_is_help=True)
app.add_typer(topics, name="topics")
config_app = typer.Typer(help="The settings.", no_args_is_help=True)
app.add_typer(config_app, name="config")

Config = Annotated[Path, typer.Option("--config", "-c", help="The settings file.")]
CONFIG = Path("changeover.toml")


@app.callback()
def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)
    ] = False,
) -> None:
    if version:
        typer.echo(f"changeover {__version__}")
        raise typer.Exit


@app.command()
def run(config: Config = CONFIG) -> None:
    """Move the tables that the settings name: copy what is there, then keep the target in step.

    Runs capture, snapshot workers and consumer as processes, restarts what dies, and goes on until SIGTERM
    or Ctrl-C. Start it again at any time: it goes on where it was.
    """
    configure_logging()
    settings = Settings.load(config)
    _check(settings)
    supervisor = Supervisor(parts_of(settings, config))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        while not stop.is_set() and not supervisor.failed():
            supervisor.poll()
            stop.wait(POLL_S)
        failed = supervisor.failed()
    finally:
        supervisor.stop()
    if failed:
        raise typer.Exit(failed[0].exit_status or OK)


@app.command()
def status(
    config: Config = CONFIG,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show how far the pipeline is: rows copied, changes applied, lag."""
    settings = Settings.load(config)
    check_stores(settings)
    if not has_log(settings):
        typer.echo("null" if as_json else f"pipeline {settings.pipeline} has not begun: there is no log yet")
        return
    with Connection(settings.source) as connection, open_log(settings) as log:
        control = ControlSchema(connection, settings.pipeline)
        now = Statuses(control, log, settings.consumer.group).now()
    if as_json:
        typer.echo(json.dumps({**_plain(now), "snapshot_workers": settings.snapshot.workers}, indent=2))
    else:
        Console().print(_grid(now, imports=settings.snapshot.workers > 0))


User = Annotated[str | None, typer.Option(metavar="NAME@HOST", help="Judge this account's grants as well.")]


@app.command()
def doctor(
    config: Config = CONFIG,
    *,
    capture_user: Annotated[
        str | None,
        typer.Option(metavar="NAME@HOST", help="Judge this account in place of the one in the settings."),
    ] = None,
    application_user: User = None,
    operator_user: User = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Say whether this source, log and target can carry the move, and mend what cannot; touches nothing.

    Findings are "refuse" (data would be lost or misread, or the work could not be done), "warn" and "note".
    Exit status 0: go, 1: no go. Grants are judged with the statements that put them right: for capture,
    the account in the settings, for application and operator those that are named.
    """
    users = {
        Role.CAPTURE: capture_user,
        Role.APPLICATION: application_user,
        Role.OPERATOR: operator_user,
    }
    found = examine(Settings.load(config), {role: user for role, user in users.items() if user})
    if as_json:
        typer.echo(json.dumps(report.plain(found), indent=2))
    else:
        report.show(found, Console(highlight=False))
    if not found.is_go:
        raise typer.Exit(DIFFERENT)


@app.command()
def replay(
    begin: Annotated[
        str, typer.Option("--from", help="offset:N, timestamp:2026-11-23T10:00:00Z or version:TEXT.")
    ],
    config: Config = CONFIG,
    *,
    table: Annotated[
        list[str] | None, typer.Option(help="A schema.table to replay; may be given again. Default: all.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Another target, sqlite:FILE; made if it is not there.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Apply again what the log still holds from a place on, up to what it holds now.

    Beside a pipeline that runs: no group's offsets move. What the target holds already, or newer, stays, so
    a replay into the pipeline's own target changes nothing.
    """
    settings = Settings.load(config)
    start = parse_from(begin)
    if target is not None:
        settings = with_target(settings, target, Path.cwd())
    check_stores(settings)
    if not has_log(settings):
        raise StartRefused(f"pipeline {settings.pipeline} has not begun: there is no log to replay")
    with open_log(settings) as log:
        history = log.history()
        starts = starts_of(history, start, table or ())
        with open_target(settings) as into:
            done = replay_history(history, starts, into, settings.consumer.batch_rows)
    if as_json:
        typer.echo(json.dumps(asdict(done)))
    else:
        typer.echo(f"{done.records:,} records read, {done.applied:,} applied, {done.stale:,} stale")


@topics.command("create")
def topics_create(config: Config = CONFIG) -> None:
    """Make the topics that are missing: one for each table, one of watermarks, one for the log itself."""
    settings = Settings.load(config)
    tables = _captured(settings)
    made = create_topics(settings, tables)
    for name in made:
        typer.echo(f"made {name}")
    if not made:
        typer.echo("every topic is there")


@topics.command("check")
def topics_check(config: Config = CONFIG) -> None:
    """Check partitions, replication, clean-up and retention of the topics; exit status 1 if one is wrong."""
    settings = Settings.load(config)
    tables = _captured(settings)
    complaints = complaints_about_topics(settings, tables)
    for complaint in complaints:
        typer.echo(complaint)
    if complaints:
        raise typer.Exit(DIFFERENT)
    open_log(settings).close()  # refuses topics that were made anew, or have got other partitions
    typer.echo("every topic is as it must be")


@config_app.command("show")
def config_show(
    config: Config = CONFIG,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show every setting, its value and where that comes from; secrets are hidden."""
    settings = Settings.load(config)
    found = settings_table.rows(settings, config)
    if as_json:
        typer.echo(json.dumps([row._asdict() for row in found], indent=2))
        return
    grid = Grid("setting", "value", "from", "meaning", box=None)
    for row in found:
        grid.add_row(row.name, Text(row.value), row.origin, Text(row.description))
    Console(highlight=False).print(grid)


@app.command()
def demo(
    *,
    rows: Annotated[int, typer.Option(min=1_000, help="Rows of the sample database.")] = 200_000,
    rate: Annotated[int, typer.Option(min=1, max=2_000, help="Transactions written a second.")] = 250,
    steady: Annotated[float, typer.Option(min=0, help="Seconds to stay in step before the end.")] = 10.0,
    seed: Annotated[int, typer.Option(help="Of the sample data and of what is written.")] = 1,
    log: Annotated[
        DemoLog, typer.Option(help="Where the changes go: a file, or a private Kafka.")
    ] = DemoLog.SQLITE,
    keep: Annotated[
        Path | None, typer.Option(help="A folder to keep log, target and daemons.log in.")
    ] = None,
) -> None:
    """Move a sample database while it is written to, with kills in the middle, and compare every row.

    Starts a private MariaDB, and a private Kafka for --log kafka; both are gone at the end. Exit status 0
    only if source and target are equal.
    """
    plan = Plan(rows=rows, rate=rate, steady_s=steady, seed=seed, log=log, keep=keep)
    if not tell(plan, Console(highlight=False)):
        raise typer.Exit(DIFFERENT)


def main() -> None:
    """Run the command line; one line and an exit status for what is ours to explain."""
    try:
        app()
    except ChangeoverError as error:
        Console(stderr=True, soft_wrap=True, highlight=False).print(f"changeover: {error}", markup=False)
        sys.exit(status_of(error))


def _captured(settings: Settings) -> list[Table]:
    with Connection(settings.source) as connection:
        return captured_tables(connection)


def _check(settings: Settings) -> None:
    """Raise what would stop the pipeline, before it has touched anything."""
    with Connection(settings.source) as connection:
        check_source(connection)
        captured_tables(connection)
        check_stores(settings)
        if not has_checkpoint(settings):
            check_start(connection, settings.capture.begin)


def _plain(now: Status) -> dict[str, object]:
    return {
        **asdict(now),
        "captured_through": now.captured_through.text if now.captured_through else None,
        "applied_through": now.applied_through.text if now.applied_through else None,
        "rows_copied": now.rows_copied,
        "rows_total": now.rows_total,
    }


def _grid(now: Status, *, imports: bool) -> Grid:
    grid = Grid(show_header=False, box=None)
    for table in now.tables:
        state = "done" if table.is_done else f"of about {table.rows_estimated:,}"
        grid.add_row(table.table_name, f"{table.rows_copied:,} rows copied, {state}")
    if imports or now.tables:
        grid.add_row("import applied", "yes" if now.is_import_applied else "not yet")
    else:
        grid.add_row("import", "by another tool (snapshot.workers = 0)")
    grid.add_row("changes captured", f"{now.changes_captured:,}")
    grid.add_row("records applied", f"{now.records_applied:,}, of which stale {now.stale:,}")
    grid.add_row("captured through", now.captured_through.text if now.captured_through else "unknown")
    grid.add_row("applied through", now.applied_through.text if now.applied_through else "unknown")
    grid.add_row("lag", "unknown" if now.lag_ms is None else f"{now.lag_ms:,} ms")
    return grid
