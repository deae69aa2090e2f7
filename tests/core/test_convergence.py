"""The property that the product rests on: whatever the order, the target ends as the source did.

A story is a source's history, bounded reads of it, and one way in which all of that reaches the target. The
negative controls break one rule each, and the same stories must then end in differences.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import changeover.decide
import changeover.targets.sqlite
import consumers.apply
from changeover.change import Change, Op, Origin
from changeover.decide import Outcome, Write
from changeover.envelope import encode_key
from changeover.errors import LogUnavailable
from changeover.targets.sqlite import SQLiteTarget
from changeover.values import Row
from changeover.version import Version
from consumers.apply import Apply
from tests.support.memory import PIPELINE, MemoryReader, records_of
from tests.support.tables import CITIZEN, citizen

State = dict[int, Row]
"""The source's rows by key."""

FIRST_SEQUENCE = 10
"""Of the transaction at which capture began: what lies before it comes by reads alone."""


@dataclass(frozen=True)
class History:
    """The source after each transaction since capture began, and what the binlog says of it."""

    states: Sequence[State]
    places: Sequence[tuple[int, int]]
    """Epoch and sequence for each state."""

    changes: Sequence[Change]


@dataclass(frozen=True)
class Read:
    """A bounded read that saw at least the transaction at `bound`, and in truth the one at `seen`."""

    bound: int
    seen: int


@dataclass(frozen=True)
class Story:
    """A history, and the way in which its changes and reads reach the target."""

    history: History
    reads: Sequence[Read]
    shuffle: Callable[[list[Change]], list[Change]]
    batch_max: int
    lost_commits: frozenset[int]

    def delivered(self, stamp: Callable[[History, Read], Version]) -> list[Change]:
        read = (change for one in self.reads for change in rows_of(self.history, one, stamp))
        return self.shuffle([*self.history.changes, *read])


def honest(history: History, read: Read) -> Version:
    """The version of a read: a lower bound of what it saw."""
    return Version.of_read(*history.places[read.bound])


def too_high(history: History, read: Read) -> Version:
    """The version of the newest transaction in the binlog, which the read may not have seen."""
    del read
    return Version.of_read(*history.places[-1])


def rows_of(history: History, read: Read, stamp: Callable[[History, Read], Version]) -> Iterable[Change]:
    for row in history.states[read.seen].values():
        yield Change(CITIZEN, Op.READ, None, row, stamp(history, read), Origin(0))


@st.composite
def histories(draw: st.DrawFn, keys: int) -> History:
    key = st.integers(1, keys)
    states: list[State] = [{number: citizen(number, "at first") for number in draw(st.sets(key))}]
    places = [(1, FIRST_SEQUENCE)]
    changes: list[Change] = []
    for _ in range(draw(st.integers(1, 6))):
        epoch, sequence = places[-1]
        # The next server may number from below, as long as its epoch is higher.
        place = draw(st.sampled_from([(epoch, sequence + 1), (epoch, sequence + 5), (epoch + 1, 1)]))
        before = states[-1]
        after = dict(before)
        for number in draw(st.sets(key, min_size=1)):
            if number in before and draw(st.booleans()):
                del after[number]
            else:
                after[number] = citizen(number, f"as of {place}")
            changes.append(change_of(number, before, after, Version.of_change(*place)))
        states.append(after)
        places.append(place)
    return History(states, places, changes)


def change_of(number: int, before: State, after: State, version: Version) -> Change:
    old, new = before.get(number), after.get(number)
    op = Op.DELETE if new is None else Op.CREATE if old is None else Op.UPDATE
    return Change(CITIZEN, op, old, new, version, Origin(0, "0-1-1"))


@st.composite
def stories(draw: st.DrawFn, keys: int) -> Story:
    history = draw(histories(keys))
    last = len(history.states) - 1
    reads = []
    for _ in range(draw(st.integers(1, 3))):
        bound = draw(st.integers(0, last))
        reads.append(Read(bound, draw(st.integers(bound, last))))
    chance = draw(st.randoms(use_true_random=False))
    repeated = draw(st.integers(0, 4))

    def shuffle(changes: list[Change]) -> list[Change]:
        again = changes + [chance.choice(changes) for _ in range(repeated if changes else 0)]
        return chance.sample(again, len(again))

    lost = draw(st.frozensets(st.integers(1, 6), max_size=3))
    return Story(history, reads, shuffle, draw(st.integers(1, 6)), lost)


def settles(story: Story, stamp: Callable[[History, Read], Version] = honest) -> None:
    """Deliver the story by the real consumer, and compare."""
    reader = MemoryReader(records_of(story.delivered(stamp)), story.lost_commits)
    with TemporaryDirectory() as folder, SQLiteTarget(Path(folder) / "target.db", PIPELINE) as target:
        while not reader.is_done:
            try:
                Apply(reader, target, batch_max=story.batch_max).step()
            except LogUnavailable:
                reader.restart()
        expected = story.history.states[-1]
        for number in {number for state in story.history.states for number in state}:
            held = target.read(CITIZEN, encode_key(CITIZEN, citizen(number)))
            assert (held and held.body) == expected.get(number)


@settings(max_examples=300)
@given(stories(keys=1))
def test_one_key_ends_as_in_the_source_whatever_the_order_of_its_changes_and_reads(story: Story) -> None:
    settles(story)


@given(stories(keys=3))
def test_several_keys_end_as_in_the_source_whatever_the_order_of_changes_and_reads(story: Story) -> None:
    settles(story)


def breaks(stamp: Callable[[History, Read], Version] = honest) -> None:
    """Assert that some of the same stories end in a difference."""

    @settings(
        max_examples=300, derandomize=True, database=None, phases=[Phase.generate], report_multiple_bugs=False
    )
    @given(stories(keys=1))
    def search(story: Story) -> None:
        settles(story, stamp)

    with pytest.raises(AssertionError):
        search()


def test_the_last_write_wins_loses_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (changeover.decide, changeover.targets.sqlite):
        monkeypatch.setattr(module, "decide", lambda _held, _new: Outcome.APPLIED)
    breaks()


def test_r1_the_last_arrival_of_a_batch_loses_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    def last_per_key(writes: Iterable[Write]) -> list[Write]:
        return list({write.key: write for write in writes}.values())

    monkeypatch.setattr(consumers.apply, "newest_per_key", last_per_key)
    breaks()


def test_a_read_stamped_with_more_than_it_saw_loses_changes() -> None:
    breaks(too_high)
