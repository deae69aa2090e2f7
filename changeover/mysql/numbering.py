"""How a server numbers its commits: where capture starts, what a read is bound by, what a position means.

| kind | identity | sequence | position |
|---|---|---|---|
| MariaDB | domain and server id of its GTIDs: `0-1` | the GTID's number | the last GTID: `0-1-42` |
| MySQL with GTIDs | the server's uuid | the GTID's number | the set that was executed: `uuid:1-42` |
| MySQL without | the server's uuid | file number << 40, plus the commit's end | `binlog.000007:1234` |
"""

import re
from collections.abc import Callable
from typing import NamedTuple, Protocol

from changeover.errors import OrderBroken, SourceUnfit
from changeover.gtid import GtidSet
from changeover.mysql.connection import Connection

POSITION_BITS = 40
"""Bits of a place in a binlog file: files end soon after 1 GB, but one transaction may go on to any size."""

Beat = Callable[[], None]
"""Commits a heartbeat over the same connection."""


class Place(NamedTuple):
    """A place in the commit order of one server."""

    identity: str
    sequence: int
    position: str


class Numbering(Protocol):
    """One of the three kinds."""

    def identity(self) -> str:
        """The identity under which this server commits now."""

    def here(self, beat: Beat) -> Place:
        """A place from which on capture misses nothing that a later bounded read has not seen."""

    def bound(self, beat: Beat) -> tuple[str, int]:
        """Identity and sequence of a bound: a SELECT that begins after this sees all up to there."""


def numbering_of(connection: Connection) -> Numbering:
    """The numbering of the server behind the connection; `SourceUnfit` for one that has no order."""
    if is_mariadb(connection):
        return MariaDBNumbering(connection)
    mode = connection.value("SELECT @@global.gtid_mode")
    if mode == "ON":
        return GtidNumbering(connection)
    if mode == "OFF":
        return FileNumbering(connection)
    message = (
        f"gtid_mode is {mode}: some transactions have a GTID and some have none, so they have no one order"
    )
    raise SourceUnfit(message, hint="Finish the switch: SET GLOBAL gtid_mode = ON (or OFF).")


def is_mariadb(connection: Connection) -> bool:
    """Whether the server is MariaDB."""
    return "MariaDB" in connection.value("SELECT @@version")


class MariaDBNumbering:
    """MariaDB's GTIDs, `domain-server-number`: numbers go on when another server takes the domain over."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def identity(self) -> str:
        """Domain and server id."""
        return self._connection.value("SELECT CONCAT(@@gtid_domain_id, '-', @@server_id)")

    def here(self, beat: Beat) -> Place:
        """The end of the binlog."""
        beat()  # so that there is a position, and this server has written it
        position = self._connection.value("SELECT @@global.gtid_binlog_pos")
        if "," in position:
            message = f"the source's binlog has several GTID domains: {position}"
            raise OrderBroken(message, hint="Their commits have no common order; use one domain.")
        identity, _, sequence = position.rpartition("-")
        return Place(identity, int(sequence), position)

    def bound(self, beat: Beat) -> tuple[str, int]:
        """Our own heartbeat's commit: the binlog runs ahead of what a SELECT sees, but not of our own."""
        beat()
        identity, _, sequence = self._connection.value("SELECT @@last_gtid").rpartition("-")
        return identity, int(sequence)


class GtidNumbering:
    """MySQL's GTIDs, `uuid:number`: a new commit gets the lowest free number of the server's uuid."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def identity(self) -> str:
        """The server's uuid."""
        return self._connection.value("SELECT @@server_uuid").lower()

    def here(self, beat: Beat) -> Place:
        """All that was executed; `OrderBroken` where numbers are missing in between."""
        beat()
        identity, executed = self._executed()
        if executed.has_gap(identity):
            message = f"the source's own GTIDs have a gap: {executed.text}"
            raise OrderBroken(message, hint=GAP_HINT)
        return Place(identity, executed.unbroken_end(identity), executed.text)

    def bound(self, beat: Beat) -> tuple[str, int]:
        """The end of the run from 1 in what was executed: a transaction gets into it once it can be seen."""
        del beat  # not needed: gtid_executed does not run ahead of what a SELECT sees
        identity, executed = self._executed()
        return identity, executed.unbroken_end(identity)

    def _executed(self) -> tuple[str, GtidSet]:
        ((uuid, executed),) = self._connection.query("SELECT @@server_uuid, @@global.gtid_executed")
        return uuid.lower(), GtidSet.parse(executed)


GAP_HINT = (
    "MySQL gives the missing numbers to later commits, so numbers would not tell their order. Fill the gap "
    "with empty transactions (SET gtid_next = '…'; COMMIT), or move without GTIDs (gtid_mode = OFF)."
)


class FileNumbering:
    """Places in MySQL's binlog files, for a server without GTIDs."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def identity(self) -> str:
        """The server's uuid."""
        return self._connection.value("SELECT @@server_uuid").lower()

    def here(self, beat: Beat) -> Place:
        """The end of the binlog."""
        beat()
        file, offset = self._end()
        return Place(self.identity(), sequence_of_file(file, offset), f"{file}:{offset}")

    def bound(self, beat: Beat) -> tuple[str, int]:
        """The binlog's end from before our own heartbeat, behind which all of it can be seen."""
        identity, (file, offset) = self.identity(), self._end()
        beat()
        return identity, sequence_of_file(file, offset)

    def _end(self) -> tuple[str, int]:
        file, offset, *_ = self._connection.query("SHOW MASTER STATUS")[0]
        return file, int(offset)


def sequence_of_file(file: str, end: int) -> int:
    """The sequence of a transaction that ends at `end` in a binlog file.

    >>> sequence_of_file('binlog.000002', 4) == (2 << 40) + 4
    True
    """
    number = re.search(r"\.(\d+)$", file)
    if number is None:
        message = f"a binlog file without a number: {file!r}"
        raise ValueError(message)
    return (int(number[1]) << POSITION_BITS) + end
