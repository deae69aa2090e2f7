"""What every target promises. A subclass gives `open_target`, and pytest collects the subclass.

`open_target` opens the same target each time, made anew for each test. A target that orders by itself
answers ACCEPTED where others say what became of a write.
"""

import random
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from changeover.decide import Outcome, Write
from changeover.envelope import encode_key
from changeover.table import Table
from changeover.targets import Held, Target
from changeover.values import Row, Value
from changeover.version import ROW_MAX, Version
from tests.support.tables import BIGINT_UNSIGNED_MAX, CITIZEN, EVERY_KIND, citizen, exactly, named, rows

OpenTarget = Callable[[], Target]

PASSPORT = named("passport")
APPLIED = {Outcome.APPLIED, Outcome.ACCEPTED}
STALE = {Outcome.STALE, Outcome.ACCEPTED}
WRITERS = 8


def put(number: int, version: Version, name: str = "Ada", table: Table = CITIZEN) -> Write:
    row = citizen(number, name)
    return Write(table, encode_key(table, row), version, row)


def delete(number: int, version: Version) -> Write:
    return put(number, version)._replace(row=None)


def change(sequence: int) -> Version:
    return Version.of_change(1, sequence)


def whole(row: Row) -> Write:
    return Write(EVERY_KIND, encode_key(EVERY_KIND, row), change(1), row)


def held(target: Target, number: int, table: Table = CITIZEN) -> Held | None:
    return target.read(table, encode_key(table, citizen(number)))


class TargetContract:
    """The promises of `changeover.targets`."""

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
        assert held(target, 1) == Held(change(6), citizen(1, "new"))

    def test_an_older_state_never_goes_over_a_newer_one(self, target: Target) -> None:
        target.write([put(1, change(6), "new")])
        assert target.write([put(1, change(5), "old")])[0] in STALE
        assert held(target, 1) == Held(change(6), citizen(1, "new"))

    def test_the_same_write_again_changes_nothing(self, target: Target) -> None:
        target.write([put(1, change(5))])
        assert target.write([put(1, change(5))])[0] in STALE
        assert held(target, 1) == Held(change(5), citizen(1))

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
            Held(higher, citizen(number, "higher")) for number in (1, 2)
        ]

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
        assert held(target, 1) == Held(change(20), writes[-1].row)

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
            assert held(target, 1) == Held(change(500), citizen(1, "as of 500"))

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
        assert held(target, 1) == Held(change(7), citizen(1, "again"))

    def test_a_late_delete_never_takes_a_newer_row_away(self, target: Target) -> None:
        target.write([put(1, change(7))])
        assert target.write([delete(1, change(6))])[0] in STALE
        assert held(target, 1) == Held(change(7), citizen(1))

    def test_a_delete_touches_its_own_row_alone(self, target: Target) -> None:
        target.write([put(1, change(5)), put(2, change(5)), put(1, change(5), table=PASSPORT)])
        target.write([delete(1, change(6))])
        assert held(target, 2) == Held(change(5), citizen(2))
        assert held(target, 1, PASSPORT) == Held(change(5), citizen(1))

    # -- batches

    def test_outcomes_come_in_the_order_of_the_batch(self, target: Target) -> None:
        target.write([put(1, change(6))])
        outcomes = target.write([put(2, change(5)), put(1, change(5)), delete(3, change(5))])
        for outcome, expected in zip(outcomes, [APPLIED, STALE, APPLIED], strict=True):
            assert outcome in expected

    def test_a_key_may_come_more_than_once_in_a_batch_and_in_any_order(self, target: Target) -> None:
        target.write([put(1, change(7), "new"), put(1, change(5), "old"), delete(1, change(6))])
        assert held(target, 1) == Held(change(7), citizen(1, "new"))

    def test_a_batch_of_nothing_is_one(self, target: Target) -> None:
        assert list(target.write([])) == []

    def test_what_was_written_is_there_after_reopening(self, open_target: OpenTarget) -> None:
        with open_target() as target:
            target.write([put(1, change(5)), delete(2, change(6))])
        with open_target() as target:
            assert held(target, 1) == Held(change(5), citizen(1))
            assert held(target, 2) == Held(change(6), None)
            assert target.write([put(2, change(5))])[0] in STALE

    # -- values

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
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
                assert exactly(held.row) == exactly(row)

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
        assert exactly(back.row) == exactly(row)

    @pytest.mark.parametrize("number", [0, 2**63 - 1, 2**63, BIGINT_UNSIGNED_MAX])
    def test_a_key_at_the_edge_is_found_replaced_and_deleted(self, target: Target, number: int) -> None:
        row = dict.fromkeys(EVERY_KIND.column_names) | {"id": number}
        target.write([whole(row)])
        target.write([whole(row | {"c6": "new"})._replace(version=change(2))])
        key = encode_key(EVERY_KIND, row)
        assert target.read(EVERY_KIND, key) == Held(change(2), row | {"c6": "new"})
        target.write([whole(row)._replace(version=change(3), row=None)])
        assert target.read(EVERY_KIND, key) == Held(change(3), None)


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
