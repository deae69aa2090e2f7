"""The commands in the order in which a move meets them, which is how help lists them."""

from typing import Any

from typer.core import TyperGroup

WAY = (
    *("demo", "config", "doctor", "topics", "run", "status", "serve"),
    *("verify", "findings", "explain", "repair", "replay"),
    *("phase", "finish"),
    *("pause", "resume", "throttle", "unthrottle"),
)


class OnTheWay(TyperGroup):
    """A group whose help tells a story; a command that has no place in it comes last."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401 - a class that typer keeps to itself
        """The names, in that order."""
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: WAY.index(name) if name in WAY else len(WAY))
