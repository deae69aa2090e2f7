"""The demo's load: the writer's process, and what it says."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from changeover.demo.server import PrivateMariaDB
from changeover.errors import ChangeoverError
from changeover.process import die_with_parent

WRITER_WAIT_S_MAX = 30.0


class WriterFailed(ChangeoverError):
    """The writer did not end as it should."""


class Writer:
    """The process that keeps writing to the sample database."""

    def __init__(self, process: subprocess.Popen[bytes], output: IO[bytes]) -> None:
        self._process = process
        self._output = output
        self._heard = b""
        self._totals: dict[str, int] = {"transactions": 0}
        os.set_blocking(output.fileno(), False)

    def transactions(self) -> int:
        """How many transactions it has committed, as of its last word."""
        self._listen()
        return self._totals["transactions"]

    def stop(self) -> dict[str, int]:
        """Have it finish its transaction and end; its totals."""
        self._process.terminate()
        self._process.wait(WRITER_WAIT_S_MAX)
        self._listen()
        if self._process.returncode != 0:
            message = f"the writer ended with exit status {self._process.returncode}"
            raise WriterFailed(message)
        return self._totals

    def _listen(self) -> None:
        with suppress(BlockingIOError):
            while some := os.read(self._output.fileno(), 65_536):
                self._heard += some
        *lines, self._heard = self._heard.split(b"\n")
        if lines:
            self._totals = json.loads(lines[-1])


@contextmanager
def writing(server: PrivateMariaDB, *, seed: int, rate: int) -> Iterator[Writer]:
    """The writer, at work."""
    arguments = ["--host", server.host, "--port", str(server.port), "--user", server.user]
    arguments += ["--seed", str(seed), "--rate", str(rate), "--progress"]
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "changeover.demo.writer", *arguments],
        stdout=subprocess.PIPE,
        env=os.environ | {"CHANGEOVER_DEMO_PASSWORD": server.password},
        preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - a demo that is killed leaves no writer
    ) as process:
        assert process.stdout is not None  # noqa: S101 - it was made with a pipe
        try:
            yield Writer(process, process.stdout)
        finally:
            process.kill()
