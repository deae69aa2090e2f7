"""The double's replicas: how they part, how they come together, and what a client sees meanwhile."""

import socket
import subprocess
import sys
import time

import pytest

from changeover.riak.access import Access, Node
from changeover.riak.client import Client
from changeover.riak.clock import of_version
from changeover.riak.objects import PUT, PUT_DONE, Content, Delete, Get, Put
from changeover.riak.request import Bucket
from changeover.riak.wire import bytes_field, frame, number_field
from changeover.version import Version
from tests.riak.double.cluster import Cluster
from tests.riak.double.objects import Stored
from tests.riak.double.running import Running, running

KEY = b"k"


def ordered(bucket: Bucket, sequence: int) -> Put:
    return Put(bucket, KEY, Content(b"%d" % sequence), of_version(Version(1, sequence, 1)), as_is=True)


def values(client: Client, bucket: Bucket) -> list[bytes]:
    return [one.value for one in client.call(Get(bucket, KEY)).contents]


def on_replicas(cluster: Cluster, bucket: Bucket) -> list[bytes]:
    """The value that each replica holds itself, empty where none."""
    place = (bucket.type, bucket.name, KEY)
    found = [replica.own.get(place) for replica in cluster.replicas]
    return [dict(one.values[0].fields)[1] if one else b"" for one in found]


def test_every_replica_holds_what_was_put(three: Running, bucket: Bucket) -> None:
    with Client(three.access) as client:
        client.call(ordered(bucket, 5))
    assert on_replicas(three.cluster, bucket) == [b"5"] * 3


def test_a_replica_whose_node_is_down_misses_a_write_and_is_handed_it_when_it_is_back(
    three: Running, bucket: Bucket
) -> None:
    with Client(three.access) as client:
        client.call(ordered(bucket, 5))
        three.nodes[2].kill()
        client.call(ordered(bucket, 6))
        assert on_replicas(three.cluster, bucket) == [b"6", b"6", b"5"]
        assert values(client, bucket) == [b"6"]
        three.nodes[2].start()
    assert on_replicas(three.cluster, bucket) == [b"6"] * 3


def test_what_is_handed_over_late_never_goes_over_what_is_newer(three: Running, bucket: Bucket) -> None:
    with Client(three.access) as client:
        three.nodes[2].kill()
        client.call(ordered(bucket, 5))
        three.cluster.replicas[2].own.update(
            {(bucket.type, bucket.name, KEY): newer(three.cluster, bucket, client)}
        )
        three.nodes[2].start()
        assert on_replicas(three.cluster, bucket) == [b"5", b"5", b"9"]
        client.call(Get(bucket, KEY))
    assert on_replicas(three.cluster, bucket) == [b"9"] * 3


def newer(cluster: Cluster, bucket: Bucket, client: Client) -> Stored:
    """What a replica holds that alone has heard of version 9."""
    other = bucket._replace(name=b"elsewhere")
    client.call(ordered(other, 9))
    return cluster.replicas[0].own[other.type, other.name, KEY]


def test_a_read_repairs_the_replica_that_lost_its_disk(three: Running, bucket: Bucket) -> None:
    with Client(three.access) as client:
        client.call(ordered(bucket, 5))
        three.nodes[1].kill(with_disk=True)
        three.nodes[1].start()
        assert on_replicas(three.cluster, bucket) == [b"5", b"", b"5"]
        assert values(client, bucket) == [b"5"]
    assert on_replicas(three.cluster, bucket) == [b"5"] * 3


def test_one_replica_that_is_asked_alone_may_know_nothing_yet(three: Running, bucket: Bucket) -> None:
    three.cluster.late_share = 1
    with Client(three.access) as client:
        found = set()
        for number in range(40):
            one = bucket._replace(name=b"%d-%b" % (number, bucket.name))
            client.call(ordered(one, 5)._replace(w=1, dw=1))
            found.add(bool(client.call(Get(one, KEY, r=1)).contents))
    assert found == {True, False}


def test_a_quorum_of_readers_meets_a_quorum_of_writers(three: Running, bucket: Bucket) -> None:
    three.cluster.late_share = 1
    with Client(three.access) as client:
        for sequence in range(1, 60):
            client.call(ordered(bucket, sequence))
            assert values(client, bucket) == [b"%d" % sequence]


def test_writes_that_arrive_late_and_in_any_order_leave_the_newest_everywhere(
    three: Running, bucket: Bucket
) -> None:
    three.cluster.late_share = 1
    with Client(three.access) as client:
        client.call_many([ordered(bucket, sequence) for sequence in range(1, 60)])
    three.cluster.settle()
    assert on_replicas(three.cluster, bucket) == [b"59"] * 3


# -- tombstones


class Later:
    """The time, as it passes for a cluster in a test."""

    time, time_ns = time.time, time.time_ns

    def __init__(self) -> None:
        self.passed_s = 0.0

    def monotonic(self) -> float:
        return self.passed_s


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Later:
    later = Later()
    monkeypatch.setattr("tests.riak.double.cluster.time", later)
    return later


def test_a_tombstone_that_is_reaped_lets_a_late_older_write_back_in(bucket: Bucket, later: Later) -> None:
    with running(delete_mode_s=3) as double, Client(double.access) as client:
        client.call(ordered(bucket, 5))
        client.call(Delete(bucket, KEY, client.call(Get(bucket, KEY)).clock))
        client.call(ordered(bucket, 4))
        assert values(client, bucket) == []
        assert client.call(Get(bucket, KEY, deleted_clock=True)).clock
        later.passed_s += 4
        assert client.call(Get(bucket, KEY, deleted_clock=True)).clock == b""
        client.call(ordered(bucket, 4))
        assert values(client, bucket) == [b"4"]


def test_a_tombstone_that_is_kept_keeps_it_out(bucket: Bucket, later: Later) -> None:
    with running(delete_mode_s=None) as double, Client(double.access) as client:
        client.call(ordered(bucket, 5))
        client.call(Delete(bucket, KEY))
        later.passed_s += 1_000
        client.call(ordered(bucket, 4))
        assert values(client, bucket) == []


def test_a_tombstone_is_not_reaped_while_a_replica_cannot_be_asked(bucket: Bucket, later: Later) -> None:
    with running(3, delete_mode_s=3) as double, Client(double.access) as client:
        client.call(ordered(bucket, 5))
        double.nodes[2].kill()
        client.call(Delete(bucket, KEY))
        later.passed_s += 4
        assert client.call(Get(bucket, KEY, deleted_clock=True)).clock


# -- what Riak's ways lose, and a test of ours must see


def test_a_put_as_it_is_without_a_clock_is_acknowledged_and_reads_as_absent(
    access: Access, bucket: Bucket
) -> None:
    """Ours cannot be made: the frame is made by hand."""
    lost = number_field(13, 1) + bytes_field(16, bucket.type)
    body = bytes_field(1, bucket.name) + bytes_field(2, KEY) + bytes_field(4, bytes_field(1, b"lost")) + lost
    with socket.create_connection(access.nodes[0], timeout=5) as link:
        link.sendall(frame(PUT, body))
        assert link.recv(100) == frame(PUT_DONE)
    with Client(access) as client:
        assert values(client, bucket) == []


def test_a_process_of_its_own_serves_as_many_nodes_as_are_asked_for(bucket: Bucket) -> None:
    command = [sys.executable, "-m", "tests.riak.double", "--nodes", "3", "--type", "another:mult"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [address.split(":") for address in process.stdout.readline().split(",")]
        addresses = tuple(Node(host, int(port)) for host, port in said)
        with Client(Access(nodes=addresses)) as client:
            client.call(ordered(bucket, 5))
            assert values(client, bucket) == [b"5"]
        process.communicate()
    assert (len(addresses), process.returncode) == (3, 0)
