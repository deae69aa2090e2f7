"""Kafka that is restarted, killed and halted while the log is written and read."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Self

import pytest

from changeover.demo.broker import PrivateKafka
from changeover.errors import LogUnavailable
from changeover.log import Checkpoint, Record
from changeover.log.kafka import client, producing
from changeover.log.kafka.log import KafkaLog
from tests.contracts.log import PASSPORT, TABLES, beat, behind, checkpoint, entry, passed, take
from tests.log.pipelines import WAIT_S_MAX, Pipeline, until
from tests.support.tables import widened

KEYS = 7

RESUMED_S_MAX = 45.0
"""Less than the time-out of a transaction, which that test makes a minute."""


@pytest.fixture(scope="module")
def broker() -> Iterator[PrivateKafka]:
    """One of its own: others must not suffer from what is done to it."""
    with PrivateKafka() as kafka:
        yield kafka


@pytest.fixture
def pipeline(broker: PrivateKafka) -> Pipeline:
    return Pipeline(broker)


class Load:
    """A capture and a consumer in threads, each opening the log anew whenever it was unavailable."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.reached = 0
        self.through = 0
        self.applied: set[tuple[str, int]] = set()
        self.errors: list[BaseException] = []
        self.reopened: Counter[str] = Counter()
        self._pipeline = pipeline
        self._stop = threading.Event()
        self._is_done = threading.Event()
        works = (self._capture, self._apply)
        self._threads = [threading.Thread(target=self._again, args=(work,)) for work in works]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._threads[0].join(60)
        until(lambda: self.through == self.reached or bool(self.errors), 2 * WAIT_S_MAX)
        self._is_done.set()
        self._threads[1].join(60)
        assert self.errors == []
        assert self.through == self.reached

    def moves_on(self) -> bool:
        """Whether twenty more transactions are captured within the time."""
        before = self.reached
        return until(lambda: self.reached > before + 20 or bool(self.errors))

    def _again(self, work: Callable[[KafkaLog], None]) -> None:
        try:
            while not self._try(work):
                self.reopened[work.__name__] += 1
        except BaseException as error:  # noqa: BLE001 - shown by the test
            self.errors.append(error)

    def _try(self, work: Callable[[KafkaLog], None]) -> bool:
        try:
            with self._pipeline.open_log() as log:
                work(log)
        except LogUnavailable:
            return False
        return True

    def _capture(self, log: KafkaLog) -> None:
        capture = log.capture()
        found = capture.checkpoint or Checkpoint(checkpoint(0).version, "")
        assert found.version.sequence in {self.reached, self.reached + 1}  # one may not have been answered
        for sequence in range(found.version.sequence + 1, 1_000_000):
            entries = [entry(sequence % KEYS, sequence), entry(sequence % KEYS, sequence, PASSPORT)]
            capture.append(entries, checkpoint(sequence), beat(sequence))
            self.reached = sequence
            if self._stop.is_set():
                return

    def _apply(self, log: KafkaLog) -> None:
        reader = log.reader("apply")
        while not self._is_done.is_set():
            records = reader.poll(100)
            self.applied |= {(record.table.full_name, int(record.value)) for record in records}
            through = reader.commit(behind(records), records=len(records))
            if through:
                owed = {
                    (table.full_name, n) for table in TABLES for n in range(1, through.version.sequence + 1)
                }
                assert owed <= self.applied
                self.through = through.version.sequence


def all_of(log: KafkaLog, reached: int) -> list[Record]:
    """Every record, once the first `reached` transactions are there and nothing more comes.

    What a killed producer has left open may hide those behind it until its transaction times out.
    """
    reader, records, quiet = log.reader("all"), list[Record](), 0
    owed = {(table.full_name, number) for table in TABLES for number in range(1, reached + 1)}
    deadline_s = time.monotonic() + 2 * WAIT_S_MAX
    while (owed or quiet < 20) and time.monotonic() < deadline_s:
        more = reader.poll(1_000)
        records += more
        owed -= {(record.table.full_name, int(record.value)) for record in more}
        quiet = 0 if more else quiet + 1
    return records


def check_whole(pipeline: Pipeline, reached: int) -> None:
    """Nothing lost, no part of a commit without the other, first occurrences in order for each key."""
    with pipeline.open_log() as log:
        records = all_of(log, reached)
        found = log.checkpoint()
    assert found
    assert found.version.sequence == reached
    counts = {
        table: Counter(int(record.value) for record in records if record.table == table) for table in TABLES
    }
    assert counts[TABLES[0]] == counts[TABLES[1]]
    assert set(counts[TABLES[0]]) == set(range(1, reached + 1))
    for table in TABLES:
        for number in range(KEYS):
            key = entry(number).key
            values = [int(r.value) for r in records if r.table == table and r.key == key]
            assert list(dict.fromkeys(values)) == sorted(set(values))


def test_what_is_written_and_read_survives_restarts_and_kills_of_the_broker(
    broker: PrivateKafka, pipeline: Pipeline
) -> None:
    with Load(pipeline) as load:
        for fault in (broker.restart, broker.kill, broker.kill):
            assert load.moves_on()
            fault()
            broker.start()
    check_whole(pipeline, load.reached)


def test_a_broker_that_is_halted_for_longer_than_the_time_out_costs_time_only(
    broker: PrivateKafka, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producing, "REQUEST_TIMEOUT_S", 2.0)
    monkeypatch.setattr(client, "TRANSACTION_TIMEOUT_MS", 60_000)
    with Load(pipeline) as load:
        assert load.moves_on()
        broker.pause()
        time.sleep(4)
        broker.resume()
        resumed = time.monotonic()
        assert load.moves_on()
        # The new capture ends at once what the old one has left open.
        assert time.monotonic() - resumed < RESUMED_S_MAX
        assert load.reopened["_capture"] > 0
    check_whole(pipeline, load.reached)


@pytest.mark.parametrize("delay_ms", [0, 4])
def test_a_broker_that_is_killed_in_the_middle_of_a_commit_has_all_of_it_or_nothing(
    broker: PrivateKafka, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, delay_ms: int
) -> None:
    with pipeline.open_log() as log:
        capture, reached, outcomes = log.capture(), 0, list[bool]()
        monkeypatch.setattr(producing, "REQUEST_TIMEOUT_S", 3.0)
        timer = threading.Timer(0.05 + delay_ms / 1000, broker.kill)
        timer.start()
        while not outcomes:
            try:
                both = [entry(reached % KEYS, reached + 1, table) for table in TABLES]
                capture.append(both, checkpoint(reached + 1), None)
                reached += 1
            except LogUnavailable:
                outcomes.append(False)
        timer.join()
        with pytest.raises(LogUnavailable):
            capture.append([], checkpoint(99), None)
    monkeypatch.undo()
    broker.start()
    with pipeline.open_log() as log:
        found = log.capture().checkpoint
    now = found.version.sequence if found else 0
    assert now - reached in {0, 1}
    if now:
        check_whole(pipeline, now)


def test_logs_that_stay_open_go_on_after_the_broker_was_restarted_or_killed(
    broker: PrivateKafka, pipeline: Pipeline
) -> None:
    with pipeline.open_log() as log, pipeline.open_log() as other:
        capture, reader = log.capture(), log.reader("apply")
        for sequence, (fault, table) in enumerate(zip((broker.restart, broker.kill), TABLES, strict=True), 1):
            fault()
            broker.start()
            capture.append([entry(1, sequence)], checkpoint(sequence), beat(sequence))
            other.append([entry(2, sequence, widened(table))])  # a definition that nobody has seen yet
            records = take(reader, 2)
            reader.commit(behind(records), records=2)
            assert passed(reader, sequence)
            assert other.checkpoint() == checkpoint(sequence)
            assert other.progress_of("apply") == replace(log.progress_of("apply"), records=2 * sequence)
