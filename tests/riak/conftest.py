"""A cluster of Riak for tests: a real one if its address is given, else the double.

`CHANGEOVER_TEST_RIAK=host:port` names a real node. It needs the bucket types `plain3` (allow_mult=false) and
`mult` (allow_mult=true), both active with n_val 3, and delete_mode=keep. Tests that turn the double's knobs
take `double`, and never see a real node.
"""

import os
import uuid
from collections.abc import Iterator

import pytest

from changeover.riak.access import Access, Node
from changeover.riak.client import Client
from changeover.riak.request import Bucket
from tests.riak.double.running import Running, running


@pytest.fixture(scope="session")
def access() -> Iterator[Access]:
    """A cluster, and no test knows whether it is real."""
    address = os.environ.get("CHANGEOVER_TEST_RIAK")
    if address:
        host, _, port = address.rpartition(":")
        yield Access(nodes=(Node(host, int(port)),))
    else:
        with running() as double:
            yield double.access


@pytest.fixture
def client(access: Access) -> Iterator[Client]:
    with Client(access) as client:
        yield client


@pytest.fixture
def bucket() -> Bucket:
    """A bucket of this test's own, without siblings."""
    return Bucket(f"test-{uuid.uuid4()}".encode(), b"plain3")


@pytest.fixture
def with_siblings(bucket: Bucket) -> Bucket:
    """A bucket of this test's own, with siblings."""
    return bucket._replace(type=b"mult")


@pytest.fixture
def double() -> Iterator[Running]:
    """One node of the double, whose knobs may be turned."""
    with running() as double:
        yield double


@pytest.fixture
def three() -> Iterator[Running]:
    """Three nodes of the double."""
    with running(3) as double:
        yield double
