"""Freezing by REVOKE, where nobody may set `read_only`, as with many managed servers.

The accounts that the settings name lose what lets them change the captured databases. What is taken is
written down before it is taken, so that it can be given back. Open sessions and transactions outlive a
REVOKE, so all sessions of these accounts are ended; new ones have the rights of now. Accounts that are not
named go on.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase

from changeover.errors import RowLocked, SourceRefused, SourceUnfit
from changeover.mysql import grants
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.mysql.facts import grants_of
from changeover.mysql.grants import ALL, Scope
from changeover.mysql.numbering import is_mariadb
from changeover.settings import SourceSettings

LOOKS_MAX = 20
LOOK_S = 0.05
"""A second in all for a session to end: a large transaction that is rolled back takes longer."""

TAKEN = "revoked"
"""The control table of what was taken."""

ON_TABLES = ("INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER", "INDEX", "TRIGGER")
ON_SCHEMAS = (*ON_TABLES, "EXECUTE", "EVENT", "CREATE ROUTINE", "ALTER ROUTINE", "CREATE VIEW")
"""What changes rows or tables, or runs what does with somebody else's rights."""


class Revoker:
    """Freezes the old database for these accounts (`name@host`), and thaws it."""

    def __init__(self, source: SourceSettings, pipeline: str, accounts: Sequence[str]) -> None:
        self._source = source
        self._pipeline = pipeline
        self._accounts = accounts

    def freeze(self) -> None:
        """Return once none of the accounts can write any more; `RowLocked` if sessions do not end in time."""
        with Connection(self._source) as connection:
            self._check_all_can_be_taken(connection)
            for account in self._accounts:
                for scope, privileges in self._writing(connection, account).items():
                    self._note(connection, account, scope, privileges)
                    connection.execute(
                        f"REVOKE {', '.join(privileges)} ON {scope.text} FROM {grants.account(account)}"
                    )
            self._end_sessions(connection)

    def thaw(self) -> None:
        """Give back what was taken; no harm if nothing was."""
        with Connection(self._source) as connection:
            table = ControlSchema(connection, self._pipeline).table(TAKEN)
            rows = connection.query(
                f"SELECT account, on_schema, on_table, privileges FROM {table} WHERE pipeline = %s",
                (self._pipeline,),
            )
            for account, schema, name, privileges in rows:
                where = Scope(schema, name).text
                connection.execute(f"GRANT {privileges} ON {where} TO {grants.account(account)}")
            # Behind all of it: cut off in between, it is given once more.
            connection.execute(f"DELETE FROM {table} WHERE pipeline = %s", (self._pipeline,))

    def is_frozen(self) -> bool:
        """Whether none of the accounts has the right to write."""
        with Connection(self._source) as connection:
            return not any(self._writing(connection, account) for account in self._accounts)

    def _writing(self, connection: Connection, account: str) -> Mapping[Scope, list[str]]:
        """What lets the account change the captured databases, by what it is on; not what roles give it."""
        held = grants.parse(_lines(connection, account), is_mariadb=is_mariadb(connection))
        found = {
            scope: _taken(scope, privileges) for scope, privileges in held.own.items() if self._reaches(scope)
        }
        return {scope: privileges for scope, privileges in found.items() if privileges}

    def _check_all_can_be_taken(self, connection: Connection) -> None:
        """Raise if one may write by a role, whose that is besides we cannot know, or by a single routine."""
        for account in self._accounts:
            lines = _lines(connection, account)
            if any(line.startswith("GRANT ") and " ON " not in line for line in lines):
                message = f"account {account} has roles, and what they let it do is not taken from it"
                raise SourceUnfit(message, hint="Grant it what it needs itself, and take the roles away.")
            for schema, routine in grants.routines_run(lines):
                if self._reaches(Scope(schema)):
                    message = (
                        f"account {account} has EXECUTE on {schema}.{routine}, which is not taken from it"
                    )
                    raise SourceUnfit(message, hint=ROUTINE_HINT)

    def _end_sessions(self, connection: Connection) -> None:
        begun_before = self._sessions(connection)  # those that begin from now on have no rights
        for thread in begun_before:
            with suppress(SourceRefused):  # it has ended by itself
                connection.execute(f"KILL {thread}")
        for _ in range(LOOKS_MAX):
            left = begun_before & self._sessions(connection)
            if not left:
                return
            time.sleep(LOOK_S)
        raise RowLocked(f"sessions that were killed do not end: threads {', '.join(map(str, sorted(left)))}")

    def _sessions(self, connection: Connection) -> set[int]:
        names = [account.rpartition("@")[0] or account for account in self._accounts]
        marks = ", ".join(["%s"] * len(names))
        rows = connection.query(
            f"SELECT id FROM information_schema.processlist WHERE user IN ({marks}) AND id <> %s",
            (*names, connection.thread_id),
        )
        return {int(thread) for (thread,) in rows}

    def _note(self, connection: Connection, account: str, scope: Scope, privileges: Sequence[str]) -> None:
        table = ControlSchema(connection, self._pipeline).table(TAKEN)
        connection.execute(
            f"INSERT IGNORE INTO {table} VALUES (%s, %s, %s, %s, %s)",
            (self._pipeline, account, scope.schema, scope.table, ", ".join(privileges)),
        )

    def _reaches(self, scope: Scope) -> bool:
        """Whether a grant on this scope is about a captured database; one too many does no harm."""
        if not scope.schema:
            return True
        name = scope.schema.replace("\\_", "_").replace("\\%", "%")
        schemas = [pattern.partition(".")[0] for pattern in self._source.include]
        is_pattern = any(character in name for character in "_%")
        return any(fnmatchcase(name, schema) for schema in schemas) or (
            is_pattern and any(grants.is_like(scope.schema, schema) for schema in schemas)
        )


ROUTINE_HINT = (
    "It may write with its definer's rights: GRANT EXECUTE on the whole schema, and REVOKE this one."
)


def _taken(scope: Scope, held: Collection[str]) -> list[str]:
    """Of the privileges that are held on this scope those that are taken; some are held on columns alone."""
    wanted = ON_TABLES if scope.table else ON_SCHEMAS
    if ALL in held:
        return list(wanted)
    return sorted(one for one in held if one.partition(" (")[0] in wanted)


def _lines(connection: Connection, account: str) -> list[str]:
    lines = grants_of(connection, grants.account(account))
    if not lines:
        message = f"the grants of {account} cannot be seen: is there such an account?"
        raise SourceUnfit(message, hint="Mend phases.revoke_from, or GRANT SELECT ON `mysql`.* to this user.")
    return lines
