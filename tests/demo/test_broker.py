import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

import changeover
from changeover.demo import broker as broker_module
from changeover.demo.broker import BrokerNotFound, PrivateKafka
from changeover.demo.private import ServerFailed, cached

WAIT_S = 60.0

LOGIN = (
    "org.apache.kafka.common.security.plain.PlainLoginModule required "
    'username="admin" password="pässword" user_admin="pässword";'
)


@pytest.fixture(scope="module")
def kafka() -> Iterator[PrivateKafka]:
    with PrivateKafka() as broker:
        yield broker


def make_topic(broker: PrivateKafka, topic: str) -> None:
    client = AdminClient({"bootstrap.servers": broker.bootstrap})  # dropped too early, it drops its requests
    client.create_topics([NewTopic(topic, 1)])[topic].result(WAIT_S)


def write(broker: PrivateKafka, topic: str, *values: bytes, **settings: str) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "acks": "all", "log_level": 0, **settings})
    for value in values:
        producer.produce(topic, value, partition=0)
    assert producer.flush(WAIT_S) == 0


def read(broker: PrivateKafka, topic: str, count: int) -> list[bytes | None]:
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "test", "log_level": 0})
    consumer.assign([TopicPartition(topic, 0, 0)])
    try:
        return [message.value() for message in consumer.consume(count, WAIT_S)]
    finally:
        consumer.close()


def test_what_was_written_survives_a_restart_and_a_crash() -> None:
    with PrivateKafka() as broker:
        bootstrap = broker.bootstrap
        make_topic(broker, "kept")
        write(broker, "kept", b"1")
        broker.restart()
        write(broker, "kept", b"2")
        broker.kill()
        assert broker.pid is None
        broker.start()
        assert read(broker, "kept", 2) == [b"1", b"2"]
        assert broker.bootstrap == bootstrap


def test_transactions_and_groups_work_with_one_node(kafka: PrivateKafka) -> None:
    make_topic(kafka, "once")
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": "test"})
    producer.init_transactions(WAIT_S)
    producer.begin_transaction()
    producer.produce("once", b"in a transaction")
    producer.commit_transaction(WAIT_S)
    consumer = Consumer(
        {"bootstrap.servers": kafka.bootstrap, "group.id": "test", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe(["once"])
    assert [message.value() for message in consumer.consume(1, WAIT_S)] == [b"in a transaction"]
    consumer.commit(asynchronous=False)
    consumer.close()


def test_topics_are_not_made_by_mistake(kafka: PrivateKafka) -> None:
    write_timeout = {"message.timeout.ms": "1000"}
    write(kafka, "no-such-topic", b"lost", **write_timeout)
    client = AdminClient({"bootstrap.servers": kafka.bootstrap})
    assert "no-such-topic" not in client.list_topics(timeout=WAIT_S).topics


def test_a_paused_broker_is_silent_and_goes_on_where_it_was(kafka: PrivateKafka) -> None:
    client = AdminClient({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    client.list_topics(timeout=WAIT_S)
    kafka.pause()
    with pytest.raises(KafkaException):
        client.list_topics(timeout=0.5)
    kafka.resume()
    assert client.list_topics(timeout=WAIT_S).brokers


def test_another_listener_can_ask_for_a_password() -> None:
    options = {
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": LOGIN,
    }
    login: dict[str, str | int | float] = {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "admin",
        "log_level": 0,
    }
    with PrivateKafka(options=options, listeners=["SASL_PLAINTEXT"]) as broker:
        servers = {"bootstrap.servers": broker.address("SASL_PLAINTEXT")}
        client = AdminClient({**servers, **login, "sasl.password": "pässword"})
        assert client.list_topics(timeout=WAIT_S).brokers
        with pytest.raises(KafkaException):
            AdminClient({**servers, **login, "sasl.password": "wrong"}).list_topics(timeout=1)


@pytest.mark.parametrize(
    "options",
    [
        {"process.roles": "none"},  # the format refuses it
        {"log.cleaner.threads": "-1"},
    ],
)
def test_a_broker_that_does_not_come_up_says_why_and_leaves_nothing(
    tmp_path: Path, options: dict[str, str | None]
) -> None:
    with pytest.raises(ServerFailed, match=next(iter(options))), PrivateKafka(tmp_path, options=options):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_missing_kafka_is_named_with_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CHANGEOVER_KAFKA", str(tmp_path))
    with pytest.raises(BrokerNotFound, match="scripts/need kafka"):
        PrivateKafka().start()


def test_a_missing_java_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BrokerNotFound, match=r"java was not found.*scripts/need kafka"):
        PrivateKafka().start()


def test_the_kafka_that_is_looked_for_is_the_one_that_the_script_gets() -> None:
    script = Path(changeover.__file__).parents[1] / "scripts" / "need"
    done = subprocess.run([script, "kafka"], capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()) == cached(f"kafka-{broker_module.VERSION}")
