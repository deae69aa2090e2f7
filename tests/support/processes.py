"""Processes that tests start and watch: whether they run, and parents that hold a private server."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import changeover
from changeover.demo.private import PrivateServer

POLL_S = 0.05
WAIT_S_MAX = 60.0

HOLD = """
import signal, sys, time
from pathlib import Path
from {module} import {name}
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background has it ignored
with {name}(Path(sys.argv[1])) as server:
    print(server.pid, flush=True)
    time.sleep(60)
"""


def environment() -> dict[str, str]:
    """For a Python that is to import this changeover."""
    return {**os.environ, "PYTHONPATH": str(Path(changeover.__file__).parents[1])}


def is_running(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie."""
    try:
        state, _ = _state_and_parent(pid)
    except FileNotFoundError:
        return False
    return state != "Z"


def children_of(pid: int) -> dict[int, str]:
    """The processes that it has started and that are there, with their command lines."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            if _state_and_parent(int(folder.name))[1] == pid:
                found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
    return found


def _state_and_parent(pid: int) -> tuple[str, int]:
    state, parent, *_ = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return state, int(parent)


def wait_until(condition: Callable[[], bool], s_max: float = WAIT_S_MAX) -> bool:
    """Whether the condition came to hold in time."""
    deadline = time.monotonic() + s_max
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(POLL_S)
    return False


def parent_of(server: type[PrivateServer], folder: Path) -> tuple["subprocess.Popen[str]", int]:
    """A process that holds such a server in the folder, and the server's process id."""
    parent = subprocess.Popen(
        [sys.executable, "-c", HOLD.format(module=server.__module__, name=server.__name__), str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert parent.stdout is not None
    with parent.stdout:
        return parent, int(parent.stdout.readline())
