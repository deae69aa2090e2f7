"""No false alarm while everything moves: hot keys, key changes, re-inserts, and every part killed."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest

from changeover.decide import Write
from changeover.demo.server import PrivateMariaDB
from changeover.supervisor import RESTART_DELAY_S_FIRST
from changeover.targets import Target
from changeover.verify.comparing import Answer, Pair
from changeover.verify.hot import Paired, paired
from changeover.verify.verdicts import State, TableVerdict
from changeover.verify.verifier import verifying
from changeover.version import Version
from tests.support.hot_writer import ROWS, tables
from tests.support.pipeline import Pipeline
from tests.support.processes import environment
from tests.verify.moved import moved

VERIFY = "[verify]\nwait_s_max = 60\nlag_s_max = 20\n"


UNSYNCED = {"sync_binlog": "0", "innodb_flush_log_at_trx_commit": "2"}
"""A disk that is shared with other tests does not take 300 commits a second of one key, one by one."""


@contextmanager
def loaded(
    pipeline: Pipeline, seconds: float, rate: int, rows: int = ROWS
) -> Iterator["subprocess.Popen[str]"]:
    """A process that writes for that long."""
    server = pipeline.server
    arguments = [str(server.port), server.user, server.password, pipeline.schema]
    arguments += [str(seconds), str(rate), str(rows)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.hot_writer", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


class Killer(threading.Thread):
    """Restarts the parts that die, and kills capture and consumer in turn while there is load."""

    def __init__(self, pipeline: Pipeline, load: "subprocess.Popen[str]", every_s: float) -> None:
        super().__init__()
        self._pipeline = pipeline
        self._load = load
        self._every_s = every_s
        self._stop_it = threading.Event()
        self.killed: list[str] = []

    def run(self) -> None:
        """Until it is stopped."""
        due_s = time.monotonic() + self._every_s / 2
        while not self._stop_it.wait(0.05):
            self._pipeline.supervisor.poll()
            if time.monotonic() > due_s and self._load.poll() is None:
                self._kill(("capture", "apply")[len(self.killed) % 2])
                due_s += self._every_s

    def _kill(self, name: str) -> None:
        part = self._pipeline.supervisor.part(name)
        if part.process is not None and part.is_running:
            part.delay_s = RESTART_DELAY_S_FIRST  # it does not crash: it is killed, and comes back at once
            part.process.send_signal(signal.SIGKILL)
            self.killed.append(name)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_it.set()
        self.join()


@pytest.mark.parametrize(
    ("seconds", "rate", "changes"),
    [(8, 2_000, 10_000), pytest.param(125, 4_200, 500_000, marks=pytest.mark.full)],
)
@pytest.mark.timeout(600)
def test_a_scan_raises_no_alarm_whatever_is_written_and_whoever_is_killed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: int, rate: int, changes: int
) -> None:
    held_against_the_log: list[Answer] = []

    def counted(pair: Pair[Any], until: Version, states: Sequence[Write], target: Target[Any]) -> Paired:
        found = paired(pair, until, states, target)
        held_against_the_log.append(found.answer)
        return found

    monkeypatch.setattr("changeover.verify.judge.paired", counted)
    with (
        PrivateMariaDB(options=UNSYNCED) as server,
        moved(server, tmp_path, tables(), extra=VERIFY) as pipeline,
        loaded(pipeline, seconds + 90, rate) as load,  # on a busy machine it takes longer to see all of it
        Killer(pipeline, load, max(3.0, seconds / 12)) as killer,
        verifying(pipeline.settings) as verifier,
    ):
        scans: list[list[TableVerdict]] = []
        began_s = time.monotonic()
        while load.poll() is None:
            scans.append(verifier.scan(verifier.chosen([f"{pipeline.schema}.hot"])))
            scans.append(verifier.scan(verifier.tables))
            captured = verifier.log.checkpoint()
            has_seen_all = Answer.EQUAL in held_against_the_log and len(killer.killed) > 1
            has_seen_all &= (
                captured is not None and captured.changes > 1.1 * changes
            )  # a changed key counts twice there
            if has_seen_all and time.monotonic() > began_s + seconds:
                load.terminate()
                load.wait()
        scans.append(verifier.scan(verifier.tables))
        found = verifier.findings.all()
        assert load.stdout is not None
        totals = json.loads(load.stdout.read())
    sys.stderr.write(f"{totals} {killer.killed} {len(scans)} scans, {Counter(held_against_the_log)}\n")
    assert found == []
    assert {verdict.state for verdicts in scans for verdict in verdicts} == {State.CLEAN}
    assert set(killer.killed) == {"capture", "apply"}
    assert Answer.EQUAL in held_against_the_log, "no key was as hot as it was to be"
    assert totals["changes"] >= changes
    assert totals["hottest"] >= totals["seconds"] * min(75, rate / 40)
