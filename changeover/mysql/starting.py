"""Where capture starts: at the end of the binlog, or at the place of a copy that another tool has made."""

from collections.abc import Iterable, Iterator

from changeover.errors import StartRefused
from changeover.mysql.binlog import BinlogFile, binlog_files
from changeover.mysql.connection import Connection
from changeover.mysql.numbering import Beat, Place, numbering_of
from changeover.mysql.schema import check_start_of_schema
from changeover.start import Start, StartKind, instant


def check_start(connection: Connection, start: Start) -> None:
    """Return if capture can start there, touching nothing; else `StartRefused` says why not."""
    if start.kind is not StartKind.NOW:
        check_start_of_schema(connection, start)
        _place_in_the_past(connection, start)


def place_of(connection: Connection, start: Start, beat: Beat) -> Place:
    """The place from which on capture misses nothing that was committed behind the start."""
    if start.kind is StartKind.NOW:
        return numbering_of(connection).here(beat)
    return _place_in_the_past(connection, start)


def _place_in_the_past(connection: Connection, start: Start) -> Place:
    numbering = numbering_of(connection)
    match start.kind:
        case StartKind.EARLIEST:
            return numbering.earliest()
        case StartKind.TIMESTAMP:
            now_s = int(connection.value("SELECT UNIX_TIMESTAMP()"))
            if start.at_ms >= (now_s + 1) * 1000:
                message = f"timestamp:{start.where} is yet to come: the source's clock says {instant(now_s)}"
                raise StartRefused(message)
            return numbering.beginning_of(file_before(binlog_files(connection.source), start.at_ms))
        case _:
            return numbering.at(start)


def file_before(files: Iterable[BinlogFile], at_ms: int) -> str:
    """The file at whose beginning all was committed that was committed before the time, and perhaps more not.

    The order of files is that of their numbers: where the clock was set back, all files count from the first
    one on that begins behind the time. The last file before them may have been opened after the time even so,
    by the end of a statement that began before it; then the one before is safe.
    """
    early = list(_early(files, at_ms))
    newest = early[-1]
    if newest.is_time_exact or newest.is_first_ever:
        return newest.name
    if len(early) > 1:
        return early[-2].name
    message = f"the source's binlog may not reach back to the time: its oldest file, {newest.name}, is of "
    raise StartRefused(f"{message}{instant(newest.at_s)} or later", hint=COPY_ANEW)


def _early(files: Iterable[BinlogFile], at_ms: int) -> Iterator[BinlogFile]:
    """The files before the first that begins behind the time."""
    for place, file in enumerate(files):
        if (file.at_s + 1) * 1000 > at_ms:  # it may have begun at the end of that second
            if place == 0:
                message = "the source's binlog does not reach back to the time: it begins at "
                raise StartRefused(f"{message}{instant(file.at_s)}", hint=COPY_ANEW)
            return
        yield file


COPY_ANEW = 'Copy the tables anew, or let `changeover` import: snapshot.workers = 2, capture.start = "now".'
