"""Writes docs/commands.md from the command line itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from changeover.cli import app

HEAD = """# Commands

`changeover COMMAND --help` says the same. Every command reads the settings file that `--config` names, and
ends with one of the [exit statuses](errors.md#exit-statuses). `make pages` generates this page.

Each part can be a process of its own, under systemd or in containers; `changeover run` starts them like this:

| part | command |
|---|---|
| capture, one at a time | `python -P -m cdc capture --config FILE` |
| import, as many as you like | `python -P -m cdc snapshot --config FILE --worker NAME` |
| consumer, as many as the topics have partitions | `python -P -m consumers apply --config FILE` |
"""

HIDDEN = frozenset({"--help", "--install-completion", "--show-completion"})


def page() -> str:
    """The page's text."""
    root: Any = typer.main.get_command(app)  # Any: typer keeps the classes behind it to itself
    return "\n".join([HEAD, *_lines(root, "changeover")])


def _lines(group: Any, path: str) -> Iterator[str]:  # noqa: ANN401
    for name, command in sorted(group.commands.items()):
        full = f"{path} {name}"
        if getattr(command, "commands", None):
            yield from _lines(command, full)
        elif not command.hidden:
            yield from (f"## {full}", "", command.help or "", "")
            yield from _options(command)


def _options(command: Any) -> Iterator[str]:  # noqa: ANN401
    options = [option for option in command.params if not HIDDEN & set(option.opts)]
    yield from ("| option | default | meaning |", "|---|---|---|")
    for option in options:
        names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
        argument = option.param_type_name == "argument"
        shown = f"`{option.metavar or option.name.upper()}`" if argument else names
        meaning = (option.help or "").replace("|", "\\|")
        yield f"| {shown} | {_default(option)} | {meaning} |"
    yield ""


def _default(option: Any) -> str:  # noqa: ANN401
    if option.required:
        return "required"
    shown = getattr(option.default, "value", option.default)  # of an enumeration, its word
    return "" if shown in (None, False, (), []) or shown == "" else f"`{shown}`"


if __name__ == "__main__":
    Path(__file__).parents[1].joinpath("docs/commands.md").write_text(page())
