"""What a pipeline keeps in Kafka and in Riak, into a file and out of it again, byte for byte.

Offsets and clocks stay as they were. What the brokers alone decide, the ids of topics, is written anew.
"""

import base64
import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from changeover.log.kafka.client import Cluster
from changeover.log.kafka.topics import CONTROL_CONFIG, Topics, control_topic
from changeover.riak.access import Access
from changeover.riak.client import Client
from changeover.riak.keys import ListKeys
from changeover.riak.objects import Content, Get, Put
from changeover.riak.request import Bucket

WAIT_S = 60
KEY_TOPIC = b"topic:"

Kept = list[dict[str, Any]]


def write(file: Path, kept: Kept) -> None:
    lines = "".join(f"{json.dumps(one, default=_text)}\n" for one in kept)
    file.write_bytes(gzip.compress(lines.encode(), mtime=0))


def read(file: Path) -> Kept:
    return [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)


# -- Kafka


def of_kafka(cluster: Cluster, pipeline: str, group: str) -> Kept:
    """Every record of the pipeline's topics with its place, and what the group has committed."""
    consumer = Consumer(cluster.consumer(f"{pipeline}.{group}"))
    try:
        topics = consumer.list_topics(timeout=WAIT_S).topics
        places = [
            TopicPartition(name, number)
            for name, topic in sorted(topics.items())
            if name.startswith(f"{pipeline}.")
            for number in sorted(topic.partitions)
        ]
        kept: Kept = [{"partition": [place.topic, place.partition]} for place in places]
        for place in places:
            kept += _records(consumer, place)
        committed = consumer.committed(places, timeout=WAIT_S)
        return kept + [
            {"committed": [place.topic, place.partition, place.offset, place.metadata]}
            for place in committed
            if place.offset >= 0
        ]
    finally:
        consumer.close()


def _records(consumer: Consumer, place: TopicPartition) -> Iterator[dict[str, Any]]:
    first, _ = consumer.get_watermark_offsets(place, timeout=WAIT_S)
    assert first == 0, "retention has been here"
    consumer.assign([TopicPartition(place.topic, place.partition, 0)])
    is_over = False
    while not is_over:
        for message in consumer.consume(1_000, 1):
            if (error := message.error()) is not None:
                assert error.code() == KafkaError._PARTITION_EOF, error
                is_over = True
                continue
            yield {
                "record": [place.topic, place.partition, message.offset()],
                "key": message.key(),
                "value": message.value(),
                "headers": message.headers() or [],
            }
    consumer.unassign()


def into_kafka(kept: Kept, cluster: Cluster, pipeline: str, group: str) -> None:
    """Topics, records and offsets, as they were kept."""
    partitions = [tuple(one["partition"]) for one in kept if "partition" in one]
    admin = AdminClient({"bootstrap.servers": cluster.servers})
    new = [
        NewTopic(topic, len(list(own)), 1, config=CONTROL_CONFIG if topic == control_topic(pipeline) else {})
        for topic, own in groupby(partitions, key=lambda place: place[0])
    ]
    for answer in admin.create_topics(new).values():
        answer.result(WAIT_S)
    found = Topics(cluster, pipeline)._await_described([topic.topic for topic in new])
    ids = {name: topic.topic_id for name, topic in found.items()}
    records = [one for one in kept if "record" in one]
    for (topic, number), own in groupby(records, key=lambda one: tuple(one["record"][:2])):
        _produce(cluster, topic, number, list(own), ids)
    consumer = Consumer(cluster.consumer(f"{pipeline}.{group}"))
    places = [one["committed"] for one in kept if "committed" in one]
    committed = [
        TopicPartition(topic, number, offset, metadata=note) for topic, number, offset, note in places
    ]
    consumer.commit(offsets=committed, asynchronous=False)
    consumer.close()


def _produce(
    cluster: Cluster, topic: str, number: int, records: Sequence[Mapping[str, Any]], ids: Mapping[str, str]
) -> None:
    """The records at their offsets: each gap is the marker of a transaction that ended there."""
    producer = Producer(cluster.producer(f"kept.{topic}.{number}", 1_000_000))
    producer.init_transactions(WAIT_S)
    runs = groupby(enumerate(records), key=lambda one: one[1]["record"][2] - one[0])
    for markers, (skipped, run) in enumerate(runs):
        assert skipped == markers, "two markers beside each other"
        producer.begin_transaction()
        for _, one in run:
            key = _bytes(one["key"])
            headers: list[tuple[str, str | bytes | None]] = [
                (name, _bytes(of)) for name, of in one["headers"]
            ]
            value = _here(key, _bytes(one["value"]), ids)
            producer.produce(topic, value, key, partition=number, headers=headers)
        producer.commit_transaction(WAIT_S)


def _here(key: bytes, value: bytes, ids: Mapping[str, str]) -> bytes:
    """The value, with the topic's id of this broker where it tells one."""
    if not key.startswith(KEY_TOPIC):
        return value
    return json.dumps({**json.loads(value), "topic_id": ids[key.removeprefix(KEY_TOPIC).decode()]}).encode()


# -- Riak


def of_riak(access: Access, buckets: Iterable[Bucket]) -> Kept:
    """Every object of the buckets."""
    with Client(access) as client:
        return [
            {
                "object": [*bucket, key],
                "clock": found.clock,
                "value": content.value,
                "type": content.content_type,
                "metadata": content.metadata,
                "indexes": content.indexes,
            }
            for bucket in buckets
            for key in sorted({key for some in client.walk(ListKeys(bucket)) for key in some.keys})
            for found in [client.call(Get(bucket, key))]
            for content in found.contents  # none of what the proof has removed again
        ]


def into_riak(kept: Kept, access: Access) -> None:
    """The objects, as they were kept."""
    with Client(access) as client:
        for one in kept:
            name, of_type, key = map(_bytes, one["object"])
            metadata, indexes = (
                tuple((_bytes(key), _bytes(value)) for key, value in one[kind])
                for kind in ("metadata", "indexes")
            )
            content = Content(_bytes(one["value"]), _bytes(one["type"]), metadata, indexes)
            client.call(Put(Bucket(name, of_type), key, content, _bytes(one["clock"]), as_is=True))
