"""Appending in transactions: each producer has one transactional id, and is thrown away after an error."""

import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from changeover.crashpoints import reach
from changeover.errors import ChangeoverError, Fenced, LogUnusable
from changeover.log import Beat, Checkpoint, Entry, topic_of
from changeover.log.kafka.client import (
    REQUEST_TIMEOUT_S,
    Cluster,
    error_of,
    open_for_too_long,
    translated,
    unavailable,
)
from changeover.log.kafka.control import KEY_CAPTURE, KEY_TABLE, ControlTopic
from changeover.log.kafka.parts import HEADER_PART, Part, split
from changeover.log.kafka.topics import Found, progress_topic
from changeover.log.kafka.wire import HEADER_TABLE, KEY_WATERMARK, CaptureState, encode_watermark
from changeover.progress import Partition, Watermark

QUEUE_FULL_WAIT_S = 0.1

DEATH_WAIT_S = 1.0
"""How long the client may take to say what its producer has died of: it is said as it dies."""

NAME_WAIT_S_MAX = 2.0
"""How long a capture may take from fencing us to leaving its name: these are its first two steps."""

NAME_POLL_S = 0.05


class Appender:
    """Appends entries, each call one transaction."""

    def __init__(
        self, cluster: Cluster, pipeline: str, name: str, control: ControlTopic, record_bytes_max: int
    ) -> None:
        self._servers = cluster.servers
        self._pipeline = pipeline
        self._control = control
        self._bytes_max = record_bytes_max
        self._topics: dict[str, Found] = {}
        self._ends: dict[Partition, int] = {}
        self._failed: ChangeoverError | None = None
        self._is_usable = True
        with translated(self._servers):
            self._producer = Producer(cluster.producer(f"{pipeline}.{name}", record_bytes_max))
            # Ends what an earlier producer of this id has left open, and fences it for good. If that one was
            # committing, its commit is completed first: the outcome is known from here on.
            self._producer.init_transactions(REQUEST_TIMEOUT_S)

    def append(self, entries: Sequence[Entry]) -> dict[Partition, int]:
        """Return once the entries are durable and visible, with the end offsets of their partitions."""
        self.begin(entries)
        ends = self.flush()
        reach("snapshot.entries_produced")
        self.commit()
        return ends

    def begin(self, entries: Sequence[Entry] = ()) -> None:
        """Begin a transaction with the entries in it."""
        if not self._is_usable:
            message = "the producer has failed before, and the outcome of its transaction is not known"
            raise unavailable(message)
        self._is_usable = False  # until this transaction has ended well
        self._define(entries)
        self._begin()
        for entry in entries:
            self._produce_entry(entry)

    def produce(
        self, topic: str, key: bytes, value: bytes, headers: Iterable[tuple[str, bytes]] = ()
    ) -> None:
        """Add a record to the open transaction."""
        deadline = time.monotonic() + REQUEST_TIMEOUT_S
        with self._telling():
            while True:
                try:
                    self._producer.produce(
                        topic, value, key, headers=list(headers), on_delivery=self._delivered
                    )
                except BufferError:  # the client's queue is full: wait for answers
                    self._producer.poll(QUEUE_FULL_WAIT_S)
                    self._check(is_late=time.monotonic() > deadline)
                else:
                    self._producer.poll(0)
                    return

    def flush(self) -> dict[Partition, int]:
        """Wait until each record of the open transaction has its offset; the end offsets."""
        with self._telling():
            left = self._producer.flush(REQUEST_TIMEOUT_S)
        self._check(is_late=left > 0)
        return self._ends

    def commit(self) -> None:
        """Commit the open transaction. After an error its outcome is not known."""
        self._commit()
        self._is_usable = True

    def _begin(self) -> None:
        self._ends = {}
        with self._telling():
            self._producer.begin_transaction()

    def _commit(self) -> None:
        with self._telling():
            self._producer.commit_transaction(REQUEST_TIMEOUT_S)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """The producer's errors in our words, and of one that is dead what it died of."""
        with translated(self._servers):
            try:
                yield
            except KafkaException as error:
                if error.args[0].code() == KafkaError._FATAL:  # noqa: SLF001 - it has no other name
                    self._producer.poll(DEATH_WAIT_S)  # which raises what a call only calls fatal
                raise

    def _define(self, entries: Sequence[Entry]) -> None:
        """Have each entry's table definition in the control topic before any record refers to it."""
        tables = {entry.table.fingerprint.encode(): entry.table for entry in entries}
        new = {
            fingerprint: table
            for fingerprint, table in tables.items()
            if fingerprint not in self._control.tables
        }
        if not new:
            return
        # In a transaction of its own: readers may see the records of this one before its control records.
        self._begin()
        for fingerprint, table in new.items():
            self.produce(self._control.name, KEY_TABLE + fingerprint, table.definition)
        self.flush()
        self._commit()
        self._control.tables.update(new)

    def _produce_entry(self, entry: Entry) -> None:
        topic = topic_of(self._pipeline, entry.table)
        if topic not in self._topics:
            self._topics[topic] = self._noted(topic)
        headers = [(HEADER_TABLE, entry.table.fingerprint.encode())]
        if len(entry.value) <= self._bytes_max:
            self.produce(topic, entry.key, entry.value, headers)
            return
        parts = split(entry.value, self._bytes_max)
        record = secrets.token_hex(8)
        for number, part in enumerate(parts):
            header = Part(record, number, len(parts)).header
            self.produce(topic, entry.key, part, [*headers, (HEADER_PART, header)])

    def _noted(self, topic: str) -> Found:
        """The topic as it was made. A broker may make any topic on first use, and nobody would read it."""
        noted = self._control.topic(topic)
        if noted is None:
            raise LogUnusable(f"there is no topic {topic}", hint="Make it: changeover topics create.")
        return noted

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        partition = Partition(message.topic() or "", message.partition() or 0)
        if error is not None:
            self._failed = self._failed or error_of(error, self._servers)
            return
        noted = self._topics.get(partition.topic)
        if noted and partition.number >= noted.partitions:
            message_ = f"topic {partition.topic} has got more partitions than the {noted.partitions} it had"
            self._failed = self._failed or LogUnusable(message_, hint="Keys have moved between partitions.")
        # From the delivery report: the partition's high watermark counts the transactions' markers too.
        self._ends[partition] = max(self._ends.get(partition, 0), (message.offset() or 0) + 1)

    def _check(self, *, is_late: bool) -> None:
        if self._failed:
            raise self._failed
        if is_late:
            message = f"Kafka at {self._servers} did not take all records within {REQUEST_TIMEOUT_S:.0f} s"
            raise unavailable(message)


class KafkaCaptureLog:
    """The log in the hands of the one live capture."""

    def __init__(self, appender: Appender, control: ControlTopic, pipeline: str) -> None:
        self._appender = appender  # its birth has fenced whoever was capture before
        self._control = control
        self._progress = progress_topic(pipeline)
        self._is_fenced = False
        control.refresh(whole=True)
        self._state = replace(control.capture, holder=secrets.token_hex(8))
        appender.begin()
        self._commit(self._state)
        reach("capture.log_taken")

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The last durable checkpoint."""
        return self._state.checkpoint

    def append(self, entries: Sequence[Entry], checkpoint: Checkpoint | None, beat: Beat | None) -> None:
        """Return once all of it is durable, in one transaction; see `changeover.log.CaptureLog`."""
        if self._is_fenced:
            raise _fenced()
        try:
            self._append(entries, checkpoint, beat)
        except Fenced as error:
            self._is_fenced = self._is_taken_over()
            if self._is_fenced:
                raise _fenced() from error
            raise open_for_too_long() from error

    def _append(self, entries: Sequence[Entry], checkpoint: Checkpoint | None, beat: Beat | None) -> None:
        appender = self._appender
        appender.begin(entries)
        # Merged into what no watermark has named yet, which a capture after us finds in the control topic.
        ends = {**self._state.ends, **appender.flush()}
        reach("capture.entries_produced")
        if beat:
            watermark = Watermark(beat.version, beat.source_ms, ends)
            appender.produce(self._progress, KEY_WATERMARK, encode_watermark(watermark))
            ends = {}
        self._commit(replace(self._state, checkpoint=checkpoint or self._state.checkpoint, ends=ends))
        reach("capture.appended")

    def _commit(self, state: CaptureState) -> None:
        self._appender.produce(self._control.name, KEY_CAPTURE, state.encode())
        self._appender.flush()
        reach("capture.checkpoint_written")
        self._appender.commit()
        self._state = state

    def _is_taken_over(self) -> bool:
        """Whether a newer capture leaves its name, which it does before anything else."""
        deadline = time.monotonic() + NAME_WAIT_S_MAX
        while True:
            self._control.refresh(whole=True)
            if self._control.capture.holder != self._state.holder:
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(NAME_POLL_S)


def _fenced() -> Fenced:
    return Fenced("a newer capture has taken over this log")
