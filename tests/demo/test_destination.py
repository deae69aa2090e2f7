"""What the demo moves into: the double of Riak starts and ends with it, an address is taken as it is."""

import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from changeover.demo import destination
from changeover.demo.destination import BUCKET_TYPE, into_riak
from changeover.errors import SettingsInvalid
from changeover.riak.access import Access, Node
from changeover.riak.buckets import GetBucket
from changeover.riak.client import Client
from changeover.riak.request import Bucket
from tests.support.processes import wait_until


def nodes_of(settings: str) -> list[Node]:
    url = settings.partition('"riak://')[2].partition('"')[0]
    return [Node(host, int(port)) for host, port in (part.split(":") for part in url.split(","))]


def test_without_an_address_a_double_runs_and_is_said_to_be_one_and_is_gone_at_the_end() -> None:
    said: list[str] = []
    with into_riak("", said.append) as made:
        nodes = nodes_of(made.settings)
        with Client(Access(nodes=tuple(nodes))) as client:
            assert client.call(GetBucket(Bucket(b"any", BUCKET_TYPE.encode()))).allow_mult is False
        assert len(nodes) == 3
        assert "a double of Riak" in said[0]
        assert "no Riak was named" in said[0]
    gone_soon(nodes)


def gone_soon(nodes: list[Node]) -> None:
    assert wait_until(lambda: not any(answers(node) for node in nodes))


def answers(node: Node) -> bool:
    with suppress(OSError), socket.create_connection(node, 1):
        return True
    return False


PARENT = """
import os
from changeover.demo.destination import into_riak
with into_riak("", lambda _: None) as made:
    print(made.settings, flush=True)
    os.kill(os.getpid(), 9)
"""


def test_the_double_ends_with_a_parent_that_is_killed() -> None:
    parent = subprocess.run([sys.executable, "-c", PARENT], capture_output=True, text=True, check=False)
    gone_soon(nodes_of(parent.stdout))


def test_an_address_is_taken_as_it_is_with_buckets_of_its_own_for_each_run() -> None:
    said: list[str] = []
    with (
        into_riak("riak.internal:8087", said.append) as one,
        into_riak("riak.internal:8087", said.append) as other,
    ):
        assert nodes_of(one.settings) == [Node("riak.internal", 8087)]
        assert one.pipeline != other.pipeline
        assert f'bucket = "{one.pipeline}-citizen"' in one.settings
    assert "the Riak at riak.internal:8087" in said[0]


@pytest.mark.parametrize("address", ["riak.internal", ":8087"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(SettingsInvalid, match="no address"), into_riak(address, lambda _: None):
        pass


def test_without_a_checkout_the_double_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destination, "CHECKOUT", tmp_path)
    with (
        pytest.raises(SettingsInvalid, match=r"comes with a checkout.*--riak HOST:PORT"),
        into_riak("", print),
    ):
        pass
