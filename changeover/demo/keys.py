"""The keys of a table, as far as the busy application knows them."""

import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

KEYS_HELD_MAX = 50_000
"""Keys of a table that are known: the first ones at the start, then the newest; about 10 MB."""

KEYS_RELEASED_MAX = 1_000
RELEASED_SHARE = 0.3
"""How many of the new keys are keys that were deleted before."""

HOT_KEYS = 20
HOT_SHARE = 0.3

K = TypeVar("K")


class Keys(Generic[K]):
    """The keys of a table, as far as they are known: some are hot, deleted ones come back."""

    def __init__(self, chance: random.Random, held: Sequence[K], fresh: Callable[[], K]) -> None:
        self._chance = chance
        self._held = list(held)
        self._place = {key: place for place, key in enumerate(self._held)}
        self._released: deque[K] = deque(maxlen=KEYS_RELEASED_MAX)
        self._fresh = fresh

    def __len__(self) -> int:
        """How many keys are held."""
        return len(self._held)

    def pick(self) -> K:
        """A key that the table holds, one of the hot ones more often; an unknown one if it holds none."""
        if not self._held:
            return self._fresh()
        hot = self._chance.random() < HOT_SHARE
        among = min(len(self._held), HOT_KEYS) if hot else len(self._held)
        return self._held[int(self._chance.random() * among)]

    def new(self) -> K:
        """A key that the table does not hold: a fresh one, or one that was there before."""
        if self._released and self._chance.random() < RELEASED_SHARE:
            return self._released[int(self._chance.random() * len(self._released))]
        return self._fresh()

    def hold(self, key: K) -> None:
        """Remember that the table holds the key. Beyond `KEYS_HELD_MAX` another one is forgotten."""
        if key in self._released:
            self._released.remove(key)
        if key in self._place:
            return
        if len(self._held) >= KEYS_HELD_MAX:
            self._forget(self._held[int(self._chance.random() * len(self._held))])
        self._place[key] = len(self._held)
        self._held.append(key)

    def release(self, key: K) -> None:
        """Remember that the table holds the key no more."""
        if key in self._place:
            self._forget(key)
            self._released.append(key)

    def _forget(self, key: K) -> None:
        place, last = self._place.pop(key), self._held.pop()
        if place < len(self._held):
            self._held[place] = last
            self._place[last] = place
