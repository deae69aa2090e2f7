"""Repair of keys: a bounded read of the source, written through the log as any other change.

It never makes anything worse. The row's version is the bound of its read, so wherever a writer was faster the
target keeps the newer state, and the log brings it what comes after. The bound is above what the target
holds, or the write would be skipped as stale: a heartbeat moves it there, on a quiet source too.

Two kinds of state give way to no such write: what changeover did not write, and what is ahead of the source.
Those are replaced at the target itself, which is written down. A change that the target has skipped because
of them lies before the read that follows; so it needs no pause, and a repair that dies in between has mended
nothing: its findings stay open.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from changeover.change import Change, Op, Origin
from changeover.decide import Write
from changeover.envelope import decode_key, encode
from changeover.errors import NotApplied, RepairRefused, TargetUnusable
from changeover.log import Entry, Log
from changeover.mysql.phases import phase_now
from changeover.progress import Offsets, has_passed
from changeover.repair.forced import Forced, ForcedWrites, Outcome
from changeover.repair.plan import Step, step_for
from changeover.table import Table
from changeover.targets import Held, Target
from changeover.values import Row
from changeover.verify.findings import Findings
from changeover.verify.judge import Judge, Judgement, note
from changeover.verify.source import Seen, Source
from changeover.version import Version

log = structlog.get_logger("repair")

BEATER = "repair"
"""Whose heartbeats in the control schema are ours."""

KEYS_AT_ONCE = 100
"""Keys read, logged and judged at a time at most; fewer where rows are large."""

BOUNDS_MAX = 20
"""Bounds taken in search of one above all that is held. Each is moved by a heartbeat at least, so what is
still above then was not committed by this source a moment ago."""

BOUND_WAIT_S = 0.05

LEFT_ALONE = frozenset({Step.AHEAD, Step.NEW})

POLL_S = 0.05


@dataclass(slots=True)
class Repaired:
    """What became of the keys of a table."""

    written: int = 0
    deleted: int = 0
    replaced: int = 0
    """Of them, those that had to be replaced at the target first."""

    left: dict[bytes, tuple[Step, Held[Any]]] = field(default_factory=dict)
    """Left alone, with the reason and what the target holds of them."""

    refused: str = ""
    """Why the target does not go back, where it was ordered to and does not."""

    judgement: Judgement = field(default_factory=Judgement)
    """Of all others, once they were applied."""

    @property
    def is_mended(self) -> bool:
        """Whether every key was found equal in the end."""
        return not (self.left or self.judgement.differences or self.judgement.unsettled)


@dataclass(frozen=True, slots=True)
class Order:
    """A person's word that what is ahead of the source may be overwritten."""

    who: str
    reason: str = ""
    """Empty: nothing ahead of the source may be."""


class Repair:
    """Repairs keys of captured tables, as the source has them."""

    def __init__(  # noqa: PLR0913 - a composition root hands in what it works with
        self,
        source: Source,
        pipeline_log: Log,
        target: Target[Any],
        judge: Judge,
        *,
        pipeline: str,
        group: str,
        order: Order,
        adopts: bool = False,
        wait_s_max: float = 60,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._source = source
        self._log = pipeline_log
        self._target = target
        self._judge = judge
        self._findings = Findings(source.control)
        self._forced = ForcedWrites(source.control)
        self._pipeline = pipeline
        self._group = group
        self._order = order
        self._adopts = adopts
        self._wait_s_max = wait_s_max
        self._clock = clock
        self._sleep = sleep
        self._new_epoch: int | None = None
        """The epoch of what is written in NEW, as it was behind the last look at the target."""

    def repair(self, table: Table, keys: Sequence[bytes]) -> Iterator[Repaired]:
        """What became of these keys of a table of the source, some of them at a time.

        Raises `NotApplied` where the target does not get to what was logged; it will get there by itself, and
        the next verification closes the findings.
        """
        wanted = list(dict.fromkeys(keys))
        at_once = min(KEYS_AT_ONCE, self._source.rows_at_once(table))
        for start in range(0, len(wanted), at_once):
            yield self._repair(table, wanted[start : start + at_once])

    def _repair(self, table: Table, keys: Sequence[bytes]) -> Repaired:
        done = Repaired()
        seen, held = self._read_above(table, keys)
        if self._replace(seen, held, done):
            seen, held = self._read_above(table, keys)  # behind all that was skipped because of what is gone
        steps = {key: self._step(held[key], seen.bound) for key in keys}
        done.left = {key: (steps[key], one) for key, one in held.items() if one and steps[key] in LEFT_ALONE}
        logged = [key for key in keys if steps[key] is Step.LOG]
        self._write(seen, logged, done)
        done.judgement = self._judge.judge(table, logged)
        done.judgement.unsettled += [key for key in keys if steps[key] is Step.REPLACE]
        note(self._findings, done.judgement, table.full_name)
        return done

    def _read_above(
        self, table: Table, keys: Sequence[bytes]
    ) -> tuple[Seen, Mapping[bytes, Held[Any] | None]]:
        """The source's rows, read at a bound above what the target holds, or at the last that was tried."""
        to = self._source.mask(table).to
        for attempt in range(BOUNDS_MAX):
            if attempt:
                self._sleep(BOUND_WAIT_S)
            held = dict(zip(keys, self._target.read_many(to, keys), strict=True))
            # Behind the look at the target: nothing that was seen there is of a NEW that begins now.
            self._new_epoch = phase_now(self._source.control).epoch_in_use
            self._source.control.beat(BEATER)
            bound = self._source.bound()
            if all(self._step(one, bound) is not Step.AHEAD for one in held.values()):
                break
        return self._source.keys(table, keys), held

    def _step(self, held: Held[Any] | None, bound: Version) -> Step:
        return step_for(held, bound, adopts=self._adopts, new_epoch=self._new_epoch)

    def _replace(self, seen: Seen, held: Mapping[bytes, Held[Any] | None], done: Repaired) -> bool:
        """Replace at the target itself what no ordered write could; whether there was any."""
        for key, one in held.items():
            step = self._step(one, seen.bound)
            if one is None or not (step is Step.REPLACE or (step is Step.AHEAD and self._order.reason)):
                continue
            forced = Forced(
                table_name=seen.table.full_name,
                key=key,
                held=one.version,
                written=seen.bound,
                who=self._order.who,
                reason=self._order.reason or step.value,
            )
            number = self._forced.begin(forced)
            try:
                is_done = self._target.replace(
                    Write(seen.table, key, seen.bound, seen.rows.get(key)), one.version
                )
            except TargetUnusable as error:
                is_done = False
                done.refused = str(error)
            self._forced.end(number, Outcome.DONE if is_done else Outcome.NOT_DONE)
            done.replaced += is_done
            log.warning("state replaced", table=forced.table_name, held=one.version.text, is_done=is_done)
        return done.replaced > 0

    def _write(self, seen: Seen, keys: Sequence[bytes], done: Repaired) -> None:
        """Log what the source has of the keys, and wait until the target was given it."""
        if not keys:
            return
        origin = Origin(seen.at_ms)
        ends = self._log.append([entry_of(seen, key, origin, self._pipeline) for key in keys])
        done.written = sum(key in seen.rows for key in keys)
        done.deleted = len(keys) - done.written
        self._wait(ends)

    def _wait(self, ends: Offsets) -> None:
        deadline = self._clock() + self._wait_s_max
        while not has_passed(self._log.progress_of(self._group).committed, ends):
            if self._clock() > deadline:
                message = f"the group {self._group} has not applied it in {self._wait_s_max:g} s"
                raise NotApplied(f"the repair is in the log, and {message}")
            self._sleep(POLL_S)


def refuse_hidden_keys(source: Source, table: Table) -> None:
    """Return if a key of the target tells which row of the source it is, else raise `RepairRefused`."""
    if source.mask(table).hides_key:
        message = (
            f"masks hide the key of {table.full_name}, so no single row of it can be found in the source"
        )
        raise RepairRefused(message, hint="Import the table again.")


def entry_of(seen: Seen, key: bytes, origin: Origin, pipeline: str) -> Entry:
    """What goes into the log: the row as it was read, or a delete with the key's columns alone."""
    row: Row | None = seen.rows.get(key)
    if row is None:
        change = Change(seen.table, Op.DELETE, decode_key(seen.table, key), None, seen.bound, origin)
    else:
        change = Change(seen.table, Op.READ, None, row, seen.bound, origin)
    return Entry(seen.table, key, encode(change, pipeline))
