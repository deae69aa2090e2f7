"""Appending to Kafka: one capture at a time, all or nothing, whatever becomes of process and broker."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions

from changeover.demo.broker import PrivateKafka
from changeover.errors import Fenced, LogUnavailable, LogUnusable
from changeover.log import Log
from changeover.log.kafka import client, producing
from changeover.log.kafka.log import KafkaLog
from tests.contracts.log import PASSPORT, beat, checkpoint, entry, passed, sent, take
from tests.log.pipelines import Pipeline, until
from tests.support.tables import CITIZEN, named, widened
from tests.support.workers import spawned

EXIT_FENCED = 7


@pytest.fixture
def pipeline(kafka: PrivateKafka) -> Pipeline:
    return Pipeline(kafka)


@pytest.fixture
def log(pipeline: Pipeline) -> Iterator[KafkaLog]:
    with pipeline.open_log() as log:
        yield log


def before_commit(
    monkeypatch: pytest.MonkeyPatch, capture: producing.KafkaCaptureLog, act: Callable[[], object]
) -> None:
    """Have something happen when the capture's next transaction is complete and not yet committed."""
    commit = capture._appender.commit

    def act_and_commit() -> None:
        monkeypatch.setattr(capture._appender, "commit", commit)
        act()
        commit()

    monkeypatch.setattr(capture._appender, "commit", act_and_commit)


def produce_slowly(appender: producing.Appender) -> None:
    """Between two entries the producer has time to learn that it is fenced, and to die of it."""
    for number in range(2, 500):
        appender._produce_entry(entry(number, 11))
        time.sleep(0.02)


@contextmanager
def paused(kafka: PrivateKafka) -> Iterator[None]:
    kafka.pause()
    try:
        yield
    finally:
        kafka.resume()


def capture_until_fenced(open_log: Callable[[], Log]) -> None:
    """Append transaction after transaction, each of two entries."""
    capture = open_log().capture()
    try:
        for sequence in range(1, 100_000):
            entries = [entry(1, sequence), entry(1, sequence, PASSPORT)]
            capture.append(entries, checkpoint(sequence), beat(sequence))
    except Fenced:
        sys.exit(EXIT_FENCED)


def die_in_append(open_log: Callable[[], KafkaLog]) -> None:
    """Leave a transaction open with an entry in it, which the broker ends after two seconds."""
    client.TRANSACTION_TIMEOUT_MS = 2_000
    appender = open_log()._new_appender("writer.dying")
    appender.begin([entry(1, 11)])
    appender.flush()
    os._exit(0)


def die_in_definition(open_log: Callable[[], KafkaLog]) -> None:
    """Leave a transaction open in the control topic, as the definition of a new table is one."""
    client.TRANSACTION_TIMEOUT_MS = 2_000
    log = open_log()
    appender = log._new_appender("writer.dying")
    appender.begin()
    appender.produce(log._control.name, b"table:0", CITIZEN.definition)
    appender.flush()
    os._exit(0)


# -- fencing


def test_a_capture_is_fenced_in_the_middle_of_a_transaction_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, pipeline: Pipeline, log: KafkaLog
) -> None:
    older = log.capture()
    older.append([entry(1, 11)], checkpoint(11), beat(11))
    with pipeline.open_log() as other:
        before_commit(monkeypatch, older, other.capture)
        with pytest.raises(Fenced, match="a newer capture has taken over"):
            older.append([entry(2, 12)], checkpoint(12), beat(12))
        with pytest.raises(Fenced, match="a newer capture has taken over"):
            older.append([], checkpoint(13), None)
        assert other.checkpoint() == checkpoint(11)
    reader = log.reader("apply")
    records = take(reader, 1)
    assert sent(records) == [entry(1, 11)]
    reader.commit({record.partition: record.offset + 1 for record in records})
    assert passed(reader, 11)


def test_a_capture_that_was_halted_wakes_up_fenced(pipeline: Pipeline, log: KafkaLog) -> None:
    halted = spawned(capture_until_fenced, pipeline.open_log)
    assert halted.pid
    assert until(lambda: log.checkpoint() is not None)
    os.kill(halted.pid, signal.SIGSTOP)
    newer = log.capture()
    reached = newer.checkpoint
    assert reached
    newer.append([entry(2, 200_000)], checkpoint(200_000), None)
    os.kill(halted.pid, signal.SIGCONT)
    halted.join(60)
    assert halted.exitcode == EXIT_FENCED
    sequence = reached.version.sequence
    records = take(log.reader("apply"), 2 * sequence + 1)
    assert sorted(int(record.value) for record in records) == sorted(
        [*range(1, sequence + 1), *range(1, sequence + 1), 200_000]
    )
    assert log.checkpoint() == checkpoint(200_000)


def test_a_capture_that_is_fenced_between_two_records_says_so_and_not_that_kafka_is_silent(
    pipeline: Pipeline, log: KafkaLog
) -> None:
    older = log.capture()
    older._appender.begin([entry(1, 11)])
    with pipeline.open_log() as other:
        other.capture()
        with pytest.raises(Fenced):
            produce_slowly(older._appender)


def test_a_capture_that_is_fenced_waits_for_the_newer_ones_name(
    pipeline: Pipeline, log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producing, "NAME_WAIT_S_MAX", 60.0)  # the newer one may be slow here
    older = log.capture()
    older.append([entry(1, 11)], checkpoint(11), None)
    with pipeline.open_log() as other:
        appender = other._new_appender("capture")  # what fences; the name is left a moment later
        naming = Timer(0.7, producing.KafkaCaptureLog, (appender, other._control, pipeline.name))
        naming.start()
        with pytest.raises(Fenced, match="a newer capture has taken over"):
            older.append([entry(2, 12)], checkpoint(12), None)
        naming.join()


def test_a_transaction_that_was_open_for_too_long_is_begun_anew_and_nobody_is_said_to_have_taken_over(
    monkeypatch: pytest.MonkeyPatch, log: KafkaLog
) -> None:
    log.capture().append([], checkpoint(11), None)
    with monkeypatch.context() as hasty:
        hasty.setattr(client, "TRANSACTION_TIMEOUT_MS", 2_000)  # enough for what it does at its birth
        capture = log.capture()
    before_commit(monkeypatch, capture, lambda: time.sleep(3.5))
    with pytest.raises(LogUnavailable, match="open for too long"):
        capture.append([entry(1, 12)], checkpoint(12), None)
    assert log.capture().checkpoint == checkpoint(11)
    assert take(log.reader("apply"), 0) == []


def test_of_two_writers_of_one_name_the_later_fences_the_earlier(pipeline: Pipeline) -> None:
    with (
        KafkaLog(pipeline.cluster, pipeline.name, writer="chunks") as one,
        KafkaLog(pipeline.cluster, pipeline.name, writer="chunks") as two,
    ):
        one.append([entry(1)])
        two.append([entry(2)])
        with pytest.raises(Fenced):
            one.append([entry(3)])
        assert len(take(two.reader("apply"), 2)) == 2


def test_a_writer_whose_transaction_was_open_for_too_long_begins_anew_and_is_not_stopped(
    monkeypatch: pytest.MonkeyPatch, pipeline: Pipeline
) -> None:
    monkeypatch.setattr(client, "TRANSACTION_TIMEOUT_MS", 1_000)
    commit = producing.Appender.commit

    def late(appender: producing.Appender) -> None:
        time.sleep(2.5)
        commit(appender)

    with KafkaLog(pipeline.cluster, pipeline.name, writer="chunks") as log:
        with monkeypatch.context() as halted:
            halted.setattr(producing.Appender, "commit", late)
            with pytest.raises(LogUnavailable, match="open for too long"):
                log.append([entry(1)])
        log.append([entry(2)])
        assert sent(take(log.reader("apply"), 1)) == [entry(2)]


# -- unknown outcomes


@pytest.mark.parametrize("delay_ms", [None, 0, 3, 10])
def test_after_a_commit_of_unknown_outcome_the_producer_is_thrown_away_and_the_next_finds_all_or_nothing(
    monkeypatch: pytest.MonkeyPatch, kafka: PrivateKafka, log: KafkaLog, delay_ms: int | None
) -> None:
    capture = log.capture()
    capture.append([entry(1, 11)], checkpoint(11), None)
    monkeypatch.setattr(producing, "REQUEST_TIMEOUT_S", 1.5)
    pausing = Timer((delay_ms or 0) / 1000, kafka.pause)
    before_commit(monkeypatch, capture, kafka.pause if delay_ms is None else pausing.start)
    try:
        failures = [attempt(capture, sequence) for sequence in (12, 13, 14)]
    finally:
        pausing.cancel()
        if pausing.is_alive():
            pausing.join()  # it may be at it, and must not come behind us
        kafka.resume()
    monkeypatch.undo()
    resumed = log.capture().checkpoint
    assert resumed
    lost = [failure for failure in failures if failure]
    assert all("has failed before" in failure for failure in lost[1:])
    # Each that was acknowledged is there, and beside those at most the one whose outcome was not known.
    assert resumed.version.sequence - (14 - len(lost)) in ({0, 1} if lost else {0})
    values = [int(record.value) for record in take(log.reader("apply"), resumed.version.sequence - 10)]
    assert sorted(values) == list(range(11, resumed.version.sequence + 1))


def attempt(capture: producing.KafkaCaptureLog, sequence: int) -> str | None:
    """What an append says, None if it succeeds."""
    try:
        capture.append([entry(2, sequence)], checkpoint(sequence), None)
    except LogUnavailable as error:
        return str(error)
    return None


def test_an_append_to_a_silent_broker_ends_within_its_bound(
    monkeypatch: pytest.MonkeyPatch, kafka: PrivateKafka, log: KafkaLog
) -> None:
    log.append([entry(1)])
    begun = time.monotonic()
    # Not for the next producer too, which waits until the broker has ended the transaction of this one.
    with monkeypatch.context() as impatient:
        impatient.setattr(producing, "REQUEST_TIMEOUT_S", 1.0)
        with paused(kafka), pytest.raises(LogUnavailable, match="did not take all records within 1 s"):
            log.append([entry(2, sequence) for sequence in range(1_000)])
    assert time.monotonic() - begun < 20  # and not the 30 s of each request
    log.append([entry(3)])
    assert {record.key for record in take(log.reader("apply"), 2)} == {entry(1).key, entry(3).key}


# -- who dies in the middle of a transaction


def test_a_writer_that_died_in_the_middle_of_a_transaction_holds_readers_up_for_its_time_out_only(
    pipeline: Pipeline, log: KafkaLog
) -> None:
    dying = spawned(die_in_append, pipeline.open_log)
    dying.join(60)
    log.append([entry(2)])
    assert sent(take(log.reader("apply"), 1)) == [entry(2)]


def test_a_transaction_that_another_left_open_in_the_control_topic_hides_no_checkpoint_from_the_next_capture(
    pipeline: Pipeline, log: KafkaLog
) -> None:
    capture = log.capture()
    dying = spawned(die_in_definition, pipeline.open_log)
    dying.join(60)
    capture.append([entry(1, 11)], checkpoint(11), None)
    with pipeline.open_log() as other:
        assert other.capture().checkpoint == checkpoint(11)


def test_a_definition_is_found_though_capture_has_a_transaction_open(
    monkeypatch: pytest.MonkeyPatch, pipeline: Pipeline, log: KafkaLog
) -> None:
    capture, reader = log.capture(), log.reader("apply")
    with pipeline.open_log() as other:
        # Committed while capture's record stands open before it in the control topic.
        before_commit(monkeypatch, capture, lambda: other.append([entry(2, 11, widened(CITIZEN))]))
        capture.append([], checkpoint(11), None)
    assert [record.table for record in take(reader, 1)] == [widened(CITIZEN)]


# -- topics


def test_what_belongs_to_no_topic_of_the_log_is_refused_by_name(log: KafkaLog) -> None:
    with pytest.raises(LogUnusable, match=r"no topic p\w+\.records\.stray\. Make it: changeover topics"):
        log.append([entry(1), entry(1, 0, named("stray"))])
    assert take(log.reader("apply"), 0) == []


def test_partitions_that_were_added_stop_the_capture_that_meets_them(
    kafka: PrivateKafka, pipeline: Pipeline, log: KafkaLog
) -> None:
    capture = log.capture()
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.create_partitions([NewPartitions(pipeline.topic(CITIZEN), 20)])[pipeline.topic(CITIZEN)].result(60)
    # The broker hears of it a moment later than the controller.
    topic = pipeline.topic(CITIZEN)
    assert until(lambda: len(admin.list_topics(timeout=60).topics[topic].partitions) == 20)
    with pytest.raises(LogUnusable, match="has got more partitions than the 2 it had"):
        capture.append([entry(number, 11) for number in range(50)], checkpoint(11), None)
    with pytest.raises(LogUnusable, match=r"has 20 partitions, not 2 as at the start"):
        pipeline.open_log()
