"""The history of a move on real servers, in the events that the simulation's checkers read.

It is put together once the source is quiet and the target in step: first the source's commits, then the log,
then what the target holds, then what its consumer claims. The source's part comes from a reader of the binlog
that is not ours, so that a change which we misread or miss shows.
"""

import base64
from collections.abc import Iterable, Iterator, Mapping

from changeover.epoch import Epoch, domain_of
from changeover.log import Log
from changeover.mysql.catalog import captured_tables
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.mysql.numbering import is_mariadb
from changeover.progress import Partition
from changeover.table import Table
from changeover.values import Row
from changeover.version import Version
from changeover.wiring import open_target
from tests.simulation.history import Event, History
from tests.simulation.invariants import ROW_OF_READ, Invariants
from tests.support.pipeline import Pipeline
from tests.support.second_reader import Transaction, transactions_behind

RECORDS_AT_ONCE = 5_000


def recorded(pipeline: Pipeline, place: str) -> History:
    """The whole history, which now is a file of the pipeline's folder too.

    The place in the binlog is one from before the first row of the moved tables.
    """
    history = History()
    for event in events_of(pipeline, place):
        history.note(**event)
    history.write(pipeline.folder / "history.jsonl")
    return history


def checked(events: Iterable[Event], *, has_holes: bool = False) -> Invariants:
    """All invariants over a whole history; an `AssertionError` too where one had not all of it to check."""
    invariants = Invariants(has_holes=has_holes)
    for event in events:
        invariants.take(event)
    assert invariants.base > 0, "the first checkpoint is not among the commits"
    checked_up_to = min(invariants.complete, invariants.claimed)
    behind = [commit.gtid for commit in invariants.truth.commits[checked_up_to:] if commit.states]
    assert not behind, f"neither captured nor claimed as applied: {behind[:3]}"
    committed = {partition: offset for (_, partition), offset in invariants.offsets.items()}
    for partition, records in invariants.logged.items():
        assert committed.get(partition, 0) >= len(records), f"{partition} is not applied to its end"
    return invariants


def repeated(invariants: Invariants) -> int:
    """How many changes are in the log again, as they are after a crash in the middle of a transaction."""
    records = (record for records in invariants.logged.values() for record in records if record)
    changes = sum(not record.version.endswith(ROW_OF_READ) for record in records)
    return changes - len(invariants.changes)


def events_of(pipeline: Pipeline, place: str) -> Iterator[Event]:
    """What binlog, log, target and consumer say now; `recorded` says from which place on."""
    with pipeline.connection() as connection, pipeline.open_log() as log:
        tables = {table.full_name: table for table in captured_tables(connection)}
        yield from _source_events(pipeline, connection, tables, place)
        keys: dict[tuple[str, str], None] = {}  # a set that keeps its order
        for event in _records(log):
            keys[event["table"], event["key"]] = None
            yield event
        checkpoint = log.checkpoint()
        assert checkpoint, "the log has no checkpoint"
        yield {"event": "checkpoint", "version": checkpoint.version.text, "position": checkpoint.position}
        yield from _written(pipeline, tables, keys)
        yield from _claims(log, pipeline.settings.consumer.group)
    yield {"event": "quiet"}


def _source_events(
    pipeline: Pipeline, connection: Connection, tables: Mapping[str, Table], place: str
) -> Iterator[Event]:
    for table in tables.values():
        yield {"event": "keyed", "table": table.full_name, "columns": list(table.key)}
    source = pipeline.settings.source
    for done in transactions_behind(source, place, pipeline.schema, is_mariadb=is_mariadb(connection)):
        yield _committed(done)
    epochs = ControlSchema(connection, pipeline.settings.pipeline).epochs()
    for epoch in epochs:
        yield {"event": "epoch", "number": epoch.number, "identity": epoch.identity}
    yield _first_checkpoint(epochs[0])


def _committed(done: Transaction) -> Event:
    identity, _, sequence = done.gtid.rpartition(":" if ":" in done.gtid else "-")
    return {
        "event": "committed",
        "gtid": done.gtid,
        "identity": identity,
        "sequence": int(sequence),
        "changes": [[table, _json(before), _json(after)] for table, before, after in done.changes],
    }


def _first_checkpoint(first: Epoch) -> Event:
    """Where the pipeline began: the first epoch remembers it, though the log no longer does."""
    is_by_domain = domain_of(first.identity) is not None
    start = "-" if is_by_domain else ":1-"
    return {
        "event": "checkpoint",
        "version": Version.of_change(first.number, first.first_sequence).text,
        "position": f"{first.identity}{start}{first.first_sequence}",
    }


def _records(log: Log) -> Iterator[Event]:
    history = log.history()
    for records in history.read(history.firsts(), RECORDS_AT_ONCE):
        for partition, offset, table, key, value in records:
            yield {
                "event": "logged",
                "partition": _named(partition),
                "offset": offset,
                "table": table.full_name,
                "key": key.decode(),
                "value": value.decode(),
            }


def _written(
    pipeline: Pipeline, tables: Mapping[str, Table], keys: Iterable[tuple[str, str]]
) -> Iterator[Event]:
    with open_target(pipeline.settings) as target:
        for table, key in keys:
            held = target.read(tables[table], key.encode())
            if held:
                yield {
                    "event": "written",
                    "table": table,
                    "key": key,
                    "version": held.version.text,
                    "row": _json(held.body),
                }


def _claims(log: Log, group: str) -> Iterator[Event]:
    progress = log.progress_of(group)
    for partition, offset in progress.committed.items():
        yield {"event": "offsets", "group": group, "partition": _named(partition), "offset": offset}
    through = progress.through
    assert through, "nothing is claimed as applied"
    version, source_ms = through.version.text, through.source_ms
    yield {"event": "through", "group": group, "version": version, "source_ms": source_ms}


def _json(row: Row | None) -> Row | None:
    return row and {
        name: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for name, value in row.items()
    }


def _named(partition: Partition) -> str:
    return f"{partition.topic}/{partition.number}"
