"""Where transactions begin and end in the three kinds of binlog, and what their places are called."""

from typing import Any, NamedTuple, Protocol

from pymysqlreplication.event import GtidEvent, MariadbGtidEvent, NotImplementedEvent

from cdc.events import Began, Committed
from changeover.errors import BinlogUnreadable
from changeover.gtid import GtidSet
from changeover.mysql.numbering import mariadb_connect_state, sequence_of_file

MARIADB_IS_STANDALONE = 0x01
MARIADB_IS_PREPARED_XA = 0x40

ANONYMOUS_GTID_EVENT = 34

NOBODYS = "00000000-0000-0000-0000-000000000001:1"
"""The set of a server that there is not: given none, the library begins with the newest file, unasked."""


class Frame(NamedTuple):
    """A transaction's beginning. `is_group` if more than one statement may follow, up to a commit event."""

    began: Began
    is_group: bool


class Frames(Protocol):
    """Follows the stream of one kind of server."""

    position: str
    """Where the stream begins, in the source's own words."""

    def options(self) -> dict[str, Any]:
        """How the library must ask for the stream."""

    def begin(self, event: object, file: str, end: int) -> Frame | None:
        """The transaction that the event begins, None if it begins none.

        `file` and `end` are the binlog file and the place behind the event, where the stream gives them.
        """

    def commit(self, event: Any, file: str, end: int) -> Committed:  # noqa: ANN401 - the library's event
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

    def options(self) -> dict[str, Any]:
        """From a GTID on."""
        return {"is_mariadb": True, "auto_position": mariadb_connect_state(self.position)}

    def begin(self, event: object, file: str, end: int) -> Frame | None:
        """The transaction whose GTID event this is."""
        del file, end
        if not isinstance(event, MariadbGtidEvent):
            return None
        self._identity = f"{event.domain_id}-{event.server_id}"
        self._sequence = event.gtid_seq_no
        began = Began(event.gtid, is_prepared_xa=bool(event.flags & MARIADB_IS_PREPARED_XA))
        return Frame(began, is_group=not event.flags & MARIADB_IS_STANDALONE)

    def commit(self, event: Any, file: str, end: int) -> Committed:  # noqa: ANN401
        """The commit of the GTID."""
        del file, end
        gtid = f"{self._identity}-{self._sequence}"
        return Committed(self._identity, self._sequence, gtid, event.timestamp * 1000)


class GtidFrames:
    """MySQL with GTIDs: the place to resume is the set of all that was executed up to there."""

    def __init__(self, position: str) -> None:
        self.position = position
        self._executed = GtidSet.parse(position)
        self._uuid = ""
        self._number = 0

    def options(self) -> dict[str, Any]:
        """All that is not in the set."""
        return {"auto_position": self._executed.text or NOBODYS}

    def begin(self, event: object, file: str, end: int) -> Frame | None:
        """The transaction whose GTID event this is; a group only once a BEGIN has come."""
        del file, end
        if not isinstance(event, GtidEvent):
            return None
        self._uuid, _, number = event.gtid.lower().rpartition(":")
        self._number = int(number)
        return Frame(Began(event.gtid), is_group=False)

    def commit(self, event: Any, file: str, end: int) -> Committed:  # noqa: ANN401
        """The commit of the GTID."""
        del file, end
        self._executed = self._executed.with_transaction(self._uuid, self._number)
        return Committed(self._uuid, self._number, self._executed.text, event.timestamp * 1000)


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

    def options(self) -> dict[str, Any]:
        """From the file's place on."""
        return {"log_file": self._file, "log_pos": self._start, "resume_stream": True}

    def begin(self, event: object, file: str, end: int) -> Frame | None:
        """The transaction that an anonymous GTID event begins."""
        self._follow(file, end)
        if not isinstance(event, NotImplementedEvent) or event.event_type != ANONYMOUS_GTID_EVENT:
            return None
        return Frame(Began(f"{file}:{end}"), is_group=False)

    def commit(self, event: Any, file: str, end: int) -> Committed:  # noqa: ANN401
        """The commit, ordered by the place behind it."""
        sequence = sequence_of_file(file, end)
        return Committed(self._identity, sequence, f"{file}:{end}", event.timestamp * 1000)

    def _follow(self, file: str, end: int) -> None:
        if file == self._file and 0 < end < self._end:
            message = f"a transaction in {file} reaches beyond 4 GB, further than positions of the binlog do"
            raise BinlogUnreadable(message, hint="Use GTIDs (gtid_mode = ON), or smaller transactions.")
        self._file, self._end = file, end or self._end
