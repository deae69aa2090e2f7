"""A binlog as mysql-replication reads it, in canonical values: a second opinion beside our own decoder.

It makes an empty BLOB a text, and of BINARY, TIME, SET, MySQL's JSON, zero dates and more something else.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from pymysql.connections import Connection
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.constants import FIELD_TYPE
from pymysqlreplication.event import GtidEvent, MariadbGtidEvent
from pymysqlreplication.row_event import DeleteRowsEvent, UpdateRowsEvent, WriteRowsEvent

from changeover.mysql.numbering import mariadb_connect_state
from changeover.settings import SourceSettings
from changeover.values import Row, Value, shortest_float32

SERVER_ID = 4_000_003
HEADER_BYTES = 4


class PlainConnection(Connection):
    """A connection that sends no more bytes than each packet's header announces.

    The library asks MariaDB with a byte too many. The server resets the connection for it once all is sent,
    and what is still on its way is lost; the library would then read all from its beginning, for ever.
    """

    def __init__(self, *, db: str | None = None, **settings: Any) -> None:  # noqa: ANN401 - PyMySQL's
        super().__init__(database=db, **settings)  # its old name is deprecated

    def _write_bytes(self, data: bytes) -> None:
        size = int.from_bytes(data[:3], "little")
        super()._write_bytes(data[: HEADER_BYTES + size])  # type: ignore[misc]  # not in the stubs


@dataclass(frozen=True, slots=True)
class Transaction:
    """What one commit did to the rows of a schema: nothing, where it was about others."""

    gtid: str
    changes: list[tuple[str, Row | None, Row | None]] = field(default_factory=list)
    """Table, before and after, in the order of statements."""


def transactions_behind(
    source: SourceSettings, place: str, schema: str, *, is_mariadb: bool
) -> Iterator[Transaction]:
    """Every commit behind the place, up to the binlog's end; a place of MySQL is a set that is not empty."""
    reader: Any = BinLogStreamReader(
        {"host": source.host, "port": source.port, "user": source.user, "password": source.secret()},
        server_id=SERVER_ID,
        only_events=[MariadbGtidEvent, GtidEvent, WriteRowsEvent, UpdateRowsEvent, DeleteRowsEvent],
        only_schemas=[schema],
        auto_position=mariadb_connect_state(place) if is_mariadb else place,
        is_mariadb=is_mariadb,
        enable_logging=False,
        pymysql_wrapper=PlainConnection,
    )
    current: Transaction | None = None
    seen: set[str] = set()
    with closing(reader):
        for event in reader:
            if isinstance(event, MariadbGtidEvent | GtidEvent):
                assert event.gtid not in seen, "the library has begun anew"
                seen.add(event.gtid)
                if current:
                    yield current
                current = Transaction(event.gtid)
            else:
                assert current, "rows came before any GTID"
                current.changes.extend(_changes(event))
    if current:
        yield current


def _changes(event: Any) -> Iterator[tuple[str, Row | None, Row | None]]:  # noqa: ANN401 - the library has no types
    columns = {column.name: column for column in event.columns}
    for row in event.rows:
        before = row.get("before_values") or (row["values"] if isinstance(event, DeleteRowsEvent) else None)
        after = row.get("after_values") or (row["values"] if isinstance(event, WriteRowsEvent) else None)
        yield f"{event.schema}.{event.table}", _canonical(columns, before), _canonical(columns, after)


def _canonical(columns: Mapping[str, Any], row: Mapping[str, Any] | None) -> Row | None:
    return row and {name: _value(columns[name], value) for name, value in row.items()}


def _value(column: Any, value: Any) -> Value:  # noqa: ANN401 - whatever the library gives
    match value:
        case Decimal():
            return f"{value:f}"
        case dt.datetime():
            text = value.isoformat(" ", "microseconds")
            return text[: len(text) - 6 + column.fsp] if column.fsp else text[:-7]
        case dt.date():
            return value.isoformat()
        case float() if column.type == FIELD_TYPE.FLOAT:
            return shortest_float32(value)
        case _:
            return value  # type: ignore[no-any-return]
