"""What a log holds, read beside all groups: from any place, to its end of then, and nothing is committed."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition

from changeover.demo.broker import PrivateKafka
from changeover.errors import LogTrimmed
from changeover.log import Entry, History, Log, Record
from changeover.log.kafka.log import KafkaLog
from changeover.log.sqlite import SQLiteLog
from changeover.progress import Offsets
from tests.contracts.log import PASSPORT, behind, entry, sent, take
from tests.log.pipelines import Pipeline, until
from tests.support.tables import CITIZEN

OpenLog = Callable[[], Log]


@pytest.fixture(params=["sqlite", "kafka"])
def open_log(request: pytest.FixtureRequest, tmp_path: Path) -> OpenLog:
    if request.param == "sqlite":
        return lambda: SQLiteLog(tmp_path / "log.db", "moving")
    kafka: PrivateKafka = request.getfixturevalue("kafka")
    return Pipeline(kafka).open_log


def read(history: History, starts: Offsets | None = None, limit: int = 7) -> list[Record]:
    batches = list(history.read(history.firsts() if starts is None else starts, limit))
    assert all(0 < len(batch) <= limit for batch in batches)
    return [record for batch in batches for record in batch]


def same(one: Sequence[Record], other: Sequence[Record]) -> bool:
    """Whether they are the same records, in the same order in each partition."""
    return sorted(one, key=lambda record: record[:2]) == sorted(other, key=lambda record: record[:2])


def test_all_is_read_as_a_group_reads_it_and_in_the_order_of_each_partition(open_log: OpenLog) -> None:
    with open_log() as log:
        for sequence in range(20):
            log.append([entry(sequence % 5, sequence), entry(sequence, sequence, PASSPORT)])
        found = read(log.history())
        assert same(found, take(log.reader("apply"), 40))
        for partition in {record.partition for record in found}:
            offsets = [record.offset for record in found if record.partition == partition]
            assert offsets == sorted(offsets)


def test_what_is_appended_later_is_not_in_it(open_log: OpenLog) -> None:
    with open_log() as log:
        first = [entry(number) for number in range(10)]
        log.append(first)
        history = log.history()
        log.append([entry(number, 1) for number in range(10)])
        found = read(history)
        assert len(found) == 10
        assert {record.value for record in found} == {b"0"}


def test_a_partition_is_read_from_its_start_on_and_one_that_is_not_named_is_not(open_log: OpenLog) -> None:
    with open_log() as log:
        log.append([entry(number) for number in range(20)] + [entry(1, 0, PASSPORT)])
        history = log.history()
        of_citizens = [record for record in read(history) if record.table == CITIZEN]
        starts = {partition: end - 2 for partition, end in behind(of_citizens).items()}
        found = read(history, starts)
        assert all(record.offset >= starts[record.partition] for record in found)
        assert same(found, [one for one in of_citizens if one.offset >= starts[one.partition]])


def test_behind_the_end_there_is_nothing(open_log: OpenLog) -> None:
    with open_log() as log:
        log.append([entry(1)])
        history = log.history()
        assert read(history, dict.fromkeys(history.firsts(), 10**6)) == []


def test_no_group_is_moved_and_none_is_made(open_log: OpenLog) -> None:
    with open_log() as log:
        log.append([entry(number) for number in range(5)])
        reader = log.reader("apply")
        reader.commit(behind(take(reader, 5)), records=5)
        before = log.progress_of("apply")
        read(log.history())
        assert log.progress_of("apply") == before
        assert not log.progress_of("history").committed


def test_records_that_go_while_they_are_read_are_an_error(tmp_path: Path) -> None:
    with SQLiteLog(tmp_path / "log.db", "moving") as log:
        log.append([entry(number) for number in range(5)])
        history = log.history()
        log.connection.execute("DELETE FROM record WHERE offset < 3")
        assert set(log.history().firsts().values()) == {3}
        assert len(read(log.history())) == 2
        with pytest.raises(LogTrimmed, match="trimmed meanwhile"):
            list(history.read(dict.fromkeys(history.firsts(), 0), 10))


def test_records_that_went_before_are_known_and_are_an_error_on_kafka_too(kafka: PrivateKafka) -> None:
    pipeline = Pipeline(kafka)
    with pipeline.open_log() as log:
        ends = log.append([entry(number) for number in range(20)])
        (partition, end), *_ = ends.items()
        place = TopicPartition(partition.topic, partition.number, end - 1)
        log._topics.admin.delete_records([place])[place].result(30)
        assert until(lambda: log.history().firsts()[partition] == end - 1)
        history = log.history()
        assert len(read(history, {partition: end - 1})) == 1


def test_a_record_that_was_split_is_joined_wherever_the_start_is_in_it(kafka: PrivateKafka) -> None:
    pipeline = Pipeline(kafka)
    large = Entry(CITIZEN, entry(1).key, b"x" * 2_500)
    with KafkaLog(pipeline.cluster, pipeline.name, record_bytes_max=1_000) as log:
        log.append([entry(1, 1), large, entry(1, 2), large])
        history = log.history()
        whole = read(history)
        assert sent(whole) == [entry(1, 1), large, entry(1, 2), large]
        (partition,) = {record.partition for record in whole}
        last = whole[-1].offset
        for start in range(last + 1):
            expected = [record for record in whole if record.offset >= start]
            assert read(history, {partition: start}) == expected
