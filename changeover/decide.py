"""The rule that makes every race harmless: a write never replaces a state with a later one."""

import enum
from collections.abc import Iterable
from typing import NamedTuple

from changeover.table import Table
from changeover.values import Row
from changeover.version import Version


class Write(NamedTuple):
    """What a target is asked to hold for one key: a row, or (None) a delete marker, with its version.

    A NamedTuple because one is made for each row that is applied: 0.18 us, against 0.38 us for a frozen
    dataclass (Python 3.11, best of 5).
    """

    table: Table
    key: bytes
    version: Version
    row: Row | None
    position: str | None = None
    """The source's own word for the transaction, such as its GTID, for people; None for a bounded read."""


class Outcome(enum.Enum):
    """What became of a write."""

    APPLIED = "applied"
    STALE = "stale"
    """The target holds this state or a later one already; nothing was changed."""

    ACCEPTED = "accepted"
    """The target orders by itself and does not say which of the two it was."""


def decide(held: Version | None, new: Version) -> Outcome:
    """Whether a write with version `new` goes over a state with version `held` (None: nothing held).

    >>> decide(Version(1, 5, 1), Version(1, 4, 0xffffffff)).name
    'STALE'
    """
    return Outcome.APPLIED if held is None or held < new else Outcome.STALE


def newest_per_key(writes: Iterable[Write]) -> list[Write]:
    """Of each key's writes the one with the highest version, whatever the order they arrived in.

    The highest and not the last: a late row of the import lies behind a newer change in the log, and to
    keep the last would throw the newer one away while its offset is committed.
    """
    newest: dict[tuple[str, bytes], Write] = {}
    for write in writes:
        place = (write.table.full_name, write.key)
        held = newest.get(place)
        if held is None or decide(held.version, write.version) is Outcome.APPLIED:
            newest[place] = write
    return list(newest.values())
