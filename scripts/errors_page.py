"""Writes docs/errors.md from the errors and the exit statuses themselves."""

import inspect
import re
from pathlib import Path

from changeover import errors, exits
from changeover.errors import ChangeoverError, Refused, Stopped, Unavailable

HEAD = """# Errors and exit statuses

Whatever goes wrong, a program says one line: what, where, and what to do. A daemon logs it as `stopped`, with
the name of the error as `kind`. A traceback is a fault of this product: please report it. `make pages`
generates this page.

## Exit statuses

| status | name | meaning |
|---|---|---|
"""

KINDS = {
    Refused: "Refused: nothing was touched",
    Unavailable: "Unavailable: nothing is lost, it goes on when started again",
    Stopped: "Stopped: a person must decide",
}

STATUS = re.compile(r"^([A-Z]+) = (\d+) *(?:# (.*))?$", re.MULTILINE)


def page() -> str:
    """The page's text."""
    statuses = [
        f"| {status} | `{name}` | {meaning or 'done, or asked to stop'} |"
        for name, status, meaning in STATUS.findall(inspect.getsource(exits))
    ]
    lines = [HEAD + "\n".join(statuses), ""]
    for kind, title in KINDS.items():
        lines += [f"## {title}", "", f"Exit status {exits.status_of(kind('any'))}.", ""]
        lines += ["| kind | what happened | what to do |", "|---|---|---|"]
        lines += [_row(error) for error in _all() if issubclass(error, kind) and error is not kind]
        lines += [""]
    return "\n".join(lines)


def _all() -> list[type[ChangeoverError]]:
    """The errors, in the order in which the file tells them."""
    found = [one for one in vars(errors).values() if inspect.isclass(one)]
    return [one for one in found if issubclass(one, ChangeoverError)]


def _row(error: type[ChangeoverError]) -> str:
    happened = (inspect.getdoc(error) or "").replace("\n", " ")
    return f"| `{error.__name__}` | {happened} | {error.hint or 'the line says it'} |"


if __name__ == "__main__":
    Path(__file__).parents[1].joinpath("docs/errors.md").write_text(page())
