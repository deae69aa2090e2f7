"""Where transactions begin and end in the three kinds of binlog, and what their places are called."""

from typing import NamedTuple, Protocol

from cdc.binlog.happenings import AnonymousGtid, Gtid, Happening, MariaDBGtid
from cdc.events import Began, Committed
from changeover.errors import BinlogUnreadable
from changeover.gtid import GtidSet
from changeover.mysql.dump import Request
from changeover.mysql.numbering import mariadb_connect_state, sequence_of_file


class Frame(NamedTuple):
    """A transaction's beginning. `is_group` if more than one statement may follow, up to a commit event."""

    began: Began
    is_group: bool


class Here(NamedTuple):
    """The binlog file, the place behind the event, and its time, where the stream gives them."""

    file: str
    end: int
    at_s: int


class Frames(Protocol):
    """Follows the stream of one kind of server."""

    position: str
    """Where the stream begins, in the source's own words."""

    def request(self) -> Request:
        """How the stream must be asked for."""

    def follow(self, here: Here) -> None:
        """Take notice of an event, whatever it is."""

    def begin(self, happening: Happening, here: Here) -> Frame | None:
        """The transaction that begins here, None if none does."""

    def commit(self, here: Here) -> Committed:
        """The commit of the transaction that began last, whose last event this is."""


def frames_at(position: str, identity: str) -> Frames:
    """The frames of the kind of server that gave the position, from there on, where it is `identity`."""
    if position.count(":") == 1 and "." in position:
        return FileFrames(position, identity)
    if ":" in position or not position:
        return GtidFrames(position)
    return MariaDBFrames(position)


class MariaDBFrames:
    """MariaDB: each transaction begins with its GTID, which is also the place to resume behind it."""

    def __init__(self, position: str) -> None:
        self.position = position
        self._identity = ""
        self._sequence = 0

    def request(self) -> Request:
        """From a GTID on."""
        state = mariadb_connect_state(self.position)
        # Strict, or a GTID that is not there is taken for one near it.
        strictly = ("@slave_gtid_strict_mode = 1", "@slave_gtid_ignore_duplicates = 0")
        return Request(session=(f"@slave_connect_state = '{state}'", *strictly))

    def follow(self, here: Here) -> None:
        """Nothing: places in files do not matter."""

    def begin(self, happening: Happening, here: Here) -> Frame | None:
        """The transaction whose GTID this is."""
        del here
        if not isinstance(happening, MariaDBGtid):
            return None
        self._identity = f"{happening.domain}-{happening.server}"
        self._sequence = happening.sequence
        name = f"{self._identity}-{self._sequence}"
        return Frame(Began(name, happening.is_prepared_xa), is_group=not happening.is_standalone)

    def commit(self, here: Here) -> Committed:
        """The commit of the GTID."""
        gtid = f"{self._identity}-{self._sequence}"
        return Committed(self._identity, self._sequence, gtid, here.at_s * 1000)


class GtidFrames:
    """MySQL with GTIDs: the place to resume is the set of all that was executed up to there."""

    def __init__(self, position: str) -> None:
        self.position = position
        self._executed = GtidSet.parse(position)
        self._uuid = ""
        self._number = 0

    def request(self) -> Request:
        """All that is not in the set."""
        return Request(executed=self._executed)

    def follow(self, here: Here) -> None:
        """Nothing: places in files do not matter."""

    def begin(self, happening: Happening, here: Here) -> Frame | None:
        """The transaction whose GTID this is; a group only once a BEGIN has come."""
        del here
        if not isinstance(happening, Gtid):
            return None
        if happening.tag:
            message = f"transaction {happening.text} of the binlog has a tagged GTID"
            raise BinlogUnreadable(message, hint=TAGGED_HINT)
        self._uuid, self._number = happening.uuid, happening.number
        return Frame(Began(happening.text), is_group=False)

    def commit(self, here: Here) -> Committed:
        """The commit of the GTID."""
        self._executed = self._executed.with_transaction(self._uuid, self._number)
        return Committed(self._uuid, self._number, self._executed.text, here.at_s * 1000)


TAGGED_HINT = (
    "Each tag has numbers of its own, which do not tell the order of commits: let no session set "
    "gtid_next = 'AUTOMATIC:tag', and start a pipeline under a new name with a new import."
)


class FileFrames:
    """MySQL without GTIDs: a transaction is named by where it begins, and ordered by where it ends.

    Positions in events have 32 bits. A transaction of more than 4 GB, the only way past them, is a stop.
    The server's uuid does not stand in this kind of stream; whoever opens the stream knows it.
    """

    def __init__(self, position: str, identity: str) -> None:
        self.position = position
        self._file, _, offset = position.rpartition(":")
        self._end = int(offset)
        self._start = self._end
        self._identity = identity

    def request(self) -> Request:
        """From the file's place on."""
        return Request(self._file, self._start)

    def follow(self, here: Here) -> None:
        """See to it that places rise."""
        if here.file == self._file and 0 < here.end < self._end:
            message = (
                f"a transaction in {here.file} reaches beyond 4 GB, further than positions of the binlog do"
            )
            raise BinlogUnreadable(message, hint="Use GTIDs (gtid_mode = ON), or smaller transactions.")
        self._file, self._end = here.file, here.end or self._end

    def begin(self, happening: Happening, here: Here) -> Frame | None:
        """The transaction that an anonymous GTID event begins."""
        if not isinstance(happening, AnonymousGtid):
            return None
        return Frame(Began(f"{here.file}:{here.end}"), is_group=False)

    def commit(self, here: Here) -> Committed:
        """The commit, ordered by the place behind it."""
        sequence = sequence_of_file(here.file, here.end)
        return Committed(self._identity, sequence, f"{here.file}:{here.end}", here.at_s * 1000)
