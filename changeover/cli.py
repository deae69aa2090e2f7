"""The command line: puts the commands together."""

import json
import os
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from changeover import __version__, crashpoints, settings_table
from changeover.commands import findings, orders, phase
from changeover.commands.explain import explain_key
from changeover.commands.finish import finish
from changeover.commands.options import CONFIG, AsJson, Config
from changeover.commands.repair import repair
from changeover.commands.serve import serve
from changeover.commands.status import status
from changeover.commands.verify import verify
from changeover.commands.way import OnTheWay
from changeover.demo.plan import DemoLog, DemoTarget, Plan
from changeover.doctor import report
from changeover.doctor.examine import examine
from changeover.errors import ChangeoverError
from changeover.exits import DIFFERENT, OK, status_of
from changeover.mysql.catalog import captured_tables
from changeover.mysql.connection import Connection
from changeover.mysql.grants import Role
from changeover.mysql.preflight import check_source
from changeover.mysql.starting import check_start
from changeover.replay import parse_from, starts_of
from changeover.replay import replay as replay_history
from changeover.settings import Settings, with_target
from changeover.supervisor import Supervisor, parts_of
from changeover.table import Table
from changeover.wiring import (
    check_mapping,
    check_stores,
    complaints_about_topics,
    create_topics,
    has_checkpoint,
    open_log,
    open_target,
    require_log,
)

POLL_S = 0.2

app = typer.Typer(
    cls=OnTheWay,
    help="Move a live MySQL or MariaDB database to another one, while it runs, without losing a row.",
    no_args_is_help=True,
    rich_markup_mode="markdown",  # it joins the lines of a paragraph
    pretty_exceptions_enable=False,
)

topics = typer.Typer(help="Kafka's topics of the pipeline.", no_args_is_help=True)
app.add_typer(topics, name="topics")
config_app = typer.Typer(help="The settings.", no_args_is_help=True)
app.add_typer(config_app, name="config")
app.add_typer(phase.app, name="phase")
app.command()(verify)
app.command()(finish)
app.command()(repair)
app.add_typer(findings.app, name="findings")
app.command("explain")(explain_key)
app.command()(status)
for order in (orders.pause, orders.resume, orders.throttle, orders.unthrottle):
    app.command()(order)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"changeover {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    """What stands before a command."""


@app.command()
def run(config: Config = CONFIG) -> None:
    """Move the tables that the settings name: copy what is there, then keep the target in step.

    Runs capture, snapshot workers and consumer as processes, restarts what dies, and goes on until SIGTERM
    or Ctrl-C. Start it again at any time: it goes on where it was.
    """
    from changeover.daemon import configure_logging  # noqa: PLC0415 - brings the metrics' library

    settings = Settings.load(config)
    configure_logging(logs=settings.logs)
    _check(settings)
    if sys.stderr.isatty():  # a log has a line for each event alone
        typer.echo("It runs until Ctrl-C. To see how far it is: changeover status --watch", err=True)
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
    as_json: AsJson = False,
) -> None:
    """Say whether this source, log and target can carry the move, and mend what cannot; touches nothing.

    But for one thing: in Riak it proves on keys of its own, which it removes again, that writes are ordered.

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
    target: Annotated[str | None, typer.Option(help="Another target, as target.url.")] = None,
    as_json: AsJson = False,
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
    require_log(settings)
    with open_log(settings) as log:
        history = log.history()
        starts = starts_of(history, start, table or ())
        if target is not None and settings.snapshot.workers == 0:
            typer.echo(WITHOUT_IMPORT, err=True)
        with open_target(settings) as into:
            done = replay_history(history, starts, into, settings.consumer.batch_rows)
    if as_json:
        typer.echo(json.dumps(asdict(done)))
    else:
        typer.echo(f"{done.records:,} records read, {done.applied:,} applied, {done.stale:,} stale")


WITHOUT_IMPORT = (
    "changeover: another tool made the import (snapshot.workers = 0), so its rows are not in the log: "
    "a target that does not hold that copy will lack every row that has not changed since."
)


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
    """Check the topics: partitions, replication, clean-up, retention; exit status 1 if something is wrong.

    A transaction of which Kafka has lost the end is named too, and what to do is in docs/runbook.md.
    """
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
    as_json: AsJson = False,
) -> None:
    """Show every setting, its value and where that comes from; secrets are hidden."""
    settings = Settings.load(config)
    found = settings_table.rows(settings, config)
    if as_json:
        typer.echo(json.dumps([row._asdict() for row in found], indent=2))
        return
    console = Console(highlight=False)
    for row in found:
        # Not cut to a terminal's width by us: names and values are to be copied from here.
        console.print(
            Text(f"{row.name} = {row.value}".rstrip()).append(f"  ({row.origin})", style="cyan"),
            soft_wrap=True,
        )
        console.print(Text(f"      {row.description}", style="dim"), soft_wrap=True)


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
    target: Annotated[
        DemoTarget, typer.Option(help="What to move into: a file, or Riak.")
    ] = DemoTarget.SQLITE,
    riak: Annotated[
        str,
        typer.Option(
            help="HOST:PORT of a Riak node with the bucket type `changeover`; without it a double of one."
        ),
    ] = "",
    keep: Annotated[
        Path | None, typer.Option(help="A folder to keep log, target and daemons.log in.")
    ] = None,
) -> None:
    """Move a sample database while it is written to, with kills in the middle, and compare every row.

    Then its application takes over, phase by phase, to the end (with the file log and SQLite alone). Starts a
    private MariaDB, and a private Kafka for --log kafka; both are gone at the end. Exit status 0 only if
    nothing differs, no request failed and none read older than it had written.
    """
    from changeover.demo.story import tell  # noqa: PLC0415 - brings all that a demo has, from brokers to clinics

    plan = Plan(
        rows=rows, rate=rate, steady_s=steady, seed=seed, log=log, target=target, riak=riak, keep=keep
    )
    if not tell(plan, Console(highlight=False)):
        raise typer.Exit(DIFFERENT)
    typer.echo("Next: docs/first-migration.md moves a small database by your own hand.")


app.command()(serve)


def main() -> None:
    """Run the command line; one line and an exit status for what is ours to explain."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    # Who is told to end lets go of all as after Ctrl-C, a fence too; and as the first process of a container,
    # where the kernel drops a signal that nobody handles, it ends at all.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for armed in crashpoints.arm(os.environ):
            console.print(f"changeover: crash point armed: {armed}", markup=False)
        app()
    except ChangeoverError as error:
        console.print(f"changeover: {error}", markup=False)
        sys.exit(status_of(error))


def _captured(settings: Settings) -> list[Table]:
    with Connection(settings.source) as connection:
        return captured_tables(connection)


def _check(settings: Settings) -> None:
    """Raise what would stop the pipeline, before it has touched anything."""
    with Connection(settings.source) as connection:
        check_mapping(settings, check_source(connection))
        check_stores(settings)
        if not has_checkpoint(settings):
            check_start(connection, settings.capture.begin)
