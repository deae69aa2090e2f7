"""Whether a source, as it is set up, can be captured without losing or misreading a change."""

from typing import NamedTuple

from changeover.errors import SourceUnfit
from changeover.mysql.connection import Connection
from changeover.mysql.numbering import is_mariadb, numbering_of


class Requirement(NamedTuple):
    """A server variable, what it must be, and how to make it so."""

    variable: str
    wanted: str
    mend: str


COMMON = (
    Requirement("log_bin", "ON", "start the server with log_bin"),
    Requirement("binlog_format", "ROW", "SET GLOBAL binlog_format = 'ROW'"),
    Requirement("binlog_row_image", "FULL", "SET GLOBAL binlog_row_image = 'FULL'"),
    Requirement("binlog_row_metadata", "FULL", "SET GLOBAL binlog_row_metadata = 'FULL'"),
)

MARIADB = (*COMMON, Requirement("log_bin_compress", "OFF", "SET GLOBAL log_bin_compress = OFF"))

MYSQL = (
    *COMMON,
    Requirement("binlog_row_value_options", "", "SET GLOBAL binlog_row_value_options = ''"),
    Requirement("binlog_order_commits", "ON", "SET GLOBAL binlog_order_commits = ON"),
)


def check_source(connection: Connection) -> None:
    """Return if the binlog will hold every change in a form that we read, else raise `SourceUnfit`."""
    numbering_of(connection)
    requirements = MARIADB if is_mariadb(connection) else MYSQL
    complaints = [
        f"{requirement.variable} is {found or 'unknown to this server'}, not {requirement.wanted}: "
        f"{requirement.mend}"
        for requirement in requirements
        if (found := _variable(connection, requirement.variable)) != requirement.wanted
    ]
    if complaints:
        hint = "A new value counts for new sessions only: let the application reconnect."
        raise SourceUnfit("; ".join(complaints), hint=hint)


def _variable(connection: Connection, name: str) -> str:
    rows = connection.query("SHOW GLOBAL VARIABLES LIKE %s", (name.replace("_", r"\_"),))
    return rows[0][1] if rows else ""
