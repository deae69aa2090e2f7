"""A connection that carries the binlog: it asks for it as a replica does, and hands on what comes.

Below PyMySQL's public face, which has no such command: `_execute_command` sends it, `_read_packet` takes the
answer to the registration, `_sock` is read here from then on. `tests/mysql/test_dump.py` holds them to it.
"""

import socket
import ssl
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pymysql
from pymysql.constants import COMMAND

from changeover.errors import SourceUnavailable
from changeover.gtid import GtidSet
from changeover.mysql.connection import parameters, translated
from changeover.settings import SourceSettings

FIRST_PLACE = 4
"""Where the first event of a file is, behind its magic bytes."""

PLACE_MAX = 2**32 - 1

NON_BLOCKING = 1
NO_SERVER_ID = 0
"""A reader without an id ends no other replica's stream."""

SILENCE_S_MAX = 30
"""The server sends a heartbeat twice in this time; a connection silent for longer is dead."""

RECEIVE_BYTES_MAX = 1 << 18
"""Taken from the socket at once. What lies ahead of that waits in the kernel's bounded buffer."""

ER_MASTER_FATAL_ERROR_READING_BINLOG = 1236
COM_BINLOG_DUMP_GTID = 0x1E
OK, ERROR = b"\x00", b"\xff"
PACKET_BYTES_MAX = 0xFFFFFF
"""A packet of this length goes on in the next one."""

SESSION = (
    # The names of MySQL 8.0.26 and of all before it; a server takes no notice of those that it does not know.
    "@master_binlog_checksum = @@global.binlog_checksum",
    "@source_binlog_checksum = @@global.binlog_checksum",
    # Or MariaDB replaces the events that it takes to be unknown to us, GTIDs first, by made-up ones.
    "@mariadb_slave_capability = 4",
)


@dataclass(frozen=True, slots=True)
class Request:
    """From where on: a file's place, all that is not in a set of GTIDs, or what the session's state says."""

    file: str = ""
    place: int = FIRST_PLACE
    executed: GtidSet | None = None
    session: Sequence[str] = ()

    def command(self, server_id: int, flags: int) -> tuple[int, bytes]:
        """The command's number and its arguments."""
        if self.executed is None:
            if self.place > PLACE_MAX:
                message = f"a place in a file is asked for by 4 bytes, and {self.place} takes more"
                raise NotGiven(message)
            return COMMAND.COM_BINLOG_DUMP, struct.pack(
                "<IHI", self.place, flags, server_id
            ) + self.file.encode()
        known = self.executed.encoded
        no_file = struct.pack("<HIIQI", flags, server_id, 0, FIRST_PLACE, len(known))
        return COM_BINLOG_DUMP_GTID, no_file + known


class NotGiven(Exception):
    """The server does not give its binlog from there on; the words are its own."""


class BinlogDump:
    """The binlog from a place on; raises `NotGiven`, and the source's errors in our own words.

    With a server id it follows the binlog for ever, as a replica that the server lists; without one it
    reads up to the end.
    """

    def __init__(self, source: SourceSettings, request: Request, server_id: int = NO_SERVER_ID) -> None:
        self._where = f"{source.host}:{source.port}"
        self._packets = Packets()
        self._heard_s = time.monotonic()
        with self._translated():
            self._connection: Any = pymysql.connect(**parameters(source))
        try:
            with self._translated():
                self.has_checksums = self._ask(request, server_id)
        except BaseException:
            self.close()
            raise

    def read(self, timeout_s: float | None = None) -> bytes | None:
        """The next event; None if none has come within the time, no bytes at the end of the binlog."""
        while (packet := self._packets.next()) is None:
            if not self._receive(timeout_s):
                return None
        if packet[:1] == OK:
            return packet[1:]
        with self._translated():
            if packet[:1] == ERROR:
                pymysql.err.raise_mysql_exception(packet)
        return b""

    def all(self) -> Iterator[bytes]:
        """The events up to the end of the binlog."""
        while (data := self.read()) != b"":
            if data is not None:
                yield data

    def close(self) -> None:
        """Hang up, without the good-bye that would wait for the rest of the stream."""
        sock = self._connection._sock  # noqa: SLF001
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            self._connection._force_close()  # noqa: SLF001

    def _ask(self, request: Request, server_id: int) -> bool:
        """Say who we are, what we understand and what we want; whether events carry a sum."""
        beat_ns = SILENCE_S_MAX * 10**9 // 2
        beats = [f"@{name}_heartbeat_period = {beat_ns}" for name in ("master", "source")]
        # MySQL's list of replicas has broken rows where one has no uuid.
        names = [f"@{name}_uuid = '{UUID(int=server_id)}'" for name in ("slave", "replica")]
        with self._connection.cursor() as cursor:
            for assignment in (*SESSION, *beats, *names, *request.session):
                cursor.execute(f"SET {assignment}")
            cursor.execute("SELECT @@global.binlog_checksum <> 'NONE'")
            ((has_checksums,),) = cursor.fetchall()
        if server_id:
            register = struct.pack("<I11pppHII", server_id, b"changeover", b"", b"", 0, 0, 0)
            self._connection._execute_command(COMMAND.COM_REGISTER_SLAVE, register)  # noqa: SLF001
            self._connection._read_packet()  # noqa: SLF001
        flags = 0 if server_id else NON_BLOCKING
        self._connection._execute_command(*request.command(server_id, flags))  # noqa: SLF001
        return bool(has_checksums)

    def _receive(self, timeout_s: float | None) -> bool:
        """Take what has come; whether anything has within the time."""
        sock = self._connection._sock  # noqa: SLF001
        if sock is None:
            message = "the connection that carries the binlog was closed"
            raise SourceUnavailable(message)
        sock.settimeout(SILENCE_S_MAX if timeout_s is None else timeout_s)
        try:
            with self._translated():
                chunk = sock.recv(RECEIVE_BYTES_MAX)
        except (TimeoutError, BlockingIOError, ssl.SSLWantReadError):
            if time.monotonic() - self._heard_s < SILENCE_S_MAX:
                return False
            message = f"the source was silent for {SILENCE_S_MAX} s, without even a heartbeat"
            raise SourceUnavailable(message) from None
        if not chunk:
            message = "the connection that carries the binlog was lost"
            raise SourceUnavailable(message)
        self._heard_s = time.monotonic()
        self._packets.add(chunk)
        return True

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (TimeoutError, BlockingIOError, ssl.SSLWantReadError):
            raise
        except (pymysql.Error, OSError) as error:
            if error.args and error.args[0] == ER_MASTER_FATAL_ERROR_READING_BINLOG:
                raise NotGiven(error.args[-1]) from error
            raise translated(error, self._where) from error


class Packets:
    """Packets out of the bytes of a connection, however they are cut."""

    def __init__(self) -> None:
        self._bytes = b""
        self._at = 0
        self._more: list[bytes] = []
        self._missing = 0
        self._parts: list[bytes] = []

    def add(self, chunk: bytes) -> None:
        """Bytes that have come."""
        self._more.append(chunk)
        self._missing -= len(chunk)

    def next(self) -> bytes | None:
        """The next packet without its header, None while it is not there whole."""
        while True:
            if self._more and self._missing <= 0:
                self._bytes, self._more = b"".join(self._more), []
            start = self._at + 4
            stop = start + int.from_bytes(self._bytes[self._at : self._at + 3], "little")
            if len(self._bytes) < start or len(self._bytes) < stop:
                self._wait(start if len(self._bytes) < start else stop)
                return None
            packet, self._at = self._bytes[start:stop], stop
            if len(packet) < PACKET_BYTES_MAX and not self._parts:
                return packet
            self._parts.append(packet)
            if len(packet) < PACKET_BYTES_MAX:
                packet, self._parts = b"".join(self._parts), []
                return packet

    def _wait(self, stop: int) -> None:
        """Keep what is there till the bytes up to `stop` have come, so that none is copied twice."""
        if not self._more:
            self._more = [self._bytes[self._at :]]
            self._missing = stop - len(self._bytes)
            self._bytes, self._at = b"", 0
