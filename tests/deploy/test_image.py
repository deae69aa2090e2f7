"""The image without an engine: what its file says, and parts as they run in it: PID 1, no writable root."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from changeover.demo.private import free_ports
from changeover.demo.server import PrivateMariaDB
from changeover.exits import OK
from tests.support.pipeline import schema_of, write_settings
from tests.support.processes import environment, wait_until

ROOT = Path(__file__).parents[2]
IMAGE = re.sub(r"^#.*\n|\\\n", "", (ROOT / "deploy/Dockerfile").read_text(), flags=re.MULTILINE)
LOCKED = re.compile(r"^([\w.-]+)==([^ ;\\]+)", re.MULTILINE)
START_S_MAX = 90
"""Two seconds on a quiet machine."""

PARTS = {
    "capture": (["cdc", "capture"], 0),
    "apply": (["consumers", "apply"], 1),
    "page": (["changeover", "serve"], 201),
}
"""What runs until it is asked to stop, and where it answers behind the port of `metrics.listen`."""

AS_IN_A_CONTAINER = """
mount --make-rprivate /
mount --bind "$1" "$1"
mount -o remount,bind,ro /
cd "$1"
shift
if touch /etc/changeover-writes 2>/dev/null; then exit 99; fi
exec "$@"
"""


def test_all_that_is_copied_is_there_and_reaches_the_builder() -> None:
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", IMAGE, re.MULTILINE)
    copied = {name for line in lines for name in line.split()}
    assert copied >= {"changeover", "cdc", "consumers", "requirements.lock", "requirements-example.lock"}
    assert all((ROOT / name).exists() for name in copied)
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == let_in


def test_what_is_installed_is_locked_by_its_hash_and_needs_no_compiler() -> None:
    installs = re.findall(r"\bpip\b[^&\n]* install ([^&\n]+)", IMAGE)
    from_locks = [line for line in installs if "-r " in line]
    assert len(from_locks) == 2
    assert all("--require-hashes" in line and "--only-binary :all:" in line for line in from_locks)
    (ours,) = (line for line in installs if line not in from_locks)
    assert "--no-deps --no-build-isolation ." in ours
    assert "apt" not in IMAGE


def test_the_example_has_the_versions_of_the_parts() -> None:
    parts = dict(LOCKED.findall((ROOT / "requirements.lock").read_text()))
    example = dict(LOCKED.findall((ROOT / "requirements-example.lock").read_text()))
    assert "fastapi" in example
    assert {name: version for name, version in example.items() if name in parts}.items() <= parts.items()


def test_the_last_stage_is_the_parts_as_a_user_without_rights_and_without_a_shell_in_between() -> None:
    stages = re.split(r"^FROM ", IMAGE, flags=re.MULTILINE)[1:]
    (base,) = (stage for stage in stages if stage.splitlines()[0].endswith(" AS base"))
    assert stages[-1].startswith("base\n")
    assert "example" not in stages[-1]
    assert re.search(r"^USER [1-9]\d+:[1-9]\d+$", base, re.MULTILINE)
    assert '\nENTRYPOINT ["python", "-P", "-m"]\n' in base
    assert not re.search(r"^(ENTRYPOINT|CMD) (?!\[)", IMAGE, re.MULTILINE)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.timeout(2 * START_S_MAX + 60)
def test_a_part_runs_as_pid_1_on_a_root_that_it_cannot_write_and_ends_when_it_is_asked_to(
    mariadb: PrivateMariaDB, tmp_path: Path, part: str
) -> None:
    """The kernel hands PID 1 no signal that it has not asked for."""
    (port,) = free_ports(1)
    command, offset = PARTS[part]
    table = "CREATE TABLE ward (id INT PRIMARY KEY)"
    extra = f'[metrics]\nlisten = "127.0.0.1:{port - offset}"\n[page]\nport = 0\n'
    with schema_of(mariadb, "contained", table) as schema:
        write_settings(mariadb, schema, tmp_path, extra=extra)
        with contained(tmp_path, *command) as process:
            assert wait_until(lambda: answers(port), START_S_MAX), said(tmp_path)
            (first,) = children(process.pid)
            assert namespaced(first)[-1] == 1
            os.kill(first, signal.SIGTERM)
            assert process.wait(START_S_MAX) == OK, said(tmp_path)


@contextmanager
def contained(folder: Path, *command: str) -> Iterator["subprocess.Popen[bytes]"]:
    """The program with namespaces of its own, where nothing but the folder can be written."""
    whose = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
    apart = ["unshare", *whose, "--mount", "--pid", "--fork", "--kill-child"]
    python = [sys.executable, "-P", "-m"]
    with (folder / "said").open("w") as words:
        process = subprocess.Popen(
            [*apart, "sh", "-euc", AS_IN_A_CONTAINER, "sh", folder, *python, *command],
            env=environment() | {"TMPDIR": str(folder)},
            stderr=words,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def namespaced(pid: int) -> list[int]:
    """The process's number in each namespace, from ours to its own."""
    (line,) = re.findall(r"^NSpid:(.*)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return [int(number) for number in line.split()]


def said(folder: Path) -> str:
    return (folder / "said").read_text()[-4_000:]
