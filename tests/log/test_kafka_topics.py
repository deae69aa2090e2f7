"""The pipeline's topics as others see them: made, checked, refused, and read by any client."""

import random
import threading
from collections.abc import Mapping
from dataclasses import replace

import orjson
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from changeover.demo.broker import PrivateKafka
from changeover.envelope import encode_key
from changeover.errors import LogUnusable
from changeover.log import Entry
from changeover.log.kafka import topics
from changeover.log.kafka.log import KafkaLog, make_log
from changeover.log.kafka.topics import Topics
from changeover.progress import Partition
from tests.contracts.log import TABLES, checkpoint, entry
from tests.log.pipelines import WANTED, Pipeline, until
from tests.support.tables import CITIZEN, citizen, named


@pytest.fixture
def admin(kafka: PrivateKafka) -> AdminClient:
    return AdminClient({"bootstrap.servers": kafka.bootstrap})


@pytest.fixture
def pipeline(kafka: PrivateKafka) -> Pipeline:
    return Pipeline(kafka)


def configure(admin: AdminClient, topic: str, settings: Mapping[str, str]) -> None:
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in settings.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    admin.incremental_alter_configs([resource])[resource].result(60)

    def is_told() -> bool:
        """The broker hears of it a moment later than the controller."""
        found = admin.describe_configs([resource])[resource].result(60)
        return all(found[name].value == value for name, value in settings.items())

    assert until(is_told)


def murmur2(data: bytes) -> int:
    """org.apache.kafka.common.utils.Utils.murmur2, in the words of its source."""
    mask, magic = 0xFFFFFFFF, 0x5BD1E995
    h = (0x9747B28C ^ len(data)) & mask
    for at in range(0, len(data) - len(data) % 4, 4):
        k = int.from_bytes(data[at : at + 4], "little") * magic & mask
        h = (h * magic & mask) ^ ((k ^ k >> 24) * magic & mask)
    rest = data[len(data) - len(data) % 4 :]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * magic & mask
    h = (h ^ h >> 13) * magic & mask
    return h ^ h >> 15


def test_the_murmur2_of_this_test_is_javas() -> None:
    # Values from Kafka's own UtilsTest.
    known = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
    assert {key: (murmur2(key) ^ 1 << 31) - (1 << 31) for key in known} == known


def test_keys_lie_in_the_partition_where_javas_clients_look_for_them(kafka: PrivateKafka) -> None:
    pipeline = Pipeline(kafka, wanted=replace(WANTED, partitions=5))
    chance = random.Random(1)
    keys = {encode_key(CITIZEN, citizen(number)) for number in range(50)}
    keys |= {chance.randbytes(chance.randrange(1, 20)) for _ in range(50)}
    with pipeline.open_log() as log:
        for key in keys:
            ((partition, _),) = log.append([Entry(CITIZEN, key, b"{}")]).items()
            assert partition.number == (murmur2(key) & 0x7FFFFFFF) % 5


def test_any_client_can_read_keys_values_and_headers(kafka: PrivateKafka, pipeline: Pipeline) -> None:
    with pipeline.open_log() as log:
        ((partition, end),) = log.append([entry(1, 11)]).items()
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "plain"})
    consumer.assign([TopicPartition(partition.topic, partition.number, end - 1)])
    (message,) = consumer.consume(1, 60)
    consumer.close()
    assert partition.topic == f"{pipeline.name}.records.citizen"
    assert orjson.loads(message.key() or b"") == {"id": 1}
    assert message.value() == b"11"
    assert message.headers() == [("changeover-table", CITIZEN.fingerprint.encode())]


# -- made


def test_topics_that_are_made_leave_nothing_to_complain_about(pipeline: Pipeline) -> None:
    assert Topics(pipeline.cluster, pipeline.name).complaints(TABLES, WANTED) == []


def test_to_make_a_log_again_makes_what_is_missing_and_nothing_else(pipeline: Pipeline) -> None:
    with pipeline.open_log() as log:
        identity = log.identity
        log.capture().append([entry(1)], checkpoint(11), None)
    assert make_log(pipeline.cluster, pipeline.name, TABLES, WANTED) == []
    added = named("added")
    assert make_log(pipeline.cluster, pipeline.name, [*TABLES, added], WANTED) == [pipeline.topic(added)]
    with pipeline.open_log() as log:
        assert log.identity == identity
        assert log.checkpoint() == checkpoint(11)


def test_two_logs_have_two_identities(kafka: PrivateKafka, pipeline: Pipeline) -> None:
    with pipeline.open_log() as one, Pipeline(kafka).open_log() as two:
        assert one.identity != two.identity


def test_empty_topics_that_somebody_made_beforehand_are_taken_up(
    admin: AdminClient, pipeline: Pipeline
) -> None:
    topic = pipeline.topic(named("given"))
    admin.create_topics([NewTopic(topic, 3)])[topic].result(60)
    assert make_log(pipeline.cluster, pipeline.name, [*TABLES, named("given")], WANTED) == [topic]
    with pipeline.open_log() as log:
        log.append([entry(1, 0, named("given"))])


def test_topics_that_hold_somebody_elses_records_are_not_taken_up(
    kafka: PrivateKafka, admin: AdminClient, pipeline: Pipeline
) -> None:
    topic = pipeline.topic(named("taken"))
    admin.create_topics([NewTopic(topic, 1)])[topic].result(60)
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(topic, b"somebody's")
    assert producer.flush(60) == 0
    with pytest.raises(LogUnusable, match=rf"{topic} holds records that are not of this log"):
        make_log(pipeline.cluster, pipeline.name, [*TABLES, named("taken")], WANTED)


def test_a_table_whose_name_kafka_cannot_take_is_refused(pipeline: Pipeline) -> None:
    with pytest.raises(LogUnusable, match="refuses"):
        make_log(pipeline.cluster, pipeline.name, [named("naïve name")], WANTED)


# -- refused


def test_a_pipeline_that_has_no_topics_is_refused_with_what_to_do(pipeline: Pipeline) -> None:
    with pytest.raises(LogUnusable, match=r"has no log of pipeline 'nothing'.* changeover topics create"):
        KafkaLog(pipeline.cluster, "nothing")


def test_a_topic_that_is_gone_and_then_made_anew_is_refused_by_name(
    admin: AdminClient, pipeline: Pipeline
) -> None:
    topic = pipeline.topic(CITIZEN)
    admin.delete_topics([topic])[topic].result(60)
    assert until(lambda: topic not in admin.list_topics(timeout=60).topics)
    with pytest.raises(LogUnusable, match=rf"{topic} is gone"):
        pipeline.open_log()
    admin.create_topics([NewTopic(topic, 2)])[topic].result(60)
    assert until(lambda: topic in admin.list_topics(timeout=60).topics)
    with pytest.raises(LogUnusable, match=rf"{topic} was made anew"):
        pipeline.open_log()
    with pytest.raises(LogUnusable, match=rf"{topic} was made anew"):
        make_log(pipeline.cluster, pipeline.name, TABLES, WANTED)


def test_a_topic_that_has_got_partitions_is_refused_by_name(admin: AdminClient, pipeline: Pipeline) -> None:
    topic = pipeline.topic(CITIZEN)
    admin.create_partitions([NewPartitions(topic, 3)])[topic].result(60)
    assert until(lambda: len(admin.list_topics(timeout=60).topics[topic].partitions) == 3)
    with pytest.raises(LogUnusable, match=rf"{topic} has 3 partitions, not 2 as at the start"):
        pipeline.open_log()


# -- complained about


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"cleanup.policy": "compact"}, "has cleanup.policy compact, not delete"),
        ({"cleanup.policy": "compact,delete"}, "has cleanup.policy compact,delete, not delete"),
        ({"retention.ms": "3600000"}, "keeps records for 1 h, less than the replay window of 168 h"),
        ({"retention.bytes": "1000"}, "drops records by size (retention.bytes 1000)"),
        ({"max.message.bytes": "1000"}, "takes records of 1000 bytes, below 1048588"),
        ({"unclean.leader.election.enable": "true"}, "may lose acknowledged records"),
    ],
)
def test_a_setting_that_loses_records_is_complained_about(
    admin: AdminClient, pipeline: Pipeline, settings: dict[str, str], says: str
) -> None:
    configure(admin, pipeline.topic(CITIZEN), settings)
    (complaint,) = Topics(pipeline.cluster, pipeline.name).complaints(TABLES, WANTED)
    assert complaint.startswith(f"topic {pipeline.topic(CITIZEN)} {says}")


def test_records_kept_for_ever_are_kept_for_long_enough(admin: AdminClient, pipeline: Pipeline) -> None:
    configure(admin, pipeline.topic(CITIZEN), {"retention.ms": "-1"})
    assert Topics(pipeline.cluster, pipeline.name).complaints(TABLES, WANTED) == []


def test_the_control_topic_must_be_compacted(admin: AdminClient, pipeline: Pipeline) -> None:
    configure(admin, f"{pipeline.name}.control", {"cleanup.policy": "delete"})
    (complaint,) = Topics(pipeline.cluster, pipeline.name).complaints(TABLES, WANTED)
    assert complaint == f"topic {pipeline.name}.control has cleanup.policy delete, not compact"


def test_copies_that_are_too_few_are_complained_about(pipeline: Pipeline) -> None:
    found = Topics(pipeline.cluster, pipeline.name).complaints(
        [CITIZEN], replace(WANTED, replication=3, min_insync=2)
    )
    topics = [f"{pipeline.name}.{name}" for name in ("control", "progress", "records.citizen")]
    assert sorted(found) == sorted(
        [
            *(f"topic {topic} has replication 1, below 3" for topic in topics),
            *(f"topic {topic} has min.insync.replicas 1, below 2" for topic in topics),
        ]
    )


def test_a_transaction_that_nobody_ends_is_named_and_one_that_ends_is_not(
    kafka: PrivateKafka, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = pipeline.topic(CITIZEN)
    with pipeline.open_log() as log:
        log.append([entry(1)])
    # Of somebody else, whose transactions may be open for longer than ours.
    left = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": f"left in {topic}"})
    left.init_transactions(60)
    left.begin_transaction()
    left.produce(topic, b"", b"", partition=1)
    left.flush(60)
    (end,) = Topics(pipeline.cluster, pipeline.name).ends([Partition(topic, 1)]).values()
    with monkeypatch.context() as impatient:
        impatient.setattr(topics, "OPEN_S_MAX", 1.0)
        (complaint,) = Topics(pipeline.cluster, pipeline.name).complaints(TABLES, WANTED)
        assert complaint.startswith(
            f"topic {topic}, partition 1: the transaction at offset {end - 1} does not end"
        )
    ending = threading.Timer(0.5, left.abort_transaction, [60])
    ending.start()
    assert Topics(pipeline.cluster, pipeline.name).complaints(TABLES, WANTED) == []
    ending.join()


def test_each_topic_that_is_missing_is_named(pipeline: Pipeline) -> None:
    missing = pipeline.topic(named("more"))
    found = Topics(pipeline.cluster, pipeline.name).complaints([*TABLES, named("more")], WANTED)
    assert found == [f"topic {missing} is missing"]
    assert len(Topics(pipeline.cluster, "nothing").complaints(TABLES, WANTED)) == 4
