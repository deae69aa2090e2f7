"""docs/first-migration.md, pasted block by block into a shell: each command works, and prints as it says."""

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from changeover.demo.private import free_ports

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/first-migration.md").read_text()
BLOCK = re.compile(r"```sh\n(.*?)```\n(?:```text\n(.*?)```\n)?", re.DOTALL)
PORT = "33306"
NEXT = "-- next block --"
WAIT_S_MAX = 200  # 20 on a quiet machine


@pytest.mark.timeout(WAIT_S_MAX + 40)
def test_every_block_of_the_first_migration_works_and_prints_what_stands_below_it(tmp_path: Path) -> None:
    blocks = BLOCK.findall(PAGE)
    assert len(blocks) == PAGE.count("```sh") > 8
    (port,) = free_ports(1)
    script = "".join(f"{commands}\necho '{NEXT}'\n" for commands, _ in blocks)
    printed = _pasted(script.replace(PORT, str(port)), tmp_path).split(f"{NEXT}\n")
    assert len(printed) == len(blocks) + 1, (tmp_path / "errors").read_text()
    for (commands, expected), found in zip(blocks, printed, strict=False):
        shown = "".join(f"{line.rstrip()}\n" for line in found.splitlines())
        assert _pattern(expected).fullmatch(shown), (commands, shown)
    assert [path.name for path in tmp_path.iterdir()] == ["errors"]  # it has cleaned up


def _pasted(script: str, folder: Path) -> str:
    """What a shell prints that is given the script; whatever it started is ended with it."""
    programs = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"  # as a user of Debian has it
    with (folder / "errors").open("w") as errors:
        shell = subprocess.Popen(
            ["bash", "-eu"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=folder,
            env={**os.environ, "PATH": programs, "PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )
        try:
            printed, _ = shell.communicate(script, timeout=WAIT_S_MAX)
        except subprocess.TimeoutExpired as late:
            log = folder / "first-migration/run.log"
            late.add_note(f"the parts said:\n{log.read_text() if log.exists() else 'nothing'}")
            raise
        finally:
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
    return printed


def _pattern(expected: str) -> re.Pattern[str]:
    """The text as a pattern in which … stands for anything, and alone on a line for any lines."""
    parts = re.sub(r"^…\n", "…", expected, flags=re.MULTILINE).split("…")
    return re.compile(".*".join(re.escape(part) for part in parts), re.DOTALL)
