"""One private Kafka for all tests of the log; those that harm their broker have one of their own."""

from collections.abc import Iterator

import pytest

from changeover.demo.broker import PrivateKafka


@pytest.fixture(scope="session")
def kafka() -> Iterator[PrivateKafka]:
    with PrivateKafka() as broker:
        yield broker
