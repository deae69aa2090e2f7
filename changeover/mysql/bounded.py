"""Bounded reads: a SELECT together with a version that is a lower bound of what it saw.

To read the binlog's position and then SELECT is wrong: the binlog runs ahead of what a SELECT can see, on
MySQL 8 in two of three samples under load, on MariaDB in one of five. What is safe depends on how the
server numbers its commits (`numbering.py`); none of it takes a lock. A bound that is too low is harmless,
for the binlog repairs the row; one that is too high loses data.
"""

import time
from collections.abc import Callable

from changeover.errors import SourceUnavailable
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.mysql.numbering import numbering_of
from changeover.version import Version

EPOCH_WAIT_S_MAX = 30.0
"""How long a read waits for capture to open the epoch of this server, where nobody says otherwise."""


class BoundedReader:
    """Gives bounds for reads over its own connection."""

    def __init__(
        self,
        connection: Connection,
        pipeline: str,
        beater: str,
        sleep: Callable[[float], None] = time.sleep,
        *,
        epoch_wait_s_max: float = EPOCH_WAIT_S_MAX,
    ) -> None:
        self.connection = connection
        self._control = ControlSchema(connection, pipeline)
        self._numbering = numbering_of(connection)
        self._beater = beater
        self._sleep = sleep
        self._epoch_wait_s_max = epoch_wait_s_max

    def bound(self) -> Version:
        """A version for rows that a SELECT over this connection reads, if it begins after this returns.

        Raises `SourceUnavailable` if capture has not opened this server's epoch in time.
        """
        return self._waited_for(self._bound)

    def end(self) -> Version:
        """A version that is not below anything a read before this has seen, or a target has been given.

        It is the end of the binlog, with a heartbeat behind it: so a group soon applies through it. Raises as
        `bound` does.
        """
        version = self._waited_for(self._end)
        self._control.beat(self._beater)
        return version

    def _waited_for(self, version: Callable[[], Version | None]) -> Version:
        waited_s = 0.0
        while (found := version()) is None:
            if waited_s >= self._epoch_wait_s_max:
                message = "capture has not yet seen this server in the binlog, so a read has no version"
                raise SourceUnavailable(message, hint="Check that capture runs: changeover status.")
            self._sleep(0.1)
            waited_s += 0.1
        return found

    def _bound(self) -> Version | None:
        # The epoch first: one that is read after the bound could be that of a server that took over in
        # between, and would put this read above all that the new server ever commits.
        epochs = self._control.epochs()
        identity, sequence = self._numbering.bound(lambda: self._control.beat(self._beater))
        if not epochs or epochs[-1].identity != identity or sequence < epochs[-1].first_sequence:
            return None
        return Version.of_read(epochs[-1].number, sequence)

    def _end(self) -> Version | None:
        # The epoch last: this may be too high, and must not be too low.
        place = self._numbering.here(lambda: self._control.beat(self._beater))
        epochs = self._control.epochs()
        if not epochs or epochs[-1].identity != place.identity:
            return None
        return Version.of_change(epochs[-1].number, place.sequence)
