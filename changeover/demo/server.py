"""A private MariaDB server for demonstrations and tests: its own folder, port and password, gone at exit."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from changeover.demo.private import ServerNotFound, run
from changeover.demo.sql import SAME_USER, SQLServer, arguments_of

FOLDERS = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
"""Where to look beyond PATH: Debian keeps the server in /usr/sbin, which a user's PATH lacks."""

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


class MariaDBNotFound(ServerNotFound):
    """No MariaDB server is installed here that could be started."""

    hint = (
        "Install it, on Debian and Ubuntu with `apt-get install mariadb-server-core` (it starts no service)."
    )


class PrivateMariaDB(SQLServer):
    """A MariaDB server of one's own, up inside the `with` block, gone with all its data after it."""

    program = "mariadbd"
    defaults = OPTIONS
    accounts = ACCOUNTS

    def _make_data(self, data: Path, log: Path) -> None:
        initial = {
            **SAME_USER,
            "datadir": data,
            # Not the machine's: a server that starts removes all temporary tables there, somebody else's too.
            "tmpdir": data.parent,
            "extra_file": self._accounts,
            "innodb_log_file_size": self.options.get("innodb_log_file_size", OPTIONS["innodb_log_file_size"]),
        }
        command = [
            _program("mariadb-install-db"),
            "--no-defaults",  # must come first
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
            *arguments_of(initial),
        ]
        run(command, log, to="make MariaDB's data folder")

    def _command(self) -> list[str]:
        return [_program(self.program), "--no-defaults", *self._arguments()]


def _program(name: str) -> str:
    """The path of a program of MariaDB's."""
    found = shutil.which(name) or shutil.which(name, path=FOLDERS)
    if found is None:
        raise MariaDBNotFound(f"{name} was not found on PATH or in /usr/sbin")
    return found
