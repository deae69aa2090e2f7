"""Choices: every turn that a schedule takes is a number drawn here, so that a run can be repeated and shrunk.

A run is a function of its list of choices and of nothing else. A seed makes the list up as it goes; a list
replays one, with 0, the plainest choice, for whatever lies behind its end.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence


class Choices(ABC):
    """Draws numbers, and keeps what was drawn."""

    def __init__(self) -> None:
        self.drawn: list[int] = []
        self.counts: list[int] = []
        """Of how many each was drawn."""

    def below(self, count: int) -> int:
        """A number from 0 to `count` - 1; without a choice nothing is drawn."""
        if count <= 1:
            return 0
        number = self._draw(count)
        self.drawn.append(number)
        self.counts.append(count)
        return number

    def rarely(self, one_in: int) -> bool:
        """True about once in so many times."""
        number = int(self._draw(one_in) == one_in - 1)
        self.drawn.append(number)
        self.counts.append(2)
        return bool(number)

    @abstractmethod
    def _draw(self, count: int) -> int:
        """A number from 0 to `count` - 1."""


class Seeded(Choices):
    """Choices of a seed."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._random = random.Random(seed).random

    def _draw(self, count: int) -> int:
        return int(self._random() * count)


class Replayed(Choices):
    """The choices of a list, and 0 behind its end."""

    def __init__(self, drawn: Sequence[int]) -> None:
        super().__init__()
        self._numbers = iter(drawn)

    def _draw(self, count: int) -> int:
        return min(next(self._numbers, 0), count - 1)

    def rarely(self, one_in: int) -> bool:
        """As it was drawn."""
        del one_in
        return bool(self.below(2))
