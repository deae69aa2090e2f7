"""Kafka's clients as we set them up, and their errors in our words."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from changeover.errors import ChangeoverError, Fenced, LogUnavailable, LogUnusable

CONNECT_TIMEOUT_S = 10.0
"""How long the first question may take: enough for TLS, a password and a slow name server."""

REQUEST_TIMEOUT_S = 30.0
"""How long each later question may take before the brokers count as unavailable: they may be electing."""

ATTEMPT_TIMEOUT_S = 5.0
"""How long one attempt to ask it may take: an answer that was lost does not come later."""

ATTEMPT_WAIT_S = 0.1

TRANSACTION_TIMEOUT_MS = 20_000
"""A transaction that its producer leaves open ends after this, and up to 10 s until the broker looks.

Until then no reader gets past it, so a killed import worker holds up everybody for that long (a killed
capture only until it is back). Ours take milliseconds; one that takes longer than this, because the brokers
are electing or we were halted, is begun anew from the checkpoint, which costs nothing but the time.
"""

OPEN_S_MAX = TRANSACTION_TIMEOUT_MS / 1000 + 15
"""No transaction of ours is open for longer: the broker ends it after its time-out, and looks every 10 s."""

SESSION_TIMEOUT_MS = 10_000
"""A member that was killed keeps its partitions, and lets no other join, for this long; Kafka has 45 s.

The client sends its signs of life from a thread of its own, so a slow target does not count.
"""

RECORD_ROOM_BYTES = 100_000
"""For the key and the headers of a record, beside its value: a key in MySQL has at most 3 kB."""

QUEUE_KBYTES_MAX = 64 * 1024
"""What a client holds in memory for us at most: of a producer, on its way out; of a consumer, read ahead."""

FENCED = frozenset(
    {
        KafkaError._FENCED,  # noqa: SLF001 - librdkafka's own codes have no other name
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.INVALID_PRODUCER_ID_MAPPING,
        KafkaError.INVALID_TXN_STATE,
    }
)
"""Another producer of the same transactional id has begun, or the broker has ended our transaction.

librdkafka makes one error of both.
"""

ACCESS = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._AUTHENTICATION,  # noqa: SLF001
        KafkaError._SSL,  # noqa: SLF001
    }
)

UNUSABLE = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.POLICY_VIOLATION,
        KafkaError.INVALID_CONFIG,
        KafkaError.INVALID_PARTITIONS,
        KafkaError.INVALID_REPLICATION_FACTOR,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Where the brokers are and how to talk to them; `options` go to librdkafka as they are."""

    servers: str
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    def admin(self) -> dict[str, Any]:
        """Settings for questions and for topics."""
        return {
            **self.options,
            "bootstrap.servers": self.servers,
            # What matters comes back as an error of the call that suffers from it; librdkafka's own lines
            # repeat each lost connection without end.
            "log_level": 0,
            "logger": _quiet,
            "socket.timeout.ms": TRANSACTION_TIMEOUT_MS // 2,  # it must be shorter than the transaction's
        }

    def producer(self, transactional_id: str, record_bytes_max: int) -> dict[str, Any]:
        """Settings for a producer that loses nothing and writes nothing twice."""
        return {
            **self.admin(),
            "transactional.id": transactional_id,
            "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
            "enable.idempotence": True,
            "acks": "all",
            "compression.type": "lz4",
            "linger.ms": 2,
            "message.max.bytes": record_bytes_max + RECORD_ROOM_BYTES,  # of a batch too
            "queue.buffering.max.kbytes": QUEUE_KBYTES_MAX,
            # Kafka's own: a topic that is read or written by others keeps a key in one partition.
            "partitioner": "murmur2",
        }

    def consumer(self, group: str) -> dict[str, Any]:
        """Settings for a consumer that sees committed transactions only, and commits when it is told to."""
        return {
            **self.admin(),
            "group.id": group,
            "session.timeout.ms": SESSION_TIMEOUT_MS,
            # Topics in turn: by "range" the first member would get all topics of a single partition.
            "partition.assignment.strategy": "roundrobin",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "isolation.level": "read_committed",
            "queued.max.messages.kbytes": QUEUE_KBYTES_MAX,
            # Offsets that are gone are an error: to begin elsewhere would be to skip or to repeat unasked.
            "auto.offset.reset": "error",
            # The end lies behind the last record, for the markers of transactions take offsets too.
            "enable.partition.eof": True,
        }


PASSING = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.NOT_CONTROLLER,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001 - said when the brokers are silent, too
        KafkaError._NOENT,  # noqa: SLF001 - no partition has a leader
    }
)
"""Answers of brokers that elect a leader or come up: right after a topic was made, too."""

Answer = TypeVar("Answer")


def patiently(servers: str, ask: Callable[[], Answer]) -> Answer:
    """The answer to a question that changes nothing, asked again while the brokers are changing."""
    deadline = time.monotonic() + REQUEST_TIMEOUT_S
    with translated(servers):
        while True:
            try:
                return ask()
            except KafkaException as error:
                if error.args[0].code() not in PASSING or time.monotonic() > deadline:
                    raise
            time.sleep(ATTEMPT_WAIT_S)


def bounded(servers: str, call: Callable[[], Answer]) -> Answer:
    """The answer of a call that knows no time-out; after ours it goes on, and nobody waits for it."""
    answers: SimpleQueue[Answer | Exception] = SimpleQueue()
    Thread(target=lambda: answers.put(_attempt(call)), daemon=True).start()
    try:
        answer = answers.get(timeout=REQUEST_TIMEOUT_S)
    except Empty:
        raise unavailable(f"Kafka at {servers} did not answer for {REQUEST_TIMEOUT_S:.0f} s") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _attempt(call: Callable[[], Answer]) -> Answer | Exception:
    try:
        return call()
    except Exception as error:  # noqa: BLE001 - raised again, in the thread that asked
        return error


def reached(cluster: Cluster) -> AdminClient:
    """A client that was answered; `LogUnusable` where none can be, such as for a wrong password.

    Later calls could only say that their time has passed.
    """
    heard: list[KafkaError] = []
    deadline = time.monotonic() + CONNECT_TIMEOUT_S
    try:
        admin = AdminClient(cluster.admin() | {"error_cb": heard.append})
    except KafkaException as error:
        hint = "Look at log.url and at log.options."
        raise LogUnusable(f"Kafka's client cannot be set up: {error.args[0].str()}", hint=hint) from error
    while True:
        try:
            admin.describe_cluster(request_timeout=1.0).result()
        except KafkaException as error:
            admin.poll(0)  # this is what calls `heard.append`
            refusals = [one for one in heard if one.code() in ACCESS]
            if refusals or time.monotonic() > deadline:
                raise error_of((refusals or heard or [error.args[0]])[-1], cluster.servers) from error
        else:
            return admin


@contextmanager
def translated(servers: str) -> Iterator[None]:
    """Errors of the client in our words."""
    try:
        yield
    except KafkaException as error:
        raise error_of(error.args[0], servers) from error
    except SystemError as error:
        # The client raises a fatal error (fenced) and then calls our callback, which Python takes amiss.
        if not isinstance(error.__cause__, KafkaException):
            raise
        raise error_of(error.__cause__.args[0], servers) from error


def error_of(error: KafkaError, servers: str) -> ChangeoverError:
    """The error in our words."""
    if error.code() in FENCED:
        return Fenced("another producer has taken over, or Kafka has ended our transaction")
    if error.code() in ACCESS:
        hint = (
            "Look at log.options: authority (whose certificates must name the hosts as log.url does), user "
            "and password; and at this user's rights."
        )
        return LogUnusable(f"Kafka at {servers} refuses: {error.str()}", hint=hint)
    if error.code() in UNUSABLE:
        return LogUnusable(
            f"Kafka at {servers} refuses: {error.str()}", hint="See `changeover topics check`."
        )
    return unavailable(f"Kafka at {servers} did not answer: {error.str()}")


def open_for_too_long() -> LogUnavailable:
    """The error of a transaction that Kafka has ended for its time."""
    return unavailable("Kafka has ended our transaction, because it was open for too long")


def unavailable(message: str) -> LogUnavailable:
    """The error of a Kafka that may well answer later."""
    hint = "Check log.url, and that the brokers run; a pipeline that runs goes on by itself."
    return LogUnavailable(message, hint=hint)


class _Quiet:
    """Takes the lines that librdkafka still writes: those of fatal errors."""

    def log(self, *_: object) -> None:
        """Forget the line."""


_quiet = _Quiet()
