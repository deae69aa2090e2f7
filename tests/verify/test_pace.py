"""How fast a scan goes, on a clock that takes no time."""

from changeover.verify.pace import LAG_POLL_S, SLOW_READ_S, Pace


class Time:
    """A clock that moves by sleeping alone."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.lag_ms: int | None = 0

    def clock(self) -> float:
        return self.now_s

    def sleep(self, delay_s: float) -> None:
        self.now_s += delay_s


def pace(time: Time, rows_per_s: float | None = None) -> Pace:
    return Pace(
        rows_per_s=rows_per_s,
        lag_s_max=5,
        wait_s_max=20,
        lag_ms=lambda: time.lag_ms,
        clock=time.clock,
        sleep=time.sleep,
    )


def test_without_a_rate_quick_reads_follow_each_other() -> None:
    time = Time()
    running = pace(time)
    for _ in range(50):
        running.rest(1_000, SLOW_READ_S)
    assert time.now_s == 100.0


def test_a_rate_is_kept_and_what_was_not_used_of_it_is_not_saved_up() -> None:
    time = Time()
    running = pace(time, rows_per_s=500)
    for _ in range(10):
        running.rest(100, 0.0)
    assert abs(time.now_s - 102.0) < 1e-6
    time.now_s += 60
    for _ in range(10):
        running.rest(100, 0.0)
    assert abs(time.now_s - 164.0) < 1e-6


def test_a_slow_read_is_answered_by_as_long_a_rest() -> None:
    time = Time()
    pace(time).rest(1_000, SLOW_READ_S + 3)
    assert time.now_s == 103.0


def test_a_target_that_lags_is_waited_for_but_not_for_ever() -> None:
    time = Time()
    running = pace(time)
    time.lag_ms = 6_000
    time.now_s += 2 * LAG_POLL_S
    running.rest(1, 0.0)
    assert time.now_s - 100 >= 20
    time.lag_ms, before_s = None, time.now_s
    time.now_s += 2 * LAG_POLL_S
    running.rest(1, 0.0)  # a lag that is not known is for the judging to tell
    assert time.now_s == before_s + 2 * LAG_POLL_S
