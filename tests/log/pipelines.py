"""Pipelines on a private Kafka, each with topics of its own."""

import functools
import secrets
import time
from collections.abc import Callable, Sequence

from changeover.demo.broker import PrivateKafka
from changeover.log.kafka.client import Cluster
from changeover.log.kafka.log import KafkaLog, make_log
from changeover.log.kafka.topics import Wanted
from changeover.table import Table
from tests.contracts.log import TABLES

WAIT_S_MAX = 60.0

WANTED = Wanted(partitions=2, replication=1, min_insync=1, replay_window_h=168)


class Pipeline:
    """A pipeline of its own name, whose topics are there."""

    def __init__(
        self, kafka: PrivateKafka, tables: Sequence[Table] = TABLES, *, wanted: Wanted = WANTED
    ) -> None:
        self.name = f"p{secrets.token_hex(4)}"
        self.cluster = Cluster(servers=kafka.bootstrap)
        make_log(self.cluster, self.name, tables, wanted)
        self.open_log: Callable[[], KafkaLog] = functools.partial(KafkaLog, self.cluster, self.name)

    def topic(self, table: Table) -> str:
        return f"{self.name}.{table.full_name}"


def until(condition: Callable[[], bool], s_max: float = WAIT_S_MAX) -> bool:
    """Whether the condition came to hold within the time."""
    deadline = time.monotonic() + s_max
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
