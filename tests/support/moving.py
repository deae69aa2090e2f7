"""What a whole move needs beside its pipeline: somebody who writes, and somebody who kills."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from changeover.demo.broker import PrivateKafka
from changeover.demo.sql import SQLServer
from changeover.status import Status
from tests.support.pipeline import Pipeline

RATE = 200
"""Transactions a second."""


@contextmanager
def writing(server: SQLServer) -> Iterator[Callable[[], dict[str, int]]]:
    """A process that keeps writing; calling the result ends it and gives its totals."""
    arguments = ["--host", server.host, "--port", str(server.port), "--user", server.user]
    arguments += ["--seed", "7", "--rate", str(RATE)]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "changeover.demo.writer", *arguments],
        stdout=subprocess.PIPE,
        env=os.environ | {"CHANGEOVER_DEMO_PASSWORD": server.password},
    )

    def stop() -> dict[str, int]:
        process.terminate()
        output, _ = process.communicate(timeout=60)
        totals: dict[str, int] = json.loads(output.splitlines()[-1])
        return totals

    try:
        yield stop
    finally:
        process.kill()
        process.communicate()


class Killer:
    """Kills what is named, one after the other, each once the import is that far and the part runs."""

    def __init__(self, pipeline: Pipeline, broker: PrivateKafka | None) -> None:
        self._pipeline = pipeline
        self._broker = broker
        self._plan = [(0.1, "capture"), (0.3, "snapshot-1"), (0.5, "apply")]
        self._plan += [(1.0, "broker"), (1.0, "capture"), (1.0, "apply")] if broker else [(1.0, "capture")]
        self.killed: list[str] = []

    def look(self, now: Status) -> bool:
        """Kill what is due; whether everything was."""
        if self._plan and now.rows_total and now.rows_copied >= self._plan[0][0] * now.rows_total:
            name = self._plan[0][1]
            if self._kill(name):
                self.killed.append(name)
                self._plan.pop(0)
            elif self._pipeline.supervisor.part(name).is_over:  # an import that was done before
                self._plan.pop(0)
        return not self._plan

    def _kill(self, name: str) -> bool:
        if name == "broker":
            assert self._broker is not None
            self._broker.kill()
            self._broker.start()
            return True
        process = self._pipeline.supervisor.part(name).process
        if process is None or process.poll() is not None:
            return False
        process.send_signal(signal.SIGKILL)
        return True
