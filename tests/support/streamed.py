"""Rows as the binlog of a real server has them, read to its end without waiting."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing

from cdc.events import Event, Images, RowsChanged
from cdc.frames import frames_at
from cdc.stream import Translation
from changeover.mysql.connection import Connection
from changeover.mysql.dump import BinlogDump
from changeover.mysql.framing import Framing
from changeover.settings import SourceSettings
from changeover.table import Table


def end_of_binlog(connection: Connection) -> str:
    """The place behind all that is committed, to read from later."""
    if "MariaDB" in connection.value("SELECT @@version"):
        return connection.value("SELECT @@global.gtid_binlog_pos") or "0-1-0"
    return connection.value("SELECT @@global.gtid_executed")


def images_behind(source: SourceSettings, tables: Sequence[Table], place: str) -> Mapping[str, list[Images]]:
    """By the name of its table each row that changed behind the place, before and after, in order."""
    found: dict[str, list[Images]] = defaultdict(list)
    for event in events_behind(source, tables, place):
        if isinstance(event, RowsChanged):
            found[event.table.name] += event.rows
    return found


def events_behind(
    source: SourceSettings, tables: Sequence[Table], place: str, identity: str = "0-1"
) -> Iterator[Event]:
    """All that happened behind the place, as capture sees it, on a server of that identity."""
    frames = frames_at(place, identity)
    with closing(BinlogDump(source, frames.request())) as dump:
        framing = Framing(has_checksums=dump.has_checksums)
        translation = Translation(source.control_schema, "test", tables, frames)
        for data in dump.all():
            yield from translation.events(framing.event(data))
