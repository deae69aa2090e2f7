"""The control topic: the latest value of each of the log's few keys, read as a table."""

import time

import orjson
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from changeover.errors import LogUnavailable
from changeover.log.kafka.client import REQUEST_TIMEOUT_S, Cluster, error_of, translated
from changeover.log.kafka.topics import Found, control_topic
from changeover.table import Table

KEY_IDENTITY = b"identity"
KEY_CAPTURE = b"capture"
KEY_TOPIC = b"topic:"
KEY_TABLE = b"table:"


LEADER_UNKNOWN = frozenset({KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE})
LEADER_WAIT_S = 0.1


class ControlTopic:
    """The control topic's content, as of the last `refresh`."""

    def __init__(self, cluster: Cluster, pipeline: str) -> None:
        self.name = control_topic(pipeline)
        self._servers = cluster.servers
        self.values: dict[bytes, bytes] = {}
        with translated(self._servers):
            self._consumer = Consumer(cluster.consumer(f"{pipeline}.control", tells_end=True))
            self._consumer.assign([TopicPartition(self.name, 0, 0)])
        self._position = 0

    def refresh(self) -> None:
        """Read on to the end of what is committed."""
        deadline = time.monotonic() + REQUEST_TIMEOUT_S
        place = TopicPartition(self.name, 0, self._position)
        with translated(self._servers):
            # Sought anew each time: the client says "end of partition" once for each place that it reaches,
            # and never while records keep coming. Then one that lies behind the end of now is as good.
            self._consumer.assign([place])
            end = self._end(place, deadline)
            while self._position < end and time.monotonic() < deadline:
                message = self._consumer.poll(1.0)
                if message is not None and self._take(message):
                    return
        if self._position >= end:
            return
        raise LogUnavailable(f"the end of {self.name} was not reached")

    def close(self) -> None:
        """Hang up."""
        self._consumer.close()

    @property
    def identity(self) -> str | None:
        """The log's identity, None where the log was not made."""
        value = self.values.get(KEY_IDENTITY)
        return value.decode() if value else None

    def topics(self) -> dict[str, Found]:
        """The topics as they were when they were made."""
        return {
            key.removeprefix(KEY_TOPIC).decode(): Found(**orjson.loads(value))
            for key, value in self.values.items()
            if key.startswith(KEY_TOPIC)
        }

    def table(self, fingerprint: bytes) -> Table | None:
        """The table definition of this fingerprint, as far as is known."""
        definition = self.values.get(KEY_TABLE + fingerprint)
        return Table.parse(definition) if definition else None

    def _end(self, place: TopicPartition, deadline: float) -> int:
        while True:
            try:
                _, end = self._consumer.get_watermark_offsets(place, timeout=REQUEST_TIMEOUT_S)
            except KafkaException as error:
                # A topic that was just made has no leader yet, or another one than the client last heard.
                if error.args[0].code() not in LEADER_UNKNOWN or time.monotonic() > deadline:
                    raise
                time.sleep(LEADER_WAIT_S)
            else:
                return end

    def _take(self, message: Message) -> bool:
        """Note what a message says; whether it is the end."""
        error = message.error()
        if error is None:
            key, value = message.key(), message.value()
            if isinstance(key, bytes) and isinstance(value, bytes):
                self.values[key] = value
            self._position = (message.offset() or 0) + 1
            return False
        if error.code() == END_OF_PARTITION:
            return True
        raise error_of(error, self._servers)


END_OF_PARTITION = -191
"""librdkafka's _PARTITION_EOF."""
