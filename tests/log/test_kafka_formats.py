"""What a newer release writes into Kafka, met by this one: at its start, and by a consumer that runs."""

from collections.abc import Sequence

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from changeover.demo.broker import PrivateKafka
from changeover.errors import ChangeUnreadable, StateNewer
from changeover.log.kafka.control import FORMAT, KEY_FORMAT, KEY_TABLE
from changeover.log.kafka.log import make_log
from changeover.log.kafka.topics import control_topic, progress_topic
from changeover.log.kafka.wire import HEADER_TABLE, encode_watermark
from changeover.progress import Watermark
from changeover.version import Version
from tests.contracts.log import TABLES, beat, behind, checkpoint, entry, take
from tests.log.pipelines import WAIT_S_MAX, WANTED, Pipeline, until
from tests.support.tables import CITIZEN, named

NEWER = b"99"
UNKNOWN = b'{"form": "of another release"}'
WATERMARK = encode_watermark(Watermark(Version.of_change(1, 12), 1, {}))

Made = tuple[str, bytes, bytes, Sequence[tuple[str, bytes]]]
"""Topic, key, value and headers of a record."""


@pytest.fixture
def pipeline(kafka: PrivateKafka) -> Pipeline:
    return Pipeline(kafka)


def write(pipeline: Pipeline, *records: Made) -> None:
    """In one transaction, by nothing of ours: no log that would be refused is opened."""
    producer = Producer(pipeline.cluster.producer(f"{pipeline.name}.newer", 1_000))
    producer.init_transactions(WAIT_S_MAX)
    producer.begin_transaction()
    for topic, key, value, headers in records:
        producer.produce(topic, value, key, headers=list(headers))
    producer.commit_transaction(WAIT_S_MAX)


def control(pipeline: Pipeline, key: bytes, value: bytes) -> Made:
    return control_topic(pipeline.name), key, value, ()


def test_a_log_tells_its_format(pipeline: Pipeline) -> None:
    settings = {"bootstrap.servers": pipeline.cluster.servers, "group.id": "plain"}
    consumer = Consumer({**settings, "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(control_topic(pipeline.name), 0, 0)])
    told = (KEY_FORMAT, str(FORMAT).encode())
    try:
        assert until(lambda: told in {(one.key(), one.value()) for one in consumer.consume(100, 1)})
    finally:
        consumer.close()


def test_a_log_of_a_newer_format_is_opened_by_nobody(pipeline: Pipeline) -> None:
    write(pipeline, control(pipeline, KEY_FORMAT, NEWER))
    with pytest.raises(StateNewer) as refused:
        pipeline.open_log()
    assert f"the topic {pipeline.name}.control in Kafka at {pipeline.cluster.servers} is of format 99" in str(
        refused.value
    )
    assert "Run that release, or one that is newer" in str(refused.value)


def test_to_a_log_of_a_newer_format_no_topic_is_added(kafka: PrivateKafka, pipeline: Pipeline) -> None:
    write(pipeline, control(pipeline, KEY_FORMAT, NEWER))
    added = named("added")
    with pytest.raises(StateNewer, match="format 99"):
        make_log(pipeline.cluster, pipeline.name, [*TABLES, added], WANTED)
    topics = AdminClient({"bootstrap.servers": kafka.bootstrap}).list_topics(timeout=60).topics
    assert pipeline.topic(CITIZEN) in topics
    assert pipeline.topic(added) not in topics


def test_the_number_counts_too_where_compaction_has_left_it_behind_what_needs_it(pipeline: Pipeline) -> None:
    write(
        pipeline,
        control(pipeline, b"capture", UNKNOWN),
        control(pipeline, KEY_TABLE + b"new", UNKNOWN),
        control(pipeline, KEY_FORMAT, NEWER),
    )
    with pytest.raises(StateNewer, match="format 99"):
        pipeline.open_log()


def test_a_consumer_that_runs_stops_before_the_first_record_of_a_newer_release(pipeline: Pipeline) -> None:
    with pipeline.open_log() as log:
        log.append([entry(1), entry(2)])
        reader = log.reader("apply")
        reader.commit(behind(take(reader, 2)), records=2)
        write(pipeline, control(pipeline, KEY_FORMAT, NEWER), control(pipeline, KEY_TABLE + b"new", UNKNOWN))
        write(pipeline, (pipeline.topic(CITIZEN), entry(3).key, UNKNOWN, [(HEADER_TABLE, b"new")]))
        with pytest.raises(StateNewer, match="format 99"):
            take(reader, 1)
    # The number taken back, a member that begins anew finds that record still to be read.
    as_before = control(pipeline, KEY_TABLE + b"new", CITIZEN.definition)
    write(pipeline, control(pipeline, KEY_FORMAT, b"1"), as_before)
    with pipeline.open_log() as log:
        assert log.progress_of("apply").records == 2
        (record,) = take(log.reader("apply"), 1)
        assert record.value == UNKNOWN


@pytest.mark.parametrize(
    ("key", "value"), [(b"another kind", WATERMARK), (b"watermark", UNKNOWN), (b"watermark", b"no JSON")]
)
def test_a_watermark_of_another_form_is_a_stop(pipeline: Pipeline, key: bytes, value: bytes) -> None:
    with pipeline.open_log() as log:
        log.capture().append([entry(1)], checkpoint(11), beat(11))
        reader = log.reader("apply")
        records = take(reader, 1)
        assert until(lambda: reader.commit(behind(records)) is not None)
        write(pipeline, (progress_topic(pipeline.name), key, value, ()))

        where = f"the topic {pipeline.name}.progress at offset .* Run the newer release that wrote it"
        with pytest.raises(ChangeUnreadable, match=where):
            until(lambda: reader.commit({}) is None)
        through = log.progress_of("apply").through
        assert through is not None
        assert through.version.sequence == 11


def test_a_note_of_another_form_beside_an_offset_is_a_stop(pipeline: Pipeline) -> None:
    with pipeline.open_log() as log:
        log.append([entry(1)])
    consumer = Consumer(pipeline.cluster.consumer(f"{pipeline.name}.apply"))
    place = TopicPartition(pipeline.topic(CITIZEN), 0, 0, metadata=UNKNOWN.decode())
    consumer.commit(offsets=[place], asynchronous=False)
    consumer.close()
    with pipeline.open_log() as log:
        where = f"the note beside the committed offset of {pipeline.topic(CITIZEN)}/0 holds what cannot"
        with pytest.raises(ChangeUnreadable, match=where):
            log.progress_of("apply")
        with pytest.raises(ChangeUnreadable, match=where):
            take(log.reader("apply"), 1)


def test_a_member_that_is_given_partitions_asks_for_the_number(pipeline: Pipeline) -> None:
    with pipeline.open_log() as log:
        log.append([entry(1)])
        reader = log.reader("apply")  # which has no partition yet
        write(pipeline, control(pipeline, KEY_FORMAT, NEWER))
        with pytest.raises(StateNewer, match="format 99"):
            take(reader, 1)
