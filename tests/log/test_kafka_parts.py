"""Split records, joined by a reader that is stopped anywhere and resumes where it has committed."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.errors import ChangeUnreadable
from changeover.log.kafka.parts import Join, Part, split
from changeover.log.kafka.reading import Ours
from changeover.log.kafka.wire import CommitNote

Message = tuple[bytes, bytes]
"""A part's header and value; the offset is the message's place in the list."""


def parts_of(record: str, count: int) -> list[Message]:
    return [(Part(record, number, count).header, f"{record}{number}".encode()) for number in range(count)]


def value_of(record: str, count: int) -> bytes:
    return b"".join(value for _, value in parts_of(record, count))


def interleaved(counts: Sequence[int], chance: random.Random) -> list[Message]:
    """The parts of records of these sizes, each record's in order, mixed as by as many producers."""
    waiting = [parts_of(f"r{number}.", count) for number, count in enumerate(counts)]
    messages: list[Message] = []
    while waiting := [parts for parts in waiting if parts]:
        messages.append(chance.choice(waiting).pop(0))
    return messages


def resumed(committed: int, note: CommitNote) -> Ours:
    note = replace(note, applied=max(note.applied, committed))
    return Ours(committed, note, Join(note.applied), polled=committed)


@given(
    counts=st.lists(st.integers(1, 4), min_size=1, max_size=8),
    seed=st.integers(0, 2**32),
    stops=st.lists(st.tuples(st.integers(0, 12), st.floats(0, 1)), max_size=6),
)
def test_wherever_a_reader_stops_each_record_is_applied_whole(
    counts: list[int], seed: int, stops: list[tuple[int, float]]
) -> None:
    messages = interleaved(counts, random.Random(seed))
    applied: set[bytes] = set()
    committed, note = 0, CommitNote()
    for length, share in [*stops, (len(messages), 1.0)]:
        ours = resumed(committed, note)
        taken: list[tuple[int, bytes]] = []
        for offset, (header, value) in list(enumerate(messages))[committed : committed + length]:
            ours.polled = offset + 1
            whole = ours.join.take(offset, header, value)
            taken += [] if whole is None else [(offset, whole)]
        done = taken[: round(share * len(taken))]
        applied |= {value for _, value in done}
        if done:
            note = replace(ours.note, applied=ours.applied(done[-1][0] + 1))
            committed = max(committed, ours.join.resume_at(note.applied))
    assert applied == {value_of(f"r{number}.", count) for number, count in enumerate(counts)}
    assert committed == len(messages)


def test_a_record_that_is_not_applied_holds_the_place_at_its_first_part() -> None:
    join = Join()
    first, second = parts_of("r", 2)
    assert join.take(5, *first) is None
    assert join.resume_at(9) == 5
    assert join.take(8, *second) == b"r0r1"
    assert join.resume_at(8) == 5
    assert join.resume_at(9) == 9


def test_what_was_applied_needs_no_place_any_more() -> None:
    join = Join()
    for offset, part in enumerate(parts_of("r", 2)):
        join.take(offset, *part)
    join.forget(2)
    assert join.resume_at(1) == 1


def test_a_part_whose_record_was_applied_before_is_left_out() -> None:
    assert Join(applied=4).take(3, *parts_of("r", 2)[1]) is None


@pytest.mark.parametrize("numbers", [(1,), (0, 2), (0, 1, 1)])
def test_a_part_that_is_missing_is_never_passed_over(numbers: tuple[int, ...]) -> None:
    join, parts = Join(), parts_of("r", 4)
    for number in numbers[:-1]:
        join.take(number, *parts[number])
    with pytest.raises(ChangeUnreadable, match="of 4"):
        join.take(9, *parts[numbers[-1]])


@given(value=st.binary(max_size=50), bytes_max=st.integers(1, 60))
def test_pieces_are_no_larger_than_allowed_and_make_the_whole(value: bytes, bytes_max: int) -> None:
    pieces = split(value, bytes_max)
    assert b"".join(pieces) == value
    assert max(map(len, pieces)) <= bytes_max
    assert all(len(piece) == bytes_max for piece in pieces[:-1])
