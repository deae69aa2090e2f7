"""Several stories side by side in one thread: each goes on as soon as what it waits for has come.

A story is a generator that yields what it waits for. Most of an alert's time is waiting, so stories that
share a machine take little longer than the longest of them.
"""

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

WAIT_S_MAX = 240.0
"""For each wait. They take seconds; with a thirtieth of a processor the longest takes 150."""

POLL_S = 0.2


class Wait(NamedTuple):
    """What a story waits for, whether it has come, and what is seen where it does not."""

    what: str
    has_come: Callable[[], bool]
    seen: Callable[[], object] = lambda: "nothing"


Story = Generator[Wait, None, None]


@dataclass(slots=True)
class Teller:
    """A story, and what is done while it waits."""

    story: Story
    meanwhile: Callable[[], None] = lambda: None
    _wait: Wait | None = None
    _until_s: float = 0.0

    def go_on(self) -> bool:
        """Whether there is more to come; what goes wrong is raised where the story is."""
        try:
            try:
                if self._wait is not None and not self._has_come(self._wait):
                    return True
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the story's end
                self._begin(self.story.throw(error))
            else:
                self._begin(next(self.story))
        except StopIteration:
            return False
        return True

    def _has_come(self, wait: Wait) -> bool:
        self.meanwhile()
        if wait.has_come():
            return True
        message = f"waited {WAIT_S_MAX:.0f} s for {wait.what}, and saw {wait.seen()}"
        assert time.monotonic() < self._until_s, message
        return False

    def _begin(self, wait: Wait) -> None:
        self._wait, self._until_s = wait, time.monotonic() + WAIT_S_MAX


def play(tellers: Mapping[str, Teller]) -> dict[str, Exception]:
    """Tell all stories to their ends; of those that failed the reason, by name. The others go on."""
    failed: dict[str, Exception] = {}
    under_way = dict(tellers)
    try:
        while under_way:
            for name, teller in list(under_way.items()):
                try:
                    goes_on = teller.go_on()
                except Exception as error:  # noqa: BLE001 - the others are told nevertheless
                    failed[name], goes_on = error, False
                if not goes_on:
                    del under_way[name]
            time.sleep(POLL_S)
    finally:
        for teller in under_way.values():  # interrupted: each lets go what it holds
            teller.story.close()
    return failed
