"""A process reports itself to the control schema, and looks how the old database is set."""

import os
import socket
import threading
from collections.abc import Callable

import structlog

import changeover
from changeover.background import Background
from changeover.dualwrite import server
from changeover.dualwrite.counts import Counts
from changeover.dualwrite.lease import PhaseLease
from changeover.errors import ChangeoverError
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.mysql.processes import report_process

log = structlog.get_logger("dualwrite")


class Reports:
    """A thread that reports every few seconds, over a connection of its own."""

    def __init__(  # noqa: PLR0913 - a composition root hands in what it works with
        self,
        connect: Callable[[], Connection],
        pipeline: str,
        lease: PhaseLease,
        counts: Counts,
        *,
        every_s: float,
        why_not_directly: str,
    ) -> None:
        self._connect = connect
        self._pipeline = pipeline
        self._lease = lease
        self._counts = counts
        self._every_s = every_s
        self.why_not_directly = why_not_directly
        """Why there are no direct writes; empty if there are."""

        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self._said = ""
        self._reporting = Background("changeover-reports", self._follow, self._failed, rest_s=every_s)
        self._reporting.start()

    def report(self, connection: Connection) -> None:
        """Look at the server, and report once."""
        self.why_not_directly = server.why_not_directly(connection)
        state = self._lease.now()
        control = ControlSchema(connection, self._pipeline)
        report_process(control, self.name, changeover.__version__, state.phase, self._counts.now())

    def close(self) -> None:
        """Stop."""
        self._reporting.stop()

    def _follow(self, over: threading.Event) -> None:
        with self._connect() as connection:
            self.report(connection)
            self._said = ""
            while not over.wait(self._every_s):
                self.report(connection)
            self.report(connection)  # the last word of a process that ends in order

    def _failed(self, error: ChangeoverError) -> None:
        if self._said != str(error):  # once: in NEW the old database is frozen, and then gone for good
            self._said = str(error)
            log.warning("process could not report itself", why=self._said)
