from collections.abc import Sequence
from pathlib import Path
from typing import Self

import orjson
import pytest

from changeover.change import Change, Op, Origin
from changeover.decide import Outcome, Write
from changeover.envelope import encode_key
from changeover.errors import ChangeUnreadable, TargetUnavailable
from changeover.log import Record
from changeover.targets import Held
from changeover.targets.sqlite import SQLiteTarget
from changeover.values import Row
from changeover.version import Version
from consumers.apply import IDLE_WAIT_S, Apply
from tests.support.memory import PIPELINE, MemoryReader, records_of
from tests.support.tables import CITIZEN, citizen


def created(number: int, sequence: int, name: str = "Ada") -> Change:
    version = Version.of_change(1, sequence)
    return Change(CITIZEN, Op.CREATE, None, citizen(number, name), version, Origin(0, f"0-1-{sequence}"))


def deleted(number: int, sequence: int) -> Change:
    return Change(CITIZEN, Op.DELETE, citizen(number), None, Version.of_change(1, sequence), Origin(0))


def held(target: SQLiteTarget, number: int) -> Held[Row] | None:
    return target.read(CITIZEN, encode_key(CITIZEN, citizen(number)))


class TargetThatIsDown(SQLiteTarget):
    """A target that fails before or after it has written, as one behind a network does."""

    def __init__(self, path: Path, *, after_writing: bool) -> None:
        super().__init__(path, PIPELINE)
        self.is_down = True
        self._after_writing = after_writing

    def write(self, batch: Sequence[Write]) -> list[Outcome]:
        if self.is_down and not self._after_writing:
            raise self._down()
        outcomes = super().write(batch)
        if self.is_down:
            raise self._down()
        return outcomes

    def __enter__(self) -> Self:
        return self

    @staticmethod
    def _down() -> TargetUnavailable:
        return TargetUnavailable("the target did not answer")


def test_a_batch_is_written_and_then_committed(tmp_path: Path) -> None:
    reader = MemoryReader(records_of([created(1, 11), created(2, 12)]))
    with SQLiteTarget(tmp_path / "target.db", PIPELINE) as target:
        assert Apply(reader, target, batch_max=10).step()
        assert held(target, 2) == Held(Version.of_change(1, 12), citizen(2))
    assert list(reader.committed.values()) == [2]


@pytest.mark.parametrize("after_writing", [False, True])
def test_offsets_stay_where_the_target_fails_and_the_batch_comes_again(
    tmp_path: Path, after_writing: object
) -> None:
    reader = MemoryReader(records_of([created(1, 11), created(2, 12)]))
    with TargetThatIsDown(tmp_path / "target.db", after_writing=bool(after_writing)) as target:
        with pytest.raises(TargetUnavailable):
            Apply(reader, target, batch_max=10).step()
        assert reader.committed == {}
        target.is_down = False
        reader.restart()
        Apply(reader, target, batch_max=10).step()
        assert held(target, 2) == Held(Version.of_change(1, 12), citizen(2))
        assert reader.is_done


def test_a_batch_holds_no_more_than_was_asked_for(tmp_path: Path) -> None:
    reader = MemoryReader(records_of([created(number, 10 + number) for number in range(1, 6)]))
    with SQLiteTarget(tmp_path / "target.db", PIPELINE) as target:
        Apply(reader, target, batch_max=2).step()
        assert [held(target, number) is not None for number in range(1, 6)] == [True, True, *[False] * 3]
    assert list(reader.committed.values()) == [2]


def test_a_record_that_changes_nothing_is_counted_as_stale_in_its_batch_and_beside_it(tmp_path: Path) -> None:
    again = created(1, 11)
    records = records_of([created(1, 12, "Grace"), again, again, created(2, 13)])
    reader = MemoryReader(records)
    with SQLiteTarget(tmp_path / "target.db", PIPELINE) as target:
        applying = Apply(reader, target, batch_max=2)
        assert applying.step()  # the newer of the two
        assert applying.counts.stale == 1
        assert applying.step()  # the older again, and another key
        assert held(target, 1) == Held(Version.of_change(1, 12), citizen(1, "Grace"))
    assert (applying.counts.records, applying.counts.stale) == (4, 2)
    assert (reader.applied, reader.stale) == (4, 2)


def test_a_delete_is_applied_as_a_marker(tmp_path: Path) -> None:
    with SQLiteTarget(tmp_path / "target.db", PIPELINE) as target:
        Apply(MemoryReader(records_of([created(1, 11), deleted(1, 12)])), target, batch_max=1).run(Turns(2))
        assert held(target, 1) == Held(Version.of_change(1, 12), None)


@pytest.mark.parametrize("poison", [b"", b"{}", b"null", b"\xff", b'{"op":"c"}'])
def test_a_record_that_is_no_change_stops_before_anything_of_its_batch_counts(
    tmp_path: Path, poison: bytes
) -> None:
    first, second = records_of([created(1, 11), created(2, 12)])
    reader = MemoryReader([first, second._replace(value=poison)])
    with SQLiteTarget(tmp_path / "target.db", PIPELINE) as target:
        with pytest.raises(ChangeUnreadable, match=r"records\.citizen"):
            Apply(reader, target, batch_max=10).step()
        assert held(target, 1) is None
    assert reader.committed == {}


def test_without_records_it_commits_nothing_so_that_an_idle_source_moves_on_and_rests(tmp_path: Path) -> None:
    commits: list[object] = []
    rests: list[float] = []

    class Idle(MemoryReader):
        def poll(self, limit: int) -> Sequence[Record]:
            del limit
            return []

        def commit(self, offsets: object, *, records: int = 0, stale: int = 0) -> None:
            commits.append((offsets, records, stale))

    with SQLiteTarget(tmp_path / "target.db", PIPELINE) as target:
        Apply(Idle([]), target, batch_max=10, sleep=rests.append).run(Turns(2))
    assert commits == [({}, 0, 0)] * 2
    assert rests == [IDLE_WAIT_S] * 2


class Turns:
    """Says stop after so many turns."""

    def __init__(self, turns: int) -> None:
        self._left = turns

    def __call__(self) -> bool:
        self._left -= 1
        return self._left < 0


@pytest.mark.parametrize(
    "image",
    [
        5,
        [1],
        {},
        {"id": 1},
        {"id": 1, "name": {"a": 1}},
        {"id": 1, "name": "a", "more": 1},
        {"id": "one", "name": "a"},
        {"id": None, "name": "a"},
        {"id": 1.5, "name": "a"},
        {"id": True, "name": "a"},
    ],
)
def test_an_image_that_is_no_row_of_its_table_is_unreadable(tmp_path: Path, image: object) -> None:
    (record,) = records_of([created(1, 11)])
    damaged = orjson.dumps({**orjson.loads(record.value), "after": image})
    reader = MemoryReader([record._replace(value=damaged)])
    with SQLiteTarget(tmp_path / "target.db", PIPELINE) as target, pytest.raises(ChangeUnreadable):
        Apply(reader, target, batch_max=9).step()
    assert reader.committed == {}


def test_a_record_under_the_key_of_another_row_is_unreadable(tmp_path: Path) -> None:
    one, other = records_of([created(1, 11), created(2, 12)])
    reader = MemoryReader([one._replace(value=other.value)])
    with (
        SQLiteTarget(tmp_path / "target.db", PIPELINE) as target,
        pytest.raises(ChangeUnreadable, match="key"),
    ):
        Apply(reader, target, batch_max=9).step()
