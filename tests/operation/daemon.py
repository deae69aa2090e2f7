"""One daemon as systemd runs it: a process with a socket for what it tells, and pages to be asked."""

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.operation.scraping import addresses, asked
from tests.support.processes import environment, wait_until

MODULES = {"capture": "cdc", "snapshot": "cdc", "apply": "consumers"}
READ_EVERY_S = 0.2
END_S_MAX = 60


class Daemon:
    """A running part; what it told systemd is read as it comes."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path, told: socket.socket) -> None:
        self.process = process
        self._log = log
        self._socket = told
        self._told: list[str] = []
        self._reading = threading.Lock()

    @property
    def told(self) -> list[str]:
        """Every line that it has told systemd so far."""
        self._read()
        return self._told

    def listen(self, over: threading.Event) -> None:
        """Read what it tells until that is over: the kernel keeps ten messages, and drops what comes then."""
        while not over.wait(READ_EVERY_S):
            self._read()

    def _read(self) -> None:
        with self._reading, suppress(BlockingIOError):
            while True:
                self._told += self._socket.recv(10_000).decode().splitlines()

    def has_told(self, beginning: str) -> bool:
        """Whether it has told a line that begins so."""
        return any(line.startswith(beginning) for line in self.told)

    def signs_of_progress(self) -> int:
        """How often it has told systemd's watchdog that it gets on."""
        return self.told.count("WATCHDOG=1")

    @property
    def address(self) -> str:
        """Where it answers."""
        assert wait_until(lambda: bool(addresses(self._log)), 60), self.words()
        (address,) = addresses(self._log).values()
        return address

    def page(self, name: str) -> tuple[int, str]:
        """Status and text of a page."""
        return asked(self.address, name)

    def until_ready(self) -> None:
        """Wait until it says that it does its work."""
        assert wait_until(lambda: self.page("/readyz")[0] == 200, 60), (self.page("/readyz"), self.words())

    def words(self) -> str:
        """What it has logged."""
        return self._log.read_text()


@contextmanager
def running(part: str, config: Path, *, watchdog_s: float = 2.0, **variables: str) -> Iterator[Daemon]:
    """The part as a process, ended at the end of the block."""
    folder = config.parent
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told, (folder / f"{part}.log").open("w") as log:
        path = folder / f"{part}.notify"
        path.unlink(missing_ok=True)
        told.bind(str(path))
        told.setblocking(False)  # noqa: FBT003 - the socket's own interface
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", MODULES[part], part, "--config", str(config)],
            stderr=log,
            text=True,
            env=environment()
            | {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": str(round(watchdog_s * 1e6))}
            | variables,
        )
        daemon, over = Daemon(process, folder / f"{part}.log", told), threading.Event()
        listening = threading.Thread(target=daemon.listen, args=(over,))
        listening.start()
        try:
            yield daemon
        finally:
            over.set()
            listening.join()
            for number in (signal.SIGTERM, signal.SIGCONT):  # a test that failed may have halted it
                process.send_signal(number)
            process.wait(END_S_MAX)
