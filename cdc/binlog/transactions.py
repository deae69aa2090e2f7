"""The events that begin transactions, and the statements in them."""

from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from cdc.binlog.happenings import Gtid, MariaDBGtid, Query, Rotated
from cdc.binlog.integers import cut, serialized
from changeover.charsets import charset_of_collation, decoder_of
from changeover.mysql.framing import Undecodable

MARIADB_IS_STANDALONE = 0x01
MARIADB_IS_PREPARED_XA = 0x40

QUERY_HEADER = 13
CHARSET_VARIABLE = 4
VARIABLE_SIZES = {0: 4, 1: 8, 3: 4}
"""Of the variables that a server writes before the character sets: flags, sql_mode, auto_increment."""
CATALOG_VARIABLE = 6
"""It is there too, with its length before it."""

SERVERS_MAX = 1_000
SESSIONS_MAX = 1_000
"""Whose names and settings are kept: few come again and again."""

FLAGS, UUID_OCTETS, NUMBER, TAG = 0, 1, 2, 3
"""The fields of a tagged GTID that matter here."""


def gtid(body: bytes) -> Gtid:
    """The GTID of MySQL that begins a transaction."""
    identity, at = cut(body, 1, 16)
    number, _ = cut(body, at, 8)
    return Gtid(_uuid(identity), "", int.from_bytes(number, "little"))


@lru_cache(SERVERS_MAX)
def _uuid(identity: bytes) -> str:
    return str(UUID(bytes=identity))


def tagged_gtid(body: bytes) -> Gtid:
    """The same since MySQL 8.3, where it can have a tag.

    It is a message of MySQL's serialization library: its version, its size, and the last field that a reader
    must know; then fields, each with its number before it: flags, uuid, number, tag, and more for replicas.
    """
    at = 0
    for _ in range(3):
        _, at = serialized(body, at)
    _, at = _field(body, at, FLAGS)
    octets = bytearray()
    first, at = _field(body, at, UUID_OCTETS)
    octets.append(first)
    for _ in range(15):
        octet, at = serialized(body, at)
        octets.append(octet)
    number, at = _field(body, at, NUMBER)
    length, at = _field(body, at, TAG)
    tag, _ = cut(body, at, length)
    # It is a number with a sign, which stands at its low end.
    return Gtid(_uuid(bytes(octets)), tag.decode(), number >> 1)


def _field(body: bytes, at: int, wanted: int) -> tuple[int, int]:
    """The first integer of a field that must come here."""
    field, at = serialized(body, at)
    if field != wanted:
        raise Undecodable("a tagged GTID without one of its parts")
    return serialized(body, at)


def mariadb_gtid(body: bytes, server: int) -> MariaDBGtid:
    """The GTID of MariaDB that begins a transaction; the server's id stands in the event's header."""
    number, at = cut(body, 0, 8)
    domain, at = cut(body, at, 4)
    flags, _ = cut(body, at, 1)
    return MariaDBGtid(
        int.from_bytes(domain, "little"),
        server,
        int.from_bytes(number, "little"),
        is_standalone=bool(flags[0] & MARIADB_IS_STANDALONE),
        is_prepared_xa=bool(flags[0] & MARIADB_IS_PREPARED_XA),
    )


def rotated(body: bytes) -> Rotated:
    """The file that follows, and the place in it."""
    place, at = cut(body, 0, 8)
    return Rotated(body[at:].decode(), int.from_bytes(place, "little"))


class QueryHead(NamedTuple):
    """A statement's schema, how its text is written, and where that begins."""

    schema: str
    charset: str
    at: int


def query_head(body: bytes) -> QueryHead:
    """What stands before the text of a statement."""
    head, at = cut(body, 0, QUERY_HEADER)
    variables, at = cut(body, at, int.from_bytes(head[11:13], "little"))
    schema, at = cut(body, at, head[8] + 1)  # a zero byte ends it
    return QueryHead(schema[:-1].decode(), _charset(variables), at)


def query(head: QueryHead, stored: bytes) -> Query:
    """The statement. What its character set does not have is no name of a table, and may be unreadable."""
    try:
        text = decoder_of(head.charset)(stored)
    except ValueError:
        text = stored.decode("utf-8", "replace")
    return Query(head.schema, text)


@lru_cache(SESSIONS_MAX)
def _charset(variables: bytes) -> str:
    """The character set in which the client wrote."""
    at = 0
    while at < len(variables):
        kind, at = variables[at], at + 1
        if kind == CHARSET_VARIABLE:
            number, _ = cut(variables, at, 2)
            return charset_of_collation(int.from_bytes(number, "little"))
        if kind == CATALOG_VARIABLE:
            length, at = cut(variables, at, 1)
            at += length[0]
        elif kind in VARIABLE_SIZES:
            at += VARIABLE_SIZES[kind]
        else:
            break
    return "utf8mb4"
