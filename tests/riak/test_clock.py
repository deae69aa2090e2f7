"""Vector clocks: the bytes of a real node, their order, and our one entry among the others."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.riak import erlang
from changeover.riak.clock import (
    ACTOR,
    CLOCK_BYTES_MAX,
    Clock,
    Entry,
    decode,
    descends,
    encode,
    merged,
    of_version,
    raised_to,
    version_in,
)
from changeover.riak.wire import Malformed
from changeover.version import ROW_MAX, Version
from tests.riak.recorded import clock_in, recorded

ENTRIES = st.builds(Entry, st.integers(0, 2**140), st.integers(0, 2**36))
CLOCKS = st.dictionaries(st.binary(min_size=1, max_size=14) | st.just(ACTOR), ENTRIES, max_size=6)
VERSIONS = st.builds(Version, st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.integers(0, ROW_MAX))
ANOTHER = b"#\x09\xfe\xf9.\xac\xd2j"


@given(CLOCKS)
def test_a_clock_is_read_as_it_was_written(clock: Clock) -> None:
    assert decode(encode(clock)) == clock


def test_every_clock_that_a_real_node_gave_is_written_again_to_the_byte() -> None:
    clocks = {clock_in(data) for one in recorded() for data in (one.request, one.response)} - {b""}
    assert len(clocks) > 15
    assert {encode(decode(clock)) for clock in clocks} == clocks


@given(VERSIONS)
def test_the_clock_of_an_ordered_write_says_its_version(version: Version) -> None:
    clock = of_version(version)
    assert version_in(clock) == version
    assert list(decode(clock)) == [ACTOR]


@given(VERSIONS)
def test_it_is_the_term_that_a_real_node_packs_to_the_byte(version: Version) -> None:
    assert zlib.decompress(of_version(version), wbits=-15) == zlib.decompress(
        encode(decode(of_version(version))), wbits=-15
    )


@given(VERSIONS, VERSIONS)
def test_a_later_version_s_clock_descends_from_an_earlier_one_s_and_never_the_other_way(
    one: Version, other: Version
) -> None:
    assert descends(decode(of_version(one)), decode(of_version(other))) == (one >= other)


# -- order


@given(CLOCKS, CLOCKS)
def test_a_merged_clock_descends_from_both_and_from_no_more(one: Clock, other: Clock) -> None:
    both = merged([one, other])
    assert descends(both, one)
    assert descends(both, other)
    assert all(entry in {one.get(actor), other.get(actor)} for actor, entry in both.items())


@given(CLOCKS, CLOCKS)
def test_two_clocks_that_descend_from_each_other_count_the_same(one: Clock, other: Clock) -> None:
    if descends(one, other) and descends(other, one):
        assert {actor: entry.counter for actor, entry in one.items()} == {
            actor: entry.counter for actor, entry in other.items()
        }


# -- our entry in a clock of others


@given(CLOCKS, VERSIONS)
def test_a_raised_clock_descends_from_what_it_was_and_from_the_version(
    clock: Clock, version: Version
) -> None:
    raised = decode(raised_to(encode(clock), version))
    assert descends(raised, clock)
    assert descends(raised, decode(of_version(version)))


def test_raising_lowers_nothing_and_leaves_the_others_alone() -> None:
    held = {ANOTHER: Entry(3, 7), ACTOR: Entry(2 << 96)}
    assert decode(raised_to(encode(held), Version(1, 9, 0))) == held
    raised = raised_to(encode(held), Version(3, 0, 0))
    assert version_in(raised) == Version(3, 0, 0)
    assert decode(raised)[ANOTHER] == Entry(3, 7)


def test_a_clock_is_made_where_there_is_none() -> None:
    assert raised_to(b"", Version(3, 0, 0)) == encode({ACTOR: Entry(3 << 96)})


def test_a_clock_without_our_entry_or_with_more_than_a_version_in_it_has_no_version() -> None:
    assert version_in(encode({ANOTHER: Entry(1)})) is None
    assert version_in(encode({ACTOR: Entry(1 << 128)})) is None


# -- damage


@given(st.binary(max_size=120))
def test_any_bytes_end_in_a_clock_or_in_an_error_of_ours(data: bytes) -> None:
    for packed in (data, zlib.compress(data, wbits=-15)):
        try:
            decode(packed)
        except Malformed:
            continue


@given(CLOCKS.filter(bool), st.data())
def test_a_clock_that_is_cut_off_is_no_clock(clock: Clock, data: st.DataObject) -> None:
    packed = encode(clock)
    with pytest.raises(Malformed):
        decode(packed[: data.draw(st.integers(0, len(packed) - 1))])
    term = zlib.decompress(packed, wbits=-15)
    cut = term[: data.draw(st.integers(0, len(term) - 1))]
    with pytest.raises(Malformed):
        decode(zlib.compress(cut, wbits=-15))


@pytest.mark.parametrize(
    "term",
    [
        b"\x83\x6ax",
        b"\x83\x61\x05",
        b"\x82\x6a",
        b"\x83\x6c\0\0\0\1"
        + (erlang.PAIR + erlang.binary(b"a"))
        + erlang.PAIR
        + b"\x62\xff\xff\xff\xff\x61\0\x6a",
        b"\x83\x6c\0\0\0\2"
        + 2 * (erlang.PAIR + erlang.binary(b"a") + erlang.PAIR + b"\x61\1\x61\0")
        + b"\x6a",
    ],
    ids=["bytes behind it", "a number", "another format", "a counter below 0", "an actor twice"],
)
def test_a_term_that_is_no_clock_is_refused(term: bytes) -> None:
    with pytest.raises(Malformed):
        decode(zlib.compress(term, wbits=-15))


def test_bytes_behind_a_clock_are_refused() -> None:
    with pytest.raises(Malformed):
        decode(encode({ANOTHER: Entry(1)}) + b"x")


def test_a_clock_that_unpacks_to_more_than_any_is_refused_without_unpacking_it() -> None:
    bomb = zlib.compress(bytes(50 * CLOCK_BYTES_MAX), wbits=-15)
    with pytest.raises(Malformed):
        decode(bomb)


# -- Erlang's terms


@given(st.integers(-(2**2100), 2**2100) | st.integers(-(2**40), 2**40))
def test_a_number_of_any_size_is_read_as_it_was_written(number: int) -> None:
    terms = erlang.Terms(erlang.integer(number))
    assert terms.integer() == number
    assert terms.is_at_end


@pytest.mark.parametrize(
    ("number", "term"),
    [
        (0, "6100"),
        (255, "61ff"),
        (256, "6200000100"),
        (-1, "62ffffffff"),
        (2**31 - 1, "627fffffff"),
        (2**31, "6e040000000080"),
        (-(2**31), "6280000000"),
        (2**2040, "6f0000010000" + "00" * 255 + "01"),
    ],
)
def test_a_number_is_written_as_erlang_writes_it(number: int, term: str) -> None:
    assert erlang.integer(number).hex() == term
