"""Crash points: a closed list of names, armed by the environment alone, and doing what the entry says."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from changeover import crashpoints
from changeover.crashpoints import POINTS, VARIABLE, VARIABLE_FIRED, arm, reach
from changeover.errors import CrashPointReached, SettingsInvalid
from changeover.exits import REFUSED
from tests.support.processes import environment, wait_until

ROOT = Path(__file__).parents[2]
REACH = """
import os
from changeover.crashpoints import arm, reach
arm(os.environ)
for number in range(5):
    reach("apply.polled")
    print(number, flush=True)
"""
COST_NS_MAX = 100


@pytest.fixture(autouse=True)
def _disarm() -> Iterator[None]:
    yield
    arm({})


def program(entry: str) -> "subprocess.Popen[bytes]":
    """A process that comes to one point five times, and counts aloud."""
    return subprocess.Popen(
        [sys.executable, "-c", REACH], stdout=subprocess.PIPE, env={**environment(), VARIABLE: entry}
    )


def test_the_points_in_the_code_are_those_of_the_list_and_of_the_page() -> None:
    sources = [
        path for package in ("changeover", "cdc", "consumers") for path in (ROOT / package).rglob("*.py")
    ]
    reached = {name for path in sources for name in re.findall(r'\breach\("([\w.]+)"\)', path.read_text())}
    assert reached == set(POINTS)
    page = (ROOT / "docs/crash-points.md").read_text()
    assert dict(re.findall(r"^\| `(\w+\.\w+)` \| (.+) \|$", page, re.MULTILINE)) == POINTS


def test_what_is_not_armed_costs_next_to_nothing() -> None:
    arm({})
    rounds, best_s = 20_000, float("inf")
    for _ in range(20):  # the best of some, and of our own processor: the machine does other things too
        begun_s = time.thread_time()
        for _ in range(rounds):
            reach("capture.row_folded")
        best_s = min(best_s, time.thread_time() - begun_s)
    assert best_s / rounds * 1e9 < COST_NS_MAX


def test_an_armed_point_raises_at_its_hit_and_at_no_other() -> None:
    arm({VARIABLE: "apply.polled:2:raise, apply.polled:4:raise"})
    reach("apply.polled")
    reach("apply.batch_written")
    with pytest.raises(CrashPointReached, match=r"apply\.polled:2:raise"):
        reach("apply.polled")
    reach("apply.polled")
    with pytest.raises(CrashPointReached, match=r"apply\.polled:4:raise"):
        reach("apply.polled")


def test_an_entry_that_has_left_its_file_does_not_fire_again(tmp_path: Path) -> None:
    wanted = {VARIABLE: "apply.polled:1:raise", VARIABLE_FIRED: str(tmp_path)}
    arm(wanted)
    with pytest.raises(CrashPointReached):
        reach("apply.polled")
    assert [path.name for path in tmp_path.iterdir()] == ["apply.polled:1:raise"]
    arm(wanted)  # as the next start would
    reach("apply.polled")


def test_without_a_folder_an_entry_fires_at_each_start() -> None:
    for _ in range(2):
        arm({VARIABLE: "apply.polled:1:raise"})
        with pytest.raises(CrashPointReached):
            reach("apply.polled")


def test_a_kill_is_one_that_nothing_survives() -> None:
    process = program("apply.polled:3:kill")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert output.split() == [b"0", b"1"]


def test_a_pause_halts_the_process_until_it_is_continued() -> None:
    process = program("apply.polled:3:pause")
    try:
        stat = Path(f"/proc/{process.pid}/stat")
        assert wait_until(lambda: stat.read_text().rsplit(")", 1)[1].split()[0] == "T")
        process.send_signal(signal.SIGCONT)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0
    assert output.split() == [b"0", b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("apply.poled:1:kill", "names a crash point 'apply.poled', and there is none of that name"),
        ("apply.polled", "has 'apply.polled', which is not point:hit:kill|raise|pause"),
        ("apply.polled:0:kill", "has 'apply.polled:0:kill', which is not"),
        ("apply.polled:²:kill", "which is not"),
        ("apply.polled:-1:kill", "which is not"),
        ("apply.polled:1:stop", "which is not"),
        ("apply.polled:1:kill:1", "which is not"),
        ("apply.polled:1:kill,x", "has 'x', which is not"),
    ],
)
def test_an_entry_that_is_not_understood_is_refused_and_nothing_is_armed(entry: str, said: str) -> None:
    with pytest.raises(SettingsInvalid, match=re.escape(said)):
        arm({VARIABLE: entry})
    assert not crashpoints._processes


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="there is no folder"):
        arm({VARIABLE: "apply.polled:1:kill", VARIABLE_FIRED: str(tmp_path / "nowhere")})
    assert not crashpoints._processes


@pytest.mark.parametrize(
    "command",
    [
        ("cdc", "capture"),
        ("consumers", "apply"),
        ("changeover", "run"),
        ("changeover", "replay", "--from", "offset:0"),
    ],
)
def test_every_program_refuses_it_in_one_line_before_it_looks_at_anything_else(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", *command],
        cwd=tmp_path,
        env=environment() | {VARIABLE: "capture.apended:1:kill"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == REFUSED
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "capture.apended" in done.stderr


@pytest.mark.parametrize("command", [("cdc", "capture"), ("changeover", "status")])
def test_a_program_says_what_is_armed_in_it(command: tuple[str, ...], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", *command],
        cwd=tmp_path,
        env=environment() | {VARIABLE: "capture.appended:7:kill,apply.polled:2:pause"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == REFUSED  # there are no settings here
    warnings = done.stderr.splitlines()[:2]
    assert all("crash point armed" in line for line in warnings)
    assert "capture.appended" in warnings[0]
    assert "apply.polled" in warnings[1]
