"""`changeover phase`: which database the application writes and reads, and the moves from phase to phase."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from changeover.commands.grid import grid
from changeover.commands.options import CONFIG, AsJson, Config
from changeover.exits import DIFFERENT
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.mysql.phases import PhaseMove
from changeover.phase import LEFT_STANDING, Phase, PhaseState
from changeover.phases.gates import Gate, failing
from changeover.phases.operator import Answer, Operator, Standing, standing
from changeover.settings import Settings
from changeover.wiring import check_log_of, open_log, require_log

app = typer.Typer(help="The application's phase: look, plan, advance, go back.", no_args_is_help=True)

Force = Annotated[
    str | None,
    typer.Option(metavar="REASON", help="Move although gates do not hold; the reason is shown for ever."),
]


@app.command()
def show(config: Config = CONFIG, *, as_json: AsJson = False) -> None:
    """Show the phase, and every move that has led to it."""
    settings = Settings.load(config)
    with Connection(settings.source) as connection:
        found = standing(ControlSchema(connection, settings.pipeline))
    if as_json:
        typer.echo(json.dumps(_plain(found), indent=2))
    else:
        _show(found)


@app.command()
def plan(config: Config = CONFIG, *, as_json: AsJson = False) -> None:
    """Show the way ahead, each phase with its gates as they are now; exit status 1 if the next is shut."""
    with _operator(config) as operator:
        ahead = operator.plan()
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in ahead], indent=2))
    else:
        for one in ahead:
            if not one.gates:
                typer.echo(f"on the way to {one.to.value}: its gates were judged before the fence. {LEFT}")
                continue
            _show_gates(f"to {one.to.value}", one.gates)
        if not ahead:
            typer.echo("there is nothing ahead: NEW is the last phase")
    if ahead and failing(ahead[0].gates):
        raise typer.Exit(DIFFERENT)


@app.command()
def advance(config: Config = CONFIG, *, force: Force = None, as_json: AsJson = False) -> None:
    """Go one step towards the new database; exit status 1, and every reason, if a gate does not hold."""
    with _operator(config) as operator:
        answer = operator.advance(_reason(force))
    _tell(answer, as_json=as_json)


@app.command()
def back(config: Config = CONFIG, *, force: Force = None, as_json: AsJson = False) -> None:
    """Go one step towards the old database: always open until NEW, and nothing is copied."""
    with _operator(config) as operator:
        answer = operator.back(_reason(force))
    _tell(answer, as_json=as_json)


@contextmanager
def _operator(config: Path) -> Iterator[Operator]:
    settings = Settings.load(config)
    check_log_of(settings)
    require_log(settings)
    with Connection(settings.source) as connection, open_log(settings) as log:
        yield Operator(settings, ControlSchema(connection, settings.pipeline), log)


def _reason(force: str | None) -> str | None:
    if force is not None and not force.strip():
        raise typer.BadParameter("say why: it is kept with the move", param_hint="--force")
    return force


def _tell(answer: Answer, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(_plain_answer(answer), indent=2))
    elif answer.is_made:
        typer.echo(f"{answer.before.value} -> {answer.state.phase.value}")
        for gate in failing(answer.gates):
            typer.echo(f"forced against {gate.name}: {gate.reason}")
    elif answer.why:
        typer.echo(f"{answer.before.value} -> {answer.state.phase.value}: {answer.why}")
    else:
        _show_gates(f"{answer.before.value} stays: not every gate holds", answer.gates)
    if not answer.is_made:
        raise typer.Exit(DIFFERENT)


def _show(found: Standing) -> None:
    state = found.state
    since = f" since {_time(state.since_ms)}" if state.since_ms else ""
    typer.echo(f"{state.phase.value}{since}, move {state.attempt}")
    if found.is_fence_left_standing:
        typer.echo(f"{LEFT_STANDING}.")
    elif state.phase is Phase.FENCED:
        typer.echo(f"writers wait, until {_time(state.deadline_ms or 0)} at most. {LEFT}")
    if not found.moves:
        return
    listed = grid("move", "at", "from", "to", "took", "by", "gates")
    for move in found.moves:
        listed.add_row(
            str(move.attempt),
            _time(move.at_ms),
            move.before.value,
            move.after.value,
            f"{move.took_ms:,} ms",
            Text(move.who),
            Text(_judged(move)),
        )
    Console(highlight=False).print(listed)


LEFT = "If no mover is at it any more, `changeover phase back` finishes or undoes it."


def _judged(move: PhaseMove) -> str:
    shut = [gate["name"] for gate in move.evidence if not gate["holds"]]
    forced = f"FORCED: {move.forced}" if move.forced else ""
    against = f" (against {', '.join(shut)})" if shut else ""
    return f"{forced}{against}" if forced else f"{len(move.evidence)} held" if move.evidence else ""


def _show_gates(title: str, gates: Sequence[Gate]) -> None:
    console = Console(highlight=False)
    listed = grid("", "gate", "found", "asked for", title=title)
    for gate in gates:
        listed.add_row("ok" if gate.holds else "NO", gate.name, gate.figure, gate.limit)
    console.print(listed)
    for gate in failing(gates):
        # Not wrapped or cut by us: it names the settings and commands that are to be typed.
        console.print(Text(f" {gate.name}: {gate.reason}: {gate.mend}"), soft_wrap=True)


def _plain(found: Standing) -> dict[str, Any]:
    return {
        **_plain_state(found.state),
        "is_fence_left_standing": found.is_fence_left_standing,
        "moves": [asdict(move) for move in found.moves],
    }


def _plain_answer(answer: Answer) -> dict[str, Any]:
    return {
        "is_made": answer.is_made,
        "before": answer.before,
        "why": answer.why,
        **_plain_state(answer.state),
        "gates": [asdict(gate) for gate in answer.gates],
    }


def _plain_state(state: PhaseState) -> dict[str, Any]:
    return {**asdict(state), "fence": state.fence.text if state.fence else None}


def _time(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1_000, UTC):%Y-%m-%d %H:%M:%S} UTC"
