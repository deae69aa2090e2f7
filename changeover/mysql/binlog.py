"""Looks into the source's binlog without following it: which files there are, what a place holds.

It asks as mysqlbinlog does, which takes no more than REPLICATION SLAVE; SHOW BINARY LOGS would take more.
"""

import struct
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, NamedTuple
from uuid import UUID

import pymysql
from pymysql.constants import COMMAND

from changeover.errors import SourceUnavailable, StartRefused
from changeover.mysql.connection import parameters, translated
from changeover.settings import SourceSettings

FIRST_PLACE = 4
"""Where the first event of a file is, behind its magic bytes."""

NON_BLOCKING = 1
NO_SERVER_ID = 0
"""A reader without an id ends no other replica's stream."""

STOP, ROTATE, FORMAT_DESCRIPTION = 3, 4, 15
GTID, ANONYMOUS_GTID, PREVIOUS_GTIDS, MARIADB_GTID = 33, 34, 35, 162

END_OF_STREAM = 0xFE
HEADER = struct.Struct("<IBIII")
HEADER_BYTES = HEADER.size + 2  # and two of flags
CHECKSUM_BYTES = 4
ER_MASTER_FATAL_ERROR_READING_BINLOG = 1236
NO_SUCH_FILE = "could not find first log file name"
CREATED_AT = slice(2 + 50, 2 + 50 + 4)
"""In a format description, behind the versions of the binlog and of the server."""


class RawEvent(NamedTuple):
    """An event by its header. `end` is the place behind it, 0 for one that is not in the file."""

    at_s: int
    kind: int
    size: int
    end: int
    body: bytes


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
    with _translated(source, f"{file}:{place}"):
        connection = pymysql.connect(**parameters(source))
        with closing(_Hung(connection)):
            with connection.cursor() as cursor:
                for assignment in ("@master_binlog_checksum = @@global.binlog_checksum", *session):
                    cursor.execute(f"SET {assignment}")
                cursor.execute("SELECT @@global.binlog_checksum <> 'NONE'")
                ((has_checksums,),) = cursor.fetchall()
            asked = struct.pack("<IHI", place, NON_BLOCKING, NO_SERVER_ID) + file.encode()
            connection._execute_command(COMMAND.COM_BINLOG_DUMP, asked)  # type: ignore[attr-defined] # noqa: SLF001 - PyMySQL has no other way to say it
            yield _events(connection, CHECKSUM_BYTES * int(has_checksums))


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


def _events(connection: Any, checksum_bytes: int) -> Iterator[RawEvent]:  # noqa: ANN401 - PyMySQL's connection below what it declares
    while True:
        packet = connection._read_packet().get_all_data()  # noqa: SLF001
        if packet[0] == END_OF_STREAM:
            return
        at_s, kind, _, size, end = HEADER.unpack(packet[1 : 1 + HEADER.size])
        yield RawEvent(at_s, kind, size, end, packet[1 + HEADER_BYTES : len(packet) - checksum_bytes])


class _Hung:
    """Ends a connection in the middle of a stream: a good-bye would wait for the rest of it."""

    def __init__(self, connection: Any) -> None:  # noqa: ANN401
        self._connection = connection

    def close(self) -> None:
        self._connection._force_close()  # noqa: SLF001


@contextmanager
def _translated(source: SourceSettings, place: str) -> Iterator[None]:
    try:
        yield
    except (pymysql.Error, OSError) as error:
        if error.args and error.args[0] == ER_MASTER_FATAL_ERROR_READING_BINLOG:
            message = f"the source does not give its binlog from {place} on: {error.args[-1]}"
            raise StartRefused(message) from error
        raise translated(error, f"{source.host}:{source.port}") from error
    except StopIteration as error:
        message = f"the source gave nothing of its binlog at {place}"
        raise SourceUnavailable(message) from error
