"""What the private MariaDB and the private MySQL share: one port, one user with a password, and arguments."""

import os
import secrets
from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pymysql

from changeover.demo.private import START_S_MAX, PrivateServer, free_ports

if TYPE_CHECKING:
    from pymysql.connections import Connection
    from pymysql.cursors import Cursor

CONNECT_TIMEOUT_S = 10

SAME_USER: Mapping[str, str] = {"user": "root"} if os.getuid() == 0 else {}
"""The option without which the server refuses to run as root; as anyone else it would only warn."""


class SQLServer(PrivateServer):
    """A private MariaDB or MySQL: its options may be written with `-` or `_`, None leaves one out.

    `{"log_bin": None}` gives a MariaDB without a binlog.
    """

    user = "root"
    accounts: ClassVar[str]
    """The statements that let root in with the password, and nobody else."""

    def __init__(
        self,
        parent: Path | None = None,
        *,
        options: Mapping[str, str | None] | None = None,
        start_s_max: float = START_S_MAX,
    ) -> None:
        named = {name.replace("-", "_"): value for name, value in (options or {}).items()}
        super().__init__(parent, options=named, start_s_max=start_s_max)
        self.password = secrets.token_hex(16)
        [self.port] = free_ports(1)

    def start(self) -> None:
        """Return once the server answers, with the data it had; or raise `ServerNotFound`, `ServerFailed`."""
        super().start()
        self._accounts.unlink(missing_ok=True)  # the first start has used it

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

    @abstractmethod
    def _make_data(self, data: Path, log: Path) -> None:
        """Make the data folder, or raise `ServerNotFound`, `ServerFailed`."""

    @property
    def _accounts(self) -> Path:
        return self.folder / "accounts.sql"

    def _install(self) -> None:
        # A file that only we can read keeps the password out of argument lists.
        self._accounts.touch(mode=0o600, exist_ok=False)
        self._accounts.write_text(self.accounts.format(password=self.password), encoding="utf-8")
        self._make_data(self.folder / "data", self.folder / "install.log")

    def _arguments(self) -> list[str]:
        places = {
            "datadir": self.folder / "data",
            "tmpdir": self.folder,
            "log_error": self._log,
            "pid_file": self.folder / "server.pid",
            "socket": "server.sock",  # relative to the data folder: its path has room for 107 characters only
            "bind_address": self.host,
            "port": self.port,
        }
        return arguments_of({**SAME_USER, **places, **self.options})

    def _probe(self) -> Callable[[], bool]:
        return self._answers

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except pymysql.err.OperationalError:
            return False
        return True


def arguments_of(options: Mapping[str, object]) -> list[str]:
    """The options as the servers' programs take them.

    >>> arguments_of({"log_bin": "binlog"})
    ['--log-bin=binlog']
    """
    return [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
