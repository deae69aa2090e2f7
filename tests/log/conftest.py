"""One private Kafka for all tests of the log; those that harm their broker have one of their own."""

from collections.abc import Iterator

import pytest

from changeover.demo.broker import PrivateKafka


@pytest.fixture(scope="session")
def kafka() -> Iterator[PrivateKafka]:
    options = {
        # By default it looks every 10 s for transactions that were left open.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "200",
        "group.min.session.timeout.ms": "1000",
    }
    with PrivateKafka(options=options) as broker:
        yield broker
