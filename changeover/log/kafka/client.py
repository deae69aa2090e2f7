"""Kafka's clients as we set them up, and their errors in our words."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from changeover.errors import ChangeoverError, Fenced, LogUnavailable, LogUnusable

REQUEST_TIMEOUT_S = 30.0
"""How long one question to the brokers may take before they count as unavailable."""

TRANSACTION_TIMEOUT_MS = 60_000
"""A transaction that its producer leaves open holds up all readers for this long, unless it comes back."""

FENCED = frozenset(
    {KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.INVALID_PRODUCER_ID_MAPPING}  # noqa: SLF001 - librdkafka's own codes have no other name
)

UNUSABLE = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._AUTHENTICATION,  # noqa: SLF001
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.POLICY_VIOLATION,
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
            "logger": _quiet,
            "socket.timeout.ms": int(REQUEST_TIMEOUT_S * 1000),
        }

    def producer(self, transactional_id: str) -> dict[str, Any]:
        """Settings for a producer that loses nothing and writes nothing twice."""
        return {
            **self.admin(),
            "transactional.id": transactional_id,
            "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
            "enable.idempotence": True,
            "acks": "all",
            "compression.type": "lz4",
            "linger.ms": 2,
            # Kafka's own: a topic that is read or written by others keeps a key in one partition.
            "partitioner": "murmur2",
        }

    def consumer(self, group: str, *, tells_end: bool = False) -> dict[str, Any]:
        """Settings for a consumer that sees committed transactions only, and commits when it is told to."""
        return {
            **self.admin(),
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "isolation.level": "read_committed",
            # Offsets that are gone are an error: to begin elsewhere would be to skip or to repeat unasked.
            "auto.offset.reset": "error",
            "enable.partition.eof": tells_end,
        }


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
        return Fenced("a newer process has taken over this log")
    if error.code() in UNUSABLE:
        return LogUnusable(
            f"Kafka at {servers} refuses: {error.str()}", hint="See `changeover topics check`."
        )
    hint = "Check that the brokers run and can be reached from here; the work goes on by itself."
    return LogUnavailable(f"Kafka at {servers} did not answer: {error.str()}", hint=hint)


class _Quiet:
    """Takes librdkafka's own log lines, which repeat each lost connection without end."""

    def log(self, *_: object) -> None:
        """Forget the line: what matters comes back as an error of the call that suffers from it."""


_quiet = _Quiet()
