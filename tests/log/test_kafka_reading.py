"""Reading from Kafka: split records, members that come and go, retention, and what a group claims."""

import random
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions

from changeover.demo.broker import PrivateKafka
from changeover.errors import ChangeUnreadable, LogTrimmed, LogUnavailable, LogUnusable
from changeover.log import Entry, Record
from changeover.log.kafka import client, control, reading, watermarks
from changeover.log.kafka.log import KafkaLog, make_log
from changeover.log.kafka.parts import HEADER_PART, Part, split
from changeover.log.kafka.reading import KafkaReader
from changeover.log.kafka.topics import Wanted
from changeover.log.kafka.wire import HEADER_TABLE
from changeover.progress import Offsets, Partition, has_passed
from tests.contracts.log import PASSPORT, TABLES, beat, behind, checkpoint, claims, entry, passed, sent, take
from tests.log.pipelines import WAIT_S_MAX, WANTED, Pipeline, until
from tests.support.tables import CITIZEN, named

Place = tuple[Partition, int]

LARGE = 5_000
"""Bytes of a value that is split, where a record may have 1,000."""


@pytest.fixture
def pipeline(kafka: PrivateKafka) -> Pipeline:
    return Pipeline(kafka)


@pytest.fixture
def log(pipeline: Pipeline) -> Iterator[KafkaLog]:
    with pipeline.open_log() as log:
        yield log


@pytest.fixture
def one_partition(kafka: PrivateKafka) -> Pipeline:
    return Pipeline(kafka, [CITIZEN], wanted=wanted(1))


def wanted(partitions: int) -> Wanted:
    return replace(WANTED, partitions=partitions)


def large(number: int, sequence: int) -> Entry:
    return entry(number)._replace(value=bytes([sequence % 256]) * LARGE)


def trim(kafka: PrivateKafka, topic: str, number: int, offset: int = -1) -> None:
    """Drop what lies before the offset, as retention does; all that is there by default."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    place = TopicPartition(topic, number, offset)
    admin.delete_records([place])[place].result(60)


def polled(reader: KafkaReader) -> list[Record]:
    """What comes until nothing has come for a while."""
    records: list[Record] = []
    quiet = 0
    while quiet < 20:
        more = reader.poll(100)
        records += more
        quiet = 0 if more else quiet + 1
    return records


# -- split records


def test_a_record_larger_than_the_broker_takes_comes_back_as_it_was(pipeline: Pipeline) -> None:
    with pipeline.open_log() as log:
        value = random.Random(1).randbytes(3_000_000)
        log.append([entry(1)._replace(value=value), entry(1, 12)])
        records = take(log.reader("apply"), 2)
    assert [record.value for record in records] == [value, b"12"]


def test_topics_take_records_of_our_size_whatever_the_brokers_default() -> None:
    with PrivateKafka(options={"message.max.bytes": "20000"}) as small:
        pipeline = Pipeline(small)
        with pipeline.open_log() as log:
            value = random.Random(1).randbytes(2_000_000)
            log.append([entry(1)._replace(value=value), *(entry(1, number) for number in range(100))])
            assert take(log.reader("apply"), 101)[0].value == value


def test_parts_of_several_producers_lie_between_each_other_and_are_joined(one_partition: Pipeline) -> None:
    whole = [random.Random(number).randbytes(LARGE) for number in range(3)]
    with one_partition.open_log() as log:
        log.append([entry(0, 1)])  # so that the table's definition is there
        appenders = [log._new_appender(f"writer.{number}") for number in range(3)]
        for appender in appenders:
            appender.begin()
        for number, parts in enumerate(zip(*(split(value, 1_000) for value in whole), strict=True)):
            for place, (appender, part) in enumerate(zip(appenders, parts, strict=True)):
                headers = [
                    (HEADER_TABLE, CITIZEN.fingerprint.encode()),
                    (HEADER_PART, Part(f"r{place}", number, 5).header),
                ]
                appender.produce(one_partition.topic(CITIZEN), entry(place).key, part, headers)
                appender.flush()
        for appender in appenders:
            appender.commit()
        records = take(log.reader("apply"), 4)
    assert [record.value for record in records] == [b"1", *whole]


def test_a_reader_that_restarts_between_the_parts_neither_cuts_nor_skips(one_partition: Pipeline) -> None:
    with KafkaLog(one_partition.cluster, one_partition.name, record_bytes_max=1_000) as log:
        for sequence in range(6):
            log.append([large(1, sequence), entry(2, sequence)])
    applied: list[Record] = []
    chance = random.Random(3)
    for _ in range(12):
        with one_partition.open_log() as log:
            reader = log.reader("apply")
            assigned(reader)
            # Some of what is polled is applied, and in the middle of the next record the reader is gone.
            records = [record for _ in range(2) for record in reader.poll(chance.randrange(1, 7))]
            done = records[: chance.randrange(3)]
            applied += done
            reader.commit(behind(done))
    expected = [value for number in range(6) for value in (large(1, number).value, str(number).encode())]
    with one_partition.open_log() as log:
        reader = log.reader("apply")

        def has_all() -> bool:
            applied.extend(reader.poll(100))
            return expected[-1] in {record.value for record in applied}

        assert until(has_all)
    assert list(dict.fromkeys(record.value for record in applied)) == expected


def test_while_parts_are_waited_for_nothing_is_committed_behind_the_first(one_partition: Pipeline) -> None:
    with KafkaLog(one_partition.cluster, one_partition.name, record_bytes_max=1_000) as log:
        log.append([large(1, 7), entry(2, 8)])
    with one_partition.open_log() as log:
        reader = log.reader("apply")
        assigned(reader)
        assert until(
            lambda: (
                not reader.poll(1) and reader._ours[Partition(one_partition.topic(CITIZEN), 0)].polled == 3
            )
        )
        reader.commit({})
        assert log.progress_of("apply").committed == {}
    with one_partition.open_log() as log:
        assert [len(record.value) for record in take(log.reader("apply"), 2)] == [LARGE, 1]


def every_key(reader: KafkaReader, count: int) -> list[Record]:
    """A record of each key; some come again to a member that has lost its partitions on the way."""
    records: dict[bytes, Record] = {}

    def has_all() -> bool:
        records.update((record.key, record) for record in reader.poll(100))
        return len(records) == count

    assert until(has_all)
    return list(records.values())


def assigned(reader: KafkaReader) -> None:
    """Wait until the reader has its partitions; nothing of them is polled by then."""
    assert until(lambda: bool(reader.poll(1) or reader._ours))


# -- what is not to be read


def test_nothing_of_a_transaction_is_polled_before_it_is_committed_or_if_it_is_not(
    pipeline: Pipeline, log: KafkaLog
) -> None:
    appender = log._new_appender("writer.slow")
    appender.begin([entry(1, 11), entry(2, 11)])
    appender.flush()
    with pipeline.open_log() as other:
        reader = other.reader("apply")
        assert take(reader, 0) == []
        assert polled(reader) == []
        appender._producer.abort_transaction(60)
        log.append([entry(1, 12)])
        assert sent(take(reader, 1)) == [entry(1, 12)]


@pytest.mark.parametrize(
    ("headers", "says"),
    [([], "names no table"), ([("changeover-table", b"0" * 32)], "not in the log")],
)
def test_a_record_that_is_not_of_this_log_is_never_passed_over(
    pipeline: Pipeline, log: KafkaLog, headers: list[tuple[str, bytes]], says: str
) -> None:
    appender = log._new_appender("writer.foreign")
    appender.begin()
    appender.produce(pipeline.topic(CITIZEN), b"1", b"{}", headers)
    appender.flush()
    appender.commit()
    with pytest.raises(ChangeUnreadable, match=says):
        take(log.reader("apply"), 1)


# -- retention


def test_a_new_group_is_told_that_the_first_records_are_gone(kafka: PrivateKafka, log: KafkaLog) -> None:
    ((partition, _),) = log.append([entry(1, sequence) for sequence in range(5)]).items()
    trim(kafka, partition.topic, partition.number, 3)
    with pytest.raises(LogTrimmed, match=r"no longer holds its first 3 records"):
        take(log.reader("late"), 2)


def test_a_slow_group_is_told_that_retention_has_passed_it(
    kafka: PrivateKafka, pipeline: Pipeline, log: KafkaLog
) -> None:
    ((partition, _),) = log.append([entry(1, sequence) for sequence in range(5)]).items()
    with pipeline.open_log() as other:
        reader = other.reader("apply")
        reader.commit(behind(take(reader, 5)[:2]))
    trim(kafka, partition.topic, partition.number, 4)
    with pytest.raises(LogTrimmed, match="no longer holds what is to be read next"):
        take(log.reader("apply"), 3)


def test_a_group_that_had_read_all_is_not_told_that_anything_is_missing(
    kafka: PrivateKafka, pipeline: Pipeline, log: KafkaLog
) -> None:
    ((partition, _),) = log.append([entry(1, 11)]).items()
    with pipeline.open_log() as other:
        reader = other.reader("apply")
        reader.commit(behind(take(reader, 1)))
        assert polled(reader) == []
        reader.commit({})
    trim(kafka, partition.topic, partition.number)  # the marker of the transaction too
    log.append([entry(1, 12)])
    assert sent(take(log.reader("apply"), 1)) == [entry(1, 12)]


def test_where_watermarks_were_dropped_for_their_age_nothing_is_claimed_before_all_is_read(
    kafka: PrivateKafka, pipeline: Pipeline, log: KafkaLog
) -> None:
    capture = log.capture()
    capture.append([entry(1, 11, PASSPORT)], checkpoint(11), beat(11))
    capture.append([entry(1, 12)], checkpoint(12), beat(12))
    trim(kafka, f"{pipeline.name}.progress", 0)
    capture.append([entry(1, 13)], checkpoint(13), beat(13))
    reader = log.reader("late")
    records = take(reader, 3)
    reader.commit(behind(record for record in records if record.table == CITIZEN))
    assert claims(reader) is None
    reader.commit(behind(records))
    assert passed(reader, 13)
    assert through(log, "late") == 13


def test_a_group_reads_no_more_watermarks_ahead_than_it_may_hold(
    monkeypatch: pytest.MonkeyPatch, log: KafkaLog
) -> None:
    monkeypatch.setattr(watermarks, "AHEAD_MAX", 5)
    capture, reader = log.capture(), log.reader("apply")
    for sequence in range(1, 21):
        capture.append([entry(1, sequence)], checkpoint(sequence), beat(sequence))
    records = take(reader, 20)
    assert until(lambda: claims(reader) is None and reader._watermarks._through.ahead == 5)
    reader.commit(behind(records))
    assert passed(reader, 20)


# -- topics that change under a reader


def test_a_reader_finds_the_topics_that_are_added(
    monkeypatch: pytest.MonkeyPatch, pipeline: Pipeline, log: KafkaLog
) -> None:
    monkeypatch.setattr(reading, "LOOK_S", 0.5)
    capture, reader = log.capture(), log.reader("apply")
    capture.append([entry(1, 11)], checkpoint(11), beat(11))
    reader.commit(behind(take(reader, 1)))
    assert passed(reader, 11)
    added = named("added")
    with pipeline.open_log() as before:
        make_log(pipeline.cluster, pipeline.name, [*TABLES, added], WANTED)
        capture.append([entry(1, 12, added)], checkpoint(12), beat(12))
        assert before.progress_of("apply").through is None  # one of its partitions has said nothing yet
        reader.commit(behind(take(reader, 1)))
        assert passed(reader, 12)
        assert before.progress_of("apply").through is not None


def test_partitions_that_were_added_stop_a_reader(kafka: PrivateKafka, pipeline: Pipeline) -> None:
    cluster = client.Cluster(
        servers=pipeline.cluster.servers, options={"topic.metadata.refresh.interval.ms": "300"}
    )
    with KafkaLog(cluster, pipeline.name) as log:
        reader = log.reader("apply")
        assert take(reader, 0) == []
        admin, topic = AdminClient({"bootstrap.servers": kafka.bootstrap}), pipeline.topic(CITIZEN)
        admin.create_partitions([NewPartitions(topic, 3)])[topic].result(60)
        with pytest.raises(LogUnusable, match="has 3 partitions, not 2"):
            until(lambda: bool(reader.poll(1)))


def test_a_silent_broker_is_noticed_by_a_reader(
    monkeypatch: pytest.MonkeyPatch, kafka: PrivateKafka, log: KafkaLog
) -> None:
    reader = log.reader("apply")
    assert take(reader, 0) == []
    monkeypatch.setattr(reading, "LOOK_S", 0.5)
    monkeypatch.setattr(client, "REQUEST_TIMEOUT_S", 1.0)
    monkeypatch.setattr(control, "ATTEMPT_TIMEOUT_S", 1.0)
    kafka.pause()
    try:
        with pytest.raises(LogUnavailable, match="did not answer"):
            until(lambda: bool(reader.poll(1)))
    finally:
        kafka.resume()


def test_a_commit_that_nobody_answers_ends_within_its_bound_and_so_does_the_end(
    monkeypatch: pytest.MonkeyPatch, kafka: PrivateKafka, pipeline: Pipeline
) -> None:
    # Whether a halted broker ever gets to know that the member has left, is chance: else it must time out.
    monkeypatch.setattr(client, "SESSION_TIMEOUT_MS", 3_000)
    cluster = replace(pipeline.cluster, options={"max.poll.interval.ms": "6000"})
    with KafkaLog(cluster, pipeline.name) as log:
        log.append([entry(1)])
        reader = log.reader("apply")
        records = take(reader, 1)
        monkeypatch.setattr(client, "REQUEST_TIMEOUT_S", 1.0)
        kafka.pause()
        try:
            begun = time.monotonic()
            with pytest.raises(LogUnavailable, match="did not answer for 1 s"):
                reader.commit(behind(records), records=1)
            log.close()
            assert time.monotonic() - begun < 30
        finally:
            kafka.resume()
    monkeypatch.undo()
    with reopened(pipeline) as log:
        reader = log.reader("apply")
        assert until(lambda: bool(reader.poll(1) or reader._ours), 2 * WAIT_S_MAX)
        reader.commit(behind(records), records=1)
        assert has_passed(log.progress_of("apply").committed, behind(records))


def reopened(pipeline: Pipeline) -> KafkaLog:
    """The log, once it can be had again: a daemon that cannot open it is started anew, too."""
    deadline_s = time.monotonic() + 2 * WAIT_S_MAX
    while True:
        try:
            return pipeline.open_log()
        except LogUnavailable:
            assert time.monotonic() < deadline_s


# -- members that come and go


def test_a_member_that_took_too_long_loses_its_partitions_and_takes_nothing_back(
    monkeypatch: pytest.MonkeyPatch, pipeline: Pipeline, log: KafkaLog
) -> None:
    cluster = replace(pipeline.cluster, options={"max.poll.interval.ms": "1500"})
    capture = log.capture()
    capture.append([entry(number, 11) for number in range(20)], checkpoint(11), beat(11))
    with ExitStack() as stack:
        other = stack.enter_context(pipeline.open_log())
        with monkeypatch.context() as hasty:
            hasty.setattr(client, "SESSION_TIMEOUT_MS", 1_500)
            slow = stack.enter_context(KafkaLog(cluster, pipeline.name)).reader("apply")
        held = every_key(slow, 20)
        reader = other.reader("apply")
        repeated = take(reader, 20)  # once the slow one has lost them
        reader.commit(behind(repeated), records=20)
        assert passed(reader, 11)
        before = log.progress_of("apply")
        assert slow.commit(behind(held[:5]), records=5) is None or log.progress_of("apply") == before
        assert log.progress_of("apply") == before
        capture.append([entry(number, 12) for number in range(20)], checkpoint(12), beat(12))
        # It is a member again, and the two share what comes.
        shared: list[Record] = []

        def step() -> bool:
            for one in (slow, reader):
                records = one.poll(100)
                shared.extend(records)
                one.commit(behind(records), records=len(records))
            return through(log, "apply") == 12

        assert until(step)
        assert {record.key for record in shared if record.value == b"12"} == {entry(n).key for n in range(20)}


def test_a_commit_that_was_refused_claims_and_counts_nothing(
    monkeypatch: pytest.MonkeyPatch, log: KafkaLog
) -> None:
    log.capture().append([entry(1, 11)], checkpoint(11), beat(11))
    reader = log.reader("apply")
    records = take(reader, 1)
    monkeypatch.setattr(reader, "_send", lambda _: False)
    assert [reader.commit(behind(records), records=1) for _ in range(3)] == [None] * 3
    monkeypatch.undo()
    assert claims(reader) is None
    reader.commit(behind(records), records=1)
    assert passed(reader, 11)
    assert log.progress_of("apply").records == 1


def test_a_commit_for_partitions_that_moved_away_changes_nothing(log: KafkaLog, pipeline: Pipeline) -> None:
    log.append([entry(number, 11) for number in range(20)])
    with pipeline.open_log() as other:
        one = log.reader("apply")
        held = take(one, 20)
        two = other.reader("apply")

        def is_shared() -> bool:
            one.poll(1)
            two.poll(1)
            return bool(one._ours) and bool(two._ours)

        assert until(is_shared)
        one.commit(behind(held), records=20)
        committed = log.progress_of("apply").committed
        assert not set(committed) & set(two._ours)


class Group:
    """Members in threads that apply and commit; what is committed is held against what they applied."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.errors: list[BaseException] = []
        self._applied: dict[Place, tuple[str, int]] = {}
        self._pipeline = pipeline
        self._lock = threading.Lock()
        self._members: list[tuple[threading.Thread, threading.Event]] = []

    def join(self) -> None:
        stop = threading.Event()
        thread = threading.Thread(target=self._guarded, args=(stop, len(self._members)))
        self._members.append((thread, stop))
        thread.start()

    def leave(self, chance: random.Random) -> None:
        chance.choice(self._alive())[1].set()

    def end(self) -> None:
        for _, stop in self._members:
            stop.set()
        for thread, _ in self._members:
            thread.join(WAIT_S_MAX)

    @property
    def size(self) -> int:
        return len(self._alive())

    @property
    def joined(self) -> int:
        return len(self._members)

    def applied(self) -> dict[Place, tuple[str, int]]:
        with self._lock:
            return dict(self._applied)

    def _alive(self) -> list[tuple[threading.Thread, threading.Event]]:
        return [member for member in self._members if member[0].is_alive() and not member[1].is_set()]

    def _guarded(self, stop: threading.Event, number: int) -> None:
        try:
            with self._pipeline.open_log() as log:
                self._run(log.reader("apply"), stop, random.Random(number))
        except BaseException as error:  # noqa: BLE001 - shown by the test
            self.errors.append(error)

    def _run(self, reader: KafkaReader, stop: threading.Event, chance: random.Random) -> None:
        while not stop.is_set():
            records = reader.poll(50)
            time.sleep(chance.random() / 50)  # so that members change while something is being applied
            with self._lock:
                for record in records:
                    name = record.table.full_name
                    self._applied[record.partition, record.offset] = (name, int(record.value))
            if records and chance.random() < 0.03:
                return  # dies between the target and the commit
            reader.commit(behind(records), records=len(records))


def through(log: KafkaLog, group: str) -> int:
    found = log.progress_of(group).through
    return found.version.sequence if found else 0


def capture_all(pipeline: Pipeline, total: int, places: set[Place]) -> None:
    with pipeline.open_log() as log:
        capture = log.capture()
        for sequence in range(1, total + 1):
            entries = [entry(sequence % 17, sequence), entry(sequence % 13, sequence, PASSPORT)]
            capture.append(entries, checkpoint(sequence), beat(sequence) if sequence % 5 == 0 else None)
            time.sleep(0.01)
        places |= {(record.partition, record.offset) for record in take(log.reader("all"), 2 * total)}


def test_while_members_come_and_go_nothing_is_lost_and_nothing_is_claimed_too_early(
    kafka: PrivateKafka,
) -> None:
    pipeline, total, chance = Pipeline(kafka, wanted=wanted(4)), 500, random.Random(5)
    group, places, claimed = Group(pipeline), set[Place](), [0]
    seen: list[tuple[Offsets, Collection[Place]]] = []
    writer = threading.Thread(target=capture_all, args=(pipeline, total, places))
    writer.start()
    deadline = time.monotonic() + 2 * WAIT_S_MAX
    with pipeline.open_log() as log:
        while claimed[-1] < total and time.monotonic() < deadline and not group.errors:
            if group.size < 2:
                group.join()
            elif chance.random() < 0.4:
                group.leave(chance)
            progress = log.progress_of("apply")
            applied = group.applied()
            claimed.append(progress.through.version.sequence if progress.through else 0)
            seen.append((progress.committed, applied.keys()))
            owed = {(table.full_name, number) for table in TABLES for number in range(1, claimed[-1] + 1)}
            assert owed <= set(applied.values())
            time.sleep(0.3)
    group.end()
    writer.join(WAIT_S_MAX)
    assert group.errors == []
    assert claimed[-1] == total
    assert claimed == sorted(claimed)
    assert len(places) == 2 * total
    assert group.joined > 5
    for committed, applied_then in seen:
        below = {place for place in places if place[1] < committed.get(place[0], 0)}
        assert below <= set(applied_then)
