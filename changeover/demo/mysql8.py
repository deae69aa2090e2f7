"""A private MySQL 8.0 server for demonstrations and tests: what `PrivateMariaDB` is, with MySQL in it.

Its programs are those that `scripts/need mysql` puts into the cache. Initialising a data folder takes
seconds, so it is done once: the result stays beside the programs, and every server starts from a copy.
"""

import atexit
import fcntl
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from changeover.demo.broker import _cached, _run, _spawn
from changeover.demo.server import OPTIONS as MARIADB_OPTIONS
from changeover.demo.server import (
    START_S_MAX,
    PrivateMariaDB,
    ServerFailed,
    ServerNotFound,
    _as_root,
    _private_file,
    _tail,
)

VERSION = "8.0.15"
"""The one that `scripts/need mysql` puts into the cache."""

OPTIONS: Mapping[str, str] = {
    "log_bin": "binlog",
    "binlog_format": "ROW",
    "binlog_row_image": "FULL",
    "binlog_row_metadata": "FULL",
    "server_id": "1",
    "gtid_mode": "ON",
    "enforce_gtid_consistency": "ON",
    "sync_binlog": "1",
    "innodb_flush_log_at_trx_commit": "1",
    "innodb_buffer_pool_size": "256M",
    "innodb_log_file_size": "16M",  # there are two of them
    "character_set_server": "utf8mb4",
    "skip_name_resolve": "ON",
    "explicit_defaults_for_timestamp": "ON",
    "max_connections": "200",
    # Of MySQL 8's two kinds of password, the one that PyMySQL can send without the package `cryptography`.
    "default_authentication_plugin": "mysql_native_password",
    "mysqlx": "OFF",  # it would listen on a port of its own
    # On for `events_transactions_history`, where a session finds the GTID of its own commit. The rest is cut
    # off, and its memory goes from 188 MB to 28 MB.
    "performance_schema": "ON",
    "performance_schema_accounts_size": "0",
    "performance_schema_digests_size": "0",
    "performance_schema_events_stages_history_long_size": "0",
    "performance_schema_events_stages_history_size": "0",
    "performance_schema_events_statements_history_long_size": "0",
    "performance_schema_events_statements_history_size": "0",
    "performance_schema_events_transactions_history_long_size": "0",
    "performance_schema_events_waits_history_long_size": "0",
    "performance_schema_events_waits_history_size": "0",
    "performance_schema_hosts_size": "0",
    "performance_schema_max_memory_classes": "0",
    "performance_schema_max_stage_classes": "0",
    "performance_schema_max_statement_classes": "0",
    "performance_schema_session_connect_attrs_size": "0",
    "performance_schema_users_size": "0",
}

FOREVER = frozenset({"innodb_data_file_path", "innodb_page_size", "lower_case_table_names"})
"""Options that a data folder gets when it is initialised and keeps: a copy would be of the wrong kind."""

ACCOUNTS = """\
SET sql_log_bin = 0;
ALTER USER root@localhost IDENTIFIED WITH mysql_native_password BY '{password}';
CREATE USER IF NOT EXISTS root@127.0.0.1 IDENTIFIED WITH mysql_native_password BY '{password}';
GRANT ALL ON *.* TO root@127.0.0.1 WITH GRANT OPTION;
"""


class MySQLNotFound(ServerNotFound):
    """No MySQL is in the cache that could be started."""

    hint: ClassVar[str] = "Get it with `scripts/need mysql`."


class PrivateMySQL(PrivateMariaDB):
    """A MySQL server of one's own, up inside the `with` block, gone with all its data after it.

    Everything that `PrivateMariaDB` promises holds here, with this module's `OPTIONS`. Each server has its
    own `server_uuid`, and the first GTID is that of the first statement of whoever uses it.
    """

    def __init__(
        self,
        parent: Path | None = None,
        *,
        options: Mapping[str, str | None] | None = None,
        start_s_max: float = START_S_MAX,
    ) -> None:
        changed = {name.replace("-", "_"): value for name, value in (options or {}).items()}
        ours = {**dict.fromkeys(MARIADB_OPTIONS), **OPTIONS, **changed}
        super().__init__(parent, options=ours, start_s_max=start_s_max)
        self._has_accounts = False

    def start(self) -> None:
        """Return once the server answers, with the data it had; or raise `MySQLNotFound`, `ServerFailed`."""
        if self._process is not None:
            return
        home = _home()
        if self._folder is None:
            self._install()
        with self._accounts() as more:
            command = [str(home / "bin" / "mysqld"), *self._arguments(), *more]
            self._process = _spawn(command, self.folder, self._log, _libraries(home))
            self._await_answer(self._process)

    @property
    def _log(self) -> Path:
        return self.folder / "error.log"

    def _install(self) -> None:
        # Registered first: an interrupt between here and the `with` block must not leave a folder behind.
        atexit.register(self.close)
        self._folder = Path(tempfile.mkdtemp(prefix="changeover-mysql-", dir=self._parent)).absolute()
        data, log = self.folder / "data", self.folder / "install.log"
        chosen = {name: value for name, value in self.options.items() if name in FOREVER}
        if chosen:
            _initialise(data, chosen, log)
        else:
            # 90 MB, of which 40 MB are not zeros.
            _done(["cp", "--archive", "--sparse=always", str(_template()), str(data)], log)

    @contextmanager
    def _accounts(self) -> Iterator[list[str]]:
        """Further arguments that give root its password at the first start, before anybody is let in."""
        if self._has_accounts:
            yield []
            return
        statements = ACCOUNTS.format(password=self.password)
        with _private_file(self.folder / "accounts.sql", statements) as accounts:
            yield [f"--init-file={accounts}"]
        self._has_accounts = True

    def _arguments(self) -> list[str]:
        return [*super()._arguments(), *_places(_home())]

    def _await_answer(self, process: subprocess.Popen[bytes]) -> None:
        try:
            super()._await_answer(process)
        except ServerFailed as failed:
            raise ServerFailed(
                f"mysqld did not come up; its log ends with:\n{_tail(self._log)}\n"
            ) from failed


def _home() -> Path:
    """The folder with MySQL's programs."""
    home = _cached(f"mysql-{VERSION}")
    if not (home / "bin" / "mysqld").exists():
        raise MySQLNotFound(f"there is no MySQL in {home}")
    return home


def _places(home: Path) -> list[str]:
    return [f"--basedir={home}", f"--lc-messages-dir={home / 'share'}"]


def _libraries(home: Path) -> dict[str, str]:
    """What makes mysqld find the OpenSSL of its time, which is in the archive."""
    return {"LD_LIBRARY_PATH": f"{home / 'lib'}:{home / 'bin'}"}


def _template() -> Path:
    """An initialised data folder, made by the first who needs it while the others wait."""
    template = _cached(f"mysql-{VERSION}-data")
    with _alone(template.with_name(f"{template.name}.lock")):
        if not template.exists():
            half = template.with_name(f"{template.name}.half")
            shutil.rmtree(half, ignore_errors=True)  # of one that was killed
            _initialise(half, {}, template.with_name(f"{template.name}.log"))
            (half / "auto.cnf").unlink()  # the server_uuid: each copy makes one of its own
            half.rename(template)
    return template


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time, inside the `with` block."""
    with path.open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _initialise(data: Path, options: Mapping[str, str], log: Path) -> None:
    home = _home()
    initial = {"innodb_log_file_size": OPTIONS["innodb_log_file_size"], "mysqlx": "OFF", **options}
    command = [
        str(home / "bin" / "mysqld"),
        "--no-defaults",  # must come first
        "--initialize-insecure",  # with the password, it would be in the copies, or in an argument list
        f"--datadir={data}",
        *_as_root(),
        *_places(home),
        *(f"--{name.replace('_', '-')}={value}" for name, value in initial.items()),
    ]
    _done(command, log, _libraries(home))


def _done(command: list[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
    if not _run(command, log.parent, log, environment):
        raise ServerFailed(f"{Path(command[0]).name} could not make a data folder:\n{_tail(log)}\n")
