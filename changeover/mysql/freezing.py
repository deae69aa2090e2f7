"""Freezing the old database: nobody writes to it any more but who may do so under `read_only`.

It takes hold at a moment: what has not begun to commit by then is refused, open transactions too. Capture
and operator keep the right to write the control schema (`changeover doctor` names the grants).
"""

from typing import Protocol

from changeover.mysql.connection import Connection
from changeover.settings import SourceSettings

PATIENCE_S = 1
"""Statements that begin while we wait for others to end are waiting for us."""


class Freezing(Protocol):
    """A way to freeze the old database."""

    def freeze(self) -> None:
        """Return once it has taken hold; `RowLocked` if statements, locks or sessions do not end in time."""

    def thaw(self) -> None:
        """Let everybody write again; no harm if they can."""

    def is_frozen(self) -> bool:
        """Whether the server refuses writes as it is now."""


class Freezer:
    """Freezes and thaws over a connection of its own: neither can be done within a transaction."""

    def __init__(self, source: SourceSettings) -> None:
        self._source = source

    def freeze(self) -> None:
        """Return once it has taken hold; `RowLocked` if statements or table locks do not end in time."""
        with Connection(self._source) as connection:
            connection.execute(f"SET SESSION lock_wait_timeout = {PATIENCE_S}")
            connection.execute("SET GLOBAL read_only = 1")

    def thaw(self) -> None:
        """Let everybody write again; no harm if they can."""
        with Connection(self._source) as connection:
            connection.execute("SET GLOBAL read_only = 0")

    def is_frozen(self) -> bool:
        """Whether the server refuses writes as it is now: a restart may have forgotten it."""
        with Connection(self._source) as connection:
            return connection.value("SELECT @@global.read_only") not in {"0", "OFF"}
