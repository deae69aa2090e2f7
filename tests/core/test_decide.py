from hypothesis import given
from hypothesis import strategies as st

from changeover.decide import Outcome, Write, decide, newest_per_key
from changeover.version import ROW_MAX, Version
from tests.support.tables import CITIZEN, named, versions

writes = st.lists(
    st.builds(
        Write,
        st.sampled_from([CITIZEN, named("passport")]),
        st.sampled_from([b"1", b"2"]),
        st.builds(Version, st.just(1), st.integers(1, 5), st.sampled_from([1, ROW_MAX])),
        st.none() | st.fixed_dictionaries({"id": st.integers(0, 3)}),
    )
)


@given(versions)
def test_the_first_write_of_a_key_is_applied(new: Version) -> None:
    assert decide(None, new) is Outcome.APPLIED


@given(versions, versions)
def test_a_write_is_applied_only_over_an_older_state(held: Version, new: Version) -> None:
    assert decide(held, new) is (Outcome.APPLIED if new > held else Outcome.STALE)


@given(versions)
def test_the_same_version_again_changes_nothing(version: Version) -> None:
    assert decide(version, version) is Outcome.STALE


@given(writes)
def test_of_a_batch_the_highest_version_of_each_key_is_kept(batch: list[Write]) -> None:
    kept = newest_per_key(batch)
    assert {(write.table, write.key): write.version for write in kept} == {
        (one.table, one.key): max(
            write.version for write in batch if (write.table, write.key) == (one.table, one.key)
        )
        for one in batch
    }
    assert len(kept) == len({(write.table, write.key) for write in batch})


@given(writes)
def test_what_is_kept_was_in_the_batch(batch: list[Write]) -> None:
    assert all(write in batch for write in newest_per_key(batch))


def test_r1_a_late_row_of_the_import_does_not_push_a_newer_change_out_of_its_batch() -> None:
    newer = Write(CITIZEN, b"1", Version.of_change(1, 5), {"id": 1, "name": "new"})
    late = Write(CITIZEN, b"1", Version.of_read(1, 4), {"id": 1, "name": "old"})
    assert newest_per_key([newer, late]) == [newer]


def test_one_key_in_two_tables_is_two_keys() -> None:
    both = [Write(table, b"1", Version.of_change(1, 5), None) for table in (CITIZEN, named("passport"))]
    assert newest_per_key(both) == both
