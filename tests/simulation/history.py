"""What happened, as events that could be lines of JSON; checkers read them as they come.

An event is a dict with its kind under "event". Real servers can be watched in the same words: a checker
knows nothing of the simulation.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

Event = dict[str, Any]
Checker = Callable[[Event], None]


class History:
    """The events of one run, each shown to the checkers when it happens."""

    def __init__(self, *checkers: Checker) -> None:
        self.events: list[Event] = []
        self._checkers = checkers

    def note(self, event: str, **fields: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
        """Something happened."""
        happened: Event = {"event": event, **fields}
        self.events.append(happened)
        for check in self._checkers:
            check(happened)

    def write(self, path: Path) -> None:
        """The events as lines of JSON."""
        path.write_bytes(b"".join(orjson.dumps(event) + b"\n" for event in self.events))


def read(path: Path) -> list[Event]:
    """The events of a file of such lines."""
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]
