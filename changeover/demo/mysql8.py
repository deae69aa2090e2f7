"""A private MySQL 8.0 server for demonstrations and tests: its own folder, port and password, gone at exit.

Its programs are those that `scripts/need mysql` puts into the cache. Initialising a data folder takes
seconds, so it is done once: the result stays beside the programs, and every server starts from a copy.
"""

import fcntl
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from changeover.demo.private import ServerNotFound, cached, run
from changeover.demo.sql import SAME_USER, SQLServer, arguments_of

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

INITIAL = ("innodb_log_file_size", "mysqlx")
"""Options that are to hold while a data folder is initialised, too."""

ACCOUNTS = """\
SET sql_log_bin = 0;
ALTER USER root@localhost IDENTIFIED WITH mysql_native_password BY '{password}';
CREATE USER IF NOT EXISTS root@127.0.0.1 IDENTIFIED WITH mysql_native_password BY '{password}';
GRANT ALL ON *.* TO root@127.0.0.1 WITH GRANT OPTION;
"""


class MySQLNotFound(ServerNotFound):
    """No MySQL is in the cache that could be started."""

    hint = "Get it with `scripts/need mysql`."


class PrivateMySQL(SQLServer):
    """A MySQL server of one's own, up inside the `with` block, gone with all its data after it.

    Each server has its own `server_uuid`, and the first GTID is that of the first statement of whoever
    uses it.
    """

    program = "mysqld"
    version = VERSION
    defaults = OPTIONS
    accounts = ACCOUNTS

    def _make_data(self, data: Path, log: Path) -> None:
        chosen = {name: value for name, value in self.options.items() if name in FOREVER}
        if chosen:
            self._initialise(data, chosen, log)
        else:
            # 90 MB, of which 40 MB are not zeros.
            copy = ["cp", "--archive", "--sparse=always", str(self._template()), str(data)]
            run(copy, log, to="copy MySQL's data folder")

    def _command(self) -> list[str]:
        # At the first start root gets its password, before anybody is let in.
        first = [f"--init-file={self._accounts}"] if self._accounts.exists() else []
        return self._mysqld(*self._arguments(), *first)

    @property
    def _home(self) -> Path:
        """The folder with MySQL's programs."""
        home = cached(f"mysql-{self.version}")
        if not (home / "bin" / "mysqld").exists():
            raise MySQLNotFound(f"there is no MySQL in {home}")
        return home

    def _mysqld(self, *arguments: str) -> list[str]:
        home = self._home
        return [
            "env",
            f"LD_LIBRARY_PATH={home / 'lib'}:{home / 'bin'}",  # its OpenSSL is in the archive
            str(home / "bin" / "mysqld"),
            "--no-defaults",  # must come first
            f"--basedir={home}",
            f"--lc-messages-dir={home / 'share'}",
            *arguments,
        ]

    def _template(self) -> Path:
        """An initialised data folder, made by the first who needs it while the others wait."""
        template = self._home.with_name(f"{self._home.name}-data")
        with _alone(template.with_name(f"{template.name}.lock")):
            if not template.exists():
                half = template.with_name(f"{template.name}.half")
                shutil.rmtree(half, ignore_errors=True)  # of one that was killed
                self._initialise(half, {}, template.with_name(f"{template.name}.log"))
                (half / "auto.cnf").unlink()  # the server_uuid: each copy makes one of its own
                half.rename(template)
        return template

    def _initialise(self, data: Path, options: Mapping[str, str], log: Path) -> None:
        needed = {name: self.defaults[name] for name in INITIAL if name in self.defaults}
        initial = arguments_of({**SAME_USER, "datadir": data, "tmpdir": data.parent, **needed, **options})
        # Insecure: with the password, it would be in the copies, or in an argument list.
        run(self._mysqld("--initialize-insecure", *initial), log, to="make MySQL's data folder")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time, inside the `with` block."""
    with path.open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
