"""Looks into the source's binlog without following it: which files there are, what a place holds.

It asks as mysqlbinlog does, which takes no more than REPLICATION SLAVE; SHOW BINARY LOGS would take more.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import NamedTuple
from uuid import UUID

from changeover.errors import SourceUnavailable, StartRefused
from changeover.mysql.dump import FIRST_PLACE, BinlogDump, NotGiven, Request
from changeover.mysql.framing import FORMAT_DESCRIPTION, GTID, ROTATE, Framing, RawEvent, Undecodable
from changeover.settings import SourceSettings

NO_SUCH_FILE = "could not find first log file name"
CREATED_AT = slice(2 + 50, 2 + 50 + 4)
"""In a format description, behind the versions of the binlog and of the server."""


class BinlogFile(NamedTuple):
    """A binlog file, and the time on the source's clock that stands at its beginning.

    That is when the *statement* began whose end opened the file, measured 3 s before the file was there for
    a statement of 3 s; only a file that was opened as the server started has the time of its beginning.
    """

    name: str
    at_s: int
    is_time_exact: bool

    @property
    def is_first_ever(self) -> bool:
        """Whether no file came before it."""
        return number_of(self.name) == 1


def binlog_files(source: SourceSettings) -> Iterator[BinlogFile]:
    """The binlog's files that are still there, the oldest first."""
    name = _first_name(source)
    while True:
        try:
            with events(source, name, FIRST_PLACE) as found:
                description = next(event for event in found if event.kind == FORMAT_DESCRIPTION)
        except StartRefused as error:
            if NO_SUCH_FILE in str(error).lower():
                return
            raise
        created_s = int.from_bytes(description.body[CREATED_AT], "little")
        yield BinlogFile(name, description.at_s, created_s != 0)
        name = _name_after(name)


@contextmanager
def events(
    source: SourceSettings, file: str, place: int, session: Sequence[str] = ()
) -> Iterator[Iterator[RawEvent]]:
    """The events from a place on to the end; `StartRefused` where the server gives none from there.

    Without a file they are those of the first. `session` is set before.
    """
    with _translated(f"{file}:{place}"):
        dump = BinlogDump(source, Request(file, place, session=session))
        framing = Framing(has_checksums=dump.has_checksums)
        with closing(dump):
            yield map(framing.event, dump.all())


def gtids(source: SourceSettings, file: str) -> Iterator[str]:
    """The GTIDs of MySQL's transactions in one file, in their order, which takes reading all of it."""
    with events(source, file, FIRST_PLACE) as found:
        next(found)  # tells the file's name, as the first event of the next one does
        for event in found:
            if event.kind == ROTATE:
                return
            if event.kind == GTID:
                number = int.from_bytes(event.body[17:25], "little")
                yield f"{UUID(bytes=event.body[1:17])}:{number}"


def number_of(file: str) -> int:
    """The number that a binlog file's name ends with."""
    return int(file.rpartition(".")[2])


def _first_name(source: SourceSettings) -> str:
    with events(source, "", FIRST_PLACE) as found:
        return next(event for event in found if event.kind == ROTATE).body[8:].decode()


def _name_after(file: str) -> str:
    base, _, _ = file.rpartition(".")
    return f"{base}.{number_of(file) + 1:06}"


@contextmanager
def _translated(place: str) -> Iterator[None]:
    try:
        yield
    except NotGiven as error:
        message = f"the source does not give its binlog from {place} on: {error}"
        raise StartRefused(message) from error
    except Undecodable as error:
        message = f"the source has no event of its binlog at {place}: {error}"
        raise StartRefused(message) from error
    except StopIteration as error:
        message = f"the source gave nothing of its binlog at {place}"
        raise SourceUnavailable(message) from error
