"""What a person sees of the demo: live bars on a terminal, plain lines elsewhere, one table at the end."""

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as Grid
from rich.text import Text

from changeover.status import Status

LINE_EVERY_S = 1.0
"""How often a line is printed where there is no terminal."""

EVENTS_SHOWN = 8


class Show:
    """Shows the demo's progress, in whichever way the output can."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began_s = time.monotonic()
        self._next_line_s = 0.0
        self._events: list[Text] = []
        self._figures: Mapping[str, str] = {}
        self._doing = ""
        self._copied = Progress(
            TextColumn("{task.description:<22}"),
            BarColumn(bar_width=40),
            MofNCompleteColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._copied.add_task("rows filled in", total=None)
        self._live = Live(console=console, get_renderable=self._picture, refresh_per_second=5, transient=True)

    def __enter__(self) -> Self:
        """Begin to show."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""
        if self._console.is_terminal:
            self._live.stop()

    def event(self, text: str) -> None:
        """Something happened that the reader should know."""
        line = self._timed(text)
        if self._console.is_terminal:
            self._events.append(Text(line))
        else:
            self._print(line)

    def doing(self, text: str) -> None:
        """What takes its time now: on a terminal it stands beside the clock until something else does."""
        self._doing = text
        if not self._console.is_terminal:
            self._print(self._timed(f"{text} …"))

    def filled(self, done: int, total: int) -> None:
        """The sample database grows."""
        self._copied.update(self._task, description="rows filled in", completed=done, total=total)

    def status(self, now: Status, written: int) -> None:
        """The pipeline moves on; `written` transactions have been committed meanwhile."""
        self._copied.update(
            self._task, description="rows copied", completed=now.rows_copied, total=now.rows_total or None
        )
        self._figures = _figures(now, written)
        if not self._console.is_terminal and time.monotonic() >= self._next_line_s:
            self._next_line_s = time.monotonic() + LINE_EVERY_S
            eta = self._copied.tasks[0].time_remaining
            total = f"{now.rows_total:,}" if now.rows_total else "as yet unknown"
            copied = f"rows copied {now.rows_copied:,} of {total}"
            wait = f" (ETA {eta:.0f} s)" if eta and not now.is_import_logged else ""
            figures = ", ".join(f"{name} {value}" for name, value in self._figures.items())
            self._print(self._timed(f"{copied}{wait}, {figures}"))

    def result(self, title: str, rows: Mapping[str, str]) -> None:
        """A table of what came out, under the events that led to it."""
        grid = Grid(title=title, show_header=False)
        grid.add_column(justify="left")
        grid.add_column(justify="right")
        for name, value in rows.items():
            grid.add_row(name, value)
        for event in self._events:
            self._console.print(event)
        self._events.clear()  # there may be another table after this one
        self._console.print(grid)

    def _picture(self) -> Group:
        figures = Grid.grid(padding=(0, 3))
        figures.add_row(*self._figures.keys())
        figures.add_row(*(Text(value, style="bold") for value in self._figures.values()))
        bars = () if self._doing else (self._copied, Text(), figures)
        clock = Text(self._timed(f"{self._doing} …" if self._doing else ""), style="dim")
        return Group(*self._events[-EVENTS_SHOWN:], Text(), *bars, clock)

    def _timed(self, text: str) -> str:
        return f"{time.monotonic() - self._began_s:6.1f} s  {text}"

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, soft_wrap=True)
        sys.stdout.flush()


def _figures(now: Status, written: int) -> dict[str, str]:
    return {
        "transactions written": f"{written:,}",
        "changes captured": f"{now.changes_captured:,}",
        "records applied": f"{now.records_applied:,}",
        "stale skipped": f"{now.stale:,}",
        "lag": "unknown" if now.lag_ms is None else f"{now.lag_ms:,} ms",
    }
