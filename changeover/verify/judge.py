"""Judging: whether a key is equal, in rounds that neither raise a false alarm nor let a fault pass.

A round bounds itself (L), reads the source, takes the end of the binlog (U), waits until the target has
applied through U, and reads the target. If the target then holds a state from behind L, the two were read at
two places, and the key goes into the next round; any other difference is real: all that the read of the
source can have seen has been applied. Keys that are never at rest are held against the log (`hot.py`). What
is not settled then is told as not settled, by name, and never as equal.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from changeover.epoch import Epoch
from changeover.mysql.phases import phase_now
from changeover.progress import Offsets
from changeover.table import Table
from changeover.targets import Held, Target
from changeover.verify.applied import Applied
from changeover.verify.comparing import Answer, Pair, answer_of, differing, digest_of, kind_of
from changeover.verify.findings import Difference, Findings, Kind
from changeover.verify.hot import paired, states_of
from changeover.verify.source import Seen, Source
from changeover.version import ROW_MAX, Version

ROUNDS_MAX = 6
"""Rounds take as long as a change takes to the target: a key that rests for as long once is judged."""

ROUNDS_WITHOUT_LOG = 2
"""So many rounds before the log is read, which settles all but few of the keys for less."""

KEYS_AT_ONCE = 500
"""Keys in one round at most: as many conditions are in one SELECT."""


@dataclass(slots=True)
class Judgement:
    """What became of the keys of a table: every one is in one of the three."""

    equal: list[bytes] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    unsettled: list[bytes] = field(default_factory=list)
    """Neither equal nor different for certain, in all rounds."""

    bare: set[bytes] = field(default_factory=set)
    """Of the equal ones those of which the target holds nothing, not even a delete marker."""

    def add(self, other: "Judgement") -> None:
        """Take the other's keys in."""
        self.equal += other.equal
        self.differences += other.differences
        self.unsettled += other.unsettled
        self.bare |= other.bare


class Judge:
    """Judges keys; `adopts` where rows of another tool, without a version, are taken as they are."""

    def __init__(
        self, source: Source, target: Target[Any], applied: Applied, pipeline: str, *, adopts: bool = False
    ) -> None:
        self.source = source
        self._target = target
        self._applied = applied
        self._pipeline = pipeline
        self._adopts = adopts

    def judge(self, table: Table, keys: Sequence[bytes]) -> Judgement:
        """What becomes of these keys of a table of the source, whose masks hide no key.

        Raises `NotApplied` where the target does not get to what was read.
        """
        return self.settle(keys, lambda some: self.source.keys(table, some), self.source.rows_at_once(table))

    def settle(self, keys: Sequence[bytes], read: Callable[[list[bytes]], Seen], at_once: int) -> Judgement:
        """What becomes of these keys, which `read` reads again, so many at once; raises `NotApplied`."""
        at_once = min(KEYS_AT_ONCE, at_once)
        starts = self._applied.log.progress_of(self._applied.group).committed
        judgement = Judgement(unsettled=list(dict.fromkeys(keys)))
        for number in range(1, ROUNDS_MAX + 1):
            again, judgement.unsettled = judgement.unsettled, []
            for place in range(0, len(again), at_once):
                some = again[place : place + at_once]
                seen = read(some)
                found, pairs = self._look(seen, some)
                if number > ROUNDS_WITHOUT_LOG and pairs:
                    found.unsettled = []
                    found.add(self._held_against_the_log(seen, pairs, starts))
                judgement.add(found)
        return judgement

    def look(self, seen: Seen, keys: Iterable[bytes]) -> Judgement:
        """What one round says of the keys: those to be looked at again are `unsettled`.

        Raises `NotApplied` as `judge` does.
        """
        judgement, _ = self._look(seen, list(keys))
        return judgement

    def _look(self, seen: Seen, keys: list[bytes]) -> tuple[Judgement, dict[bytes, Pair[Any]]]:
        """What one round says, and the pairs of those to be looked at again."""
        self._applied.wait_for(seen.until)
        if self._is_forgotten(seen):
            return Judgement(unsettled=keys), {}
        judgement, again = Judgement(), dict[bytes, Pair[Any]]()
        for key, pair in zip(keys, self._pairs(seen, keys), strict=True):
            match answer_of(pair, adopts=self._adopts):
                case Answer.EQUAL:
                    judgement.equal.append(key)
                    judgement.bare |= {key} if pair.held is None else set()
                case Answer.DIFFERS:
                    kind = kind_of(pair, adopts=self._adopts)
                    judgement.differences.append(_difference(seen, key, pair, kind))
                case Answer.LOOK_AGAIN:
                    again[key] = pair
        judgement.equal += self._written_in_new(again)
        judgement.differences += self._ahead(seen, again)
        judgement.unsettled = list(again)
        return judgement, again

    def _is_forgotten(self, seen: Seen) -> bool:
        """Whether a failover has lost what the read saw: then the target will never have it, by right."""
        through = self._applied.through
        if through is None or through.version.epoch == seen.until.epoch:
            return False
        return bool(forgotten(seen.until, self.source.control.epochs()))

    def _written_in_new(self, again: dict[bytes, Pair[Any]]) -> list[bytes]:
        """Keys written since the move into NEW, taken out of the pairs: there the target is right."""
        epoch = phase_now(self.source.control).epoch_in_use if again else None
        if epoch is None:
            return []
        keys = [key for key, pair in again.items() if pair.held and pair.held.version.epoch >= epoch]
        for key in keys:
            del again[key]
        return keys

    def _ahead(self, seen: Seen, again: dict[bytes, Pair[Any]]) -> Iterator[Difference]:
        """Those of the pairs whose target side the source has never committed, taken out of them."""
        if not again:
            return
        # Taken after the target was read: no state that it can hold by right is from behind it.
        end = self.source.end()._replace(row=ROW_MAX)
        for key, pair in list(again.items()):
            if pair.held is not None and pair.held.version > end:
                yield _difference(seen, key, again.pop(key), Kind.AHEAD)

    def _pairs(self, seen: Seen, keys: list[bytes]) -> Iterator[Pair[Any]]:
        for key, held in zip(keys, self._target.read_many(seen.table, keys), strict=True):
            row = seen.rows.get(key)
            source = None if row is None else self._target.body_of(seen.table, row)
            yield Pair(source=source, bound=seen.bound, held=held)

    def _held_against_the_log(self, seen: Seen, pairs: dict[bytes, Pair[Any]], starts: Offsets) -> Judgement:
        history = self._applied.log.history()
        states = states_of(history, starts, self._pipeline, seen.table, pairs)
        judgement = Judgement()
        for key, pair in pairs.items():
            found = paired(pair, seen.until, states.get(key, []), self._target)
            match found.answer:
                case Answer.EQUAL:
                    judgement.equal.append(key)
                case Answer.LOOK_AGAIN:
                    judgement.unsettled.append(key)
                case Answer.DIFFERS:
                    difference = _difference(seen, key, pair, Kind.DIFFERENT)
                    judgement.differences.append(replace(difference, columns=found.columns))
        return judgement


def _difference(seen: Seen, key: bytes, pair: Pair[Any], kind: Kind) -> Difference:
    held: Held[Any] | None = pair.held
    body = held.body if held else None
    return Difference(
        table_name=seen.table.full_name,
        key=key,
        kind=kind,
        columns=differing(pair.source, body),
        source_version=seen.bound,
        target_version=held.version if held else None,
        source_digest=digest_of(pair.source),
        target_digest=digest_of(body),
        last_writer=held.position if held else None,
    )


def forgotten(read: Version, epochs: Iterable[Epoch]) -> str:
    """What became of a read of this version, if the source has forgotten it since; empty if it has not.

    A failover loses what lies behind the last version of the epoch before it. A bound is as good as all of
    its transaction, so one at that last version has lost nothing.
    """
    for epoch in epochs:
        if epoch.after and read.epoch < epoch.number and epoch.after[:2] < read[:2]:
            return (
                f"the source has forgotten what was read at {read.text}: it goes on behind {epoch.after.text}"
            )
    return ""


def note(findings: Findings, judgement: Judgement, table: str) -> None:
    """Write down what was found of the table's (`schema.name`) keys, and close what is equal now."""
    for difference in judgement.differences:
        findings.note(difference)
    findings.close_equal(table, judgement.equal, judgement.bare)
