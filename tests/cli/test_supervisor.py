"""The supervisor over processes that do nothing but end, each in its way."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import changeover.supervisor
from changeover.exits import OK, STOPPED, UNAVAILABLE
from changeover.supervisor import CRASHES_IN_A_ROW_MAX, Part, Supervisor

WAIT_S_MAX = 60.0


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changeover.supervisor, "RESTART_DELAY_S_MAX", 0.05)


def part(code: str) -> Part:
    return Part("it", (sys.executable, "-c", code), delay_s=0.01)


def until(supervisor: Supervisor, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S_MAX
    while not condition():
        supervisor.poll()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def supervise() -> Iterator[Callable[[Part], Supervisor]]:
    made: list[Supervisor] = []

    def supervise(part: Part) -> Supervisor:
        made.append(Supervisor([part]))
        return made[-1]

    yield supervise
    for supervisor in made:
        supervisor.stop()


def test_a_part_whose_work_is_done_is_left_alone(supervise: Callable[[Part], Supervisor]) -> None:
    done = part("pass")
    supervisor = supervise(done)
    until(supervisor, lambda: done.exit_status == OK)
    supervisor.poll()
    assert done.process is None
    assert not supervisor.failed()


def test_a_loud_stop_is_not_started_again(supervise: Callable[[Part], Supervisor]) -> None:
    stopped = part(f"raise SystemExit({STOPPED})")
    supervisor = supervise(stopped)
    until(supervisor, lambda: supervisor.failed() == [stopped])
    assert stopped.restarts == 0


@pytest.mark.parametrize("code", [f"raise SystemExit({UNAVAILABLE})", "import os; os.kill(os.getpid(), 9)"])
def test_an_outage_or_a_kill_is_followed_by_a_start_however_often(
    supervise: Callable[[Part], Supervisor], code: str
) -> None:
    out = part(code)
    supervisor = supervise(out)
    until(supervisor, lambda: out.restarts > CRASHES_IN_A_ROW_MAX)
    assert not supervisor.failed()


def test_a_part_that_crashes_again_and_again_is_given_up_so_that_the_fault_is_seen(
    supervise: Callable[[Part], Supervisor],
) -> None:
    broken = part("raise SystemExit(1)")
    supervisor = supervise(broken)
    until(supervisor, lambda: supervisor.failed() == [broken])
    assert broken.restarts == CRASHES_IN_A_ROW_MAX


def test_a_part_that_does_not_stop_in_time_is_killed(
    supervise: Callable[[Part], Supervisor], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(changeover.supervisor, "STOP_WAIT_S_MAX", 0.3)
    is_deaf = tmp_path / "deaf"
    ignore = "import pathlib, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    deaf = part(f"{ignore}; pathlib.Path({str(is_deaf)!r}).touch(); time.sleep(60)")
    supervisor = supervise(deaf)
    until(supervisor, is_deaf.exists)
    process = deaf.process
    assert process is not None
    supervisor.stop()
    assert process.returncode == -signal.SIGKILL
