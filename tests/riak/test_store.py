"""What a node of Riak does with objects, properties and keys: on a real one, or on the double."""

import itertools

import pytest

from changeover.errors import TargetUnusable
from changeover.riak.buckets import GetBucket, Properties, SetBucket
from changeover.riak.client import Client
from changeover.riak.clock import of_version, raised_to, version_in
from changeover.riak.keys import ALL_KEYS, BY_KEY, IndexQuery, ListKeys, Walk
from changeover.riak.objects import Content, Delete, Fetched, Get, Put
from changeover.riak.request import Bucket
from changeover.riak.session import Ping, ServerInfo
from changeover.version import Version


def text(value: str) -> Content:
    return Content(value.encode(), b"text/plain")


def ordered(bucket: Bucket, key: str, version: Version, value: str) -> Put:
    return Put(bucket, key.encode(), text(value), of_version(version), as_is=True)


def values(client: Client, bucket: Bucket, key: str) -> list[str]:
    return [content.value.decode() for content in client.call(Get(bucket, key.encode())).contents]


def test_a_node_says_that_it_is_there_and_who_it_is(client: Client) -> None:
    client.call(Ping())
    server = client.call(ServerInfo())
    assert server.node
    assert server.version


# -- objects


def test_what_was_put_is_got_with_all_that_stands_beside_it(client: Client, bucket: Bucket) -> None:
    sent = Content(
        b'{"a":1}',
        b"application/json",
        metadata=((b"changeover-version", b"00"),),
        indexes=((b"born_int", b"1970"),),
    )
    client.call(Put(bucket, b"k", sent))
    (got,) = client.call(Get(bucket, b"k")).contents
    assert got._replace(vtag=b"", modified_us=0) == sent
    assert got.vtag
    assert got.modified_us > 1_700_000_000_000_000


@pytest.mark.parametrize("key", [b"\0", b"a/b?c=d#e", "Zürich 💾".encode(), b"\xff\xfe", b"k" * 1_000])
def test_a_key_of_any_bytes_is_a_key_of_its_own(client: Client, bucket: Bucket, key: bytes) -> None:
    client.call(Put(bucket, key, text("here")))
    assert client.call(Get(bucket, key)).contents[0].value == b"here"
    assert client.call(Get(bucket, key + b"x")) == Fetched()


def test_a_value_of_any_size_comes_back(client: Client, bucket: Bucket) -> None:
    large = bytes(range(256)) * 12_000
    client.call_many([Put(bucket, b"large", Content(large)), Put(bucket, b"empty", Content(b""))])
    found = client.call_many([Get(bucket, b"large"), Get(bucket, b"empty")])
    assert [one.contents[0].value for one in found] == [large, b""]


def test_a_put_that_leaves_the_clock_out_or_brings_it_replaces_what_is_there(
    client: Client, bucket: Bucket
) -> None:
    client.call(Put(bucket, b"k", text("a")))
    client.call(Put(bucket, b"k", text("b"), client.call(Get(bucket, b"k")).clock))
    assert values(client, bucket, "k") == ["b"]


def test_siblings_stay_until_a_put_has_seen_them_all(client: Client, with_siblings: Bucket) -> None:
    client.call(Put(with_siblings, b"k", text("a")))
    client.call(Put(with_siblings, b"k", text("b")))
    assert sorted(values(client, with_siblings, "k")) == ["a", "b"]
    client.call(Put(with_siblings, b"k", text("both"), client.call(Get(with_siblings, b"k")).clock))
    assert values(client, with_siblings, "k") == ["both"]


def test_a_deleted_object_is_absent_and_its_clock_is_there_for_who_asks(
    client: Client, bucket: Bucket
) -> None:
    client.call(Put(bucket, b"k", text("a")))
    client.call(Delete(bucket, b"k", client.call(Get(bucket, b"k")).clock))
    assert client.call(Get(bucket, b"k")) == Fetched()
    tombstone = client.call(Get(bucket, b"k", deleted_clock=True))
    assert tombstone.contents == ()
    assert tombstone.clock


def test_a_condition_says_why_it_did_not_hold(client: Client, bucket: Bucket) -> None:
    new = Put(bucket, b"k", text("a"), if_none_match=True)
    assert client.call(new).refused == ""
    assert client.call(new).refused == "match_found"
    stale = client.call(Get(bucket, b"k")).clock
    client.call(Put(bucket, b"k", text("b"), stale))
    assert client.call(Put(bucket, b"k", text("c"), stale, if_not_modified=True)).refused == "modified"
    assert client.call(Put(bucket, b"l", text("c"), stale, if_not_modified=True)).refused == "notfound"
    assert values(client, bucket, "k") == ["b"]


# -- ordered writes


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (Version(1, 4, 1), Version(1, 5, 1)),
        (Version(1, 5, 1), Version(1, 5, 2**32 - 1)),
        (Version(1, 2**64 - 1, 2**32 - 1), Version(2, 0, 0)),
        (Version(1, 255, 1), Version(1, 256, 0)),
    ],
)
def test_the_later_version_stays_whichever_comes_first(
    client: Client, bucket: Bucket, earlier: Version, later: Version
) -> None:
    for key, order in (("up", (earlier, later)), ("down", (later, earlier))):
        for version in order:
            client.call(ordered(bucket, key, version, version.text))
        found = client.call(Get(bucket, key.encode()))
        assert [content.value.decode() for content in found.contents] == [later.text]
        assert version_in(found.clock) == later


def test_an_ordered_write_can_ask_what_has_become_of_it(client: Client, bucket: Bucket) -> None:
    client.call(ordered(bucket, "k", Version(1, 5, 1), "new"))
    asked = ordered(bucket, "k", Version(1, 4, 1), "old")._replace(return_body=True)
    answer = client.call(asked)
    assert [content.value for content in answer.contents] == [b"new"]
    assert version_in(answer.clock) == Version(1, 5, 1)


def test_an_application_s_put_over_an_ordered_write_holds_against_late_ones(
    client: Client, bucket: Bucket
) -> None:
    client.call(ordered(bucket, "k", Version(1, 5, 1), "ours"))
    client.call(Put(bucket, b"k", text("theirs"), client.call(Get(bucket, b"k")).clock))
    for sequence in (4, 5):
        client.call(ordered(bucket, "k", Version(1, sequence, 1), "late"))
    assert values(client, bucket, "k") == ["theirs"]


@pytest.mark.parametrize("is_there", [True, False])
def test_a_put_whose_clock_is_raised_above_every_epoch_holds_against_any_ordered_write(
    client: Client, bucket: Bucket, *, is_there: bool
) -> None:
    if is_there:
        client.call(ordered(bucket, "k", Version(1, 5, 1), "ours"))
    held = client.call(Get(bucket, b"k")).clock
    client.call(Put(bucket, b"k", text("theirs"), raised_to(held, Version(9, 0, 0))))
    for sequence in (4, 6, 2**64 - 1):
        client.call(ordered(bucket, "k", Version(8, sequence, 2**32 - 1), "late"))
    assert values(client, bucket, "k") == ["theirs"]


def test_a_marker_keeps_a_late_write_out(client: Client, bucket: Bucket) -> None:
    marker = Content(b"", b"application/json", metadata=((b"changeover-deleted", b"1"),))
    client.call(Put(bucket, b"k", marker, of_version(Version(1, 7, 1)), as_is=True))
    client.call(ordered(bucket, "k", Version(1, 6, 1), "late"))
    (found,) = client.call(Get(bucket, b"k")).contents
    assert found.metadata == marker.metadata


# -- properties


def test_properties_of_a_bucket_are_set_one_by_one(client: Client, bucket: Bucket) -> None:
    before = client.call(GetBucket(bucket))
    assert (before.allow_mult, before.last_write_wins, before.n_val) == (False, False, 3)
    client.call(SetBucket(bucket, Properties(last_write_wins=True)))
    after = client.call(GetBucket(bucket))
    assert (after.last_write_wins, after.allow_mult) == (True, False)


def test_a_type_has_properties_too(client: Client) -> None:
    assert client.call(GetBucket(Bucket(b"", b"mult"))).allow_mult is True


def test_a_type_that_is_not_there_is_refused_with_what_to_do(client: Client) -> None:
    with pytest.raises(TargetUnusable, match=r"no_type.*bucket-type create"):
        client.call(Get(Bucket(b"b", b"no_such_type"), b"k"))


# -- keys


def walked(client: Client, request: Walk) -> list[bytes]:
    return sorted({key for part in client.walk(request) for key in part.keys})


def paged(client: Client, query: IndexQuery) -> list[bytes]:
    found: list[bytes] = []
    for _ in range(1_000):
        page = client.call(query)
        found += page.keys
        if not page.continuation:
            return found
        query = query._replace(continuation=page.continuation)
    raise AssertionError("there is no end to the pages")


KEYS = [b"key%03d" % number for number in range(250)]


@pytest.fixture
def filled(client: Client, bucket: Bucket) -> Bucket:
    client.call_many(
        [
            Put(bucket, key, text("x")._replace(indexes=((b"third_int", b"%d" % (number % 3)),)))
            for number, key in enumerate(KEYS)
        ]
    )
    client.call(Put(bucket._replace(name=bucket.name + b"-other"), b"another", text("x")))
    return bucket


def test_all_keys_of_a_bucket_are_listed(client: Client, filled: Bucket) -> None:
    assert walked(client, ListKeys(filled)) == KEYS


def test_a_bucket_of_nothing_has_no_keys(client: Client, bucket: Bucket) -> None:
    assert walked(client, ListKeys(bucket)) == []
    assert paged(client, IndexQuery(bucket, ALL_KEYS, bucket.name, max_results=10)) == []


@pytest.mark.parametrize("size", [1_000, 250, 125, 7])
def test_all_keys_of_a_bucket_are_walked_page_by_page(client: Client, filled: Bucket, size: int) -> None:
    assert paged(client, IndexQuery(filled, ALL_KEYS, filled.name, max_results=size)) == KEYS


def test_keys_of_a_range_come_page_by_page_and_in_order(client: Client, filled: Bucket) -> None:
    query = IndexQuery(filled, BY_KEY, b"key010", b"key099", max_results=13)
    assert paged(client, query) == KEYS[10:100]


def test_keys_under_a_number_and_under_a_range_of_numbers_are_found(client: Client, filled: Bucket) -> None:
    one = client.call(IndexQuery(filled, b"third_int", b"1"))
    assert sorted(one.keys) == KEYS[1::3]
    some = paged(client, IndexQuery(filled, b"third_int", b"1", b"2", max_results=20))
    assert some == [*KEYS[1::3], *KEYS[2::3]]


def test_a_streamed_question_is_answered_in_parts(client: Client, filled: Bucket) -> None:
    query = IndexQuery(filled, BY_KEY, b"a", b"z", stream=True)
    parts = list(client.walk(query))
    assert sorted(itertools.chain.from_iterable(part.keys for part in parts)) == KEYS
    assert [part.is_last for part in parts] == [False] * (len(parts) - 1) + [True]


def test_a_walk_that_is_given_up_leaves_the_client_of_use(client: Client, filled: Bucket) -> None:
    for _ in range(3):
        next(iter(client.walk(ListKeys(filled))))
        assert values(client, filled, "key001") == ["x"]


def test_deleted_keys_are_walked_still_and_have_to_be_looked_at(client: Client, bucket: Bucket) -> None:
    client.call(Put(bucket, b"k", text("a")))
    client.call(Delete(bucket, b"k"))
    assert paged(client, IndexQuery(bucket, BY_KEY, b"a", b"z", max_results=5)) == [b"k"]
    assert client.call(Get(bucket, b"k")) == Fetched()
