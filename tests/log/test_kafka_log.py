"""The log on Kafka: the contract of every log. What only Kafka can do is in the files beside this one."""

from collections.abc import Callable

import pytest

from changeover.demo.broker import PrivateKafka
from changeover.log.kafka.log import KafkaLog
from tests.contracts.log import LogContract
from tests.log.pipelines import Pipeline


class TestKafkaLog(LogContract):
    @pytest.fixture
    def open_log(self, kafka: PrivateKafka) -> Callable[[], KafkaLog]:
        return Pipeline(kafka).open_log
