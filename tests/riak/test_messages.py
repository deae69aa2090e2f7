"""Messages: what a node reads of ours, and what we make of whatever it answers."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.riak import buckets, keys, objects, session
from changeover.riak.buckets import GetBucket, Properties, SetBucket, decode_properties, encode_properties
from changeover.riak.clock import of_version
from changeover.riak.keys import IndexQuery, Keys, ListKeys
from changeover.riak.objects import Content, Delete, Get, Put
from changeover.riak.request import Bucket, ErrorSaid
from changeover.riak.session import Auth, Ping, ServerInfo, StartTls
from changeover.riak.wire import Frame, Malformed, bytes_field, number_field
from changeover.version import Version
from tests.riak.double.message import number, read, text
from tests.riak.recorded import only_frame

BUCKET = Bucket(b"shop", b"plain3")
CLOCK = of_version(Version(1, 5, 2))
PUT = Put(BUCKET, b"1", Content(b"{}"), CLOCK)

ANSWERS: dict[str, tuple[int, Callable[[Frame], object]]] = {
    "get": (objects.GOT, Get(BUCKET, b"1").answer),
    "put": (objects.PUT_DONE, PUT.answer),
    "delete": (objects.DELETED, Delete(BUCKET, b"1").answer),
    "ping": (session.PONG, Ping().answer),
    "server info": (session.SERVER_INFO_SAID, ServerInfo().answer),
    "start of TLS": (session.START_TLS, StartTls().answer),
    "login": (session.AUTH_DONE, Auth("a", "b").answer),
    "bucket": (buckets.BUCKET_SAID, GetBucket(BUCKET).answer),
    "bucket set": (buckets.BUCKET_SET, SetBucket(BUCKET, Properties()).answer),
    "keys": (keys.KEYS_LISTED, ListKeys(BUCKET).part),
    "index": (keys.INDEX_SAID, IndexQuery(BUCKET, b"$key", b"a", b"z").part),
}


@pytest.mark.parametrize("name", ANSWERS)
@given(body=st.binary(max_size=100))
def test_an_answer_of_any_bytes_ends_in_a_value_or_in_an_error_of_ours(name: str, body: bytes) -> None:
    code, answer = ANSWERS[name]
    for frame in (Frame(code, body), Frame(0, body), Frame(99, body)):
        try:
            answer(frame)
        except (Malformed, ErrorSaid):
            continue


@pytest.mark.parametrize("name", ANSWERS)
def test_an_error_is_told_apart_from_an_answer_to_something_else(name: str) -> None:
    _, answer = ANSWERS[name]
    with pytest.raises(ErrorSaid, match="overload"):
        answer(Frame(0, bytes_field(1, b"overload") + number_field(2, 0)))
    with pytest.raises(Malformed):
        answer(Frame(99, b""))


# -- puts


PAIRS = st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=200)), max_size=3).map(tuple)


@given(st.binary(max_size=20_000), PAIRS, PAIRS)
def test_a_content_comes_back_as_it_was_sent(
    value: bytes, metadata: tuple[tuple[bytes, bytes], ...], indexes: tuple[tuple[bytes, bytes], ...]
) -> None:
    sent = Content(value, b"text/plain", metadata, indexes)
    content = text(read(only_frame(PUT._replace(content=sent).frame()).body), 4)
    got = Get(BUCKET, b"1").answer(Frame(objects.GOT, bytes_field(1, content)))
    assert got.contents == (sent,)


def test_a_put_as_it_is_without_a_clock_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="needs a clock"):
        PUT._replace(clock=b"", as_is=True).frame()


@pytest.mark.parametrize(
    ("put", "field"),
    [
        (PUT._replace(w=1), 5),
        (PUT._replace(dw=1), 6),
        (PUT._replace(return_body=True), 7),
        (PUT._replace(pw=1), 8),
        (PUT._replace(if_not_modified=True), 9),
        (PUT._replace(if_none_match=True), 10),
        (PUT._replace(return_head=True), 11),
        (PUT._replace(as_is=True), 13),
    ],
)
def test_an_option_of_a_put_goes_into_its_own_field(put: Put, field: int) -> None:
    plain, changed = read(only_frame(PUT.frame()).body), read(only_frame(put.frame()).body)
    assert {name: value for name, value in changed.items() if name not in plain} == {field: [1]}


def test_a_word_of_a_condition_is_an_error_to_a_put_that_had_none() -> None:
    said = Frame(0, bytes_field(1, b"modified"))
    assert PUT._replace(if_not_modified=True).answer(said).refused == "modified"
    with pytest.raises(ErrorSaid):
        PUT.answer(said)


def test_the_default_bucket_type_is_left_out() -> None:
    assert 13 not in read(only_frame(Get(Bucket(b"shop"), b"1").frame()).body)


# -- buckets and keys


@given(
    st.builds(
        Properties,
        n_val=st.none() | st.integers(1, 7),
        allow_mult=st.none() | st.booleans(),
        last_write_wins=st.none() | st.booleans(),
        w=st.none() | st.sampled_from(list(buckets.QUORUMS.values())),
        backend=st.none() | st.text(max_size=10),
    )
)
def test_properties_are_read_as_they_were_written(properties: Properties) -> None:
    assert decode_properties(encode_properties(properties)) == properties


def test_a_type_is_asked_and_set_by_messages_of_its_own() -> None:
    of_type = Bucket(b"", b"plain3")
    assert only_frame(GetBucket(of_type).frame()) == (buckets.GET_TYPE, bytes_field(1, b"plain3"))
    found = only_frame(SetBucket(of_type, Properties(allow_mult=False)).frame())
    assert (found.code, text(read(found.body), 1)) == (buckets.SET_TYPE, b"plain3")


def test_a_question_for_one_term_and_one_for_a_range_are_told_apart() -> None:
    one = read(only_frame(IndexQuery(BUCKET, b"name_bin", b"smith").frame()).body)
    range_ = read(only_frame(IndexQuery(BUCKET, b"name_bin", b"a", b"z").frame()).body)
    assert (number(one, 3), text(one, 4)) == (0, b"smith")
    assert (number(range_, 3), text(range_, 5), text(range_, 6)) == (1, b"a", b"z")


def test_a_streamed_answer_is_over_when_it_says_so_and_any_other_at_once() -> None:
    part = Frame(keys.INDEX_SAID, bytes_field(1, b"k"))
    query = IndexQuery(BUCKET, b"$key", b"a", b"z")
    assert query.part(part) == Keys((b"k",), is_last=True)
    assert query._replace(stream=True).part(part) == Keys((b"k",))
    last = Frame(keys.INDEX_SAID, bytes_field(3, b"on") + number_field(4, 1))
    assert query._replace(stream=True).part(last) == Keys((), b"on", is_last=True)


def test_a_login_does_not_show_its_password() -> None:
    assert "hunter2" not in f"{Auth('ann', 'hunter2')!r} {Auth('ann', 'hunter2')}"
