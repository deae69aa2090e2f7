"""A pipeline whose daemons a Prometheus scrapes: started, ended and hindered by a story."""

import itertools
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Self

import pytest

from changeover import crashpoints
from changeover.demo.private import free_ports
from changeover.demo.sql import SQLServer
from changeover.dualwrite import DualStore
from changeover.settings import MetricsSettings, Settings
from changeover.supervisor import RESTART_DELAY_S_FIRST, Part, Supervisor, parts_of
from tests.alerts.play import Story, Wait
from tests.alerts.prometheus import Prometheus
from tests.support.pipeline import schema_of, write_settings

MORE = """
[metrics]
listen = "127.0.0.1:{port}"
behind_s = 6
hold_stop_s = 240
[snapshot]
workers = 1
[application]
report_s = 0.5
[phases]
fence_s = 120
"""
"""Settings beside the usual; times are as short as the rules' are. The fence is to stand, on any machine."""

PARTS = ("capture", "apply", "snapshot")

END_S_MAX = 120
LOCK_WAIT_S_MAX = 120


class Watched:
    """A pipeline and its parts, supervised as by `changeover run`; gone at the end of the block."""

    _supervisor: Supervisor

    def __init__(
        self,
        server: SQLServer,
        name: str,
        folder: Path,
        *,
        log: str = "sqlite:log.db",
        target: str = 'url = "sqlite:target.db"',
    ) -> None:
        folder.mkdir()
        more = MORE.format(port=room_for_ports())
        self.name = name
        self.server = server
        self.folder = folder
        self.config = write_settings(server, name, folder, pipeline=name, log=log, target=target, extra=more)
        self.settings = Settings.load(self.config)
        self.meanwhile: Callable[[], None] = lambda: None
        """What else goes on while a story waits."""

        self._known = {part.name: part for part in parts_of(self.settings, self.config)}
        self._wanted: list[Part] = []
        self._held = ExitStack()
        self._values = itertools.count(1)

    def __enter__(self) -> Self:
        output = self._held.enter_context((self.folder / "daemons.log").open("a"))
        self._held.enter_context(
            schema_of(
                self.server,
                self.name,
                "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20), wide LONGTEXT)",
                "INSERT INTO t SELECT seq, seq, NULL FROM seq_1_to_100",
            )
        )
        self._supervisor = Supervisor(self._wanted, output)
        self._held.callback(self._supervisor.stop)
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    # -- its parts --------------------------------------------------------------------------------

    @property
    def scraped(self) -> list[str]:
        """What Prometheus scrapes."""
        return [self.address(part) for part in PARTS]

    def address(self, part: str) -> str:
        """Where a part answers."""
        return f"127.0.0.1:{self.settings.metrics.port(part)}"

    def keep_going(self) -> None:
        """Start again what has ended and should not have; and what else goes on meanwhile."""
        self._supervisor.poll()
        assert not self._supervisor.failed(), self.words()
        self.meanwhile()

    def start(self, *names: str) -> None:
        """Start these parts, and keep them running."""
        self._wanted += [self._known[name] for name in names]
        self._supervisor.poll()

    def start_halting(self, name: str, *, at: str) -> Story:
        """Start a part that halts when it first comes to this crash point; until it does."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(crashpoints.VARIABLE, f"{at}:1:{crashpoints.Action.PAUSE}")
            self.start(name)
        pid = self._process(name).pid

        def is_halted() -> bool:
            return os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None

        yield Wait(f"{name} to halt at {at}", is_halted, self.words)

    def go_on(self, name: str) -> None:
        """Let a halted part go on."""
        self._process(name).send_signal(signal.SIGCONT)

    def in_step(self, prometheus: Prometheus) -> Wait:
        """Until Prometheus has heard that the whole import is in the target."""
        query = f'changeover_import_applied{{pipeline="{self.name}"}}'
        return Wait("the import to be applied", lambda: prometheus.value(query) == 1, self.words)

    def end(self, name: str, by: signal.Signals = signal.SIGKILL) -> None:
        """End a part for good, until it is started again."""
        process = self._process(name)
        process.send_signal(by)
        process.wait(END_S_MAX)
        self._wanted.remove(self._known[name])
        self._known[name].process = None

    def crash(self, name: str, prometheus: Prometheus) -> Story:
        """Kill a part as the kernel does for want of memory; until its next life is scraped."""
        # The last that was scraped, however long ago: a busy daemon may miss a scrape.
        query = f'last_over_time(process_start_time_seconds{{instance="{self.address(name)}"}}[1h])'
        before = prometheus.value(query)
        assert before is not None, f"{name} was not scraped yet"
        self._process(name).kill()
        self._known[name].delay_s = RESTART_DELAY_S_FIRST  # each time as if it had run for long before

        def has_come_back() -> bool:
            return prometheus.value(query) != before

        yield Wait(f"{name} to come back", has_come_back, self.words)

    def _process(self, name: str) -> "subprocess.Popen[bytes]":
        process = self._known[name].process
        assert process is not None, f"{name} does not run"
        return process

    def words(self) -> str:
        """The last of what the daemons said."""
        return (self.folder / "daemons.log").read_text()[-3_000:]

    # -- what happens to it -----------------------------------------------------------------------

    def execute(self, *statements: str) -> None:
        """On the source."""
        with self.server.connect() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def command(self, *words: str, status: int = 0, crash: str = "") -> Story:
        """A command of `changeover`, until it has ended with that exit status; it may be told to crash."""
        arguments = [sys.executable, "-P", "-m", "changeover", *words, "--config", str(self.config)]
        said = self.folder / "command.log"
        with said.open("wb") as output:
            env = os.environ | ({crashpoints.VARIABLE: crash} if crash else {})
            process = subprocess.Popen(arguments, stdout=output, stderr=subprocess.STDOUT, env=env)
        try:
            yield Wait(f"changeover {words[0]} to end", lambda: process.poll() is not None, said.read_text)
        finally:
            process.kill()
            process.wait()
        assert process.returncode == status, said.read_text()

    @contextmanager
    def locked_target(self) -> Iterator[None]:
        """Somebody else holds the target."""
        with closing(self._target()) as other:
            other.execute("BEGIN EXCLUSIVE")
            yield
            other.execute("ROLLBACK")

    def falsify(self) -> None:
        """Change a row of the target behind everybody's back."""
        with closing(self._target()) as target:
            target.execute("UPDATE t SET v = 'falsified' WHERE id = 7")

    def _target(self) -> sqlite3.Connection:
        return sqlite3.connect(self.folder / "target.db", timeout=LOCK_WAIT_S_MAX, isolation_level=None)

    @contextmanager
    def application(self) -> Iterator[Callable[..., None]]:
        """A process of the application, and what it does: it changes a row, and puts what became of it."""
        with DualStore(self.settings) as store:

            def change(told: str | None = None) -> None:
                value = str(next(self._values))
                with store.transaction() as tx:
                    tx.old.execute(f"UPDATE {self.name}.t SET v = %s WHERE id = 1", (value,))
                    tx.put(f"{self.name}.t", 1, {"id": 1, "v": told or value, "wide": None})

            yield change


def room_for_ports() -> int:
    """A free port with free ones where the metrics of each part are to be found."""
    while True:
        (first,) = free_ports(1)
        metrics = MetricsSettings(listen=f"127.0.0.1:{first}")
        with suppress(OSError):
            for part in PARTS:
                socket.create_server((metrics.host, metrics.port(part))).close()
            return first
