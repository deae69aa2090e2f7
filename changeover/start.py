"""Where to begin, in a person's words: `now`, `gtid:0-1-42`, `timestamp:2026-11-23T10:00:00Z`, `offset:7`."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from changeover.version import Version


class StartKind(enum.StrEnum):
    """What kind of place is named."""

    NOW = "now"
    EARLIEST = "earliest"
    GTID = "gtid"
    FILE = "file"
    TIMESTAMP = "timestamp"
    OFFSET = "offset"
    VERSION = "version"


OF_CAPTURE = (StartKind.NOW, StartKind.EARLIEST, StartKind.GTID, StartKind.FILE, StartKind.TIMESTAMP)
OF_REPLAY = (StartKind.OFFSET, StartKind.TIMESTAMP, StartKind.VERSION)
ALONE = (StartKind.NOW, StartKind.EARLIEST)
EXAMPLES = {
    StartKind.NOW: "now",
    StartKind.EARLIEST: "earliest",
    StartKind.GTID: "gtid:0-1-42 (MariaDB) or gtid:UUID:1-42 (MySQL)",
    StartKind.FILE: "file:binlog.000007:1234",
    StartKind.TIMESTAMP: "timestamp:2026-11-23T10:00:00Z",
    StartKind.OFFSET: "offset:0",
    StartKind.VERSION: "version: and its 32 hex digits",
}


@dataclass(frozen=True, slots=True)
class Start:
    """A place to begin at; `where` is what stands behind the kind."""

    kind: StartKind
    where: str = ""

    @classmethod
    def parse(cls, text: str, kinds: Iterable[StartKind]) -> Self:
        """The place, of one of these kinds; `ValueError` says what it must look like.

        >>> Start.parse("file:binlog.000007:1234", OF_CAPTURE).where
        'binlog.000007:1234'
        """
        name, _, where = text.strip().partition(":")
        kind = next((kind for kind in kinds if kind == name), None)
        if kind is None or (kind in ALONE) == bool(where.strip()):
            known = ", ".join(EXAMPLES[kind] for kind in kinds)
            message = f"{text!r} names no place to begin at: it must be one of {known}"
            raise ValueError(message)
        start = cls(kind, where.strip())
        start.check()
        return start

    def check(self) -> None:
        """`ValueError` where what stands behind the kind cannot be one."""
        match self.kind:
            case StartKind.TIMESTAMP:
                _ = self.at_ms
            case StartKind.OFFSET:
                _ = self.offset
            case StartKind.VERSION:
                _ = self.version
            case StartKind.FILE:
                _ = self.place_in_file
            case _:
                pass

    @property
    def at_ms(self) -> int:
        """The time, in milliseconds since 1970.

        >>> Start(StartKind.TIMESTAMP, "1970-01-01T01:00:01+01:00").at_ms
        1000
        """
        at = datetime.fromisoformat(self.where)
        if at.tzinfo is None:
            message = f"{self.where!r} does not say its time zone: end it with Z for UTC, or with +01:00"
            raise ValueError(message)
        return int((at - EPOCH).total_seconds() * 1000)

    @property
    def offset(self) -> int:
        """The offset."""
        if not self.where.isdecimal():
            message = f"{self.where!r} is no offset: it must be a number from 0 on"
            raise ValueError(message)
        return int(self.where)

    @property
    def version(self) -> Version:
        """The version."""
        try:
            return Version.parse(self.where)
        except ValueError as error:
            message = f"{self.where!r} is no version: it must be 32 lower-case hex digits"
            raise ValueError(message) from error

    @property
    def place_in_file(self) -> tuple[str, int]:
        """The binlog file, and the place in it."""
        file, _, place = self.where.rpartition(":")
        if not file.rpartition(".")[2].isdecimal() or not place.isdecimal():
            message = f"{self.where!r} is no place in a binlog file: it must look like binlog.000007:1234"
            raise ValueError(message)
        return file, int(place)


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant(at_s: int) -> str:
    """The second as ISO 8601 in UTC.

    >>> instant(0)
    '1970-01-01T00:00:00Z'
    """
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%dT%H:%M:%SZ}"
