"""The new database: holds for each key the state with the highest version that it was given."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, Self

from changeover.decide import Outcome, Write
from changeover.table import Table
from changeover.values import Row
from changeover.version import Version


class Held(NamedTuple):
    """What a target holds for a key: a row, or (None) a delete marker, with its version."""

    version: Version
    row: Row | None


class Target(Protocol):
    """A target. Each method raises `TargetUnavailable` if it does not answer."""

    def write(self, batch: Sequence[Write]) -> Sequence[Outcome]:
        """Return once the target durably holds, for each key, what it held or the write, whichever is later.

        Atomic for each key; the outcomes are in the batch's order. A key may come more than once. Raises
        `UnversionedObject` where the target holds something under the key that has no version.
        """

    def read(self, table: Table, key: bytes) -> Held | None:
        """What the target holds for the key (`envelope.encode_key`), None if nothing."""

    def close(self) -> None:
        """Let go of files and connections."""

    def __enter__(self) -> Self:
        """The target itself; closed at the end of the block."""

    def __exit__(self, *_: object) -> None:
        """Close."""
