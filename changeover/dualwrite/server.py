"""Whether the old database tells the places of commits, and keeps them for good."""

from changeover.mysql.connection import Connection
from changeover.mysql.numbering import is_mariadb


def why_not_directly(connection: Connection) -> str:
    """Why nothing may be written directly behind a commit of this server; empty if it may.

    A commit that the server could forget, or whose number is not known, is left to the binlog alone.
    """
    if not is_mariadb(connection) and connection.value("SELECT @@global.gtid_mode") != "ON":
        return "its commits have no GTIDs (gtid_mode)"
    for name in ("sync_binlog", "innodb_flush_log_at_trx_commit"):
        value = connection.value(f"SELECT @@global.{name}")
        if value != "1":
            return f"a crash can make it forget a commit ({name} is {value})"
    return ""
