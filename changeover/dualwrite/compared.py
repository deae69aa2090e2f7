"""Compared reads: a sample of what the application reads is read from both databases, and judged.

By verification's own rule (`changeover.verify.comparing`): the old database is read with a bound, the new one
once it has applied through all that this read can have seen. So lag is never a fault, and what is not settled
in a few rounds is counted as dropped, never as equal.
"""

import queue
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import structlog

from changeover.dualwrite.canonical import canonical_key
from changeover.dualwrite.counts import Counts
from changeover.dualwrite.tables import Known
from changeover.dualwrite.workers import Workers
from changeover.envelope import encode_key
from changeover.errors import ChangeoverError, TargetUnavailable
from changeover.masks import Masks
from changeover.mysql.connection import Connection
from changeover.settings import ApplicationSettings
from changeover.table import Table
from changeover.targets import Target
from changeover.targets.applied import applied_through
from changeover.verify.comparing import Answer, Pair, answer_of
from changeover.verify.source import Source
from changeover.version import Version

log = structlog.get_logger("dualwrite")

SAMPLES_WAITING_MAX = 200
"""Keys that wait to be judged: they are judged together, in one read of each side."""

ROUNDS_MAX = 4
"""A key that rests for one round is settled in it; one that never rests is verification's affair."""

APPLIED_S_MAX = 10.0
"""How long a round waits until the new database has applied through its read."""

POLL_S = 0.1
READ_S_MAX = 5.0

Sample = tuple[Known, bytes]
Keys = dict[str, tuple[Known, list[bytes]]]
"""Of each table, by its name."""


class Compared:
    """Judges samples in a thread of its own, over a connection of its own."""

    def __init__(  # noqa: PLR0913 - a composition root hands in what it works with
        self,
        connect: Callable[[], Connection],
        workers: Workers,
        pipeline: str,
        *,
        masks: Masks,
        settings: ApplicationSettings,
        counts: Counts,
        adopts: bool = False,
        chance: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect = connect
        self._workers = workers
        self._pipeline = pipeline
        self._masks = masks
        self._share = settings.compared_share
        self._counts = counts
        self._adopts = adopts
        self._chance = chance
        self._budget = Budget(settings.compared_per_s_max, clock)
        self._waiting: queue.Queue[Sample] = queue.Queue(SAMPLES_WAITING_MAX)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="changeover-compared", daemon=True)
        self._thread.start()

    def offer(self, known: Known, key: Mapping[str, object]) -> None:
        """A read has just been made; it may become a sample. It takes no time."""
        if self._chance() >= self._share or not self._budget.spend():
            return
        if known.hides_key:  # the two sides have no key in common
            return
        try:
            self._waiting.put_nowait((known, encode_key(known.table, canonical_key(known.table, key))))
        except queue.Full:
            self._counts.add("compared_dropped")

    def close(self) -> None:
        """Stop; what waits is not judged."""
        self._stop.set()
        self._thread.join(timeout=2)

    def _run(self) -> None:
        while not self._stop.is_set():
            samples = self._taken()
            if not samples:
                continue
            try:
                with self._connect() as connection:
                    self._judge(Source(connection, self._pipeline, self._masks), _by_table(samples))
            except ChangeoverError as error:
                self._counts.add("compared_dropped", len(samples))
                log.info("compared reads are dropped", why=str(error))

    def _taken(self) -> list[Sample]:
        samples: list[Sample] = []
        with suppress(queue.Empty):
            samples.append(self._waiting.get(timeout=POLL_S))
            while len(samples) < SAMPLES_WAITING_MAX:
                samples.append(self._waiting.get_nowait())
        return samples

    def _judge(self, source: Source, keys: Keys) -> None:
        for known, wanted in keys.values():
            unsettled = list(dict.fromkeys(wanted))
            for _ in range(ROUNDS_MAX):
                if not unsettled or self._stop.is_set():
                    break
                unsettled = self._look(source, known, unsettled)
            self._counts.add("compared_dropped", len(unsettled))

    def _look(self, source: Source, known: Known, keys: Sequence[bytes]) -> list[bytes]:
        """Judge the keys; those that are to be looked at again."""
        seen = source.keys(known.table, keys)
        self._wait_for(seen.until)

        def read(target: Target[Any]) -> list[tuple[bytes, Answer]]:
            held = target.read_many(known.to, keys)
            rows = [seen.rows.get(key) for key in keys]
            bodies = [None if row is None else target.body_of(known.to, row) for row in rows]
            pairs = [
                Pair(source=body, bound=seen.bound, held=one) for body, one in zip(bodies, held, strict=True)
            ]
            return [
                (key, answer_of(pair, adopts=self._adopts)) for key, pair in zip(keys, pairs, strict=True)
            ]

        return list(self._counted(known.table, self._workers.do(read, READ_S_MAX)))

    def _counted(self, table: Table, answers: Iterable[tuple[bytes, Answer]]) -> Iterable[bytes]:
        for key, answer in answers:
            match answer:
                case Answer.EQUAL:
                    self._counts.add("compared")
                case Answer.DIFFERS:
                    self._counts.add("compared")
                    self._counts.add("compared_mismatch")
                    log.warning("the databases differ", table=table.full_name, key=key.decode())
                case Answer.LOOK_AGAIN:
                    yield key

    def _wait_for(self, version: Version) -> None:
        deadline = time.monotonic() + APPLIED_S_MAX
        while (through := self._workers.do(applied_through, READ_S_MAX)) is None or through < version:
            if time.monotonic() >= deadline or self._stop.wait(POLL_S):
                message = f"the new database has not applied through a read within {APPLIED_S_MAX:g} s"
                raise TargetUnavailable(message)


class Budget:
    """So many a second at most, of which a second's worth can be saved up."""

    def __init__(self, per_s: float, clock: Callable[[], float]) -> None:
        self._per_s = per_s
        self._clock = clock
        self._lock = threading.Lock()
        self._left = max(1.0, per_s)
        self._as_of = clock()

    def spend(self) -> bool:
        """Whether there is one left, which is spent then."""
        with self._lock:
            now = self._clock()
            self._left = min(max(1.0, self._per_s), self._left + (now - self._as_of) * self._per_s)
            self._as_of = now
            if self._left < 1:
                return False
            self._left -= 1
            return True


def _by_table(samples: Iterable[Sample]) -> Keys:
    keys: Keys = {}
    for known, key in samples:
        keys.setdefault(known.table.full_name, (known, []))[1].append(key)
    return keys
