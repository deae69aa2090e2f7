from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from changeover.progress import AppliedThrough, Offsets, Partition, Watermark, has_passed
from changeover.version import Version

ONE, TWO = Partition("p.s.one", 0), Partition("p.s.two", 0)


def watermark(sequence: int, ends: Offsets) -> Watermark:
    return Watermark(Version.of_change(1, sequence), 1_000 * sequence, ends)


@dataclass
class Seen:
    """What a group of consumers sees next: watermarks of the log, or that its offsets have moved."""

    watermarks: Sequence[Watermark]
    committed: Offsets


@st.composite
def histories(draw: st.DrawFn) -> list[Seen]:
    """Watermarks whose ends only grow, and offsets that only grow, in any interleaving."""
    ends = {ONE: 0, TWO: 0}
    committed: dict[Partition, int] = {}
    seen = []
    sequence = 0
    for _ in range(draw(st.integers(1, 8))):
        new = []
        for _ in range(draw(st.integers(0, 3))):
            sequence += 1
            written = draw(st.sets(st.sampled_from([ONE, TWO])))
            for partition in written:
                ends[partition] += draw(st.integers(1, 3))
            new.append(watermark(sequence, {partition: ends[partition] for partition in written}))
        for partition in draw(st.sets(st.sampled_from([ONE, TWO]))):
            committed[partition] = draw(st.integers(committed.get(partition, 0), ends[partition]))
        seen.append(Seen(new, dict(committed)))
    return seen


def passed(watermarks: Sequence[Watermark], committed: Offsets) -> Watermark | None:
    """The naive model: the last watermark up to which every single record has been passed."""
    through = None
    for one in watermarks:
        if any(committed.get(partition, 0) < end for partition, end in one.ends.items()):
            break
        through = one
    return through


class Followed(AppliedThrough[Watermark | None]):
    """Marks that are watermarks."""

    def __init__(self, mark: Watermark | None = None) -> None:
        super().__init__(mark)

    def see(self, watermarks: Iterable[Watermark]) -> None:
        for one in watermarks:
            self.expect(one, one.ends)

    def advance(self, committed: Offsets) -> Watermark | None:
        """What the offsets pass, once that is durable."""
        mark = self.passed(committed)
        self.settle(mark)
        assert self.mark == mark
        return mark


@given(histories())
def test_applied_through_is_the_last_watermark_whose_records_were_all_passed(history: list[Seen]) -> None:
    followed = Followed()
    watermarks: list[Watermark] = []
    for seen in history:
        followed.see(seen.watermarks)
        watermarks += seen.watermarks
        assert followed.advance(seen.committed) == passed(watermarks, seen.committed)
        assert followed.newest == (watermarks[-1] if watermarks else None)


@given(histories(), st.lists(st.booleans(), min_size=8, max_size=8))
def test_what_was_passed_by_offsets_that_were_not_committed_does_not_count(
    history: list[Seen], are_durable: list[bool]
) -> None:
    followed = Followed()
    watermarks: list[Watermark] = []
    durable = None
    for seen, is_durable in zip(history, are_durable, strict=False):
        followed.see(seen.watermarks)
        watermarks += seen.watermarks
        mark = followed.passed(seen.committed)
        assert mark == passed(watermarks, seen.committed)
        if is_durable:
            followed.settle(mark)
            durable = mark
        assert followed.mark == durable
        waiting = watermarks[watermarks.index(durable) + 1 :] if durable else watermarks
        assert followed.ahead == len(waiting)


@given(histories(), st.integers(0, 8))
def test_a_restart_forgets_nothing_and_claims_nothing(history: list[Seen], restarted_at: int) -> None:
    followed = Followed()
    watermarks: list[Watermark] = []
    for place, seen in enumerate(history):
        watermarks += seen.watermarks
        if place == restarted_at:
            known = followed.mark
            followed = Followed(known)
            followed.see(one for one in watermarks if known is None or one.version > known.version)
        else:
            followed.see(seen.watermarks)
        assert followed.advance(seen.committed) == passed(watermarks, seen.committed)


def test_a_watermark_behind_one_that_was_not_passed_does_not_count() -> None:
    followed = Followed()
    followed.see([watermark(1, {ONE: 1}), watermark(2, {TWO: 1})])
    assert followed.advance({TWO: 1}) is None
    assert followed.advance({ONE: 1, TWO: 1}) == watermark(2, {TWO: 1})


def test_a_watermark_without_records_is_passed_at_once() -> None:
    followed = Followed()
    followed.see([watermark(1, {})])
    assert followed.advance({}) == watermark(1, {})


def test_without_a_watermark_nothing_is_claimed_however_much_was_read() -> None:
    assert Followed().advance({ONE: 1_000}) is None


def test_a_partition_that_was_never_read_has_not_been_passed() -> None:
    assert not has_passed({TWO: 9}, {ONE: 1})
    assert has_passed({ONE: 1}, {ONE: 1})
    assert not has_passed({Partition("p.s.one", 1): 9}, {ONE: 1})
