"""What every target promises. A subclass gives `open_target`, and pytest collects the subclass.

`open_target` opens the same target each time, made anew for each test. A target that orders by itself
answers ACCEPTED where others say what became of a write.
"""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from changeover.decide import Outcome, Write
from changeover.envelope import encode_key
from changeover.errors import TargetClosed, TargetUnusable
from changeover.table import Table
from changeover.targets import CLOSED, Held, Note
from changeover.targets import Target as TargetOf
from changeover.values import Row, Value
from changeover.version import ROW_MAX, Version
from tests.support.tables import BIGINT_UNSIGNED_MAX, CITIZEN, EVERY_KIND, citizen, exactly, named, rows

Target = TargetOf[Any]
OpenTarget = Callable[[], Target]

PASSPORT = named("passport")
APPLIED = {Outcome.APPLIED, Outcome.ACCEPTED}
STALE = {Outcome.STALE, Outcome.ACCEPTED}
WRITERS = 8
RACE_VERSIONS = range(1, 6)
"""Of each key, in the race of all writers."""

RACE_BATCH = 100

NEW_EPOCH = 7
"""Reserved for NEW, above every other."""


def put(number: int, version: Version, name: str = "Ada", table: Table = CITIZEN) -> Write:
    row = citizen(number, name)
    return Write(table, encode_key(table, row), version, row)


def delete(number: int, version: Version) -> Write:
    return put(number, version)._replace(row=None)


def change(sequence: int) -> Version:
    return Version.of_change(1, sequence)


def overwrite(target: Target, number: int, name: str | None) -> None:
    body = None if name is None else target.body_of(CITIZEN, citizen(number, name))
    key = encode_key(CITIZEN, citizen(number))
    target.overwrite(CITIZEN, key, Held(Version(NEW_EPOCH, 0, 0), body))


def whole(row: Row) -> Write:
    return Write(EVERY_KIND, encode_key(EVERY_KIND, row), change(1), row)


def held(target: Target, number: int, table: Table = CITIZEN) -> Held[Any] | None:
    return target.read(table, encode_key(table, citizen(number)))


def state(target: Target, version: Version, row: Row | None, table: Table = CITIZEN) -> Held[Any]:
    """What the target holds where it holds this row, or (None) a delete marker."""
    return Held(version, None if row is None else target.body_of(table, row))


def met(target: Target, table: Table = CITIZEN) -> dict[bytes | None, tuple[Version, bool]]:
    """What a walk meets."""
    return {one.key: (one.version, one.is_row) for page in target.walk(table) for one in page.found}


class TargetContract:
    """The promises of `changeover.targets`."""

    goes_back = True
    """Whether `replace` can put an older state in place of a later one."""

    def row_of(self, table: Table, body: Any) -> Row:  # noqa: ANN401 - each target has its own
        """The row that such a body was made of."""
        del table
        row: Row = body
        return row

    @pytest.fixture
    def target(self, open_target: OpenTarget) -> Iterator[Target]:
        with open_target() as target:
            yield target

    # -- order

    def test_what_was_never_written_is_not_held(self, target: Target) -> None:
        assert held(target, 1) is None
        target.write([put(1, change(5))])
        assert held(target, 2) is None

    def test_a_newer_state_goes_over_an_older_one(self, target: Target) -> None:
        target.write([put(1, change(5), "old")])
        assert target.write([put(1, change(6), "new")])[0] in APPLIED
        assert held(target, 1) == state(target, change(6), citizen(1, "new"))

    def test_an_older_state_never_goes_over_a_newer_one(self, target: Target) -> None:
        target.write([put(1, change(6), "new")])
        assert target.write([put(1, change(5), "old")])[0] in STALE
        assert held(target, 1) == state(target, change(6), citizen(1, "new"))

    def test_the_same_write_again_changes_nothing(self, target: Target) -> None:
        target.write([put(1, change(5))])
        assert target.write([put(1, change(5))])[0] in STALE
        assert held(target, 1) == state(target, change(5), citizen(1))

    @pytest.mark.parametrize(
        ("lower", "higher"),
        [
            (Version(1, 2**64 - 1, ROW_MAX), Version(2, 0, 0)),
            (Version(1, 9, ROW_MAX), Version(1, 10, 1)),
            (Version(1, 255, 1), Version(1, 256, 1)),
            (Version(1, 5, 0), Version(1, 5, 1)),
            (Version(1, 5, 1), Version(1, 5, ROW_MAX)),
        ],
    )
    def test_epoch_comes_before_sequence_and_sequence_before_row(
        self, target: Target, lower: Version, higher: Version
    ) -> None:
        target.write([put(1, higher, "higher")])
        target.write([put(1, lower, "lower")])
        target.write([put(2, lower, "lower")])
        target.write([put(2, higher, "higher")])
        assert [held(target, number) for number in (1, 2)] == [
            state(target, higher, citizen(number, "higher")) for number in (1, 2)
        ]

    # -- the application's own writes in NEW

    def test_a_write_of_new_goes_over_everything_and_no_late_one_over_it(self, target: Target) -> None:
        target.write([put(1, Version(1, 2**64 - 1, ROW_MAX), "old"), put(2, change(5), "old")])
        for number, name in ((1, "new"), (2, None), (3, "new"), (4, None)):
            overwrite(target, number, name)
        late = Version(NEW_EPOCH - 1, 2**64 - 1, ROW_MAX)
        target.write([put(number, late, "late") for number in (1, 2, 3, 4)])
        assert [held(target, number) for number in (1, 2, 3, 4)] == [
            state(target, Version(NEW_EPOCH, 0, 0), None if number % 2 == 0 else citizen(number, "new"))
            for number in (1, 2, 3, 4)
        ]

    def test_of_several_writes_of_new_the_last_one_counts(self, target: Target) -> None:
        for name in ("one", "two", None, "three"):
            overwrite(target, 1, name)
            row = None if name is None else citizen(1, name)
            assert held(target, 1) == state(target, Version(NEW_EPOCH, 0, 0), row)

    @pytest.mark.parametrize("seed", range(5))
    def test_shuffled_and_repeated_versions_end_with_the_newest(self, target: Target, seed: int) -> None:
        chance = random.Random(seed)
        writes = [
            put(1, change(sequence), f"as of {sequence}")
            if chance.random() < 0.7
            else delete(1, change(sequence))
            for sequence in range(1, 21)
        ]
        for write in chance.choices(writes, k=40) + chance.sample(writes, len(writes)):
            target.write([write])
        assert held(target, 1) == state(target, change(20), writes[-1].row)

    def test_many_writers_of_one_key_end_with_the_newest(self, open_target: OpenTarget) -> None:
        open_target().close()  # the file is there before they come
        versions = range(1, 501)
        writers = [
            threading.Thread(target=write_all, args=(open_target, seed, versions)) for seed in range(WRITERS)
        ]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        with open_target() as target:
            assert held(target, 1) == state(target, change(500), citizen(1, "as of 500"))

    @pytest.mark.timeout(1_200)
    @pytest.mark.parametrize("keys", [200, pytest.param(10_000, marks=pytest.mark.full)])
    def test_every_key_ends_with_the_newest_whatever_the_writers_do(
        self, open_target: OpenTarget, keys: int
    ) -> None:
        assert not wrong_after_a_race(open_target, keys)

    # -- deletes

    def test_a_late_snapshot_row_never_brings_a_deleted_row_back(self, target: Target) -> None:
        target.write([put(1, change(5))])
        target.write([delete(1, change(7))])
        assert target.write([put(1, Version.of_read(1, 6))])[0] in STALE
        assert held(target, 1) == Held(change(7), None)

    def test_a_delete_of_what_was_never_there_is_remembered_too(self, target: Target) -> None:
        assert target.write([delete(1, change(7))])[0] in APPLIED
        target.write([put(1, Version.of_read(1, 6))])
        assert held(target, 1) == Held(change(7), None)

    def test_a_row_may_come_back_after_its_delete(self, target: Target) -> None:
        target.write([put(1, change(5)), delete(1, change(6))])
        assert target.write([put(1, change(7), "again")])[0] in APPLIED
        assert held(target, 1) == state(target, change(7), citizen(1, "again"))

    def test_a_late_delete_never_takes_a_newer_row_away(self, target: Target) -> None:
        target.write([put(1, change(7))])
        assert target.write([delete(1, change(6))])[0] in STALE
        assert held(target, 1) == state(target, change(7), citizen(1))

    def test_a_delete_touches_its_own_row_alone(self, target: Target) -> None:
        target.write([put(1, change(5)), put(2, change(5)), put(1, change(5), table=PASSPORT)])
        target.write([delete(1, change(6))])
        assert held(target, 2) == state(target, change(5), citizen(2))
        assert held(target, 1, PASSPORT) == state(target, change(5), citizen(1), PASSPORT)

    # -- many keys

    def test_many_keys_are_read_in_the_order_of_the_asking(self, target: Target) -> None:
        target.write([put(number, change(number), f"is {number}") for number in range(1, 450)])
        target.write([delete(7, change(900))])
        numbers = [600, *range(449, 0, -1), 7]
        keys = [encode_key(CITIZEN, citizen(number)) for number in numbers]
        expected = [
            None if number == 600 else state(target, change(number), citizen(number, f"is {number}"))
            for number in numbers
        ]
        marker = Held(change(900), None)
        for place in (numbers.index(7), len(numbers) - 1):
            expected[place] = marker
        assert list(target.read_many(CITIZEN, keys)) == expected

    def test_of_a_table_that_was_never_written_nothing_is_held(self, target: Target) -> None:
        assert list(target.read_many(PASSPORT, [encode_key(PASSPORT, citizen(1))])) == [None]
        assert met(target, PASSPORT) == {}

    def test_a_walk_meets_every_row_and_every_marker_of_its_table_and_no_others(self, target: Target) -> None:
        target.write([put(number, change(number)) for number in range(1, 12)])
        target.write([delete(3, change(50)), delete(99, change(51)), put(5, change(52), table=PASSPORT)])
        rows = {encode_key(CITIZEN, citizen(number)): (change(number), True) for number in range(1, 12)}
        markers = {encode_key(CITIZEN, citizen(3)): (change(50), False)}
        markers |= {encode_key(CITIZEN, citizen(99)): (change(51), False)}
        assert met(target) == rows | markers

    def test_a_walk_goes_on_behind_the_page_that_was_last(
        self, target: Target, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in ("changeover.targets.sqlite_keys", "changeover.targets.riak.fitness"):
            monkeypatch.setattr(f"{module}.KEYS_PER_PAGE", 3)
        target.write([put(number, change(number)) for number in range(1, 11)])
        target.write([delete(number, change(50)) for number in range(20, 30)])
        pages = [next(target.walk(CITIZEN))]
        while (place := pages[-1].place) is not None:
            pages.append(next(target.walk(CITIZEN, place)))
        seen = [one.key for page in pages for one in page.found]
        numbers = [*range(1, 11), *range(20, 30)]
        assert sorted(seen, key=str) == sorted([encode_key(CITIZEN, citizen(n)) for n in numbers], key=str)
        assert len(pages) > 3

    # -- by order of a person

    def test_a_state_is_replaced_by_an_older_one_where_the_target_can_go_back(self, target: Target) -> None:
        for number, older in ((1, put(1, change(6), "true")), (2, delete(2, change(6)))):
            target.write([put(number, change(9), "ahead")])
            if not self.goes_back:
                with pytest.raises(TargetUnusable, match="never goes back"):
                    target.replace(older, change(9))
                assert held(target, number) == state(target, change(9), citizen(number, "ahead"))
                continue
            assert target.replace(older, change(9))
            assert held(target, number) == state(target, change(6), older.row)
            target.write([put(number, change(7), "next")])
            assert held(target, number) == state(target, change(7), citizen(number, "next"))

    def test_another_state_than_the_one_that_was_named_is_not_replaced(self, target: Target) -> None:
        target.write([put(1, change(9))])
        assert not target.replace(put(1, change(6), "late"), change(8))
        assert not target.replace(put(2, change(6), "late"), change(8))
        assert held(target, 1) == state(target, change(9), citizen(1))
        assert held(target, 2) is None

    # -- batches

    def test_outcomes_come_in_the_order_of_the_batch(self, target: Target) -> None:
        target.write([put(1, change(6))])
        outcomes = target.write([put(2, change(5)), put(1, change(5)), delete(3, change(5))])
        for outcome, expected in zip(outcomes, [APPLIED, STALE, APPLIED], strict=True):
            assert outcome in expected

    def test_a_key_may_come_more_than_once_in_a_batch_and_in_any_order(self, target: Target) -> None:
        target.write([put(1, change(7), "new"), put(1, change(5), "old"), delete(1, change(6))])
        assert held(target, 1) == state(target, change(7), citizen(1, "new"))

    def test_a_batch_of_nothing_is_one(self, target: Target) -> None:
        assert list(target.write([])) == []

    def test_what_was_written_is_there_after_reopening(self, open_target: OpenTarget) -> None:
        with open_target() as target:
            target.write([put(1, change(5)), delete(2, change(6))])
        with open_target() as target:
            assert held(target, 1) == state(target, change(5), citizen(1))
            assert held(target, 2) == Held(change(6), None)
            assert target.write([put(2, change(5))])[0] in STALE

    # -- values

    # Differing executors: each target has its own subclass, and an example that fails on one is tried on all.
    @settings(
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.differing_executors,
            HealthCheck.too_slow,
        ]
    )
    @given(st.lists(rows(EVERY_KIND), min_size=1, max_size=3, unique_by=lambda row: row["id"]))
    def test_every_value_comes_back_as_it_was_and_of_the_same_type(
        self, open_target: OpenTarget, written: Sequence[Row]
    ) -> None:
        with open_target() as target:
            # Each example on top of the last: a version of its own, or the key would hold an older row.
            target.write([whole(row)._replace(version=next_version(target, row)) for row in written])
            for row in written:
                held = target.read(EVERY_KIND, encode_key(EVERY_KIND, row))
                assert held
                assert held.body == target.body_of(EVERY_KIND, row)
                assert exactly(self.row_of(EVERY_KIND, held.body)) == exactly(row)

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("c2", BIGINT_UNSIGNED_MAX),
            ("c2", 2**63),
            ("c2", 2**63 - 1),
            ("c1", -(2**63)),
            ("c3", "1.1000"),
            ("c3", "-0.0000"),
            ("c3", "99999999999999999999.9999"),
            ("c4", -0.0),
            ("c4", 3.40282e38),
            ("c5", -0.0),
            ("c5", 1.0),
            ("c5", 1.7976931348623157e308),
            ("c5", 5e-324),
            ("c6", ""),
            ("c6", "a\0b"),
            ("c6", "1.10"),
            ("c6", "007"),
            ("c6", "Zürich 💾"),
            ("c7", b""),
            ("c7", b"\0"),
            ("c7", b"12"),
            ("c8", "0000-00-00"),
            ("c9", "9999-12-31 23:59:59.999999"),
            ("c10", "1970-01-01 00:00:01"),
        ],
    )
    def test_a_value_at_the_edge_comes_back_as_it_was(
        self, target: Target, column: str, value: Value
    ) -> None:
        row = dict.fromkeys(EVERY_KIND.column_names) | {"id": 1, column: value}
        target.write([whole(row)])
        back = target.read(EVERY_KIND, encode_key(EVERY_KIND, row))
        assert back
        assert exactly(self.row_of(EVERY_KIND, back.body)) == exactly(row)

    @pytest.mark.parametrize("number", [0, 2**63 - 1, 2**63, BIGINT_UNSIGNED_MAX])
    def test_a_key_at_the_edge_is_found_replaced_and_deleted(self, target: Target, number: int) -> None:
        row = dict.fromkeys(EVERY_KIND.column_names) | {"id": number}
        target.write([whole(row)])
        target.write([whole(row | {"c6": "new"})._replace(version=change(2))])
        key = encode_key(EVERY_KIND, row)
        assert target.read(EVERY_KIND, key) == state(target, change(2), row | {"c6": "new"}, EVERY_KIND)
        target.write([whole(row)._replace(version=change(3), row=None)])
        assert target.read(EVERY_KIND, key) == Held(change(3), None)

    # -- notes

    def test_a_note_that_was_never_given_is_not_remembered(self, target: Target) -> None:
        assert target.remembered("phase") is None
        target.remember("phase", Note(Version(3, 1, 1), "new"))
        assert target.remembered("other") is None

    def test_a_late_note_never_replaces_one_of_a_later_version(self, open_target: OpenTarget) -> None:
        back, late = Note(Version(3, 2, 1), '{"word": "back"}'), Note(Version(3, 1, 1), '{"word": "new"}')
        with open_target() as target:
            for note in (back, late, late):
                target.remember("phase", note)
        with open_target() as target:
            assert target.remembered("phase") == back
            later = Note(Version(3, 2, 2), "")
            target.remember("phase", later)
            assert target.remembered("phase") == later

    # -- the end

    def test_once_it_is_closed_nothing_is_written_in_the_order_of_versions(
        self, open_target: OpenTarget
    ) -> None:
        with open_target() as target:
            target.write([put(1, change(5))])
        with open_target() as target:
            target.remember(CLOSED, Note(Version(9, 1, 1), ""))
        with open_target() as target, pytest.raises(TargetClosed, match="is finished"):
            target.write([put(1, change(6), "late")])

    def test_letting_go_takes_markers_away_and_leaves_rows(self, open_target: OpenTarget) -> None:
        with open_target() as target:
            target.write([put(1, change(5)), put(2, change(5)), delete(2, change(6)), delete(3, change(7))])
            assert target.let_go(CITIZEN) == 2
            assert target.let_go(CITIZEN) == 0
            assert target.let_go(PASSPORT) == 0
            kept, *gone = target.read_many(CITIZEN, [put(number, change(1)).key for number in (1, 2, 3)])
            assert kept is not None
            assert kept.body == target.body_of(CITIZEN, citizen(1))
            assert gone == [None, None]


def wrong_after_a_race(open_target: OpenTarget, keys: int) -> list[int]:
    """Which keys hold another state than their newest, after all writers have written all versions of all.

    Each in an order of his own, and a part of them twice.
    """
    open_target().close()
    errors: list[BaseException] = []

    def write(seed: int) -> None:
        chance = random.Random(seed)
        writes = [
            delete(number, change(sequence))
            if (number + sequence) % 4 == 0
            else put(number, change(sequence), f"as of {sequence}")
            for number in range(keys)
            for sequence in RACE_VERSIONS
        ]
        writes += chance.sample(writes, len(writes) // 4)
        chance.shuffle(writes)
        try:
            with open_target() as target:
                for start in range(0, len(writes), RACE_BATCH):
                    target.write(writes[start : start + RACE_BATCH])
        except BaseException as error:  # noqa: BLE001 - told by the thread that waits
            errors.append(error)

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert not errors
    last = RACE_VERSIONS[-1]
    with open_target() as target:
        return [
            number
            for number in range(keys)
            if held(target, number)
            != state(
                target, change(last), None if (number + last) % 4 == 0 else citizen(number, f"as of {last}")
            )
        ]


def next_version(target: Target, row: Row) -> Version:
    last = target.read(EVERY_KIND, encode_key(EVERY_KIND, row))
    return change(last.version.sequence + 1 if last else 1)


def write_all(open_target: OpenTarget, seed: int, sequences: Sequence[int]) -> None:
    """Write all versions of one key in an order of one's own, in small batches."""
    shuffled = random.Random(seed).sample(sequences, len(sequences))
    writes = [put(1, change(sequence), f"as of {sequence}") for sequence in shuffled]
    with open_target() as target:
        for start in range(0, len(writes), 5):
            target.write(writes[start : start + 5])
