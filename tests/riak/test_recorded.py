"""Every recorded frame of a real node, against our codec and against whatever node the tests have."""

import socket
import uuid
from collections.abc import Callable, Mapping

import pytest

from changeover.riak import buckets, keys, objects, session
from changeover.riak.access import Access
from changeover.riak.buckets import GetBucket, Properties
from changeover.riak.clock import version_in
from changeover.riak.keys import IndexQuery, Keys
from changeover.riak.objects import Content, Delete, Fetched, Get, Put
from changeover.riak.request import Bucket, ErrorSaid, Request
from changeover.riak.session import Ping, Server, ServerInfo
from changeover.riak.wire import Frame, fields
from changeover.version import Version
from tests.riak.double.message import Message, number, read, text
from tests.riak.recorded import alike, clock_in, in_place_of, only_frame, recorded

ALL = recorded()
BY_NOTE = {one.note: one for one in ALL}
UNKNOWN_CODE = 250


@pytest.fixture(scope="module")
def answers(access: Access) -> list[bytes]:
    """What the node answers to the recorded requests, one after the other, in a bucket that is new to it."""
    bucket = f"rec-{uuid.uuid4()}".encode()
    clocks: dict[bytes, bytes] = {}
    answers = []
    with socket.create_connection(access.nodes[0], timeout=10) as link:
        for one in ALL:
            link.sendall(in_place_of(one.request, clocks, bucket))
            answers.append(whole_frame(link))
            clocks[clock_in(one.response)] = clock_in(answers[-1])
    return answers


def whole_frame(link: socket.socket) -> bytes:
    data = b""
    while len(data) < 4 or len(data) < 4 + int.from_bytes(data[:4], "big"):
        data += link.recv(65_536)
    return data


def test_as_many_as_were_recorded() -> None:
    assert len(ALL) == 59


@pytest.mark.parametrize("place", range(len(ALL)), ids=[one.note for one in ALL])
def test_a_node_answers_as_the_recorded_one_did(answers: list[bytes], place: int) -> None:
    assert alike(answers[place]) == alike(ALL[place].response)


# -- the codec


def a_get(message: Message) -> Get:
    head, clock = bool(number(message, 8)), bool(number(message, 9))
    return Get(Bucket(text(message, 1), text(message, 13)), text(message, 2), head=head, deleted_clock=clock)


def a_put(message: Message) -> Put:
    return Put(
        Bucket(text(message, 1), text(message, 16)),
        text(message, 2),
        content(text(message, 4)),
        text(message, 3),
        as_is=bool(number(message, 13)),
        if_none_match=bool(number(message, 10)),
        if_not_modified=bool(number(message, 9)),
        return_body=bool(number(message, 7)),
        return_head=bool(number(message, 11)),
    )


def a_query(message: Message) -> IndexQuery:
    low, high = (text(message, 5), text(message, 6)) if 5 in message else (text(message, 4), None)
    return IndexQuery(
        Bucket(text(message, 1), text(message, 12)),
        text(message, 2),
        low,
        high,
        max_results=number(message, 9),
        continuation=text(message, 10),
    )


READERS: Mapping[int, Callable[[Message], Request[object]]] = {
    session.PING: lambda _: Ping(),
    session.SERVER_INFO: lambda _: ServerInfo(),
    buckets.GET_BUCKET: lambda message: GetBucket(Bucket(text(message, 1), text(message, 2))),
    objects.GET: a_get,
    objects.PUT: a_put,
    objects.DELETE: lambda message: Delete(
        Bucket(text(message, 1), text(message, 13)), text(message, 2), text(message, 4)
    ),
    keys.INDEX: a_query,
}


def ours(frame: Frame) -> Request[object]:
    """The request that we would make to send this frame."""
    return READERS[frame.code](read(frame.body))


def content(sent: bytes) -> Content:
    pairs: dict[int, list[tuple[bytes, bytes]]] = {9: [], 10: []}
    for field, value in fields(sent):
        if field in pairs and isinstance(value, bytes):
            pairs[field].append((text(read(value), 1), text(read(value), 2)))
    message = read(sent)
    return Content(text(message, 1), text(message, 2), tuple(pairs[9]), tuple(pairs[10]))


def can_be_ours(place: int) -> bool:
    """All but those that we never send: a code that nobody knows, and an asis without a clock."""
    frame = only_frame(ALL[place].request)
    message = read(frame.body)
    is_lost = frame.code == objects.PUT and number(message, 13) and not text(message, 3)
    return frame.code != UNKNOWN_CODE and not is_lost


OURS = [place for place in range(len(ALL)) if can_be_ours(place)]


def test_all_but_two_of_the_recorded_requests_are_ours() -> None:
    assert len(OURS) == 57


@pytest.mark.parametrize("place", OURS, ids=[ALL[place].note for place in OURS])
def test_our_request_is_the_recorded_one_byte_for_byte(place: int) -> None:
    assert ours(only_frame(ALL[place].request)).frame() == ALL[place].request


def said(note: str) -> object:
    one = BY_NOTE[note]
    return ours(only_frame(one.request)).answer(only_frame(one.response))


def fetched(note: str) -> Fetched:
    found = said(note)
    assert isinstance(found, Fetched)
    return found


def test_an_object_of_a_real_node_is_read_with_all_that_stands_beside_it() -> None:
    found = fetched("get: value, vclock, user metadata, vtag, last_mod")
    assert found.contents == (
        Content(
            b'{"v":5}',
            b"application/json",
            metadata=((b"changeover-version", b"00000001000000000000000500000002"),),
            vtag=b"4T5AlrCW8KEW7VjiDpJe5x",
            modified_us=1_795_352_946_466_483,
        ),
    )
    assert version_in(found.clock) == Version(1, 5, 2)


@pytest.mark.parametrize(
    ("note", "values"),
    [
        ("get of an absent key: empty answer", []),
        ("get: reads as absent", []),
        ("get after delete: absent", []),
        ("get after delete with deletedvclock", []),
        ("get: two siblings", [b"a", b"b"]),
        ("get: app", [b"app"]),
        ("get head only", [b""]),
    ],
)
def test_the_values_that_a_real_node_said_are_read(note: str, values: list[bytes]) -> None:
    assert [content.value for content in fetched(note).contents] == values


def test_only_a_tombstone_s_clock_comes_without_a_content() -> None:
    assert fetched("get after delete with deletedvclock").clock
    assert not fetched("get after delete: absent").clock


def test_an_application_s_put_keeps_our_entry_in_the_clock() -> None:
    assert version_in(fetched("get: app").clock) == Version(1, 5, 2)


def test_a_clock_without_an_entry_of_ours_has_no_version() -> None:
    assert version_in(fetched("get: b").clock) is None


def test_what_a_real_node_said_about_itself_and_its_buckets_is_read() -> None:
    assert said("server info") == Server("riak@127.0.0.1", "3.2.3")
    properties = said("bucket properties of type plain3")
    assert isinstance(properties, Properties)
    assert (properties.n_val, properties.allow_mult, properties.last_write_wins) == (3, False, False)
    assert (properties.r, properties.pw) == (buckets.QUORUMS["quorum"], 0)


def test_pages_of_an_index_are_read() -> None:
    first = said("2i range on $key with max_results, first page")
    assert first == Keys((b"c1", b"i1", b"k1"), b"g20AAAACazE=", is_last=True)


def test_a_condition_that_did_not_hold_is_an_answer_and_any_other_error_is_none() -> None:
    assert said("if_none_match on present: error match_found") == objects.Stored(refused="match_found")
    with pytest.raises(ErrorSaid, match="no_type"):
        said("unknown bucket type: error")
