"""The proof that a cluster orders writes: it holds where that is so, and fails where a part of it is not."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from changeover.errors import OrderFailed, TargetUnavailable
from changeover.riak.access import Access
from changeover.riak.buckets import Properties
from changeover.riak.client import Client
from changeover.riak.keys import ListKeys
from changeover.riak.objects import Get
from changeover.riak.request import Bucket
from changeover.targets.riak.proof import prove
from tests.riak.double import cluster, replica
from tests.riak.double.objects import Rules, Stored, enforced, reconciled
from tests.riak.double.running import Running


def left_in(access: Access, bucket: Bucket) -> list[bytes]:
    """Keys of what is there; Riak lists those of its tombstones too."""
    with Client(access) as client:
        keys = [key for part in client.walk(ListKeys(bucket)) for key in part.keys]
        return [key for key in keys if client.call(Get(bucket, key)).contents]


def test_it_holds_and_leaves_nothing_behind(access: Access, bucket: Bucket) -> None:
    prove(access, bucket)
    assert left_in(access, bucket) == []


def test_it_holds_over_several_nodes_each_of_which_takes_part(three: Running, bucket: Bucket) -> None:
    three.cluster.late_share = 0.5
    before = [node.connections for node in three.nodes]
    prove(three.access, bucket)
    assert all(node.connections > count for node, count in zip(three.nodes, before, strict=True))


Broken = Callable[[Stored | None, Stored, Rules], Stored]


def last_arrival(_: Stored | None, new: Stored, __: Rules) -> Stored:
    return new


def first_arrival(held: Stored | None, new: Stored, _: Rules) -> Stored:
    return held or new


def by_the_wall_clock(held: Stored | None, new: Stored, rules: Rules) -> Stored:
    if held is None:
        return new
    return enforced(Stored(new.clock, (*held.values, *new.values)), rules)


def by_64_bits(held: Stored | None, new: Stored, rules: Rules) -> Stored:
    """Counters that are cut off."""
    cut = {actor: entry._replace(counter=entry.counter % 2**64) for actor, entry in new.clock.items()}
    new = replace(new, clock=cut)
    return new if held is None else enforced(reconciled(held, new, rules), rules)


def by_floats(held: Stored | None, new: Stored, rules: Rules) -> Stored:
    """Counters that lose their last digits."""
    rough = {actor: entry._replace(counter=int(float(entry.counter))) for actor, entry in new.clock.items()}
    new = replace(new, clock=rough)
    return new if held is None else enforced(reconciled(held, new, rules), rules)


def markers_give_way(held: Stored | None, new: Stored, rules: Rules) -> Stored:
    """An object without a value counts as none."""
    if held is None or (1, b"") in held.values[0].fields:
        return new
    return enforced(reconciled(held, new, rules), rules)


@pytest.mark.parametrize(
    "broken", [last_arrival, first_arrival, by_the_wall_clock, by_64_bits, by_floats, markers_give_way]
)
def test_it_fails_where_replicas_merge_in_another_way(
    double: Running, bucket: Bucket, broken: Broken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica, "replicated", broken)
    with pytest.raises(OrderFailed, match="does not order writes by their versions"):
        prove(double.access, bucket)


def test_it_fails_where_asis_is_not_known(
    double: Running, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = cluster.Cluster.put

    def ordinary(*arguments: object, as_is: bool = False, **others: object) -> Stored:
        del as_is
        return put(*arguments, **others)  # type: ignore[arg-type]

    monkeypatch.setattr(cluster.Cluster, "put", ordinary)
    with pytest.raises(OrderFailed):
        prove(double.access, bucket)
    assert left_in(double.access, bucket) == []


@pytest.mark.parametrize("wrong", [Properties(last_write_wins=True), Properties(allow_mult=True)])
def test_it_fails_in_a_bucket_of_the_wrong_properties(
    double: Running, bucket: Bucket, wrong: Properties
) -> None:
    double.cluster.set_properties(bucket.type, bucket.name, wrong)
    with pytest.raises(OrderFailed):
        prove(double.access, bucket)


def test_it_needs_every_node_that_is_named(three: Running, bucket: Bucket) -> None:
    three.nodes[2].kill()
    with pytest.raises(TargetUnavailable):
        prove(three.access, bucket)
