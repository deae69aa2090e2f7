"""`changeover pause`, `resume`, `throttle`, `unthrottle`: orders that parts obey within a second or two."""

import enum
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from changeover.commands.options import CONFIG, Config
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.mysql.orders import OrderBook
from changeover.phases.move import who
from changeover.settings import Settings


class Part(enum.StrEnum):
    """A part that can rest."""

    CAPTURE = "capture"
    SNAPSHOT = "snapshot"
    APPLY = "apply"


class Throttled(enum.StrEnum):
    """A part that can go slower. Capture is none: what it reads late, the source may no longer have."""

    SNAPSHOT = "snapshot"
    APPLY = "apply"


OnePart = Annotated[Part | None, typer.Argument(help="Default: all.", show_default=False)]

Tell = Callable[[OrderBook, str, str], None]


def pause(part: OnePart = None, config: Config = CONFIG) -> None:
    """Let a part rest after what it has begun, until it is resumed: also when it is started anew.

    A capture that rests needs the source to keep its binlog; consumers that rest, the log its records.
    """
    _order(config, _chosen(part), OrderBook.pause)


def resume(part: OnePart = None, config: Config = CONFIG) -> None:
    """Let a part go on that was paused."""
    _order(config, _chosen(part), OrderBook.resume)


def throttle(
    part: Throttled,
    rows_per_s: Annotated[int, typer.Argument(min=1, max=10_000_000, help="For each process of the part.")],
    config: Config = CONFIG,
) -> None:
    """Let each process of a part do so many rows a second at most: to spare the source, or the target."""
    _order(config, [part], lambda book, name, by: book.throttle(name, rows_per_s, by))


def unthrottle(
    part: Annotated[Throttled | None, typer.Argument(help="Default: both.", show_default=False)] = None,
    config: Config = CONFIG,
) -> None:
    """Let a part go as fast as it can again."""
    _order(config, [part] if part else list(Throttled), lambda book, name, by: book.throttle(name, None, by))


def _chosen(part: Part | None) -> Sequence[Part]:
    return [part] if part else list(Part)


def _order(config: Config, parts: Sequence[Part | Throttled], tell: Tell) -> None:
    settings = Settings.load(config)
    with Connection(settings.source) as connection:
        control = ControlSchema(connection, settings.pipeline)
        control.make()
        book = OrderBook(control)
        for part in parts:
            tell(book, part.value, who(control))
            typer.echo(f"{part.value}: {str(book.of(part.value)) or 'free'}")
