"""A demo that is killed takes with it all that it has started."""

import subprocess
import sys
from pathlib import Path

from tests.support.processes import children_of, is_running, wait_until


def test_a_demo_that_is_killed_leaves_no_process(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "changeover", "demo", "--rows", "3000", "--keep", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:
        try:
            assert demo.stdout is not None
            assert any("a clinic opens" in line for line in demo.stdout)
            started = children_of(demo.pid)  # of the pipeline's parts one may be down at any moment
            for part in ("mariadbd", "changeover.demo.clinic", "changeover.demo.writer"):
                assert any(part in command for command in started.values()), (part, started)
        finally:
            demo.kill()
    assert wait_until(lambda: not any(is_running(pid) for pid in started))
