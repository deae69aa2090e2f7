"""The stories of R3 and R4: A and B are two servers of GTID domain 0."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.epoch import Epoch, domain_of, epoch_of
from changeover.errors import OrderBroken
from changeover.version import Version

A, B, C = "0-1", "0-2", "0-3"
UUID, OTHER_UUID = "3e11fa47-71ca-11e1-9e33-c80aa9429562", "4e11fa47-71ca-11e1-9e33-c80aa9429562"
FIRST = Epoch(1, A, 5, None)


def seen(epoch: int, sequence: int) -> Version:
    return Version.of_change(epoch, sequence)


def test_the_same_server_goes_on_in_its_epoch() -> None:
    assert epoch_of([FIRST], A, 11, seen(1, 10)) == FIRST


def test_numbers_may_be_missing_for_other_filters_and_heartbeats_lie_between() -> None:
    assert epoch_of([FIRST], A, 1_000, seen(1, 10)) == FIRST


def test_another_server_opens_a_new_epoch_behind_the_last_version() -> None:
    assert epoch_of([FIRST], B, 11, seen(1, 10)) == Epoch(2, B, 11, seen(1, 10))


def test_r4_from_a_to_b_and_back_to_a_is_a_new_epoch_and_not_the_old_one() -> None:
    epochs = [FIRST, Epoch(2, B, 11, seen(1, 10))]
    back = epoch_of(epochs, A, 21, seen(2, 20))
    assert back == Epoch(3, A, 21, seen(2, 20))
    assert seen(back.number, 21) > seen(2, 20)


def test_r4_a_crash_between_opening_and_checkpoint_finds_the_epoch_again() -> None:
    opened = epoch_of([FIRST], B, 11, seen(1, 10))
    again = epoch_of([FIRST, opened], B, 11, seen(1, 10))
    assert again == opened


def test_r4_after_a_crash_on_the_way_back_to_a_its_second_epoch_is_found_and_not_its_first() -> None:
    epochs = [FIRST, Epoch(2, B, 11, seen(1, 10)), Epoch(3, A, 21, seen(2, 20))]
    assert epoch_of(epochs, A, 21, seen(2, 20)) == epochs[2]


def test_a_third_server_behind_the_same_version_gets_an_epoch_of_its_own() -> None:
    epochs = [FIRST, Epoch(2, B, 11, seen(1, 10))]
    assert epoch_of(epochs, C, 11, seen(1, 10)) == Epoch(3, C, 11, seen(1, 10))


@pytest.mark.parametrize("identity", [A, B])
@pytest.mark.parametrize("sequence", [10, 9, 1])
def test_a_sequence_that_goes_backwards_is_refused(identity: str, sequence: int) -> None:
    with pytest.raises(OrderBroken, match="went back"):
        epoch_of([FIRST], identity, sequence, seen(1, 10))


def test_a_second_domain_is_refused_though_its_number_is_higher() -> None:
    with pytest.raises(OrderBroken, match="several GTID domains"):
        epoch_of([FIRST], "1-1", 11, seen(1, 10))


def test_servers_of_mysql_number_each_for_itself_so_that_the_next_may_begin_below() -> None:
    first = Epoch(1, UUID, 5, None)
    assert epoch_of([first], OTHER_UUID, 3, seen(1, 10)) == Epoch(2, OTHER_UUID, 3, seen(1, 10))


def test_r4_from_one_server_of_mysql_to_another_and_back_is_a_third_epoch() -> None:
    epochs = [Epoch(1, UUID, 5, None), Epoch(2, OTHER_UUID, 3, seen(1, 10))]
    back = epoch_of(epochs, UUID, 11, seen(2, 4))
    assert back == Epoch(3, UUID, 11, seen(2, 4))


def test_a_server_of_mysql_that_goes_backwards_in_its_own_numbers_is_refused() -> None:
    with pytest.raises(OrderBroken, match="went back"):
        epoch_of([Epoch(1, UUID, 5, None)], UUID, 10, seen(1, 10))


@pytest.mark.parametrize(("identity", "other"), [(A, UUID), (UUID, A)])
def test_mariadb_behind_mysql_is_refused(identity: str, other: str) -> None:
    with pytest.raises(OrderBroken, match="several GTID domains"):
        epoch_of([Epoch(1, identity, 5, None)], other, 11, seen(1, 10))


def test_the_domain_is_what_stands_before_the_server_and_no_part_of_a_uuid() -> None:
    assert [domain_of(one) for one in ("0-1", "10-1", UUID, "12345678-1234-1234-1234-123456789012")] == [
        "0",
        "10",
        None,
        None,
    ]


@given(st.lists(st.sampled_from([A, B, C]), max_size=12), st.sets(st.integers(0, 12)))
def test_versions_rise_through_any_switches_and_any_crashes_after_opening(
    servers: list[str], crashes: set[int]
) -> None:
    epochs, last, sequence = [FIRST], seen(1, 10), 10
    for place, identity in enumerate(servers):
        sequence += 1
        epoch = epoch_of(epochs, identity, sequence, last)
        if epoch not in epochs:
            epochs.append(epoch)
        if place in crashes:  # the checkpoint was not written: the same transaction is read again
            assert epoch_of(epochs, identity, sequence, last) == epoch
        assert epoch.identity == identity
        assert seen(epoch.number, sequence) > last
        last = seen(epoch.number, sequence)
    assert [epoch.number for epoch in epochs] == list(range(1, len(epochs) + 1))


def test_r9_a_server_that_lost_its_tail_leaves_its_epoch_behind_for_reads_may_carry_it() -> None:
    epochs = [FIRST, Epoch(2, B, 11, seen(1, 10))]  # B's transaction 11 was never logged, and is lost
    assert epoch_of(epochs, A, 11, seen(1, 10)).number == 3


def test_a_log_in_an_epoch_that_nobody_wrote_down_is_refused() -> None:
    with pytest.raises(OrderBroken, match="epoch 1"):
        epoch_of([Epoch(2, B, 11, None)], B, 12, seen(1, 10))
