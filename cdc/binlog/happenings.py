"""What the decoder gives: one value for each thing that happens in the binlog."""

from collections.abc import Sequence
from typing import NamedTuple

from cdc.events import Images


class Gtid(NamedTuple):
    """A transaction of MySQL begins. `tag` is empty for the GTIDs that MySQL had before 8.3."""

    uuid: str
    tag: str
    number: int

    @property
    def text(self) -> str:
        """As MySQL writes it."""
        return ":".join(filter(None, (self.uuid, self.tag, str(self.number))))


class AnonymousGtid(NamedTuple):
    """A transaction of MySQL without GTIDs begins."""


class MariaDBGtid(NamedTuple):
    """A transaction of MariaDB begins. A standalone one has no commit event behind its one statement."""

    domain: int
    server: int
    sequence: int
    is_standalone: bool
    is_prepared_xa: bool


class Query(NamedTuple):
    """A statement as text."""

    schema: str
    text: str


class Ended(NamedTuple):
    """The last event of a transaction: its commit, or the preparing of an XA one."""


class Rotated(NamedTuple):
    """What follows is in this file, from this place on."""

    file: str
    place: int


class Rows(NamedTuple):
    """Rows of a table that the decoder was asked for."""

    schema: str
    table: str
    images: Sequence[Images]


Happening = Gtid | AnonymousGtid | MariaDBGtid | Query | Ended | Rotated | Rows
