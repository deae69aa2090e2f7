"""What ordered writes rest on: writers race, and the newest version has to be there at the end.

Right with a put as it is whose clock says the version; wrong with ordinary puts, and wrong too with reading
before writing, whether the client compares or Riak does. On a real node, or on the double.
"""

import random
import threading
import time
from collections.abc import Callable, Sequence

import pytest

from changeover.errors import TargetUnavailable
from changeover.riak.access import Access
from changeover.riak.buckets import Properties, SetBucket
from changeover.riak.client import Client
from changeover.riak.clock import encode, of_version, version_in
from changeover.riak.objects import Content, Fetched, Get, Put
from changeover.riak.request import Bucket
from changeover.version import Version
from tests.riak.double.running import Running

WRITERS = 8
KEYS = [b"key%d" % number for number in range(20)]
VERSIONS = [Version(epoch, sequence, row) for epoch in (1, 2) for sequence in range(1, 9) for row in (0, 1)]
NEWEST = VERSIONS[-1]
BATCH = 40
ATTEMPTS_MAX = 500

Write = tuple[bytes, Version]
WRITES: list[Write] = [(key, version) for key in KEYS for version in VERSIONS]
Share = Callable[[random.Random, int], list[Write]]
Writer = Callable[[Client, Bucket, Sequence[Write]], object]


def content(version: Version) -> Content:
    return Content(version.text.encode(), b"text/plain", ((b"changeover-version", version.text.encode()),))


def as_is(client: Client, bucket: Bucket, writes: Sequence[Write]) -> None:
    client.call_many(
        [Put(bucket, key, content(version), of_version(version), as_is=True) for key, version in writes]
    )


def plainly(client: Client, bucket: Bucket, writes: Sequence[Write]) -> None:
    client.call_many([Put(bucket, key, content(version)) for key, version in writes])


def after_comparing(client: Client, bucket: Bucket, writes: Sequence[Write]) -> None:
    """Get, compare, put: between the get and the put somebody else does the same."""
    found = client.call_many([Get(bucket, key) for key, _ in writes])
    client.call_many(
        [
            Put(bucket, key, content(version), held.clock)
            for (key, version), held in zip(writes, found, strict=True)
            if held_version(held) is None or held_version(held) < version  # type: ignore[operator] # not None
        ]
    )


def held_version(held: Fetched) -> Version | None:
    return max((Version.parse(one.value.decode()) for one in held.contents), default=None)


def everything_and_more(chance: random.Random, _number: int) -> list[Write]:
    """Every version of every key, some twice, in any order."""
    return chance.sample(WRITES, len(WRITES)) + chance.choices(WRITES, k=len(WRITES) // 4)


def a_share(chance: random.Random, number: int) -> list[Write]:
    """What falls to this writer if each version is written by one: no second chance for the newest."""
    dealt = random.Random(1).sample(WRITES, len(WRITES))[number::WRITERS]
    return chance.sample(dealt, len(dealt))


def race(
    access: Access, bucket: Bucket, write: Writer, seed: int, writes_of: Share = everything_and_more
) -> list[Version | None]:
    """What each key holds when all writers are done."""
    failures: list[BaseException] = []

    def run(number: int) -> None:
        chance = random.Random(seed * WRITERS + number)
        writes = writes_of(chance, number)
        try:
            with Client(access) as client:
                for start in range(0, len(writes), BATCH):
                    write(client, bucket, writes[start : start + BATCH])
        except BaseException as failure:  # noqa: BLE001 - of a thread: told to the test
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with Client(access) as client:
        return [held_version(held) for held in client.call_many([Get(bucket, key) for key in KEYS])]


@pytest.mark.parametrize("seed", range(3))
def test_writes_as_they_are_end_with_the_newest_version_of_every_key(
    access: Access, bucket: Bucket, seed: int
) -> None:
    assert race(access, bucket, as_is, seed) == [NEWEST] * len(KEYS)


@pytest.mark.parametrize("write", [plainly, after_comparing])
def test_the_same_race_without_them_loses_the_newest_version_of_some_key(
    access: Access, bucket: Bucket, write: Writer
) -> None:
    assert race(access, bucket, write, 1, a_share) != [NEWEST] * len(KEYS)


def test_they_lose_it_too_in_a_bucket_where_the_last_write_wins(access: Access, bucket: Bucket) -> None:
    with Client(access) as client:
        client.call(SetBucket(bucket, Properties(last_write_wins=True)))
    assert race(access, bucket, as_is, 1) != [NEWEST] * len(KEYS)


def test_a_condition_that_riak_checks_lets_two_writers_win(access: Access, bucket: Bucket) -> None:
    """Riak reads, and then writes: it is no lock, and nothing of ours may rest on it."""
    winners: list[bytes] = []
    start = threading.Barrier(WRITERS)

    def run() -> None:
        with Client(access) as client:
            puts = [Put(bucket, key, Content(b"mine"), if_none_match=True) for key in KEYS * 20]
            puts = [put._replace(key=put.key + b"-%d" % number) for number, put in enumerate(puts)]
            start.wait()
            answers = client.call_many(puts)
            winners.extend(put.key for put, answer in zip(puts, answers, strict=True) if not answer.refused)

    threads = [threading.Thread(target=run) for _ in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(winners) > len(set(winners)) == len(KEYS) * 20


# -- three nodes


def test_writes_as_they_are_hold_where_replicas_hear_of_them_late_and_in_any_order(
    three: Running, bucket: Bucket
) -> None:
    three.cluster.late_share = 0.5
    assert race(three.access, bucket, as_is, 1) == [NEWEST] * len(KEYS)
    three.cluster.settle()
    places = [(bucket.type, bucket.name, key) for key in KEYS]
    for replica in three.cluster.replicas:
        assert {version_in(encode(replica.held[place].clock)) for place in places} == {NEWEST}


def test_they_hold_where_a_node_is_killed_and_comes_back_in_the_middle(
    three: Running, bucket: Bucket
) -> None:
    stop = threading.Event()
    killer = threading.Thread(target=kill_in_turn, args=(three, stop))
    killer.start()
    failures: list[TargetUnavailable] = []
    try:
        found = race(three.access, bucket, stubborn(as_is, failures), 1)
    finally:
        stop.set()
        killer.join()
    assert found == [NEWEST] * len(KEYS)
    assert failures, "nobody noticed a kill"


def kill_in_turn(running: Running, stop: threading.Event) -> None:
    """kill -9 of one node after the other, each for a moment, and of one with its disk."""
    for number in range(1_000):
        node = running.nodes[number % len(running.nodes)]
        node.kill(with_disk=number == 1)
        stop.wait(0.05)
        node.start()
        if stop.wait(0.1):
            return


def stubborn(write: Writer, failures: list[TargetUnavailable]) -> Writer:
    """Write as a consumer does: what has no outcome is written again."""

    def again(client: Client, bucket: Bucket, writes: Sequence[Write]) -> None:
        for _ in range(ATTEMPTS_MAX):
            try:
                write(client, bucket, writes)
            except TargetUnavailable as failure:
                failures.append(failure)
                time.sleep(0.02)
            else:
                return
        raise AssertionError("never written")

    return again
