"""The transport, and what goes wrong with nodes and connections: against the double, by its knobs."""

import itertools
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from changeover.errors import TargetUnavailable, TargetUnusable
from changeover.riak import objects, pool
from changeover.riak.access import Access, Node
from changeover.riak.client import Client
from changeover.riak.clock import of_version
from changeover.riak.keys import BY_KEY, IndexQuery, Keys, ListKeys
from changeover.riak.objects import Content, Fetched, Get, Put
from changeover.riak.request import Bucket
from changeover.riak.session import ServerInfo
from changeover.riak.wire import frame
from changeover.version import Version
from tests.riak.double.faults import Cut, Faults
from tests.riak.double.running import Running
from tests.riak.listening import listening

TIMEOUT_S = 0.4
"""Of what is not answered in time."""

ANSWERED_S = 1.5
"""Where some answers must come in time: room for a machine that does much else."""

IN_TIME_S = 15
"""Far more than any of the time limits here, and far less than none."""

VERSION = Version(1, 5, 1)


def put(bucket: Bucket, number: int, size: int = 20) -> Put:
    value = (b"%d," % number) * (size // 2)
    return Put(bucket, b"%d" % number, Content(value), of_version(VERSION), as_is=True)


def puts(bucket: Bucket, count: int, size: int = 20) -> list[Put]:
    return [put(bucket, number, size) for number in range(count)]


def gets(wanted: list[Put]) -> list[Get]:
    return [Get(one.bucket, one.key) for one in wanted]


def values(found: list[Fetched]) -> list[bytes]:
    return [one.contents[0].value if one.contents else b"" for one in found]


def held(running: Running, bucket: Bucket) -> set[bytes]:
    return {key for key, _ in running.cluster.places(bucket.type, bucket.name)}


@pytest.fixture
def impatient(double: Running) -> Iterator[Client]:
    with Client(double.impatient(TIMEOUT_S)) as client:
        yield client


@contextmanager
def in_time() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < IN_TIME_S


# -- order


@pytest.mark.parametrize("count", [1, 2, 8, 9, 33, 1_000])
def test_answers_come_in_the_order_of_the_requests(double: Running, bucket: Bucket, count: int) -> None:
    wanted = puts(bucket, count)
    with Client(double.access) as client:
        assert client.call_many(wanted) == [objects.STORED] * count
        assert values(client.call_many(gets(wanted))) == [one.content.value for one in wanted]


def test_they_do_so_where_some_connections_are_much_slower_than_others(
    double: Running, bucket: Bucket
) -> None:
    double.nodes[0].links.extend([Faults(delay_s=0.01), Faults(piece_bytes=7), Faults(delay_s=0.002)])
    wanted = puts(bucket, 300)
    with Client(double.access) as client:
        client.call_many(wanted)
        assert values(client.call_many(gets(wanted))) == [one.content.value for one in wanted]


def test_a_large_call_goes_over_several_connections_and_a_small_one_over_one(
    double: Running, bucket: Bucket
) -> None:
    with Client(double.access) as client:
        client.call_many(puts(bucket, 8))
        assert double.nodes[0].connections == 1
        client.call_many(puts(bucket, 500))
        assert double.nodes[0].connections == 4
        client.call_many(puts(bucket, 500))
        assert double.nodes[0].connections == 4


def test_nothing_to_ask_needs_no_node() -> None:
    with Client(Access(nodes=(Node("127.0.0.1", 1),))) as client:
        assert client.call_many([]) == []


def test_a_cluster_needs_a_node_and_each_once() -> None:
    for nodes in ((), (Node("127.0.0.1"), Node("127.0.0.1"))):
        with pytest.raises(ValueError, match="needs a node"):
            Access(nodes=nodes)


def test_answers_that_come_one_byte_at_a_time_are_answers(double: Running, bucket: Bucket) -> None:
    double.nodes[0].faults.piece_bytes = 1
    with Client(double.access) as client:
        client.call_many(puts(bucket, 40))
        assert values(client.call_many(gets(puts(bucket, 40)))) == [
            one.content.value for one in puts(bucket, 40)
        ]


def test_values_of_megabytes_go_both_ways_at_once_and_nobody_waits_for_the_other(
    double: Running, bucket: Bucket
) -> None:
    wanted = puts(bucket, 12, size=3_000_000)
    echoed = [one._replace(return_body=True) for one in wanted]
    with Client(double.access) as client, in_time():
        answers = client.call_many(echoed)
        assert [one.contents[0].value for one in answers] == [one.content.value for one in wanted]


def test_threads_share_a_client(double: Running, bucket: Bucket) -> None:
    failures: list[int] = []

    def run(number: int) -> None:
        mine = [one._replace(key=b"%d-%b" % (number, one.key)) for one in puts(bucket, 100)]
        client.call_many(mine)
        if values(client.call_many(gets(mine))) != [one.content.value for one in mine]:
            failures.append(number)

    with Client(double.access) as client:
        threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []
    assert len(held(double, bucket)) == 800


def test_a_client_that_is_closed_has_hung_up(double: Running, bucket: Bucket) -> None:
    with Client(double.access) as client:
        client.call_many(puts(bucket, 100))
        assert double.nodes[0].is_connected
    deadline = time.monotonic() + IN_TIME_S
    while double.nodes[0].is_connected:
        assert time.monotonic() < deadline


# -- answers that do not come


@pytest.mark.parametrize("cut", Cut)
def test_a_connection_that_is_cut_is_an_outcome_that_nobody_knows(
    double: Running, bucket: Bucket, cut: Cut
) -> None:
    node = double.nodes[0]
    node.links.append(Faults(cut=cut))
    with Client(double.access) as client, in_time():
        with pytest.raises(TargetUnavailable, match=f"{node.address} broke off"):
            client.call(put(bucket, 1))
        assert held(double, bucket) == (set() if cut is Cut.BEFORE else {b"1"})
        client.call(put(bucket, 2))
        assert b"2" in held(double, bucket)


def test_nothing_is_sent_twice(double: Running, bucket: Bucket) -> None:
    node = double.nodes[0]
    node.faults.cut = Cut.BEFORE
    with Client(double.access) as client, pytest.raises(TargetUnavailable):
        client.call(put(bucket, 1))
    assert (node.connections, held(double, bucket)) == (1, set())


@pytest.mark.parametrize("cut", Cut)
def test_one_connection_that_is_cut_fails_the_call_and_a_repeat_of_it_does_the_rest(
    double: Running, bucket: Bucket, cut: Cut
) -> None:
    double.nodes[0].links.extend([Faults(), Faults(cut=cut, cut_after=50), Faults()])
    wanted = puts(bucket, 1_000)
    with Client(double.access) as client, in_time():
        with pytest.raises(TargetUnavailable, match="broke off"):
            client.call_many(wanted)
        assert client.call_many(wanted) == [objects.STORED] * 1_000
    assert len(held(double, bucket)) == 1_000


def test_a_node_that_is_silent_is_waited_for_as_long_as_was_said(
    double: Running, bucket: Bucket, impatient: Client
) -> None:
    double.nodes[0].faults.is_silent = True
    with in_time(), pytest.raises(TargetUnavailable, match=r"has not answered for 0\.4 s"):
        impatient.call_many(puts(bucket, 100))


def test_a_node_that_trickles_gets_no_longer(double: Running, bucket: Bucket, impatient: Client) -> None:
    with Client(double.access) as client:
        client.call(put(bucket, 1, size=4_000))
    double.nodes[0].faults.piece_bytes, double.nodes[0].faults.piece_delay_s = 1, 0.01
    with in_time(), pytest.raises(TargetUnavailable, match="has not answered"):
        impatient.call(Get(bucket, b"1"))


def test_a_slow_node_that_keeps_answering_gets_all_the_time_it_needs(double: Running, bucket: Bucket) -> None:
    double.nodes[0].faults.delay_s = 0.02
    began = time.monotonic()
    with Client(double.impatient(ANSWERED_S)) as client:
        client.call_many(puts(bucket, 320))
    assert time.monotonic() - began > ANSWERED_S


def test_a_node_that_takes_nothing_is_not_waited_for_for_ever(bucket: Bucket) -> None:
    with listening(answer=frame(2)) as node:
        access = Access(nodes=(node,), answer_timeout_s=TIMEOUT_S)
        with Client(access) as client, in_time(), pytest.raises(TargetUnavailable, match="has not answered"):
            client.call_many(puts(bucket, 20, size=4_000_000))


def test_what_goes_wrong_with_one_key_of_many_fails_the_call_in_time(
    double: Running, bucket: Bucket, impatient: Client
) -> None:
    faults = double.nodes[0].faults
    faults.slow_keys, faults.slow_s = lambda key: key == b"77", 2 * TIMEOUT_S
    with in_time(), pytest.raises(TargetUnavailable):
        impatient.call_many(puts(bucket, 100))


def test_an_answer_that_comes_too_late_is_never_taken_for_another_request_s(
    double: Running, bucket: Bucket
) -> None:
    with Client(double.impatient(ANSWERED_S)) as client:
        client.call_many(puts(bucket, 2))
        faults = double.nodes[0].faults
        faults.slow_keys, faults.slow_s = lambda key: key == b"0", 1.3 * ANSWERED_S
        with pytest.raises(TargetUnavailable):
            client.call(Get(bucket, b"0"))
        time.sleep(0.5 * ANSWERED_S)
        assert values([client.call(Get(bucket, b"1"))]) == [put(bucket, 1).content.value]


# -- answers that are none


@pytest.mark.parametrize(
    "instead",
    [frame(99), frame(objects.GOT, b"\xff"), b"\xff\xff\xff\xff\xff", frame(objects.DELETED)],
    ids=["unknown code", "broken message", "impossible length", "answer to something else"],
)
def test_an_answer_that_cannot_be_read_is_an_outcome_that_nobody_knows(
    double: Running, bucket: Bucket, instead: bytes
) -> None:
    double.nodes[0].links.append(Faults(instead=instead))
    with Client(double.access) as client, in_time():
        with pytest.raises(TargetUnavailable):
            client.call(Get(bucket, b"1"))
        assert client.call(Get(bucket, b"1")) == Fetched()
    assert double.nodes[0].connections == 2


def test_an_answer_too_many_is_never_taken_for_the_next_request_s(double: Running, bucket: Bucket) -> None:
    with Client(double.access) as client:
        client.call_many([put(bucket, 1), put(bucket, 2)])
        client.close()
        double.nodes[0].links.append(Faults(besides=frame(objects.GOT)))
        for _ in range(2):
            try:
                found = client.call(Get(bucket, b"1"))
            except TargetUnavailable:
                continue
            assert values([found]) == [put(bucket, 1).content.value]
        assert double.nodes[0].connections == 3


@pytest.mark.parametrize(
    "greeting",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"J\0\0\0\n5.5.5-10.11", b"SSH-2.0-OpenSSH_9.2\r\n"],
    ids=["HTTP", "MySQL", "SSH"],
)
def test_a_port_that_speaks_something_else_is_refused_with_what_to_do(greeting: bytes) -> None:
    refused = pytest.raises(TargetUnusable, match=r"does not speak Riak's protocol buffers.*8087")
    with listening(answer=greeting) as node, Client(Access(nodes=(node,))) as client, in_time(), refused:
        client.call(ServerInfo())


# -- errors


def test_an_error_fails_the_call_and_the_connections_stay(double: Running, bucket: Bucket) -> None:
    node = double.nodes[0]
    with Client(double.access) as client:
        client.call_many(puts(bucket, 500))
        connections = node.connections
        node.faults.error, node.faults.error_share = "overload", 0.01
        with pytest.raises(
            TargetUnavailable, match=f"Riak at {node.address} answers with an error: overload"
        ):
            client.call_many(puts(bucket, 2_000))
        node.faults.error = ""
        client.call_many(puts(bucket, 500))
    assert node.connections == connections


def test_after_an_error_no_more_requests_are_sent(double: Running, bucket: Bucket) -> None:
    with Client(double.access) as client, pytest.raises(TargetUnusable, match="no_type"):
        client.call_many([Put(Bucket(b"b", b"nope"), b"k", Content(b"")), *puts(bucket, 5_000)])
    assert len(held(double, bucket)) < 500


def test_a_node_that_starts_up_is_never_taken_for_an_empty_one(double: Running, bucket: Bucket) -> None:
    with Client(double.access) as client:
        client.call(put(bucket, 1))
        double.nodes[0].faults.is_starting = True
        with pytest.raises(TargetUnavailable, match="Unknown message code: 9"):
            client.call(Get(bucket, b"1"))
        with pytest.raises(TargetUnavailable, match="Unknown message code: 17"):
            list(client.walk(ListKeys(bucket)))
        double.nodes[0].faults.is_starting = False
        assert values([client.call(Get(bucket, b"1"))]) == [put(bucket, 1).content.value]


def test_too_few_replicas_for_what_was_asked_is_unavailable(three: Running, bucket: Bucket) -> None:
    three.nodes[1].kill()
    three.nodes[2].kill()
    with Client(three.access) as client:
        client.call(put(bucket, 1))
        with pytest.raises(TargetUnavailable, match="pw_val_unsatisfied,2,1"):
            client.call(put(bucket, 1)._replace(pw=2))
        with pytest.raises(TargetUnusable, match="n_val_violation"):
            client.call(put(bucket, 1)._replace(w=5))


def test_an_index_that_the_backend_does_not_have_is_refused(double: Running, bucket: Bucket) -> None:
    double.cluster.has_indexes = False
    query = IndexQuery(bucket, BY_KEY, b"a", b"z")
    with Client(double.access) as client:
        with pytest.raises(TargetUnusable, match=r"indexes_not_supported.*backend"):
            client.call(query)
        assert list(client.walk(ListKeys(bucket))) == [Keys(is_last=True)]


# -- several nodes


def test_calls_are_spread_over_the_nodes(three: Running, bucket: Bucket) -> None:
    with Client(three.access) as client:
        for number in range(6):
            client.call(put(bucket, number))
    assert [node.connections for node in three.nodes] == [1, 1, 1]


def test_a_node_that_cannot_be_reached_is_passed_over(three: Running, bucket: Bucket) -> None:
    three.nodes[0].kill()
    with Client(three.access) as client, in_time():
        for number in range(9):
            client.call(put(bucket, number))
        client.call_many(puts(bucket, 300))
    assert len(held(three, bucket)) == 300


def test_a_node_that_takes_connections_and_says_nothing_is_passed_over(
    double: Running, bucket: Bucket
) -> None:
    with listening(answer=b"") as silent:
        access = replace(double.access, nodes=(silent, *double.access.nodes), connect_timeout_s=ANSWERED_S)
        with Client(access) as client, in_time():
            for number in range(6):
                client.call(put(bucket, number))


def test_a_node_that_failed_is_not_tried_again_and_again(
    double: Running, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "REST_S_FIRST", IN_TIME_S)
    monkeypatch.setattr(pool, "REST_S_MAX", IN_TIME_S)
    tried: list[socket.socket] = []
    with listening(answer=b"", links=tried) as silent:
        access = replace(double.access, nodes=(silent, *double.access.nodes), connect_timeout_s=ANSWERED_S)
        with Client(access) as client:
            for number in range(20):
                client.call(put(bucket, number))
    assert len(tried) == 1


def test_a_node_that_dies_in_the_middle_is_named_and_a_repeat_needs_it_not(
    three: Running, bucket: Bucket
) -> None:
    for node in three.nodes:
        node.faults.delay_s = 0.001
    wanted = puts(bucket, 3_000)
    victim = three.nodes[1]
    requests = itertools.count(1)

    def dies_at_it(_: bytes) -> bool:
        if next(requests) == 100:
            victim.kill()
        return False

    victim.faults.slow_keys = dies_at_it
    with Client(three.access) as client, in_time():
        with pytest.raises(TargetUnavailable, match=str(victim.address)):
            client.call_many(wanted)
        for node in three.nodes:
            node.faults.delay_s = 0
        assert client.call_many(wanted) == [objects.STORED] * 3_000
        assert values(client.call_many(gets(wanted))) == [one.content.value for one in wanted]


def test_kept_connections_that_a_restart_has_cut_fail_no_call(three: Running, bucket: Bucket) -> None:
    with Client(three.access) as client:
        for number in range(6):
            client.call(put(bucket, number))
        for node in three.nodes:
            node.kill()
            node.start()
        for number in range(6):
            client.call(put(bucket, number))
    assert [node.connections for node in three.nodes] == [2, 2, 2]


def test_a_node_that_failed_rests_and_is_used_again_when_it_is_back(three: Running, bucket: Bucket) -> None:
    node = three.nodes[0]
    with Client(three.access) as client:
        node.kill()
        for number in range(6):
            client.call(put(bucket, number))
        node.start()
        deadline = time.monotonic() + IN_TIME_S
        while not node.connections:
            client.call(put(bucket, 1))
            assert time.monotonic() < deadline
        for number in range(6):
            client.call(put(bucket, number))
    assert node.connections == 1


def test_where_no_node_answers_each_is_named_with_its_reason(three: Running, bucket: Bucket) -> None:
    for node in three.nodes:
        node.kill()
    with Client(three.access) as client, in_time(), pytest.raises(TargetUnavailable) as raised:
        client.call(put(bucket, 1))
    for node in three.nodes:
        assert f"Riak at {node.address} cannot be reached" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_nodes_that_all_failed_are_tried_all_the_same(three: Running, bucket: Bucket) -> None:
    with Client(three.access) as client:
        for node in three.nodes:
            node.kill()
        with pytest.raises(TargetUnavailable):
            client.call(put(bucket, 1))
        for node in three.nodes:
            node.start()
        client.call(put(bucket, 1))


# -- walks


@pytest.mark.parametrize("cut", [Cut.AFTER, Cut.INSIDE])
def test_a_walk_that_is_cut_never_ends_as_if_it_were_whole(double: Running, bucket: Bucket, cut: Cut) -> None:
    with Client(double.access) as client:
        client.call_many(puts(bucket, 500))
        double.nodes[0].faults.cut = cut
        with in_time(), pytest.raises(TargetUnavailable, match="broke off"):
            list(client.walk(ListKeys(bucket)))


def test_a_walk_that_does_not_go_on_is_not_waited_for_for_ever(
    double: Running, bucket: Bucket, impatient: Client
) -> None:
    double.nodes[0].faults.is_silent = True
    with in_time(), pytest.raises(TargetUnavailable, match="has not gone on"):
        list(impatient.walk(ListKeys(bucket)))
