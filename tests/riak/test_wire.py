"""Fields and frames: what was written is read, however it is cut, and nothing else is taken for a message."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.riak.wire import (
    FRAME_BYTES_MAX,
    FrameSplitter,
    Malformed,
    bytes_field,
    fields,
    frame,
    number_field,
    varint,
)

FIELDS = st.lists(
    st.tuples(st.integers(1, 2**29 - 1), st.integers(0, 2**64 - 1) | st.binary(max_size=300)), max_size=10
)
FRAMES = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=50)), max_size=8)


def message(found: list[tuple[int, int | bytes]]) -> bytes:
    return b"".join(
        number_field(field, value) if isinstance(value, int) else bytes_field(field, value)
        for field, value in found
    )


@given(FIELDS)
def test_fields_are_read_as_they_were_written(written: list[tuple[int, int | bytes]]) -> None:
    assert list(fields(message(written))) == written


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (0, "00"),
        (127, "7f"),
        (128, "8001"),
        (16_383, "ff7f"),
        (16_384, "808001"),
        (2**64 - 1, "ff" * 9 + "01"),
    ],
)
def test_numbers_at_the_edges_are_written_as_protocol_buffers_have_them(number: int, written: str) -> None:
    assert varint(number).hex() == written


@given(st.binary(max_size=200))
def test_any_bytes_end_in_fields_or_in_an_error_of_ours(data: bytes) -> None:
    try:
        for _ in fields(data):
            pass
    except Malformed:
        return


@given(FIELDS.filter(bool), st.data())
def test_a_message_that_is_cut_off_never_gains_a_field(
    written: list[tuple[int, int | bytes]], data: st.DataObject
) -> None:
    whole = message(written)
    cut = data.draw(st.integers(0, len(whole) - 1))
    found = []
    try:
        for field in fields(whole[:cut]):
            found.append(field)  # noqa: PERF402 - what came before the error counts too
    except Malformed:
        pass
    assert found == written[: len(found)]
    assert len(found) < len(written)


def test_numbers_of_fixed_length_are_passed_over_with_their_bytes() -> None:
    data = bytes((1 << 3 | 5, 1, 2, 3, 4)) + bytes((2 << 3 | 1, 1, 2, 3, 4, 5, 6, 7, 8)) + number_field(3, 7)
    assert list(fields(data)) == [(1, b"\1\2\3\4"), (2, b"\1\2\3\4\5\6\7\10"), (3, 7)]


@given(FRAMES, st.lists(st.integers(1, 40), min_size=1))
def test_frames_are_the_same_however_their_bytes_come_cut(
    written: list[tuple[int, bytes]], cuts: list[int]
) -> None:
    data = b"".join(frame(code, body) for code, body in written)
    splitter = FrameSplitter()
    found = []
    place = 0
    for number in range(len(data) + 1):
        size = cuts[number % len(cuts)]
        found += splitter.feed(data[place : place + size])
        place += size
    assert [tuple(one) for one in found] == written
    assert splitter.is_between_frames


def test_a_large_frame_in_many_pieces_is_joined_once() -> None:
    """Joined at every piece, this would copy 64 GB."""
    whole = frame(10, bytes(64 * 1024 * 1024))
    splitter = FrameSplitter()
    began = time.process_time()
    found = [
        one for start in range(0, len(whole), 32_768) for one in splitter.feed(whole[start : start + 32_768])
    ]
    assert [len(one.body) for one in found] == [64 * 1024 * 1024]
    assert time.process_time() - began < 5  # and not most of a minute


def test_half_a_frame_is_no_frame_yet() -> None:
    splitter = FrameSplitter()
    assert splitter.feed(frame(9, b"abc")[:-1]) == []
    assert not splitter.is_between_frames


@pytest.mark.parametrize("length", [0, FRAME_BYTES_MAX + 1, 2**32 - 1])
def test_a_length_that_no_frame_has_is_refused_before_anything_is_kept_for_it(length: int) -> None:
    with pytest.raises(Malformed):
        FrameSplitter().feed(length.to_bytes(4, "big") + b"\x0a")


@given(st.binary(max_size=100))
def test_any_bytes_end_in_frames_or_in_an_error_of_ours(data: bytes) -> None:
    try:
        found = FrameSplitter().feed(data)
    except Malformed:
        return
    assert sum(5 + len(body) for _, body in found) <= len(data)
