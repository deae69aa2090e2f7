"""`changeover verify`."""

import json
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from changeover.commands.grid import grid
from changeover.commands.options import CONFIG, AsJson, Config
from changeover.errors import SettingsInvalid
from changeover.exits import DIFFERENT
from changeover.settings import Settings
from changeover.verify.keys import read_keys
from changeover.verify.scans import ScanState, Stage
from changeover.verify.verdicts import State, TableVerdict, whole
from changeover.verify.verifier import Verifier, verifying

TELL_S = 2.0
"""Seconds between two lines of progress."""


def verify(  # noqa: PLR0913 - typer makes options of arguments
    config: Config = CONFIG,
    *,
    table: Annotated[
        list[str] | None, typer.Option(help="A schema.table to verify; may be given again. Default: all.")
    ] = None,
    keys: Annotated[
        str | None,
        typer.Option(
            help="Keys of the one --table alone: a JSON list, a key, or a file with one in each line."
        ),
    ] = None,
    continuous: Annotated[
        bool,
        typer.Option("--continuous", help="Over and over, and recently changed keys soon, until Ctrl-C."),
    ] = False,
    rate: Annotated[float | None, typer.Option(min=1, help="Rows a second at most.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare every row of source and target, both ways, while everything runs.

    Goes on where it was stopped. Exit status 0: all that was asked for is clean; 1: it is not.
    """
    settings = Settings.load(config)
    if keys is not None and (continuous or len(table or ()) != 1):
        raise SettingsInvalid("--keys are those of one --table, and are judged once")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with verifying(settings) as verifier:
        tables = verifier.chosen(table or ())
        if keys is not None:
            is_clean = _judge(verifier, tables[0].full_name, keys, as_json=as_json)
        else:
            work = verifier.go_on if continuous else verifier.scan
            tell = Progress(time.monotonic()).tell
            verdicts = work(tables, rows_per_s=rate, should_stop=stop.is_set, tell=tell)
            show(verdicts, verifier.control.now_ms(), as_json=as_json)
            is_whole = continuous or not stop.is_set()
            is_clean = whole(verdicts).state is State.CLEAN and is_whole
    if not is_clean:
        raise typer.Exit(DIFFERENT)


def _judge(verifier: Verifier, name: str, keys: str, *, as_json: bool) -> bool:
    """Judge the keys and say what was found; whether all are equal."""
    (table,) = verifier.chosen([name])
    found = verifier.judge_keys(table, read_keys(table, keys))
    if as_json:
        said = {
            "equal": [key.decode() for key in found.equal],
            "differences": [{"key": one.key.decode(), "kind": one.kind} for one in found.differences],
            "unsettled": [key.decode() for key in found.unsettled],
        }
        typer.echo(json.dumps(said, indent=2))
    else:
        typer.echo(f"{len(found.equal):,} equal, {len(found.differences):,} different")
        for one in found.differences:
            typer.echo(f"{one.kind.value}: {one.key.decode()} {', '.join(one.columns)}")
        for key in found.unsettled:
            typer.echo(f"not settled: {key.decode()}")
    return not found.differences and not found.unsettled


class Progress:
    """Says how far a scan is, a line every other second, on standard error."""

    def __init__(self, now_s: float) -> None:
        self._told_s = now_s
        self._table = ""
        self._began: tuple[float, int] = (now_s, 0)

    def tell(self, state: ScanState) -> None:
        """Say it, if it is time."""
        now_s = time.monotonic()
        if state.table_name != self._table:
            self._table, self._began = state.table_name, (now_s, state.rows_compared)
        if now_s - self._told_s >= TELL_S:
            self._told_s = now_s
            sys.stderr.write(f"{progress_line(state, *self._rate(state, now_s))}\n")

    def _rate(self, state: ScanState, now_s: float) -> tuple[float, float | None]:
        began_s, rows = self._began
        rate = (state.rows_compared - rows) / max(0.001, now_s - began_s)
        left = state.rows_estimated - state.rows_compared
        return rate, left / rate if rate and left > 0 else None


def progress_line(state: ScanState, rate: float, left_s: float | None) -> str:
    """How far a scan is, in a line.

    >>> progress_line(ScanState(table_name="a.b", rows_estimated=200, rows_compared=50), 10.0, 15.0)
    'a.b: 50 of about 200 rows compared, 10 a second, about 15 s left'
    """
    if state.stage is Stage.TARGET:
        return f"{state.table_name}: {state.keys_walked:,} keys of the target looked at"
    left = "" if left_s is None else f", about {left_s:,.0f} s left"
    of = f" of about {state.rows_estimated:,}" if state.rows_estimated else ""
    return f"{state.table_name}: {state.rows_compared:,}{of} rows compared, {rate:,.0f} a second{left}"


def show(verdicts: list[TableVerdict], now_ms: int, *, as_json: bool) -> None:
    """Print the verdicts, and the one for all of them."""
    if as_json:
        typer.echo(json.dumps(plain(verdicts), indent=2))
        return
    listed = grid("table", "verdict", "rows", "MB", "findings", "as of", "age", "why")
    for one in [*verdicts, whole(verdicts)]:
        listed.add_row(
            Text(one.table_name),
            one.state.value,
            f"{one.rows:,}",
            f"{one.bytes / 1e6:,.1f}",
            f"{one.findings_open:,}",
            one.as_of.text if one.as_of else "unknown",
            "unknown" if one.as_of_ms is None else age_of(now_ms - one.as_of_ms),
            Text(one.why),
        )
    Console(highlight=False, soft_wrap=True).print(listed)


def in_a_line(verdict: TableVerdict, now_ms: int) -> str:
    """A verdict in a line, with its age."""
    if verdict.as_of_ms is None:
        return f"{verdict.state.value}: {verdict.why}" if verdict.why else verdict.state.value
    age = age_of(now_ms - verdict.as_of_ms)
    why = f": {verdict.why}" if verdict.why else ""
    return f"{verdict.state.value}{why}, {verdict.findings_open:,} findings open, as of {age} ago"


def plain(verdicts: Sequence[TableVerdict]) -> dict[str, object]:
    """The verdicts for programs."""
    return {"tables": [_plain(one) for one in verdicts], "whole": _plain(whole(verdicts))}


def _plain(verdict: TableVerdict) -> dict[str, object]:
    as_of = verdict.as_of
    return {**asdict(verdict), "state": verdict.state.value, "as_of": as_of.text if as_of else None}


def age_of(age_ms: int) -> str:
    """An age in its largest whole units.

    >>> age_of(61_000), age_of(3_700_000), age_of(90_000_000)
    ('1 min 1 s', '1 h 1 min', '1 d 1 h')
    """
    seconds = max(0, age_ms) // 1000
    parts = [(seconds // size, name) for size, name in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))]
    limits = (None, 24, 60, 60)
    shown = [
        (count % limit if limit else count, name) for (count, name), limit in zip(parts, limits, strict=True)
    ]
    first = next((place for place, (count, _) in enumerate(shown) if count), len(shown) - 1)
    return " ".join(f"{count} {name}" for count, name in shown[first : first + 2])
