"""`changeover status`: how far a pipeline is, once or again and again."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, NamedTuple

import typer
from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from changeover.commands.grid import grid
from changeover.commands.options import CONFIG, AsJson, Config
from changeover.commands.verify import age_of, in_a_line
from changeover.commands.verify import plain as plain_verdicts
from changeover.errors import Unavailable
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.mysql.phases import BEFORE_THE_FIRST_MOVE, phase_now
from changeover.phase import LEFT_STANDING, PhaseState
from changeover.settings import Settings
from changeover.status import Status, Statuses
from changeover.verify.verdicts import TableVerdict, Verdicts, whole
from changeover.wiring import check_log_of, check_target_of, has_log, open_log

UNKNOWN = "unknown"
MS_SAID_MAX = 60_000


class Look(NamedTuple):
    """A pipeline as people want to see it."""

    status: Status
    verdicts: Sequence[TableVerdict]
    phase: PhaseState


def status(
    config: Config = CONFIG,
    *,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Again and again, until Ctrl-C.")] = False,
    every_s: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 2.0,
    as_json: AsJson = False,
) -> None:
    """Show how far the pipeline is: rows copied, changes applied, lag, what is paused.

    With --watch on a terminal the picture is renewed in place; elsewhere each look is one line.
    """
    settings = Settings.load(config)
    check_log_of(settings)
    if not settings.target.nodes:  # a cluster that is away is no reason not to look
        check_target_of(settings)
    if not has_log(settings):
        not_begun = (
            f"pipeline {settings.pipeline} has not begun: there is no log yet; start it with `changeover run`"
        )
        typer.echo("null" if as_json else not_begun)
        return
    if watch:
        _watch(settings, every_s, as_json=as_json)
        return
    with _looking(settings) as look:
        now = look()
    if as_json:
        typer.echo(json.dumps(_plain(now, settings), indent=2))
    else:
        Console().print(_grid(now, settings))


def _watch(settings: Settings, every_s: float, *, as_json: bool) -> None:
    console = Console()
    try:
        if as_json or not console.is_terminal:
            for now in _looks(settings, every_s):
                typer.echo(_json_line(now, settings) if as_json else _line(now))
            return
        with Live(console=console, auto_refresh=False) as live:
            for now in _looks(settings, every_s):
                live.update(_picture(now, settings), refresh=True)
    except KeyboardInterrupt:
        return


def _looks(settings: Settings, every_s: float) -> Iterator[Look | Unavailable]:
    """A look after the other; where source or log is away, that is what one sees."""
    while True:
        try:
            with _looking(settings) as look:
                while True:
                    yield look()
                    time.sleep(every_s)
        except Unavailable as error:
            yield error
            time.sleep(every_s)


@contextmanager
def _looking(settings: Settings) -> Iterator[Callable[[], Look]]:
    with Connection(settings.source) as connection, open_log(settings) as log:
        control = ControlSchema(connection, settings.pipeline)
        statuses, verdicts = Statuses(control, log, settings.consumer.group), Verdicts(control)

        def look() -> Look:
            now = statuses.now()
            if not control.exists():
                return Look(now, [], BEFORE_THE_FIRST_MOVE)
            names = [table.table_name for table in now.tables]
            return Look(now, verdicts.now(names), phase_now(control))

        yield look


def _plain(look: Look, settings: Settings) -> dict[str, object]:
    now = look.status
    return {
        **asdict(now),
        "captured_through": now.captured_through.text if now.captured_through else None,
        "applied_through": now.applied_through.text if now.applied_through else None,
        "rows_copied": now.rows_copied,
        "rows_total": now.rows_total,
        "snapshot_workers": settings.snapshot.workers,
        "phase": look.phase.phase,
        "is_fence_left_standing": look.phase.is_left_standing(now.now_ms),
        "verdicts": plain_verdicts(look.verdicts),
    }


def _json_line(look: Look | Unavailable, settings: Settings) -> str:
    return json.dumps({"unknown": str(look)} if isinstance(look, Unavailable) else _plain(look, settings))


def _line(look: Look | Unavailable) -> str:
    """One look in one line."""
    at = f"{datetime.now(UTC):%H:%M:%S}"
    if isinstance(look, Unavailable):
        return f"{at} {UNKNOWN}: {look}"
    now = look.status
    orders = "".join(f", {order.part} {order}" for order in now.orders)
    return (
        f"{at} {_phase(look)}, copied {now.rows_copied:,} of {now.rows_total:,}, "
        f"captured {now.changes_captured:,}, applied {now.records_applied:,}, lag {_lag(now)}, "
        f"verified {in_a_line(whole(look.verdicts), now.now_ms)}{orders}"
    )


def _picture(look: Look | Unavailable, settings: Settings) -> RenderableType:
    return Text(f"{UNKNOWN}: {look}") if isinstance(look, Unavailable) else _grid(look, settings)


def _grid(look: Look, settings: Settings) -> Table:
    now = look.status
    listed = grid("", "")
    listed.add_row("phase", _phase(look))
    for table in now.tables:
        state = "done" if table.is_done else f"of about {table.rows_estimated:,}"
        listed.add_row(Text(table.table_name), f"{table.rows_copied:,} rows copied, {state}")
    if settings.snapshot.workers or now.tables:
        listed.add_row("import applied", "yes" if now.is_import_applied else "not yet")
    else:
        listed.add_row("import", "by another tool (snapshot.workers = 0)")
    listed.add_row("changes captured", f"{now.changes_captured:,}")
    listed.add_row("records applied", f"{now.records_applied:,}, of which stale {now.stale:,}")
    listed.add_row("captured through", now.captured_through.text if now.captured_through else UNKNOWN)
    listed.add_row("applied through", now.applied_through.text if now.applied_through else UNKNOWN)
    listed.add_row("lag", _lag(now))
    listed.add_row("verified", Text(in_a_line(whole(look.verdicts), now.now_ms)))
    for order in now.orders:
        listed.add_row(order.part, Text(str(order)))
    return listed


def _phase(look: Look) -> Text:
    if look.phase.is_left_standing(look.status.now_ms):
        return Text(f"{look.phase.phase}: {LEFT_STANDING}", style="bold red")
    return Text(look.phase.phase)


def _lag(now: Status) -> str:
    """As people say it: what is an hour is not read from millions of milliseconds."""
    if now.lag_ms is None:
        return UNKNOWN
    return f"{now.lag_ms:,} ms" if now.lag_ms < MS_SAID_MAX else age_of(now.lag_ms)
