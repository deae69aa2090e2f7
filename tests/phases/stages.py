"""A pipeline that runs, on its way into NEW as often as a test asks for it."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from changeover.crashpoints import VARIABLE
from changeover.demo.sql import SQLServer
from changeover.handover import NAME, Handover
from changeover.mysql.connection import Connection
from changeover.mysql.control import PHASE, ControlSchema
from changeover.mysql.freezing import Freezer
from changeover.mysql.phases import MOVES, PhaseMove, moves_of, phase_now
from changeover.phase import Phase, PhaseState
from changeover.phases.move import Mover
from changeover.phases.operator import Answer, Operator
from changeover.phases.takeover import lock_name
from changeover.settings import Settings
from changeover.targets.wiring import open_target
from tests.support.accounts import run
from tests.support.pipeline import Pipeline
from tests.support.processes import environment

FORCE = "a test"
FENCE_S = 60
"""More than anybody waits for here: a test that is about its end has its own."""

LOCK_LOOK_S = 0.01
SETTINGS = (
    f"[phases]\nprocesses_min = 0\ncompared_min = 0\ndirect_success_percent_min = 0\nfence_s = {FENCE_S}\n"
)


class Stage:
    """A pipeline that runs, in BOTH_READ_NEW as often as it is asked for."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.settings: Settings = pipeline.settings
        self.server = pipeline.server

    def reset(self) -> None:
        """As before the fence: no move was ever made but two, and the new store remembers nothing."""
        self.to_old()
        self.to_both_read_new()

    def to_old(self) -> None:
        """As before the first move."""
        run(self.server, "SET GLOBAL read_only = 0")
        with closing(sqlite3.connect(self.pipeline.folder / "target.db", timeout=60)) as target:
            target.execute("DELETE FROM changeover_note")
            target.commit()
        with self.control() as control:
            for table in (PHASE, MOVES):
                control.connection.execute(f"DELETE FROM {control.table(table)}")

    def to_both_read_new(self) -> None:
        """The first two moves, without their gates."""
        with self.control() as control:
            mover = Mover(control, tries=3)
            mover.begin()
            for to in (Phase.BOTH_READ_OLD, Phase.BOTH_READ_NEW):
                mover.move(phase_now(control), to, ())

    @contextmanager
    def control(self) -> Iterator[ControlSchema]:
        with Connection(self.settings.source) as connection:
            yield ControlSchema(connection, self.settings.pipeline)

    def state(self) -> PhaseState:
        with self.control() as control:
            return phase_now(control)

    def handover(self) -> Handover | None:
        with open_target(self.settings) as target:
            note = target.remembered(NAME)
        return Handover.parse(note.version, note.text) if note else None

    def step(self, name: str, *, force: str | None = None) -> Answer:
        """A step in this process."""
        with self.control() as control, self.pipeline.open_log() as log:
            operator = Operator(self.settings, control, log)
            return operator.advance(force) if name == "advance" else operator.back(force)

    def killed(self, name: str, point: str) -> None:
        """The same, as a process that dies at the point."""
        command = [sys.executable, "-P", "-m", "changeover", "phase", name, "--force", FORCE]
        command += ["--config", str(self.pipeline.config.resolve())]
        variables = environment() | {VARIABLE: f"phase.{point}:1:kill"}
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == -signal.SIGKILL, done

    @contextmanager
    def logged_in_as(self, user: SQLServer) -> Iterator[None]:
        """Steps are made by another user of the source, inside the block."""
        settings = self.settings
        update = {
            "url": f"mysql://{user.user}@{user.host}:{user.port}",
            "password": SecretStr(user.password),
        }
        self.settings = settings.model_copy(update={"source": settings.source.model_copy(update=update)})
        try:
            yield
        finally:
            self.settings = settings

    def killed_here(self, name: str, point: str) -> None:
        """As `killed`, with the settings of now."""
        phases = self.settings.phases
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CHANGEOVER_PHASES__REVOKE_FROM", json.dumps(phases.revoke_from))
            self.killed(name, point)

    @contextmanager
    def paused(self, name: str, point: str) -> Iterator["subprocess.Popen[str]"]:
        """The same, as a process that has halted at the point."""
        command = [sys.executable, "-P", "-m", "changeover", "phase", name, "--force", FORCE]
        command += ["--config", str(self.pipeline.config.resolve())]
        variables = environment() | {VARIABLE: f"phase.{point}:1:pause"}
        process = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, text=True)
        try:
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            yield process
        finally:
            process.kill()
            process.wait()

    @contextmanager
    def behind(self) -> Iterator[None]:
        """The target gets nothing, inside the block: its consumer is halted.

        Not while it holds one of the files, which would hold up everybody else too.
        """
        apply = self.pipeline.supervisor.part("apply").process
        assert apply is not None
        try:
            while True:
                apply.send_signal(signal.SIGSTOP)
                os.waitid(os.P_PID, apply.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
                if all(_is_free(self.pipeline.folder / name) for name in ("log.db", "target.db")):
                    break
                apply.send_signal(signal.SIGCONT)
                time.sleep(LOCK_LOOK_S)
            yield
        finally:
            apply.send_signal(signal.SIGCONT)

    @contextmanager
    def patience(self, fence_s: float) -> Iterator[None]:
        """Writers wait for so long at most, inside the block."""
        with self.having(fence_s=fence_s):
            yield

    @contextmanager
    def having(self, **changes: object) -> Iterator[None]:
        """Other settings of the phases, inside the block."""
        settings = self.settings
        phases = settings.phases.model_copy(update=changes)
        self.settings = settings.model_copy(update={"phases": phases})
        try:
            yield
        finally:
            self.settings = settings

    def movers(self) -> list[str]:
        """Threads of the source that are on the way into NEW."""
        with self.control() as control:
            name = lock_name(control)
            return [thread for (thread,) in control.connection.query("SELECT IS_USED_LOCK(%s)", (name,))]

    def is_frozen(self) -> bool:
        return Freezer(self.settings.source).is_frozen()

    def moves(self) -> list[PhaseMove]:
        with self.control() as control:
            return moves_of(control)


def _is_free(file: Path) -> bool:
    """Whether nobody is writing to the SQLite file now."""
    with closing(sqlite3.connect(file, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        connection.execute("ROLLBACK")
    return True
