"""The new database: holds for each key the state with the highest version that it was given."""

from collections.abc import Iterator, Sequence
from typing import Generic, NamedTuple, Protocol, Self, TypeVar

from changeover.decide import Outcome, Write
from changeover.table import Table
from changeover.values import Row
from changeover.version import Version

B = TypeVar("B")
"""A target's own form of a row: the row itself where there are columns, an object's body elsewhere."""


UNVERSIONED = Version(0, 0, 0)
"""Stands for the version of what changeover did not write: lower than every one that there is."""

KEYS_AT_ONCE = 200
"""Keys that are looked up at a time: with objects of 1 MB that is what memory has to hold."""

KEYS_PER_PAGE = 1_000
"""Keys of one page of a walk, some 100 kB."""


class Held(NamedTuple, Generic[B]):
    """What a target holds for a key: a body, or (None) a delete marker, with its version.

    `position` is the source's own word for the transaction that made it, None where the target keeps none.
    """

    version: Version
    body: B | None
    position: str | None = None


class Found(NamedTuple):
    """What a walk meets: one key of a table, or something that no row of the table could have become.

    `name` is the store's own name for it. `version` is `UNVERSIONED` where any of it is not ours.
    """

    key: bytes | None
    """As `envelope.encode_key` writes it; None: no key of this table."""

    name: str
    version: Version
    is_row: bool
    """Whether a reader who knows nothing of markers gets something."""

    siblings: int = 1
    """How many values a reader without this library gets, and has to choose from."""

    position: str | None = None


class Page(NamedTuple):
    """Some of what a table's walk meets; `place` is where it goes on behind them, None where none can."""

    found: Sequence[Found]
    place: bytes | None


class Note(NamedTuple):
    """A few words of ours that the target remembers by a name, beside the data."""

    version: Version
    text: str


CLOSED = "closed"
"""The note that ends the ordered writing: once it is remembered, `write` raises `TargetClosed`."""


class Target(Protocol[B]):
    """A target. Each method raises `TargetUnavailable` if it does not answer."""

    retries: int
    """How often something was tried again since the target was opened."""

    closing_s: float
    """For how long after it was closed (`CLOSED`) a process may go on to write that has not noticed yet."""

    def write(self, batch: Sequence[Write]) -> Sequence[Outcome]:
        """Return once the target durably holds, for each key, what it held or the write, whichever is later.

        Atomic for each key; the outcomes are in the batch's order. A key may come more than once. Raises
        `UnversionedObject` where the target holds something under the key that has no version, and
        `TargetClosed` once the move is finished.
        """

    def read(self, table: Table, key: bytes) -> Held[B] | None:
        """What the target holds for the key (`envelope.encode_key`), None if nothing that has a version."""

    def read_many(self, table: Table, keys: Sequence[bytes]) -> Sequence[Held[B] | None]:
        """What a reader gets for each of the keys, in their order, None where nothing is.

        What has no version is told too, as `UNVERSIONED`; and a row that is there beside its delete marker.
        """

    def walk(self, table: Table, place: bytes | None = None) -> Iterator[Page]:
        """Every key that the target holds for the table, a page at a time, from a page's place on.

        In bounded memory. What is written meanwhile may be met or not, and a key may be met twice.
        """

    def replace(self, write: Write, held: Version) -> bool:
        """Put the write in place of a state with exactly the version `held`, which may be the later one.

        `UNVERSIONED` stands for something that is not ours. False, and nothing was written, where the target
        holds another state by now. For repair by order of a person: it is the one write that may go back.
        Raises `TargetUnusable` where the target cannot go back.
        """

    def overwrite(self, table: Table, key: bytes, held: Held[B]) -> None:
        """Return once the target durably holds this, whatever it held: the application's own write in NEW.

        Its version is `(E, 0, 0)` of the epoch reserved for NEW, so that no write of the time before goes
        over it; writes of NEW tie, and the last one counts. A body of None leaves a delete marker.
        """

    def body_of(self, table: Table, row: Row) -> B:
        """The body that `read` gives while the target holds this row."""

    def remember(self, name: str, note: Note) -> None:
        """Return once the target durably remembers by that name the note, or one with a later version."""

    def remembered(self, name: str) -> Note | None:
        """The note of that name with the highest version that it was given, None if it never was."""

    def let_go(self, table: Table) -> int:
        """Remove the table's delete markers, and versions where they lie beside the data; how many markers.

        At the very end, when nobody writes in the order of versions any more (`CLOSED`). May be done again.
        """

    def close(self) -> None:
        """Let go of files and connections."""

    def __enter__(self) -> Self:
        """The target itself; closed at the end of the block."""

    def __exit__(self, *_: object) -> None:
        """Close."""
