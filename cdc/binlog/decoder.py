"""The decoder: from events of the binlog to what happens in it, or a stop at what could be a change."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress

from cdc.binlog import kinds
from cdc.binlog.catalogued import completed
from cdc.binlog.compressed import event_data, payload_events
from cdc.binlog.happenings import AnonymousGtid, Ended, Happening, Rows
from cdc.binlog.rows import WHAT_BYTES_CAN_CAUSE, RowsReader
from cdc.binlog.table_map import MARIADB, MYSQL, MYSQL_OF_OLD, names_of, parse_table_map
from cdc.binlog.transactions import gtid, mariadb_gtid, query, query_head, rotated, tagged_gtid
from changeover.mysql.framing import BODY, HEADER, RawEvent, Undecodable
from changeover.table import Table

TABLE_MAPS_MAX = 10_000
"""Kept by their bytes, since a server sends the same one before each change. Few are captured tables'."""

ID = slice(BODY, BODY + 6)
"""In table maps and rows events: the number under which the rows find their table."""

AT_DESCRIPTION = BODY + 8
"""In a table map, behind its number and its flags."""

ROWS_HEADER = 8

NOBODYS_ID = b"\xff\xff\xff\x00\x00\x00"
"""Rows of no table: the end of a statement that changed none after all."""


SERVER_VERSION = slice(2, 52)
"""Of a format description."""

DIALECTS = {False: (MYSQL, MYSQL_OF_OLD), True: (MARIADB,)}

TELLS_TYPES_ALONE = b"5."
"""How the version of a MySQL begins whose table maps have no names, signs, character sets and labels."""


class Decoder:
    """Gives the rows of the tables that it was asked for, by schema and name, and all that frames them.

    A table without a definition is read as the binlog describes it. Rows of other tables are not looked at.
    """

    def __init__(self, tables: Mapping[tuple[str, str], Table | None]) -> None:
        self._tables = tables
        self._is_mariadb = False
        self._tells_types_alone = False
        self._by_description: dict[bytes, RowsReader | None] = {}
        self._by_id: dict[bytes, RowsReader | None] = {}
        self._decoders: dict[int, Callable[[RawEvent], Iterable[Happening]]] = {
            kinds.TABLE_MAP: self._table_map,
            **dict.fromkeys(kinds.ROWS, self._rows),
            **dict.fromkeys(kinds.IGNORED, lambda _: ()),
            kinds.FORMAT_DESCRIPTION: self._described,
            kinds.GTID: lambda event: (gtid(event.body),),
            kinds.GTID_TAGGED: lambda event: (tagged_gtid(event.body),),
            kinds.ANONYMOUS_GTID: lambda _: (AnonymousGtid(),),
            kinds.MARIADB_GTID: lambda event: (mariadb_gtid(event.body, HEADER.unpack_from(event.data)[2]),),
            kinds.QUERY: _query,
            kinds.MARIADB_QUERY_COMPRESSED: _compressed_query,
            kinds.XID: lambda _: (Ended(),),
            kinds.XA_PREPARE: lambda _: (Ended(),),
            kinds.ROTATE: self._rotated,
            kinds.TRANSACTION_PAYLOAD: self._payload,
            kinds.INCIDENT: _incident,
        }

    def happenings(self, event: RawEvent) -> Iterator[Happening]:
        """What happens in the event; `Undecodable` if that cannot be told exactly."""
        decode = self._decoders.get(event.kind)
        if decode is None:
            message = f"event type {event.kind} is not understood"
            raise Undecodable(message)
        try:
            yield from decode(event)
        except Undecodable:
            raise
        except WHAT_BYTES_CAN_CAUSE as error:
            message = f"an event of type {event.kind} has bytes that it cannot have ({type(error).__name__})"
            raise Undecodable(message) from error

    def _payload(self, event: RawEvent) -> Iterator[Happening]:
        for inner in payload_events(event):
            if inner.kind == kinds.TRANSACTION_PAYLOAD:
                raise Undecodable("a compressed transaction in a compressed transaction")
            yield from self.happenings(inner)

    def _described(self, event: RawEvent) -> Iterable[Happening]:
        """The server says who it is at the beginning of each file."""
        version = event.body[SERVER_VERSION]
        is_mariadb = b"MariaDB" in version
        tells_types_alone = not is_mariadb and version.startswith(TELLS_TYPES_ALONE)
        if (is_mariadb, tells_types_alone) != (self._is_mariadb, self._tells_types_alone):
            self._is_mariadb, self._tells_types_alone = is_mariadb, tells_types_alone
            self._by_description.clear()
        return ()

    def _rotated(self, event: RawEvent) -> Iterable[Happening]:
        self._by_id.clear()  # a server that was started anew counts from the beginning again
        return (rotated(event.body),)

    # -- rows ----------------------------------------------------------------------------------------------

    def _table_map(self, event: RawEvent) -> Iterable[Happening]:
        data = event.data
        description = data[AT_DESCRIPTION : event.stop]
        try:
            reader = self._by_description[description]
        except KeyError:
            reader = self._reader(event.body)
            if len(self._by_description) >= TABLE_MAPS_MAX:
                self._by_description.clear()
            self._by_description[description] = reader
        self._by_id[data[ID]] = reader
        return ()

    def _reader(self, body: bytes) -> RowsReader | None:
        schema, name, _ = names_of(body)
        if (schema, name) not in self._tables:
            return None
        try:
            return self._reader_that_fits(body, self._tables[schema, name])
        except Undecodable:
            raise
        except ValueError as error:  # a collation or character set that is not known
            message = f"the columns of {schema}.{name} cannot be read: {error}"
            raise Undecodable(message) from error

    def _reader_that_fits(self, body: bytes, table: Table | None) -> RowsReader:
        """The reader by the reading of the table map in which the signs are those that the table has."""
        first, *others = DIALECTS[self._is_mariadb]
        if table and self._tells_types_alone:
            return RowsReader(completed(parse_table_map(body, first), table), table)
        try:
            return RowsReader(parse_table_map(body, first), table)
        except Undecodable:
            for dialect in others:
                with suppress(Undecodable):
                    return RowsReader(parse_table_map(body, dialect), table)
            raise

    def _rows(self, event: RawEvent) -> Iterable[Happening]:
        data, stop = event.data, event.stop
        try:
            reader = self._by_id[data[ID]]
        except KeyError:
            if data[ID] == NOBODYS_ID:
                return ()
            raise Undecodable("rows came of a table that was not described before") from None
        if reader is None:
            return ()
        kind = event.kind
        if kind == kinds.PARTIAL_UPDATE_ROWS:
            message = (
                f"rows of {reader.schema}.{reader.table} came with parts of their JSON only: "
                "binlog_row_value_options was PARTIAL_JSON"
            )
            raise Undecodable(message)
        at = BODY + ROWS_HEADER
        if kind in kinds.WITH_EXTRA:
            at += int.from_bytes(data[at : at + 2], "little")
        change = kinds.ROWS[kind]
        at = reader.check_whole(data, at, change)
        if kind in kinds.COMPRESSED:
            data = event_data(data[at:stop])
            at, stop = 0, len(data)
        return (Rows(reader.schema, reader.table, reader.images(data, at, stop, change)),)


def _query(event: RawEvent) -> Iterable[Happening]:
    body = event.body
    head = query_head(body)
    return (query(head, body[head.at :]),)


def _compressed_query(event: RawEvent) -> Iterable[Happening]:
    body = event.body
    head = query_head(body)
    return (query(head, event_data(body[head.at :])),)


def _incident(_: RawEvent) -> Iterable[Happening]:
    message = "the server says that it has lost events (INCIDENT)"
    raise Undecodable(message)
