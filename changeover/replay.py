"""Replay: what the log still holds from a place on, applied again through the guard.

It reads beside the consumer groups and commits nothing, so none of their offsets moves. A target that holds
those states already, or later ones, stays as it is; a fresh one gets all that is in the log from there on.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from changeover.change import Change, Op
from changeover.crashpoints import reach
from changeover.decide import Outcome, newest_per_key
from changeover.envelope import decode
from changeover.errors import StartRefused
from changeover.log import History, writes_of
from changeover.progress import Offsets, Partition
from changeover.start import OF_REPLAY, Start, StartKind
from changeover.targets import Target

RECORDS_LOOKED_AT = 2_000
"""Records read at a time while the start is looked for, about 2 MB."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay has done: `stale` of the records changed nothing."""

    records: int = 0
    applied: int = 0
    stale: int = 0


def parse_from(text: str) -> Start:
    """The place to replay from; `StartRefused` if the text names none."""
    try:
        return Start.parse(text, OF_REPLAY)
    except ValueError as error:
        raise StartRefused(str(error)) from error


def starts_of(history: History, start: Start, tables: Collection[str] = ()) -> Offsets:
    """For each partition of the tables, or of all, where a replay from `start` begins to read.

    That is the first record at or past the start: behind it lie records from before it too, and to apply them
    does no harm. Raises `StartRefused` for a table that is not in the log, and where records that belong to
    the replay are gone.
    """
    firsts = _of_tables(history.firsts(), tables)
    if start.kind is not StartKind.OFFSET:
        return {partition: _find(history, partition, first, start) for partition, first in firsts.items()}
    for partition, first in firsts.items():
        if first > start.offset:
            raise _gone(partition, first)
    return dict.fromkeys(firsts, start.offset)


def replay(history: History, starts: Offsets, target: Target[Any], batch_max: int) -> Replayed:
    """Apply all that the history has from the starts on."""
    done = Replayed()
    for records in history.read(starts, batch_max):
        outcomes = target.write(newest_per_key(writes_of(records)))
        reach("replay.batch_written")
        stale = len(records) - sum(outcome is not Outcome.STALE for outcome in outcomes)
        done = Replayed(done.records + len(records), done.applied + len(records) - stale, done.stale + stale)
    return done


def _of_tables(firsts: Offsets, tables: Collection[str]) -> Offsets:
    """The partitions of these tables: a topic's name is the pipeline's, a dot, and the table's."""
    held = {partition.topic.partition(".")[2] for partition in firsts}
    if missing := sorted(set(tables) - held):
        message = f"the log holds nothing of {', '.join(missing)}"
        raise StartRefused(message, hint=f"It has {', '.join(sorted(held)) or 'no tables yet'}.")
    return {
        partition: first
        for partition, first in firsts.items()
        if not tables or partition.topic.partition(".")[2] in tables
    }


def _find(history: History, partition: Partition, first: int, start: Start) -> int:
    """The offset of the first record at the start, or behind the last one if none is.

    Where the partition's first records are gone, it must show a change from before the start: changes lie in
    the order of their commits, so what is gone was from before it too.
    """
    is_whole = first == 0
    end = first
    for records in history.read({partition: first}, RECORDS_LOOKED_AT):
        for record in records:
            change = decode(record.table, record.value)
            if _is_at(change, start):
                if not is_whole:
                    raise _gone(partition, first)
                return record.offset
            is_whole = is_whole or change.op is not Op.READ
            end = record.offset + 1
    if not is_whole:
        raise _gone(partition, first)
    return end


def _is_at(change: Change, start: Start) -> bool:
    """Whether the change is at or past the start; a time is that which the source gave its transaction."""
    if start.kind is StartKind.VERSION:
        return change.version >= start.version
    # The binlog tells whole seconds: a commit of 12.9 s says 12 s, and came behind a start at 12.5 s.
    return change.origin.at_ms >= start.at_ms // 1000 * 1000


def _gone(partition: Partition, first: int) -> StartRefused:
    message = f"the log no longer holds the first {first:,} records of {partition.topic}/{partition.number}"
    return StartRefused(
        f"{message}, which belong to this replay, or may",
        hint="Replay from a later place, or other tables (--table); or import the table again.",
    )
