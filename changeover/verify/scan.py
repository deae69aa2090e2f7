"""A scan of one table: every row of the source against the target, then every key of the target.

While the target catches up with one chunk, the next ones are read: a scan is as fast as its reads are, and
not as the way of a change to the target. Nothing counts as compared before all of it is judged, so a scan
that was stopped goes on behind the last place where that was so.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from changeover.errors import NotApplied
from changeover.masks import Mask
from changeover.table import Table
from changeover.targets import UNVERSIONED, Found, Target
from changeover.verify.applied import Applied
from changeover.verify.comparing import canonical
from changeover.verify.findings import FINDINGS_OPEN_MAX, Difference, Findings, Kind
from changeover.verify.hidden import HiddenKeys
from changeover.verify.judge import Judge, Judgement, forgotten, note
from changeover.verify.keys import is_key
from changeover.verify.pace import Pace
from changeover.verify.scans import ScanBooks, ScanState, Stage
from changeover.verify.source import Seen, Source, rows_of_size
from changeover.verify.verdicts import Outcome, Verdicts

CHUNKS_AHEAD_MAX = 8
BYTES_AHEAD_MAX = 32_000_000
"""What is read of the source and waits for the target: a second or two of reading."""

SAVE_S = 5.0
"""How often keys that were not settled at once are, and the place is written down."""

AGAIN_MAX = 5_000
"""Keys that wait to be looked at again: some 500 kB."""

NAMED_MAX = 5
"""Keys that could not be judged and are named in the verdict."""


class Chunk(NamedTuple):
    """A part of the source that was read, and how to read it again."""

    seen: Seen
    above: bytes | None
    up_to: bytes | None
    size: int


@dataclass(slots=True)
class Again:
    """Keys of some chunk that are to be looked at again, and how they are read."""

    keys: list[bytes]
    read: Callable[[list[bytes]], Seen]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a scan works with; `tell` is told of each step."""

    source: Source
    target: Target[Any]
    judge: Judge
    applied: Applied
    findings: Findings
    verdicts: Verdicts
    books: ScanBooks
    pace: Pace
    chunk_rows: int
    should_stop: Callable[[], bool] = lambda: False
    tell: Callable[[ScanState], None] = lambda _: None
    clock: Callable[[], float] = field(default=time.monotonic)


class Scan:
    """The scan of one table, begun or gone on with."""

    def __init__(self, table: Table, parts: Parts) -> None:
        self._table = table
        self._parts = parts
        self._mask: Mask = parts.source.mask(table)
        self.state = parts.books.open(table)
        self._chunk_rows = min(parts.chunk_rows, parts.source.rows_at_once(table))
        self._again: list[Again] = []
        self._open = parts.findings.open_counts().get(table.full_name, 0)
        self._saved_s = parts.clock()

    def run(self) -> bool:
        """Scan to the end, or until told to stop; whether it came to an end. The verdict is written down."""
        try:
            if self._is_full():
                self._look_at_findings(before_ms=None)  # they may be mended by now
            for stage in (self._compare_source, self._walk_target):
                if not self._parts.should_stop() and not self._is_full():
                    stage()
            if not self._parts.should_stop() and not self._is_full():
                # What was found before and not now may be on neither side any more.
                self._look_at_findings(before_ms=self.state.lowest_ms)
        except NotApplied as error:
            self._write(Outcome.GAP, str(error))
            return False
        return self._conclude()

    # -- the source's rows ---------------------------------------------------------------------------------

    def _compare_source(self) -> None:
        if self.state.stage is not Stage.SOURCE:
            return
        parts, ahead = self._parts, deque[Chunk]()
        place, is_read = self.state.place, False
        while not parts.should_stop() and not self._is_full():
            if ahead and (parts.applied.has(ahead[0].seen.until) or is_read or not _has_room(ahead)):
                self._take(ahead.popleft())
            elif not is_read:
                chunk = self._read(place)
                ahead.append(chunk)
                place, is_read = chunk.up_to, chunk.up_to is None
            else:
                self._settle()
                self._save(replace(self.state, stage=Stage.TARGET, place=None))
                return

    def _read(self, above: bytes | None) -> Chunk:
        parts = self._parts
        began_s = parts.clock()
        up_to = parts.source.chunk_end(self._table, above, self._chunk_rows)
        seen = parts.source.chunk(self._table, above, up_to)
        size = sum(len(canonical(row)) for row in seen.rows.values())
        if seen.rows:
            self._chunk_rows = min(parts.chunk_rows, rows_of_size(size // len(seen.rows)))
        parts.pace.rest(len(seen.rows), parts.clock() - began_s)
        return Chunk(seen, above, up_to, size)

    def _take(self, chunk: Chunk) -> None:
        """Judge the chunk, once the target has what it saw."""
        seen, state = chunk.seen, self.state
        found = self._parts.judge.look(seen, seen.rows)
        if found.unsettled:
            self._again.append(Again(found.unsettled, self._reading(chunk)))
        self._note(found)
        is_lower = state.lowest is None or seen.bound < state.lowest
        self.state = replace(
            state,
            lowest=seen.bound if is_lower else state.lowest,
            lowest_ms=seen.at_ms if is_lower else state.lowest_ms,
            rows_compared=state.rows_compared + len(seen.rows),
            bytes_compared=state.bytes_compared + chunk.size,
        )
        self._parts.tell(self.state)
        if self._is_due():
            self._settle()
            self._save(replace(self.state, place=chunk.up_to))

    def _reading(self, chunk: Chunk) -> Callable[[list[bytes]], Seen]:
        """How keys of the chunk are read again: by themselves, or where masks hide them with all of it."""
        source, table = self._parts.source, self._table
        if self._mask.hides_key:
            return lambda _: source.chunk(table, chunk.above, chunk.up_to)
        return lambda keys: source.keys(table, keys)

    # -- the target's keys ---------------------------------------------------------------------------------

    def _walk_target(self) -> None:
        """Look at every key of the target whose row the source may lack; a masked key tells no row."""
        parts = self._parts
        if self._mask.hides_key:
            self._take_hidden()
        for page in parts.target.walk(self._mask.to, self.state.place):
            if parts.should_stop() or self._is_full():
                return
            began_s = parts.clock()
            self._look_at(page.found)
            self.state = replace(self.state, keys_walked=self.state.keys_walked + len(page.found))
            parts.pace.rest(len(page.found), parts.clock() - began_s)
            parts.tell(self.state)
            if page.place is not None and self._is_due():
                self._settle()
                self._save(replace(self.state, place=page.place))
        self._settle()

    def _look_at(self, found: Sequence[Found]) -> None:
        odd = [self._odd(one) for one in found if one.key is None or one.siblings > 1]
        self._note(Judgement(differences=odd))
        if self._mask.hides_key:
            return
        keys = [one.key for one in found if one.key is not None and one.is_row]
        there = self._parts.source.are_there(self._table, keys) if keys else frozenset()
        self._parts.applied.refresh()  # after the walk: what it met by right is not behind this
        through = self._parts.applied.through
        self._look_again(
            one.key
            for one in found
            if one.key is not None
            and ((one.is_row and one.key not in there) or (through and one.version > through.version))
        )

    def _take_hidden(self) -> None:
        parts = self._parts
        hidden = HiddenKeys(parts.source, parts.target, parts.applied, self.state.rows_compared)
        self._add(hidden.extras(self._table, parts.should_stop))

    def _odd(self, found: Found) -> Difference:
        """Something in the table's place that no row of it could have become, or that is several values."""
        kind = Kind.EXTRA if found.key is None else Kind.DIFFERENT
        if found.version == UNVERSIONED:
            kind = Kind.NO_PROVENANCE
        return Difference(
            table_name=self._table.full_name,
            key=found.name.encode() if found.key is None else found.key,
            kind=kind,
            columns=("siblings",) if found.siblings > 1 else (),
            source_version=self.state.lowest or UNVERSIONED,
            target_version=None if found.version == UNVERSIONED else found.version,
            source_digest=None,
            target_digest=None,
            last_writer=found.position,
        )

    def _look_again(self, keys: Iterable[bytes]) -> None:
        again = list(keys)
        if again:
            self._again.append(Again(again, lambda some: self._parts.source.keys(self._table, some)))

    # -- the end -------------------------------------------------------------------------------------------

    def _look_at_findings(self, before_ms: int | None) -> None:
        """Judge once more what is open and was last found before that time; None: all of it.

        What cannot be judged by its key is closed where a whole scan has not met it.
        """
        for finding in self._parts.findings.open(self._table.full_name):
            if before_ms is not None and finding.last_seen_ms >= before_ms:
                continue
            if is_key(self._table, finding.key) and not self._mask.hides_key:
                self._look_again([finding.key])
            elif before_ms is not None:
                self._parts.findings.close(finding.number, "not found any more")
        self._settle()

    def _conclude(self) -> bool:
        """Write the verdict of a scan that came to its end; whether it did."""
        state = self.state
        if self._is_full():
            why = f"more than {FINDINGS_OPEN_MAX:,} findings are open: mend them first"
            self._write(Outcome.NOT_FINISHED, why)
            return False
        if self._parts.should_stop():
            return False
        lost = state.lowest and forgotten(state.lowest, self._parts.source.control.epochs())
        if lost:
            self._end(Outcome.GAP, lost)
        elif state.unsettled:
            why = f"{state.unsettled:,} keys could not be judged: {state.unsettled_why}"
            self._end(Outcome.NOT_FINISHED, why)
        else:
            self._end(Outcome.COMPLETE, "")
        return True

    def _end(self, outcome: Outcome, why: str) -> None:
        self._write(outcome, why)
        self._parts.books.save(replace(self.state, stage=Stage.DONE, place=None))

    def _write(self, outcome: Outcome, why: str) -> None:
        """Write the verdict; a scan that did not end goes on from its last place."""
        state = self.state
        self._parts.verdicts.write(
            state.table_name,
            outcome,
            why,
            as_of=state.lowest,
            as_of_ms=state.lowest_ms,
            rows=state.rows_compared,
            bytes_compared=state.bytes_compared,
        )

    # -- keys that were not settled at once ----------------------------------------------------------------

    def _settle(self) -> None:
        """Judge all that is to be looked at again, to the end."""
        again, self._again = self._again, []
        for some in again if self._mask.hides_key else _joined(again):
            self._add(self._parts.judge.settle(some.keys, some.read, self._chunk_rows))

    def _add(self, found: Judgement) -> None:
        """Note what was found, and what could not be judged."""
        self._note(found)
        state = self.state
        names = [key.decode(errors="backslashreplace") for key in found.unsettled[:NAMED_MAX]]
        why = ", ".join(filter(None, [state.unsettled_why, *names]))
        self.state = replace(
            state,
            unsettled=state.unsettled + len(found.unsettled),
            unsettled_why=state.unsettled_why if state.unsettled >= NAMED_MAX else why,
        )

    def _note(self, judgement: Judgement) -> None:
        note(self._parts.findings, judgement, self._table.full_name)
        self._open += len(judgement.differences)

    def _is_due(self) -> bool:
        waiting = sum(len(again.keys) for again in self._again)
        return waiting > AGAIN_MAX or self._parts.clock() - self._saved_s > SAVE_S

    def _save(self, state: ScanState) -> None:
        self.state = state
        self._parts.books.save(state)
        self._saved_s = self._parts.clock()

    def _is_full(self) -> bool:
        if self._open > FINDINGS_OPEN_MAX:  # counted anew: what was found twice has one finding
            self._open = self._parts.findings.open_counts().get(self._table.full_name, 0)
        return self._open > FINDINGS_OPEN_MAX


def _joined(again: Sequence[Again]) -> list[Again]:
    """All keys as one, where each can be read by itself."""
    return [Again([key for some in again for key in some.keys], again[0].read)] if again else []


def _has_room(ahead: deque[Chunk]) -> bool:
    return len(ahead) < CHUNKS_AHEAD_MAX and sum(chunk.size for chunk in ahead) < BYTES_AHEAD_MAX
