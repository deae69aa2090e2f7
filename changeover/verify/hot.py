"""Hot keys: judged though the target is always behind the source when one looks at both.

A key that changes many times a second never stands still for as long as a change takes to the target. Then
the log tells which states the key went through, and each side is held against that, at the place at which it
was seen itself: what the source showed must be a state that the key had between the read's two bounds, and
what the target holds must be the state of the version that it holds it under. The log's values come from the
reader of the binlog, and are not believed: the source's own row is the witness.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from changeover.decide import Write
from changeover.log import History, Record, topic_of, writes_of
from changeover.progress import Offsets
from changeover.table import Table
from changeover.targets import Target
from changeover.values import Row
from changeover.verify.comparing import Answer, Pair, canonical, differing
from changeover.version import ROW_MAX, Version

RECORDS_AT_ONCE = 500
STATES_BYTES_MAX = 64_000_000
"""States of hot keys held at a time: of 300 bytes, 1,000 changes a second for three minutes."""


class Paired(NamedTuple):
    """What became of a pair that was held against the log, and the columns at which it differs from it."""

    answer: Answer
    columns: tuple[str, ...] = ()


def states_of(
    history: History, starts: Offsets, pipeline: str, table: Table, keys: Collection[bytes]
) -> dict[bytes, list[Write]]:
    """What the log holds of these keys of a (masked) table, from the starts on; nothing if it is too much."""
    topic = topic_of(pipeline, table)
    firsts = history.firsts()
    places = {
        partition: max(first, starts.get(partition, 0))
        for partition, first in firsts.items()
        if partition.topic == topic
    }
    states: dict[bytes, list[Write]] = {key: [] for key in keys}
    size = 0
    for record in _records(history, places):
        if record.key in states:
            states[record.key] += writes_of([record])
            size += len(record.value)
            if size > STATES_BYTES_MAX:
                return {}
    return states


def _records(history: History, places: Offsets) -> Iterator[Record]:
    for records in history.read(places, RECORDS_AT_ONCE):
        yield from records


def paired(pair: Pair[Any], until: Version, states: Sequence[Write], target: Target[Any]) -> Paired:
    """What the log says of a pair whose target side is from behind the bound.

    The source's side was there at some place from `pair.bound` to `until`. `LOOK_AGAIN` where the log does
    not tell: no state from up to the bound is among `states`, or none of the version that the target holds.
    """
    possible = _between(states, pair.bound, until)
    held = pair.held
    at_held = [write for write in states if held is not None and _is_of(write.version, held.version)]
    if held is None or not possible or not at_held:
        return Paired(Answer.LOOK_AGAIN)
    for seen, writes in ((held.body, at_held), (pair.source, possible)):
        bodies = [_body(target, write.table, write.row) for write in writes]
        if canonical(seen) not in map(canonical, bodies):
            return Paired(Answer.DIFFERS, differing(seen, bodies[-1]))
    return Paired(Answer.EQUAL)


def _between(states: Sequence[Write], bound: Version, until: Version) -> list[Write]:
    """The changes that made the key's states from `bound` to `until`; none where the first is unknown."""
    changes = sorted(
        (write for write in states if write.version.row != ROW_MAX and write.version <= until),
        key=lambda write: write.version,
    )
    behind = [write for write in changes if write.version > bound]
    before = changes[: len(changes) - len(behind)]
    return [*before[-1:], *behind] if before else []


def _is_of(version: Version, held: Version) -> bool:
    """Whether a write of the log is what the target holds; a direct write has its change's state."""
    return version[:2] == held[:2] and (version.row == held.row or ROW_MAX not in {version.row, held.row})


def _body(target: Target[Any], table: Table, row: Row | None) -> object:
    return None if row is None else target.body_of(table, row)
