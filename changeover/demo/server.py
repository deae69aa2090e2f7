"""A private MariaDB server for demonstrations and tests: its own folder, port and password, gone at exit.

It reads no option file and opens no socket but its own on 127.0.0.1, so that it can neither meet nor disturb
a MariaDB that the machine runs already.
"""

import atexit
import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import pymysql

if TYPE_CHECKING:
    from pymysql.connections import Connection
    from pymysql.cursors import Cursor

START_S_MAX = 60.0
"""A start takes about a second; a machine that is busy beyond reason may need much longer."""

STOP_S_MAX = 30.0
"""A clean shutdown flushes a buffer pool of at most 256 MB. Whoever is not done by then is killed."""

POLL_S = 0.02
FOLDERS = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
"""Where to look beyond PATH: Debian keeps the server in /usr/sbin, which a user's PATH lacks."""

CONNECT_TIMEOUT_S = 10
ERROR_LOG_CHARACTERS = 2_000

PORTS = range(20_000, 32_768)
"""Below the range from which Linux takes the ports of outgoing connections (32768 on), so that nobody can be
given our port while the server is down between `stop` and `start`."""

OPTIONS: Mapping[str, str] = {
    "log_bin": "binlog",
    "binlog_format": "ROW",
    "binlog_row_image": "FULL",
    "binlog_row_metadata": "FULL",
    "server_id": "1",
    "gtid_strict_mode": "ON",
    "sync_binlog": "1",
    "innodb_flush_log_at_trx_commit": "1",
    "innodb_buffer_pool_size": "256M",
    # A small redo log: writing the default of 96 MB takes as long as the rest of the start.
    "innodb_log_file_size": "32M",
    "character_set_server": "utf8mb4",
    "skip_name_resolve": "ON",
    "performance_schema": "OFF",
    "explicit_defaults_for_timestamp": "ON",
    "max_connections": "200",
}

ACCOUNTS = """\
DELETE FROM mysql.global_priv WHERE User = '' OR (User = 'root' AND Host <> 'localhost');
DELETE FROM mysql.proxies_priv;
FLUSH PRIVILEGES;
ALTER USER root@localhost IDENTIFIED BY '{password}';
CREATE USER root@127.0.0.1 IDENTIFIED BY '{password}';
GRANT ALL ON *.* TO root@127.0.0.1 WITH GRANT OPTION;
"""

PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


class PrivateServerError(Exception):
    """The private server cannot be had; `hint` says what to do about it."""

    hint: ClassVar[str] = ""

    def __str__(self) -> str:
        """The message, followed by the hint."""
        return f"{super().__str__()}. {self.hint}"


class ServerNotFound(PrivateServerError):
    """No MariaDB server is installed here that could be started."""

    hint = (
        "Install it, on Debian and Ubuntu with `apt-get install mariadb-server-core` (it starts no service)."
    )


class ServerFailed(PrivateServerError):
    """The server was started and did not come up; the message ends with the tail of its error log."""

    hint = "Read the error log above; free memory and disk, or set `options`, then start again."


class PrivateMariaDB:
    """A MariaDB server of one's own, up inside the `with` block, gone with all its data after it.

    Its data lie in a new folder inside `parent` (the system's temporary folder if None). `options` are
    server options that replace or extend `OPTIONS`; one that is None is left out: `{"log_bin": None}` gives
    a server without a binlog.
    """

    host = "127.0.0.1"
    user = "root"

    def __init__(
        self,
        parent: Path | None = None,
        *,
        options: Mapping[str, str | None] | None = None,
        start_s_max: float = START_S_MAX,
    ) -> None:
        changed = {name.replace("-", "_"): value for name, value in (options or {}).items()}
        merged = {**OPTIONS, **changed}
        self.options = {name: value for name, value in merged.items() if value is not None}
        self.password = secrets.token_hex(16)
        self.port = _free_port()
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
        program = _program("mariadbd")
        if self._folder is None:
            self._install()
        self._process = _spawn([program, *self._arguments()], self.folder)
        self._await_answer(self._process)

    def stop(self) -> None:
        """Shut the server down cleanly and keep its data; kill it if it does not go within `STOP_S_MAX`."""
        if self._process is None:
            return
        self._ask_to_shut_down(self._process)
        try:
            self._process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reap()

    def kill(self) -> None:
        """End the server with SIGKILL, as a crash would, and keep its data."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    def restart(self) -> None:
        """Stop the server cleanly and start it again: same port, password and data."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Remove the server and its folder; the data are not wanted any more, so it need not end cleanly."""
        atexit.unregister(self.close)
        self.kill()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def connect(self, **parameters: Any) -> "Connection[Cursor]":  # noqa: ANN401 - handed on to PyMySQL as is
        """A new connection as root, in autocommit and utf8mb4 unless `parameters` say otherwise."""
        defaults: dict[str, Any] = {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "charset": "utf8mb4",
            "autocommit": True,
            "connect_timeout": CONNECT_TIMEOUT_S,
        }
        return pymysql.connect(**(defaults | parameters))

    def _install(self) -> None:
        # Registered first: an interrupt between here and the `with` block must not leave a folder behind.
        atexit.register(self.close)
        self._folder = Path(tempfile.mkdtemp(prefix="changeover-mariadb-", dir=self._parent)).absolute()
        with _private_file(
            self._folder / "accounts.sql", ACCOUNTS.format(password=self.password)
        ) as accounts:
            _run_install(self._install_command(accounts), self._folder / "install.log")

    def _install_command(self, accounts: Path) -> list[str]:
        return [
            _program("mariadb-install-db"),
            "--no-defaults",  # must come first
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
            f"--datadir={self.folder / 'data'}",
            f"--extra-file={accounts}",
            f"--innodb-log-file-size={self.options.get('innodb_log_file_size', '32M')}",
            *_as_root(),
        ]

    def _arguments(self) -> list[str]:
        return [
            "--no-defaults",  # must come first
            *_as_root(),
            f"--datadir={self.folder / 'data'}",
            f"--tmpdir={self.folder}",
            f"--log-error={self.folder / 'error.log'}",
            f"--pid-file={self.folder / 'server.pid'}",
            # Relative to the data folder: a socket's path has room for 107 characters only.
            "--socket=server.sock",
            f"--bind-address={self.host}",
            f"--port={self.port}",
            *(f"--{name.replace('_', '-')}={value}" for name, value in self.options.items()),
        ]

    def _await_answer(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self._start_s_max
        while process.poll() is None and time.monotonic() < deadline:
            try:
                self.connect().close()
            except pymysql.err.OperationalError:
                time.sleep(POLL_S)
            else:
                return
        self.kill()
        message = f"mariadbd did not come up; its error log ends with:\n{_tail(self.folder / 'error.log')}\n"
        raise ServerFailed(message)

    def _ask_to_shut_down(self, process: subprocess.Popen[bytes]) -> None:
        try:
            with self.connect() as connection, connection.cursor() as cursor:
                cursor.execute("SHUTDOWN")
        except pymysql.Error:
            process.terminate()  # no connection to be had: SIGTERM asks for the same

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait()
            self._process = None


def _program(name: str) -> str:
    """The path of a program of MariaDB's."""
    found = shutil.which(name) or shutil.which(name, path=FOLDERS)
    if found is None:
        message = f"{name} was not found on PATH or in /usr/sbin"
        raise ServerNotFound(message)
    return found


def _as_root() -> list[str]:
    """The option without which mariadbd refuses to run as root; as anyone else it would only warn."""
    return ["--user=root"] if os.getuid() == 0 else []


def _free_port() -> int:
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((PrivateMariaDB.host, port))
            except OSError:
                continue
            return port


@contextmanager
def _private_file(path: Path, text: str) -> Iterator[Path]:
    """A file that only we can read, inside the `with` block. It keeps the password out of argument lists."""
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(text, encoding="utf-8")
    try:
        yield path
    finally:
        path.unlink()


def _run_install(command: list[str], log: Path) -> None:
    with log.open("wb") as output:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=START_S_MAX,
            check=False,
            start_new_session=True,
            preexec_fn=_die_with_parent(),
        )
    if done.returncode != 0:
        message = f"mariadb-install-db failed ({done.returncode}):\n{_tail(log)}\n"
        raise ServerFailed(message)


def _spawn(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,  # what matters is in the error log
        start_new_session=True,  # Ctrl-C on the terminal is for us; we then end the server
        preexec_fn=_die_with_parent(),  # noqa: PLW1509 - see there
    )


def _die_with_parent() -> Callable[[], None] | None:
    """What the child runs before exec, so that the kernel kills it when its parent dies.

    A parent that is killed with SIGKILL runs no clean-up, and its server would stay for ever. The kernel
    watches the *thread* that started the child: start the server from a thread that lives as long as it.
    All is looked up here, before the fork: in a child of a process with threads, an import could wait for
    a lock whose holder does not exist there.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent, kill, getppid, getpid = os.getpid(), os.kill, os.getppid, os.getpid

    def before_exec() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if getppid() != parent:  # it died before the line above
            kill(getpid(), signal.SIGKILL)

    return before_exec


def _tail(log: Path) -> str:
    if not log.exists():
        return "(no log was written)"
    return log.read_text(encoding="utf-8", errors="replace")[-ERROR_LOG_CHARACTERS:].strip()
