"""The target in Riak, by merge and by siblings: the contract of every target, and what only Riak does."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest
import structlog

from changeover.decide import Outcome
from changeover.envelope import encode_key
from changeover.errors import (
    MappingChanged,
    ObjectTooLarge,
    OrderUnproven,
    StateNewer,
    TargetClosed,
    TargetUnavailable,
    TargetUnusable,
    UnversionedObject,
)
from changeover.mapping import Body, ObjectMapping, Rules
from changeover.mapping.rules import Own
from changeover.riak import clock
from changeover.riak.access import Access
from changeover.riak.buckets import Properties, SetBucket
from changeover.riak.client import Client
from changeover.riak.objects import Content, Delete, Get, Put
from changeover.riak.request import Bucket
from changeover.table import Table
from changeover.targets import CLOSED, UNVERSIONED, Found, Held, Note
from changeover.targets.riak import ordering
from changeover.targets.riak import target as riak_target
from changeover.targets.riak.control import FORMAT, FORMAT_NOTE
from changeover.targets.riak.fitness import Way
from changeover.targets.riak.objects import Object
from changeover.targets.riak.target import RiakTarget, check
from changeover.values import Row, row_from_json
from changeover.version import Version
from tests.contracts.target import (
    PASSPORT,
    TargetContract,
    change,
    delete,
    held,
    put,
    state,
    wrong_after_a_race,
)
from tests.riak.double.faults import Cut, Faults
from tests.riak.double.node import Node
from tests.riak.double.running import Running
from tests.riak.objects import TYPES, Place, place_in
from tests.support.tables import CITIZEN, citizen, widened

WAYS: Sequence[Way] = ("merge", "siblings")
both_ways = pytest.mark.parametrize("way", WAYS)


class RiakContract(TargetContract):
    def row_of(self, table: Table, body: Any) -> Row:  # noqa: ANN401 - as above
        return row_from_json(table, orjson.loads(body.value))


class TestByMerge(RiakContract):
    goes_back = False

    @pytest.fixture
    def open_target(self, access: Access) -> Callable[[], RiakTarget]:
        return place_in(access, "merge").open


class TestBySiblings(RiakContract):
    @pytest.fixture
    def open_target(self, access: Access) -> Callable[[], RiakTarget]:
        return place_in(access, "siblings").open


@both_ways
def test_a_target_that_was_open_before_notices_that_it_is_closed(
    access: Access, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(riak_target, "OPEN_S", 0.0)  # when it looks again
    place = place_in(access, way)
    with place.open() as target, place.open() as other:
        target.write([put(1, change(5))])
        other.remember(CLOSED, Note(Version(9, 1, 1), ""))
        with pytest.raises(TargetClosed):
            target.write([put(1, change(7))])


def plain_puts(self: ordering.ByMerge, objects: Sequence[Object]) -> list[Outcome]:
    """What a writer without a guard does."""
    self._client.call_many([Put(one.bucket, one.key, one.content) for one in objects])
    return [Outcome.ACCEPTED] * len(objects)


def test_without_the_guard_the_same_race_ends_with_older_states(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordering.ByMerge, "write", plain_puts)
    assert wrong_after_a_race(place_in(access).open, 300)


@both_ways
def test_while_one_node_of_three_dies_and_comes_back_no_state_goes_backwards_and_none_is_lost(
    three: Running, way: Way
) -> None:
    place = place_in(three.access, way)
    chance = random.Random(7)
    newest: dict[int, int] = {}
    with place.open() as target:
        for turn in range(60):
            if turn % 10 == 3:
                three.nodes[turn // 10 % 3].kill()
            if turn % 10 == 7:
                three.nodes[turn // 10 % 3].start()
            writes = [(chance.randrange(40), chance.randrange(1, 1_000)) for _ in range(50)]
            batch = [put(number, change(sequence), f"as of {sequence}") for number, sequence in writes]
            write_until_it_is_taken(target, batch)
            for number, sequence in writes:
                newest[number] = max(newest.get(number, 0), sequence)
        for number, sequence in newest.items():
            assert held(target, number) == state(
                target, change(sequence), citizen(number, f"as of {sequence}")
            )


def write_until_it_is_taken(target: RiakTarget, batch: Sequence[Any]) -> None:
    for _ in range(20):
        try:
            target.write(batch)
        except TargetUnavailable:
            continue
        return
    raise AssertionError


# -- objects


@both_ways
def test_the_value_is_clean_and_what_is_ours_stands_beside_it(access: Access, way: Way) -> None:
    place = place_in(access, way, citizen=Rules(index=("name", "id")))
    with place.open() as target:
        target.write([put(1, change(5))._replace(position="0-1-5")])
    (content,) = place.fetch(1).contents
    assert content.value == b'{"id":1,"name":"Ada"}'
    assert content.content_type == b"application/json"
    assert dict(content.metadata) == {
        b"changeover-version": change(5).text.encode(),
        b"changeover-position": b"0-1-5",
    }
    assert set(content.indexes) == {(b"name_bin", b"Ada"), (b"id_int", b"1")}


@both_ways
def test_a_deleted_row_is_an_object_that_says_so(access: Access, way: Way) -> None:
    place = place_in(access, way)
    with place.open() as target:
        target.write([put(1, change(5)), delete(1, change(6))])
    (content,) = place.fetch(1).contents
    assert content.value == b""
    assert dict(content.metadata)[b"changeover-deleted"] == b"true"


@both_ways
def test_a_function_makes_value_type_and_indexes(access: Access, way: Way) -> None:
    def function(row: dict[str, Any]) -> Body:
        return Body(f"<{row['name']}/>".encode(), "text/xml", (("b_bin", "2"), ("a_bin", "1")))

    place = place_in(access, way, citizen=Rules(own=Own("m:f", function, "1")))
    with place.open() as target:
        target.write([put(1, change(5))])
        assert held(target, 1) == state(target, change(5), citizen(1))
        assert held(target, 1) == Held(
            change(5), Body(b"<Ada/>", "text/xml", (("a_bin", "1"), ("b_bin", "2")))
        )


def test_an_ordered_object_carries_its_version_as_its_clock(access: Access) -> None:
    place = place_in(access)
    with place.open() as target:
        target.write([put(1, Version.of_read(3, 77))])
    assert clock.version_in(place.fetch(1).clock) == Version.of_read(3, 77)


def test_siblings_are_joined_by_the_next_write_whichever_it_is(access: Access) -> None:
    place = place_in(access, "siblings")
    with place.open() as target:
        contents = [
            Content(b"{}", b"application/json", ((b"changeover-version", change(n).text.encode()),))
            for n in (6, 8, 7)
        ]
        with Client(access) as client:
            client.call_many([Put(place.bucket(), b"1", one) for one in contents])
        assert len(place.fetch(1).contents) == 3
        found = held(target, 1)
        assert found is not None
        assert found.version == change(8)
        assert target.write([put(1, change(5))]) == [Outcome.STALE]
        assert len(place.fetch(1).contents) == 1
        assert held(target, 1) == found


# -- what a newer release has written


@both_ways
def test_where_a_newer_release_has_written_no_target_opens(access: Access, way: Way) -> None:
    place = place_in(access, way)
    with place.open() as target:
        target.write([put(1, change(5))])
        for number in (99, 2):  # the higher one counts, in whichever order they come
            target.remember(FORMAT_NOTE, Note(Version(0, number, 0), ""))
    said = (
        f"what pipeline '{place.pipeline}' keeps in Riak, in the bucket type '{TYPES[way]}', is of format 99"
    )
    with pytest.raises(StateNewer, match=said):
        place.open()
    with pytest.raises(StateNewer, match=said):
        check(access, place.pipeline, place.options)
    with RiakTarget(access, f"{place.pipeline}-other", place.mapping(), place.options):
        pass  # another pipeline beside it may be of the older format


@both_ways
def test_a_format_that_this_release_knows_is_as_good_as_none(access: Access, way: Way) -> None:
    place = place_in(access, way)
    with place.open() as target:
        target.remember(FORMAT_NOTE, Note(Version(0, FORMAT, 0), ""))
    with place.open() as target:
        target.write([put(1, change(5))])


@both_ways
def test_a_bucket_that_a_newer_release_has_claimed_is_refused_by_one_that_runs(
    access: Access, way: Way
) -> None:
    place = place_in(access, way)
    claim = orjson.dumps({"format": 99, "pipeline": place.pipeline, "ordering": way})
    with place.open() as target:
        with Client(access) as client:
            control = Bucket(b"changeover", TYPES[way].encode())
            client.call(Put(control, b"bucket." + place.bucket().name, Content(claim)))
        with pytest.raises(StateNewer, match="is of format 99"):
            target.write([put(1, change(5))])
    assert place.fetch(1).contents == ()


@pytest.mark.parametrize("adopt", [False, True])
def test_a_version_of_another_form_is_never_written_over(access: Access, *, adopt: bool) -> None:
    place = place_in(access, "siblings")
    newer = Content(b"{}", metadata=((b"changeover-version", b"2:of another form"),))
    with place.open(adopt=adopt) as target:
        target.write([put(2, change(5))])
        with Client(access) as client:
            client.call(Put(place.bucket(), b"1", newer))
        with pytest.raises(StateNewer, match="an object 1 whose version cannot be read"):
            target.write([put(1, change(6))])
    (content,) = place.fetch(1).contents
    assert content.metadata == newer.metadata


# -- whose a bucket is


@both_ways
def test_a_bucket_of_another_pipeline_is_refused(access: Access, way: Way) -> None:
    place = place_in(access, way)
    with place.open() as target:
        target.write([put(1, change(5))])
    with (
        RiakTarget(access, "other", place.mapping(), place.options) as other,
        pytest.raises(TargetUnusable, match="belongs to pipeline 'test-"),
    ):
        other.write([put(1, change(6))])
    assert len(place.fetch(1).contents) == 1


@both_ways
def test_another_mapping_of_a_table_is_refused_before_it_writes(access: Access, way: Way) -> None:
    place = place_in(access, way)
    with place.open() as target:
        target.write([put(1, change(5))])
    rules = Rules(bucket=place.bucket().name.decode(), leave_out=("name",))
    changed = ObjectMapping({CITIZEN.full_name: rules})
    with (
        RiakTarget(access, place.pipeline, changed, place.options) as target,
        pytest.raises(MappingChanged, match=r"records\.citizen"),
    ):
        target.write([put(1, change(6))])
    assert place.fetch(1).contents[0].value == b'{"id":1,"name":"Ada"}'


def test_a_table_that_got_a_column_goes_on(access: Access) -> None:
    place = place_in(access)
    wide = widened(CITIZEN)
    with place.open() as target:
        target.write([put(1, change(5))])
        row = citizen(1) | {"note": "new"}
        target.write([put(1, change(6))._replace(table=wide, row=row)])
        assert held(target, 1, wide) == state(target, change(6), row, wide)


@pytest.mark.parametrize(("way", "other"), [("merge", "siblings"), ("siblings", "merge")])
def test_a_bucket_type_made_for_one_order_is_refused_to_the_other(
    access: Access, way: Way, other: Way
) -> None:
    place = place_in(access, way)
    with pytest.raises(TargetUnusable, match=r"allow_mult is .*bucket-type create"):
        place.open(ordering=other)


def test_a_single_bucket_with_properties_of_its_own_is_found_out_too(double: Running) -> None:
    place = place_in(double.access)
    with Client(double.access) as client:
        client.call(SetBucket(place.bucket(), Properties(allow_mult=True)))
    with place.open() as target, pytest.raises(TargetUnusable, match="allow_mult is true"):
        target.write([put(1, change(5))])
    assert place.fetch(1).contents == ()


@pytest.mark.parametrize(
    "wrong",
    [
        Properties(last_write_wins=True),
        Properties(write_once=True),
        Properties(consistent=True),
        Properties(datatype="map"),
    ],
)
@both_ways
def test_a_bucket_of_another_kind_is_refused(double: Running, way: Way, wrong: Properties) -> None:
    place = place_in(double.access, way)
    double.cluster.set_properties(place.bucket().type, place.bucket().name, wrong)
    with place.open() as target, pytest.raises(TargetUnusable, match="is not fit"):
        target.write([put(1, change(5))])


def test_a_bucket_type_that_there_is_not_is_refused(access: Access) -> None:
    with pytest.raises(TargetUnusable, match="no_type"):
        place_in(access).open(bucket_type="nowhere")


def test_a_control_object_that_cannot_be_read_is_refused(access: Access) -> None:
    place = place_in(access)
    with Client(access) as client:
        key = b"bucket." + place.bucket().name
        client.call(Put(Bucket(b"changeover", place.bucket().type), key, Content(b"no JSON")))
    with place.open() as target, pytest.raises(TargetUnusable, match="none that can be read"):
        target.write([put(1, change(5))])


# -- objects of others


@pytest.mark.parametrize("has_indexes", [True, False])
def test_an_object_of_another_program_is_found_before_the_first_write(
    double: Running,
    has_indexes: bool,  # noqa: FBT001 - a knob of the double
) -> None:
    double.cluster.has_indexes = has_indexes
    place = place_in(double.access)
    with Client(double.access) as client:
        client.call_many([Put(place.bucket(), f"{n}".encode(), Content(b"theirs")) for n in range(1_500)])
    with place.open() as target:
        for _ in range(2):
            with pytest.raises(UnversionedObject, match="that changeover did not write"):
                target.write([put(1, change(5))])
    assert place.fetch(1).contents[0].value == b"theirs"


def test_a_bucket_that_is_ours_is_not_looked_through_again(double: Running) -> None:
    place = place_in(double.access)
    with place.open() as target:
        target.write([put(1, change(5))])
    theirs(place, 2)
    with place.open() as target:
        target.write([put(1, change(6))])


def test_by_siblings_a_later_object_of_another_program_is_met_at_its_write(access: Access) -> None:
    place = place_in(access, "siblings")
    with place.open() as target:
        target.write([put(1, change(5))])
        theirs(place, 2)
        with pytest.raises(UnversionedObject, match="an object 2"):
            target.write([put(2, change(5))])


@both_ways
def test_an_adopted_object_is_older_than_every_version_and_ordered_from_then_on(
    access: Access, way: Way
) -> None:
    place = place_in(access, way)
    for number in (1, 2, 3):
        theirs(place, number)
    with place.open(adopt=True) as target:
        assert held(target, 1) is None
        target.write([put(1, change(5), "ours"), delete(2, change(5))])
        for sequence in (7, 6, 5):
            target.write([put(1, change(sequence), f"as of {sequence}")])
        assert held(target, 1) == state(target, change(7), citizen(1, "as of 7"))
        assert held(target, 2) == state(target, change(5), None)
    assert len(place.fetch(1).contents) == 1
    assert place.fetch(3).contents[0].value == b"theirs"


class AnHourAhead:
    """A clock on the wall."""

    monotonic = time.monotonic
    time = time.time

    @staticmethod
    def time_ns() -> int:
        return time.time_ns() + 3_600 * 10**9


def test_an_adopted_object_gives_way_even_if_its_clock_on_the_wall_is_ahead(
    double: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = place_in(double.access)
    with monkeypatch.context() as patched:
        patched.setattr("tests.riak.double.cluster.time", AnHourAhead)
        theirs(place, 1)
    with place.open(adopt=True) as target:
        target.write([put(1, change(5), "ours")])
        assert held(target, 1) == state(target, change(5), citizen(1, "ours"))


def test_an_adopted_key_may_have_been_deleted_by_its_application(access: Access) -> None:
    place = place_in(access)
    theirs(place, 1)
    with Client(access) as client:
        client.call(Delete(place.bucket(), b"1", place.fetch(1).clock))
    with place.open(adopt=True) as target:
        target.write([put(1, change(5))])
        assert held(target, 1) == state(target, change(5), citizen(1))


def theirs(place: Place, number: int) -> None:
    """Another program writes, as programs do: it reads first."""
    with Client(place.access) as client:
        key = str(number).encode()
        seen = client.call(Get(place.bucket(), key)).clock
        client.call(Put(place.bucket(), key, Content(b"theirs"), seen))


# -- what a walk meets


@both_ways
def test_objects_of_another_program_are_told_with_their_names(access: Access, way: Way) -> None:
    place = place_in(access, way)
    with place.open() as target:
        target.write([put(1, change(5))])
        theirs(place, 2)
        with Client(access) as client:
            client.call(Put(place.bucket(), b"no.key", Content(b"theirs")))
            client.call(Put(place.bucket(), b"\xff", Content(b"theirs")))
        assert walked(target) == [
            Found(encode_key(CITIZEN, citizen(1)), "1", change(5), is_row=True),
            Found(encode_key(CITIZEN, citizen(2)), "2", UNVERSIONED, is_row=True),
            Found(None, "\\xff", UNVERSIONED, is_row=True),
            Found(None, "no.key", UNVERSIONED, is_row=True),
        ]
        (held_by_them,) = target.read_many(CITIZEN, [encode_key(CITIZEN, citizen(2))])
        assert held_by_them == Held(UNVERSIONED, Body(b"theirs", "application/octet-stream"))


@both_ways
def test_an_object_of_another_program_is_replaced_where_its_table_does_not_adopt(
    access: Access, way: Way
) -> None:
    place = place_in(access, way)
    with place.open() as target:
        target.write([put(1, change(5))])
        theirs(place, 1)
        theirs(place, 2)
        for number in (1, 2):
            assert target.replace(put(number, change(6), "ours"), UNVERSIONED)
            assert held(target, number) == state(target, change(6), citizen(number, "ours"))
            assert len(place.fetch(number).contents) == 1
            target.write([put(number, change(8), "next"), put(number, change(7), "late")])
            target.write([put(number, change(7), "late")])
            assert held(target, number) == state(target, change(8), citizen(number, "next"))


def test_siblings_are_counted_and_the_latest_is_read(access: Access) -> None:
    place = place_in(access, "siblings")
    with place.open() as target, Client(access) as client:
        target.write([put(1, change(5))])
        late = Content(b"{}", metadata=((b"changeover-version", change(4).text.encode()),))
        client.call(Put(place.bucket(), b"1", late))
        key = encode_key(CITIZEN, citizen(1))
        assert walked(target) == [Found(key, "1", change(5), is_row=True, siblings=2)]
        assert target.read_many(CITIZEN, [key]) == [state(target, change(5), citizen(1))]


def test_the_transaction_of_a_state_is_read_with_it(access: Access) -> None:
    with place_in(access).open() as target:
        target.write([put(1, change(5))._replace(position="0-1-5")])
        assert [found.position for found in walked(target)] == ["0-1-5"]
        (read,) = target.read_many(CITIZEN, [encode_key(CITIZEN, citizen(1))])
        assert read
        assert read.position == "0-1-5"


def test_in_a_bucket_that_tables_share_each_walk_meets_its_own(access: Access) -> None:
    place = place_in(access)
    shared = place.bucket().name.decode()
    rules = {
        table.full_name: Rules(bucket=shared, key_prefix=f"{table.name}-") for table in (CITIZEN, PASSPORT)
    }
    with replace(place, mapping=lambda: ObjectMapping(rules)).open() as target:
        target.write([put(1, change(5)), put(2, change(6), table=PASSPORT)])
        assert [found.name for found in walked(target)] == ["citizen-1"]


def walked(target: RiakTarget) -> list[Found]:
    found = [found for page in target.walk(CITIZEN) for found in page.found]
    return sorted(found, key=lambda one: (one.key is None, one.name))


# -- sizes


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as logs:
        yield logs


def test_a_large_object_is_warned_of_and_one_that_is_too_large_stops(
    access: Access, logged: list[Any]
) -> None:
    place = place_in(access)
    with place.open(object_bytes_warn=100, object_bytes_max=200) as target:
        target.write([put(1, change(5), "x" * 50)])
        assert logged == []
        target.write([put(1, change(6), "x" * 150)])
        assert [(line["event"], line["key"], line["bytes"]) for line in logged] == [
            ("object is large", "1", 168)
        ]
        with pytest.raises(
            ObjectTooLarge, match=r"the row 1 of records\.citizen makes an object of 268 bytes"
        ):
            target.write([put(2, change(7)), put(1, change(7), "x" * 250)])
        assert held(target, 2) is None


# -- quorums


@both_ways
def test_while_a_majority_of_the_nodes_is_away_nothing_is_absent_and_nothing_is_written(
    three: Running, way: Way
) -> None:
    place = place_in(three.access, way)
    with place.open() as target:
        target.write([put(1, change(5))])
        three.nodes[0].kill()
        assert held(target, 1) == state(target, change(5), citizen(1))
        assert held(target, 2) is None
        target.write([put(1, change(6))])
        three.nodes[1].kill()
        for number in (1, 2):
            with pytest.raises(TargetUnavailable):
                held(target, number)
        with pytest.raises(TargetUnavailable):
            target.write([put(1, change(7))])
        three.nodes[0].start()
        three.nodes[1].start()
        assert held(target, 1) == state(target, change(6), citizen(1))


@both_ways
def test_what_is_written_outlives_the_disk_of_one_node(three: Running, way: Way) -> None:
    place = place_in(three.access, way)
    three.cluster.late_share = 1.0
    with place.open() as target:
        target.write([put(number, change(5)) for number in range(30)])
        three.nodes[1].kill(with_disk=True)
        assert all(held(target, number) == state(target, change(5), citizen(number)) for number in range(30))


@both_ways
def test_a_connection_that_is_cut_is_no_more_than_a_pause(double: Running, way: Way) -> None:
    place = place_in(double.access, way)
    with place.open() as target:
        target.write([put(0, change(1))])
        for cut in Cut:
            double.nodes[0].links.append(Faults(cut=cut, cut_after=7))
            double.nodes[0].cut_links()
            target.write([put(number, change(5)) for number in range(50)])
            assert held(target, 49) == state(target, change(5), citizen(49))


def test_a_cluster_that_is_away_is_tried_again_a_few_times_and_no_more(double: Running) -> None:
    place = place_in(double.access)
    pauses: list[float] = []
    with RiakTarget(
        double.access, place.pipeline, place.mapping(), place.options, sleep=pauses.append
    ) as target:
        double.nodes[0].kill()
        with pytest.raises(TargetUnavailable):
            target.write([put(1, change(5))])
    assert pauses == [0.05, 0.2, 1.0, 3.0]


# -- the proof


def test_without_a_proof_for_the_release_that_runs_nothing_is_opened(double: Running) -> None:
    place = place_in(double.access)
    place.open().close()
    newer = Node(double.cluster, 0, version="9.9.9")
    newer.start()
    for nodes in ((newer.address,), (double.nodes[0].address, newer.address)):
        with pytest.raises(OrderUnproven, match=r"Riak 9\.9\.9 .*changeover doctor"):
            replace(place, access=Access(nodes=nodes)).open()
    newer.hang_up()


def test_siblings_need_no_proof(double: Running) -> None:
    place = place_in(double.access, "siblings")
    with place.open() as target:
        target.write([put(1, change(5))])
        assert held(target, 1) == state(target, change(5), citizen(1))


def test_tables_share_a_bucket_by_prefixes(access: Access) -> None:
    place = place_in(access)
    name = place.bucket().name.decode()
    rules = {
        CITIZEN.full_name: Rules(bucket=name, key_prefix="c-"),
        PASSPORT.full_name: Rules(bucket=name, key_prefix="p-"),
    }
    with RiakTarget(access, place.pipeline, ObjectMapping(rules), place.options) as target:
        target.write([put(1, change(5), "Ada"), put(1, change(6), "Bo", PASSPORT)])
        assert held(target, 1) == state(target, change(5), citizen(1, "Ada"))
        assert held(target, 1, PASSPORT) == state(target, change(6), citizen(1, "Bo"), PASSPORT)
