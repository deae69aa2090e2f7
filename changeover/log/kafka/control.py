"""The control topic: the latest value of each of the log's few keys, read as a table."""

import time

import orjson
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from changeover.errors import LogUnavailable
from changeover.formats import require_known
from changeover.log.kafka.client import (
    ATTEMPT_TIMEOUT_S,
    OPEN_S_MAX,
    REQUEST_TIMEOUT_S,
    Cluster,
    error_of,
    patiently,
    translated,
    unavailable,
)
from changeover.log.kafka.topics import Found, Topics, control_topic
from changeover.log.kafka.wire import CaptureState, readable
from changeover.progress import Partition
from changeover.table import Table

FORMAT = 1
"""Of all that the pipeline keeps in Kafka: records, their headers, watermarks, and notes beside offsets."""

KEY_FORMAT = b"format"
"""The format's number in decimal digits; logs of format 1 that were made before it was written have none."""

KEY_IDENTITY = b"identity"
KEY_CAPTURE = b"capture"
KEY_TOPIC = b"topic:"
KEY_TABLE = b"table:"

FETCH_WAIT_MS = 10
"""How long the broker waits for more at the topic's end: it is read only on demand, so not in vain."""

POLL_S = 0.02


class ControlTopic:
    """The control topic's content, as of the last `refresh`."""

    def __init__(self, cluster: Cluster, pipeline: str, topics: Topics) -> None:
        self.name = control_topic(pipeline)
        self.identity: str | None = None
        """None where the log was not made."""
        self.topics: dict[str, Found] = {}
        """The topics as they were when they were made."""
        self.tables: dict[bytes, Table] = {}
        """Table definitions by fingerprint."""
        self.capture = CaptureState()
        self._taken: dict[bytes, bytes] = {}
        """The latest value of each key, of those that are not noted yet."""
        self._servers = cluster.servers
        self._topics = topics
        self._position = 0
        self._place = Partition(self.name, 0)
        settings = {**cluster.consumer(f"{pipeline}.control"), "fetch.wait.max.ms": FETCH_WAIT_MS}
        with translated(self._servers):
            self._consumer = Consumer(settings)

    def refresh(self, *, whole: bool = False) -> None:
        """Read on to the end of what is committed; if `whole`, once no transaction of until now is open.

        For one that is open hides all records behind it, also those of others that are committed. Raises
        `StateNewer` if what the pipeline keeps in Kafka is of a newer format than this release knows.
        """
        end = self._committed_end()
        if whole:
            end = self._await(self._topics.ends([self._place])[self._place])
        if end > self._position:
            with translated(self._servers):
                self._read_to(end)
        with readable(f"the topic {self.name} in Kafka at {self._servers}") as where:
            # Before all else: where compaction has been, it may lie behind what was written after it.
            require_known(where, int(self._taken.get(KEY_FORMAT, b"0")), FORMAT)
            for key, value in self._taken.items():
                self._note(key, value)
        self._taken.clear()

    def close(self) -> None:
        """Hang up."""
        self._consumer.close()

    def table(self, fingerprint: bytes) -> Table | None:
        """The table definition of this fingerprint, None if there is none."""
        if fingerprint not in self.tables:
            self.refresh(whole=True)  # it was committed before the first record that needs it
        return self.tables.get(fingerprint)

    def topic(self, name: str) -> Found | None:
        """The topic as it was made, None if it was not."""
        if name not in self.topics:
            self.refresh(whole=True)
        return self.topics.get(name)

    def _await(self, end: int) -> int:
        """The end of what is committed, once it has come to `end`."""
        deadline = time.monotonic() + OPEN_S_MAX
        while (committed := self._committed_end()) < end:
            if time.monotonic() > deadline:
                raise LogUnavailable(
                    f"a transaction in {self.name} was open for {OPEN_S_MAX:.0f} s, so nobody reads past it",
                    hint="If it stays so, `changeover topics check` says it, and docs/runbook.md what to do.",
                )
            time.sleep(POLL_S)
        return committed

    def _committed_end(self) -> int:
        place = TopicPartition(*self._place)
        _, end = patiently(
            self._servers, lambda: self._consumer.get_watermark_offsets(place, timeout=ATTEMPT_TIMEOUT_S)
        )
        return end

    def _read_to(self, end: int) -> None:
        deadline = time.monotonic() + REQUEST_TIMEOUT_S
        self._consumer.assign([TopicPartition(*self._place, self._position)])
        try:
            while self._position < end:
                if time.monotonic() > deadline:
                    raise unavailable(f"the end of {self.name} was not reached")
                for message in self._consumer.consume(1_000, timeout=POLL_S):
                    self._take(message)
        finally:
            self._consumer.unassign()  # else the client would ask for more, over and over

    def _take(self, message: Message) -> None:
        error, offset = message.error(), message.offset() or 0
        if error is None:
            self._position = offset + 1
            self._taken[message.key() or b""] = message.value() or b""
        elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - it has no other name
            self._position = offset
        else:
            raise error_of(error, self._servers)

    def _note(self, key: bytes, value: bytes) -> None:
        if key == KEY_IDENTITY:
            self.identity = value.decode()
        elif key == KEY_CAPTURE:
            self.capture = CaptureState.decode(value)
        elif key.startswith(KEY_TOPIC):
            self.topics[key.removeprefix(KEY_TOPIC).decode()] = Found(**orjson.loads(value))
        elif key.startswith(KEY_TABLE):
            self.tables[key.removeprefix(KEY_TABLE)] = Table.parse(value)
