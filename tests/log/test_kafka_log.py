"""The log on Kafka: the contract of every log. What only Kafka can do is in the files beside this one."""

import functools
import secrets
from collections.abc import Callable

import pytest

from changeover.demo.broker import PrivateKafka
from changeover.log.kafka.client import Cluster
from changeover.log.kafka.log import KafkaLog, make_log
from changeover.log.kafka.topics import Wanted
from tests.contracts.log import TABLES, LogContract

WANTED = Wanted(partitions=2, replication=1, min_insync=1, replay_window_h=168)


class TestKafkaLog(LogContract):
    @pytest.fixture
    def open_log(self, kafka: PrivateKafka) -> Callable[[], KafkaLog]:
        cluster, pipeline = Cluster(servers=kafka.bootstrap), f"p{secrets.token_hex(4)}"
        make_log(cluster, pipeline, TABLES, WANTED)
        return functools.partial(KafkaLog, cluster, pipeline)
