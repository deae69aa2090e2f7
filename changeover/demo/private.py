"""What the private servers share: each has its own folder and ports, and is gone at exit.

They listen on 127.0.0.1 only, read no settings but their own, and keep everything that they write in their
own folder, so that they can neither meet nor disturb a server that the machine runs already.
"""

import atexit
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Self

from changeover.process import die_with_parent

HOST = "127.0.0.1"

PORTS = range(20_000, 32_768)
"""Below the range from which Linux takes the ports of outgoing connections (32768 on), so that nobody can be
given our port while the server is down between `stop` and `start`."""

START_S_MAX = 60.0
"""A start takes one or two seconds, Kafka's after a kill four; a machine busy beyond reason may need much
longer."""

STOP_S_MAX = 30.0
"""A clean shutdown takes about a second. Whoever is not done by then is killed."""

POLL_S = 0.02
LOG_CHARACTERS = 2_000


class PrivateServerError(Exception):
    """The private server cannot be had; `hint` says what to do about it."""

    hint: ClassVar[str] = ""

    def __str__(self) -> str:
        """The message, followed by the hint."""
        return f"{super().__str__()}. {self.hint}"


class ServerNotFound(PrivateServerError):
    """No such server is here that could be started."""


class ServerFailed(PrivateServerError):
    """The server was started and did not come up; the message ends with the tail of its log."""

    hint = "Read the log above; free memory and disk, or set `options`, then start again."


class PrivateServer(ABC):
    """A server of one's own, up inside the `with` block, gone with all its data after it.

    Its data lie in a new folder inside `parent` (the system's temporary folder if None). `options` replace
    or extend the `defaults`; one that is None is left out.
    """

    host: ClassVar[str] = HOST
    program: ClassVar[str]
    defaults: ClassVar[Mapping[str, str]]

    def __init__(
        self,
        parent: Path | None = None,
        *,
        options: Mapping[str, str | None] | None = None,
        start_s_max: float = START_S_MAX,
    ) -> None:
        merged = {**self.defaults, **(options or {})}
        self.options = {name: value for name, value in merged.items() if value is not None}
        self._parent = parent
        self._start_s_max = start_s_max
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start the server; leave nothing behind if that fails or is interrupted."""
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        """Remove the server and its data."""
        self.close()

    @property
    def folder(self) -> Path:
        """The folder that holds all the server's files, made at the first start."""
        if self._folder is None:
            message = "the server was never started, or is closed"
            raise RuntimeError(message)
        return self._folder

    @property
    def pid(self) -> int | None:
        """The process id of the running server, None while it is down."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Return once the server answers, with the data it had; or raise `ServerNotFound`, `ServerFailed`."""
        if self._process is not None:
            return
        if self._folder is None:
            self._make_folder()
        self._process = spawn(self._command(), self._log)
        self._await_answer(self._process)

    def stop(self) -> None:
        """Shut the server down cleanly and keep its data; kill it if it does not go within `STOP_S_MAX`."""
        if self._process is None:
            return
        self.resume()  # who is paused does not hear it
        ask_to_end(self._process)
        self.kill()

    def kill(self) -> None:
        """End the server with SIGKILL, as a crash would, and keep its data."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Stop the server cleanly and start it again: same ports, password and data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Halt the server where it is: connections stay open and nobody answers."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)
            # A signal is on its way for a while: what is asked right behind it might still be answered.
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Let a paused server go on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Remove the server and its folder; the data are not wanted any more, so it need not end cleanly."""
        atexit.unregister(self.close)
        self.kill()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    @abstractmethod
    def _install(self) -> None:
        """Put into the new folder what the first start needs, or raise `ServerNotFound`, `ServerFailed`."""

    @abstractmethod
    def _command(self) -> list[str]:
        """What starts the server, in its folder; or raise `ServerNotFound`."""

    @abstractmethod
    def _probe(self) -> Callable[[], bool]:
        """What tells, each time that it is called, whether the server answers."""

    @property
    def _log(self) -> Path:
        return self.folder / "error.log"

    def _make_folder(self) -> None:
        # Registered first: an interrupt between here and the `with` block must not leave a folder behind.
        atexit.register(self.close)
        prefix = f"changeover-{self.program}-"
        self._folder = Path(tempfile.mkdtemp(prefix=prefix, dir=self._parent)).absolute()
        try:
            self._install()
        except BaseException:
            self.close()  # or the next start would take half an installation for a whole one
            raise

    def _await_answer(self, process: subprocess.Popen[bytes]) -> None:
        deadline_s = time.monotonic() + self._start_s_max
        answers = self._probe()
        while process.poll() is None and time.monotonic() < deadline_s:
            if answers():
                return
            time.sleep(POLL_S)
        self.kill()
        raise ServerFailed(f"{self.program} did not come up; its log ends with:\n{tail(self._log)}\n")


def free_ports(count: int) -> list[int]:
    """As many ports, no two of them alike, of which nobody takes another one's by chance."""
    ports: list[int] = []
    while len(ports) < count:
        port = secrets.choice(PORTS)
        if port not in ports and _is_free(port):
            ports.append(port)
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def cached(name: str) -> Path:
    """Where `scripts/need` keeps what it got."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "changeover" / name


def spawn(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """The command's process, in the log's folder; it dies with us, and what it says is added to the log."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C on the terminal is for us; we then end the server
            preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - see there
        )


def ask_to_end(process: "subprocess.Popen[bytes]") -> None:
    """Return once the process has ended as it was asked to, or has not within `STOP_S_MAX`."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_S_MAX)


def run(command: list[str], log: Path, *, to: str) -> None:
    """Return when the command has done its work `to` the end named, or raise `ServerFailed`."""
    process = spawn(command, log)
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(START_S_MAX)
    finally:
        process.kill()
        process.wait()
    if process.returncode != 0:
        raise ServerFailed(f"Failed to {to} ({process.returncode}); the log ends with:\n{tail(log)}\n")


def tail(log: Path) -> str:
    """The end of a log."""
    if not log.exists():
        return "(no log was written)"
    return log.read_text(encoding="utf-8", errors="replace")[-LOG_CHARACTERS:].strip()
