"""Stretches of work under one order, in a time that the test moves."""

from pathlib import Path

import pytest

from changeover.daemon import Duty
from changeover.mysql.orders import Order
from changeover.orders import Orders, Stretch
from changeover.settings import Settings

SETTINGS = """
pipeline = "test"
[source]
url = "mysql://u@127.0.0.1:1"
include = ["a.*"]
[log]
url = "sqlite:log.db"
[target]
url = "sqlite:target.db"
"""


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def sleep(self, for_s: float) -> None:
        self.now_s += for_s


@pytest.fixture
def orders(tmp_path: Path) -> Orders:
    config = tmp_path / "changeover.toml"
    config.write_text(SETTINGS)
    return Orders(Duty(Settings.load(config), "apply", lambda: False))


def worked(orders: Orders, time: Time, batches: int, rows: int, batch_s: float = 0.0) -> Stretch:
    """A stretch in which so many batches of rows were done."""
    stretch = Stretch(orders._duty, orders, lambda: time.now_s, time.sleep)
    done = 0
    stretch.rows = lambda: done
    for _ in range(batches):
        if stretch.should_stop():
            break
        done += rows
        time.sleep(batch_s)
    stretch.should_stop()
    return stretch


def test_without_an_order_nothing_waits(orders: Orders) -> None:
    time = Time()
    assert not worked(orders, time, batches=1_000, rows=1_000).is_cut_short
    assert time.now_s == 0


def test_a_rate_is_kept_over_a_long_time(orders: Orders) -> None:
    orders.order = Order(part="apply", rows_per_s=100)
    time = Time()
    worked(orders, time, batches=60, rows=50)
    assert time.now_s == pytest.approx(30, abs=0.01)


def test_time_that_the_work_itself_takes_counts_and_an_idle_hour_is_no_credit(orders: Orders) -> None:
    orders.order = Order(part="apply", rows_per_s=100)
    time = Time()
    worked(orders, time, batches=10, rows=50, batch_s=0.5)
    assert time.now_s == pytest.approx(5, abs=0.01)
    worked(orders, time, batches=10, rows=1, batch_s=360)
    before_s = time.now_s
    worked(orders, time, batches=10, rows=50)
    assert time.now_s - before_s == pytest.approx(5, abs=0.01)


def test_no_more_is_taken_at_once_than_a_second_may_have(orders: Orders) -> None:
    assert Stretch(orders._duty, orders).at_once_max(2_000) == 2_000
    orders.order = Order(part="apply", rows_per_s=100)
    assert Stretch(orders._duty, orders).at_once_max(2_000) == 100


def test_another_order_ends_the_stretch_also_while_it_rests(orders: Orders) -> None:
    orders.order = Order(part="apply", rows_per_s=1)
    time = Time()

    def sleep(for_s: float) -> None:
        time.sleep(for_s)
        if time.now_s > 3:
            orders.order = Order(part="apply", paused_since_ms=1)

    stretch = Stretch(orders._duty, orders, lambda: time.now_s, sleep)
    stretch.rows = lambda: 1_000
    assert stretch.should_stop()
    assert stretch.is_cut_short
    assert 3 < time.now_s < 4


def test_work_goes_on_in_stretches_until_it_ends_by_itself(orders: Orders) -> None:
    seen: list[Order] = []
    free, slow = Order(part="apply"), Order(part="apply", rows_per_s=10_000)

    def work(duty: Duty) -> None:
        assert isinstance(duty, Stretch)
        seen.append(duty.order)
        if duty.order is free:
            orders.order = slow
            assert duty.should_stop()

    orders.order = free
    orders._is_known.set()
    orders.obey(work)
    assert seen == [free, slow]
