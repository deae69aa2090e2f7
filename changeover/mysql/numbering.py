"""How a server numbers its commits: where capture starts, what a read is bound by, what a position means.

| kind | identity | sequence | position |
|---|---|---|---|
| MariaDB | domain and server id of its GTIDs: `0-1` | the GTID's number | the last GTID: `0-1-42` |
| MySQL with GTIDs | the server's uuid | the GTID's number | the set that was executed: `uuid:1-42` |
| MySQL without | the server's uuid | file number << 40, plus the commit's end | `binlog.000007:1234` |
"""

import re
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from changeover.errors import OrderBroken, PositionPurged, SourceUnfit, StartRefused
from changeover.gtid import GtidSet
from changeover.mysql import binlog, framing
from changeover.mysql.connection import Connection
from changeover.mysql.dump import FIRST_PLACE
from changeover.start import Start, StartKind

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

    def check_held(self, position: str, identity: str) -> None:
        """Return if the server has all that was committed up to there, as far as it does not tell by itself.

        `identity` is that of the newest epoch. Raises `PositionPurged` or `OrderBroken`: it is another server
        than it was, or has forgotten commits.
        """

    def earliest(self) -> Place:
        """The oldest place that the server still has."""

    def at(self, start: Start) -> Place:
        """The place of a GTID or in a file; `StartRefused` if none can start there without a loss."""

    def beginning_of(self, file: str) -> Place:
        """The place at which a binlog file begins."""


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
        return self._place(self._connection.value("SELECT @@global.gtid_binlog_pos"))

    def bound(self, beat: Beat) -> tuple[str, int]:
        """Our own heartbeat's commit: the binlog runs ahead of what a SELECT sees, but not of our own."""
        beat()
        identity, _, sequence = self._connection.value("SELECT @@last_gtid").rpartition("-")
        return identity, int(sequence)

    def check_held(self, position: str, identity: str) -> None:
        """Nothing to do: asked for its binlog, the server refuses a GTID that is not in it."""

    def earliest(self) -> Place:
        """Where the first file begins."""
        return self.beginning_of(next(binlog.binlog_files(self._connection.source)).name)

    def at(self, start: Start) -> Place:
        """The place behind a GTID, which the server looks for in its binlog."""
        if start.kind is not StartKind.GTID or not re.fullmatch(r"\d+-\d+-\d+", start.where):
            message = (
                f"{start.kind}:{start.where} is no place on MariaDB, whose places are GTIDs: gtid:0-1-42"
            )
            hint = "SELECT BINLOG_GTID_POS('file', position) tells the GTID of a place in a file."
            raise StartRefused(message, hint=hint)
        domain, server, number = map(int, start.where.split("-"))
        end = self._place(self._connection.value("SELECT @@global.gtid_binlog_pos"))
        if domain != int(end.position.partition("-")[0]):
            message = f"gtid:{start.where} is of another domain than the source's {end.position}"
            raise StartRefused(message)
        place = Place(f"{domain}-{server}", number, f"{domain}-{server}-{number}")
        self._find(place)
        return place

    def beginning_of(self, file: str) -> Place:
        """The last GTID before the file."""
        return self._place(self._connection.value("SELECT BINLOG_GTID_POS(%s, 4)", (file,)))

    def _find(self, place: Place) -> None:
        """Return if the server's binlog has the GTID, which takes it a scan of one file up to there."""
        state = mariadb_connect_state(place.position)
        session = (
            "@mariadb_slave_capability = 4",
            f"@slave_connect_state = '{state}'",
            "@slave_gtid_strict_mode = 1",  # else a GTID that is not there is taken for one near it
        )
        with binlog.events(self._connection.source, "", FIRST_PLACE, session) as found:
            next((event for event in found if event.kind == framing.MARIADB_GTID), None)

    def _place(self, position: str) -> Place:
        if "," in position:
            message = f"the source's binlog has several GTID domains: {position}"
            raise OrderBroken(message, hint="Their commits have no common order; use one domain.")
        if not position:  # nothing was ever committed before
            return Place(self.identity(), 0, f"{self.identity()}-0")
        identity, _, sequence = position.rpartition("-")
        return Place(identity, int(sequence), position)


def mariadb_connect_state(position: str) -> str:
    """What a replica tells MariaDB of where it is: no GTID at all where the number is 0.

    >>> mariadb_connect_state('0-1-42'), mariadb_connect_state('0-1-0')
    ('0-1-42', '')
    """
    return "" if position.endswith("-0") else position


def _uuid_of(connection: Connection) -> str:
    return connection.value("SELECT @@server_uuid").lower()


class GtidNumbering:
    """MySQL's GTIDs, `uuid:number`: a new commit gets the lowest free number of the server's uuid."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def identity(self) -> str:
        """The server's uuid."""
        return _uuid_of(self._connection)

    def here(self, beat: Beat) -> Place:
        """All that was executed; `OrderBroken` where numbers are missing in between."""
        beat()
        return self._place(self._settled())

    def bound(self, beat: Beat) -> tuple[str, int]:
        """The end of the run from 1 in what was executed: a transaction gets into it once it can be seen."""
        del beat  # not needed: gtid_executed does not run ahead of what a SELECT sees
        identity, executed = self._executed()
        return identity, executed.unbroken_end(identity)

    def check_held(self, position: str, identity: str) -> None:
        """Whether all that other servers have committed is here.

        A new primary that lacks some of it sends the rest without a word. A set that has more of its own than
        it has, it refuses; and some of those may be in its binlog and not yet count as executed.
        """
        del identity
        own, executed = self._executed()
        others = GtidSet({uuid: runs for uuid, runs in GtidSet.parse(position).runs.items() if uuid != own})
        if not self._is_subset(others.text, executed.text):
            message = f"the source has forgotten commits that were captured: {others.text} are not all in it"
            raise OrderBroken(message, hint=AFTER_LOSS)

    def earliest(self) -> Place:
        """All that the binlog no longer holds."""
        return self._place(GtidSet.parse(self._connection.value("SELECT @@global.gtid_purged")))

    def at(self, start: Start) -> Place:
        """The place behind a set of GTIDs."""
        if start.kind is not StartKind.GTID or not re.fullmatch(GTID_SET, start.where):
            message = (
                f"{start.kind}:{start.where} is no place on MySQL with GTIDs, whose places are sets of them: "
                "gtid:UUID:1-42"
            )
            hint = "Take gtid_executed as it was when the copy was made, as mysqldump writes it down."
            raise StartRefused(message, hint=hint)
        try:
            wanted = GtidSet.parse(start.where)
        except ValueError as error:
            raise StartRefused(f"gtid:{start.where} is no set of GTIDs: {error}") from error
        executed = self._settled()
        if wanted.has_gap(self.identity()):
            message = f"gtid:{wanted.text} has a gap: it must hold all that was executed, from 1 on"
            raise StartRefused(message)
        if not self._is_subset(wanted.text, executed.text):
            message = f"gtid:{wanted.text} is not all in what the source has executed: {executed.text}"
            raise StartRefused(message)
        purged = self.earliest()
        if not self._is_subset(purged.position, wanted.text):
            message = f"the source has purged changes behind gtid:{wanted.text} from its binlog"
            raise StartRefused(message, hint=f"It has all behind {purged.position}: copy anew.")
        self._place(executed)  # refuses a source with a lasting gap
        self._check_was_a_state(wanted, executed)
        return self._place(wanted)

    def beginning_of(self, file: str) -> Place:
        """What had been executed before the file."""
        return self._place(self._before(file))

    def _before(self, file: str) -> GtidSet:
        _, described = self._connection.query(f"SHOW BINLOG EVENTS IN '{file}' LIMIT 2")
        return GtidSet.parse(described[5].replace("\n", ""))

    def _check_was_a_state(self, wanted: GtidSet, executed: GtidSet) -> None:
        """Refuse a set of several servers that the source was never at.

        Where it lacks an old transaction and has a younger one of another server, the old one would be
        captured and the younger not.
        """
        if len(executed.runs) == 1:
            return
        files = [file.name for file in binlog.binlog_files(self._connection.source)]
        begun = [file for file in files if self._is_subset(self._before(file).text, wanted.text)]
        last = begun[-1]  # in which the place is, if it is one
        there = [self._is_subset(gtid, wanted.text) for gtid in binlog.gtids(self._connection.source, last)]
        behind = [*map(self._before, files), executed][len(begun)]
        if begun != files[: len(begun)] or sorted(there, reverse=True) != there:
            raise StartRefused(f"the source was never at gtid:{wanted.text}: {NEVER}")
        if not self._is_subset(wanted.text, behind.text):
            raise StartRefused(f"the source was never at gtid:{wanted.text}: {NEVER}")

    def _settled(self) -> GtidSet:
        """What was executed, once commits that are under way have left no gap, if that is soon."""
        for _ in range(GAP_READS):
            identity, executed = self._executed()
            if not executed.has_gap(identity):
                break
            time.sleep(GAP_WAIT_S)
        return executed

    def _is_subset(self, one: str, other: str) -> bool:
        return self._connection.value("SELECT GTID_SUBSET(%s, %s)", (one, other)) == "1"

    def _place(self, executed: GtidSet) -> Place:
        identity = self.identity()
        if executed.has_gap(identity):
            message = f"the source's own GTIDs have a gap: {executed.text}"
            raise OrderBroken(message, hint=GAP_HINT)
        return Place(identity, executed.unbroken_end(identity), executed.text)

    def _executed(self) -> tuple[str, GtidSet]:
        ((uuid, executed),) = self._connection.query("SELECT @@server_uuid, @@global.gtid_executed")
        return uuid.lower(), GtidSet.parse(executed)


GAP_READS = 8
GAP_WAIT_S = 0.25
"""Commits that are under way leave a gap for a moment: one that is there for two seconds is a lasting one."""

AFTER_LOSS = (
    "A failover has lost them: what they changed is in the target. Start a pipeline under a new name, with a "
    "new log, target and import."
)

NEVER = "some of its transactions came behind others that it lacks"
UUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
GTIDS_OF_ONE = rf"{UUID}(:\d+(-\d+)?)+"
GTID_SET = rf"{GTIDS_OF_ONE}(\s*,\s*{GTIDS_OF_ONE})*"

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
        return _uuid_of(self._connection)

    def here(self, beat: Beat) -> Place:
        """The end of the binlog."""
        beat()
        return self._place(*self._end())

    def bound(self, beat: Beat) -> tuple[str, int]:
        """The binlog's end from before our own heartbeat, behind which all of it can be seen."""
        identity, (file, offset) = self.identity(), self._end()
        beat()
        return identity, sequence_of_file(file, offset)

    def check_held(self, position: str, identity: str) -> None:
        """Whether it is the same server: a place in a file means nothing on another."""
        del position
        now = self.identity()
        if now != identity:
            message = f"the source is server {now}, not {identity}: places in its binlog mean nothing here"
            raise PositionPurged(message)

    def earliest(self) -> Place:
        """The beginning of the first file."""
        return self.beginning_of(next(binlog.binlog_files(self._connection.source)).name)

    def at(self, start: Start) -> Place:
        """The place in a file, where a transaction begins or the binlog ends."""
        if start.kind is not StartKind.FILE:
            message = f"{start.kind}:{start.where} is no place on a server without GTIDs (gtid_mode = OFF)"
            raise StartRefused(message, hint="Its places are in files: file:binlog.000007:1234.")
        file, offset = start.place_in_file
        with binlog.events(self._connection.source, file, offset) as found:
            described = next(event for event in found if event.kind == framing.FORMAT_DESCRIPTION)
            behind = described if offset == FIRST_PLACE else next(found, None)
        if behind and not _begins_between_transactions(behind, offset):
            message = f"file:{file}:{offset} lies inside a transaction or an event"
            raise StartRefused(message, hint="Take the place that SHOW MASTER STATUS or mysqldump gave.")
        return self._place(file, offset)

    def beginning_of(self, file: str) -> Place:
        """The place of the file's first event."""
        return self._place(file, FIRST_PLACE)

    def _place(self, file: str, offset: int) -> Place:
        return Place(self.identity(), sequence_of_file(file, offset), f"{file}:{offset}")

    def _end(self) -> tuple[str, int]:
        version = self._connection.value("SELECT @@version")
        major, minor, *_ = (int(part) for part in re.findall(r"\d+", version))
        # MySQL 8.2 has the new statement, and 8.4 has the old one no more.
        statement = "SHOW BINARY LOG STATUS" if (major, minor) >= (8, 2) else "SHOW MASTER STATUS"
        file, offset, *_ = self._connection.query(statement)[0]
        return file, int(offset)


BETWEEN_TRANSACTIONS = frozenset(
    {framing.FORMAT_DESCRIPTION, framing.PREVIOUS_GTIDS, framing.ANONYMOUS_GTID, framing.ROTATE, framing.STOP}
)


def _begins_between_transactions(event: framing.RawEvent, offset: int) -> bool:
    """Whether the event at the place is one between transactions, and does begin there.

    The server reads whatever bytes stand at a place: an event tells the place behind itself. The one that
    tells the next file, at the end of a file, is not in the file and has none.
    """
    is_there = event.end == offset + event.size or (event.kind == framing.ROTATE and event.end == 0)
    return event.kind in BETWEEN_TRANSACTIONS and is_there


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
