"""Appending in transactions: each producer has one transactional id, and is thrown away after an error."""

import secrets
from collections.abc import Iterable, Sequence

from confluent_kafka import KafkaError, Message, Producer

from changeover.errors import LogUnavailable
from changeover.log import Beat, Checkpoint, Entry, topic_of
from changeover.log.kafka.client import REQUEST_TIMEOUT_S, Cluster, error_of, translated
from changeover.log.kafka.control import KEY_CAPTURE, KEY_TABLE, ControlTopic
from changeover.log.kafka.topics import progress_topic
from changeover.log.kafka.wire import HEADER_PART, HEADER_TABLE, CaptureState, Part, encode_watermark, split
from changeover.progress import Partition, Watermark

QUEUE_FULL_WAIT_S = 0.1


class Appender:
    """Appends entries, each call one transaction."""

    def __init__(
        self, cluster: Cluster, pipeline: str, name: str, control: ControlTopic, record_bytes_max: int
    ) -> None:
        self._servers = cluster.servers
        self._pipeline = pipeline
        self._control = control
        self._bytes_max = record_bytes_max
        self._defined: set[str] = set()
        self._ends: dict[Partition, int] = {}
        self._failed: KafkaError | None = None
        self._is_usable = True
        with translated(self._servers):
            self._producer = Producer(cluster.producer(f"{pipeline}.{name}"))
            # Ends what an earlier producer of this id has left open, and fences it for good.
            self._producer.init_transactions(REQUEST_TIMEOUT_S)

    def append(self, entries: Sequence[Entry]) -> dict[Partition, int]:
        """Return once the entries are durable and visible, with the end offsets of their partitions."""
        self.begin(entries)
        ends = self.flush()
        self.commit()
        return ends

    def begin(self, entries: Sequence[Entry]) -> None:
        """Begin a transaction with the entries in it."""
        if not self._is_usable:
            message = "the producer has failed before, and the outcome of its transaction is not known"
            raise LogUnavailable(message)
        self._is_usable = False  # until this transaction has ended well
        self._ends = {}
        self._define(entries)
        with translated(self._servers):
            self._producer.begin_transaction()
        for entry in entries:
            self._produce_entry(entry)

    def produce(
        self, topic: str, key: bytes, value: bytes, headers: Iterable[tuple[str, bytes]] = ()
    ) -> None:
        """Add a record to the open transaction."""
        with translated(self._servers):
            while True:
                try:
                    self._producer.produce(
                        topic, value, key, headers=list(headers), on_delivery=self._delivered
                    )
                except BufferError:  # the client's queue is full: wait for answers
                    self._producer.poll(QUEUE_FULL_WAIT_S)
                else:
                    self._producer.poll(0)
                    return

    def flush(self) -> dict[Partition, int]:
        """Wait until each record of the open transaction has its offset; the end offsets."""
        with translated(self._servers):
            left = self._producer.flush(REQUEST_TIMEOUT_S)
        if self._failed:
            raise error_of(self._failed, self._servers)
        if left:
            message = f"Kafka at {self._servers} did not take {left} records within {REQUEST_TIMEOUT_S:.0f} s"
            raise LogUnavailable(message)
        return self._ends

    def commit(self) -> None:
        """Commit the open transaction. After an error its outcome is not known."""
        with translated(self._servers):
            self._producer.commit_transaction(REQUEST_TIMEOUT_S)
        self._is_usable = True

    def _define(self, entries: Sequence[Entry]) -> None:
        """Have each entry's table definition in the control topic before any record refers to it."""
        tables = {entry.table.fingerprint: entry.table for entry in entries}
        new = [table for fingerprint, table in tables.items() if fingerprint not in self._defined]
        if not new:
            return
        with translated(self._servers):
            self._producer.begin_transaction()
        for table in new:
            self.produce(self._control.name, KEY_TABLE + table.fingerprint.encode(), table.definition)
        self.flush()
        with translated(self._servers):
            self._producer.commit_transaction(REQUEST_TIMEOUT_S)
        self._defined |= {table.fingerprint for table in new}
        self._ends = {}

    def _produce_entry(self, entry: Entry) -> None:
        topic = topic_of(self._pipeline, entry.table)
        headers = [(HEADER_TABLE, entry.table.fingerprint.encode())]
        parts = split(entry.value, self._bytes_max)
        if len(parts) == 1:
            self.produce(topic, entry.key, entry.value, headers)
            return
        record = secrets.token_hex(8)
        for number, part in enumerate(parts):
            header = Part(record, number, len(parts)).header
            self.produce(topic, entry.key, part, [*headers, (HEADER_PART, header)])

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed = self._failed or error
            return
        partition = Partition(message.topic() or "", message.partition() or 0)
        # From the delivery report: the partition's high watermark counts the transactions' markers too.
        self._ends[partition] = max(self._ends.get(partition, 0), (message.offset() or 0) + 1)


class KafkaCaptureLog:
    """The log in the hands of the one live capture."""

    def __init__(self, appender: Appender, control: ControlTopic, pipeline: str) -> None:
        self._appender = appender
        self._control = control
        self._progress = progress_topic(pipeline)
        control.refresh()
        value = control.values.get(KEY_CAPTURE)
        self._state = CaptureState.decode(value) if value else CaptureState(None, {})

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The last durable checkpoint."""
        return self._state.checkpoint

    def append(self, entries: Sequence[Entry], checkpoint: Checkpoint | None, beat: Beat | None) -> None:
        """Return once all of it is durable, in one transaction; see `changeover.log.CaptureLog`."""
        appender = self._appender
        appender.begin(entries)
        # Merged into what no watermark has named yet, which a capture after us finds in the control topic.
        ends = {**self._state.ends, **appender.flush()}
        if beat:
            watermark = Watermark(beat.version, beat.source_ms, ends)
            appender.produce(self._progress, b"watermark", encode_watermark(watermark))
            ends = {}
        state = CaptureState(checkpoint or self._state.checkpoint, ends)
        appender.produce(self._control.name, KEY_CAPTURE, state.encode())
        appender.flush()
        appender.commit()
        self._state = state
