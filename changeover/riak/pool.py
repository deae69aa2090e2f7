"""Connections to a cluster's nodes: kept between calls, opened on the next node that answers."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from changeover.errors import TargetUnavailable
from changeover.riak.access import Access, Node
from changeover.riak.connection import Connection
from changeover.riak.refusals import NodeUnavailable

KEPT_MAX = 32
"""Connections to one node that are kept for the next call; a process has a few threads, of four each."""

REST_S_FIRST, REST_S_MAX = 0.5, 10.0
"""A node that failed is left alone for this long, each time for twice as long, while others answer."""


@dataclass(slots=True)
class _Health:
    """What is known of a node."""

    node: Node
    kept: list[Connection] = field(default_factory=list)
    failures: int = 0
    rests_until: float = 0

    def failed(self) -> None:
        rest_s = min(REST_S_FIRST * 2 ** min(self.failures, 10), REST_S_MAX)
        self.failures += 1
        self.rests_until = time.monotonic() + rest_s

    def answered(self) -> None:
        self.failures = 0
        self.rests_until = 0


class Pool:
    """Connections to the nodes of a cluster, for any number of threads."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._tls = access.login.tls() if access.login else None
        self._lock = threading.Lock()
        self._nodes = deque(_Health(node) for node in access.nodes)

    @contextmanager
    def connections(self, wanted: int) -> Iterator[list[Connection]]:
        """Up to that many connections for oneself, at least one, spread over the nodes that answer.

        A node that fails in the block rests; connections that are still of use are kept.
        """
        connections = [self._connection()]
        try:
            with suppress(TargetUnavailable):  # the one will do
                while len(connections) < wanted:
                    connections.append(self._connection())
            yield connections
        except NodeUnavailable as error:
            self._note_failure(error.node)
            raise
        finally:
            for connection in connections:
                self._keep(connection)

    def close(self) -> None:
        """Hang up."""
        with self._lock:
            for health in self._nodes:
                while health.kept:
                    health.kept.pop().close()

    def _connection(self) -> Connection:
        """A connection to the first node in turn that answers. Nothing was asked of those that did not."""
        failures: list[str] = []
        for health in self._in_turn():
            try:
                connection = self._kept(health) or Connection(health.node, self._access, self._tls)
            except NodeUnavailable as error:
                self._note_failure(health.node)
                failures.append(error.args[0])
            else:
                health.answered()
                return connection
        raise TargetUnavailable("; ".join(failures))

    def _in_turn(self) -> list[_Health]:
        """All nodes, another one first each time, and those that rest last."""
        now = time.monotonic()
        with self._lock:
            self._nodes.rotate(-1)
            return sorted(self._nodes, key=lambda health: health.rests_until > now)

    def _kept(self, health: _Health) -> Connection | None:
        """A kept connection to the node that is still of use; None if there is none."""
        while True:
            with self._lock:
                if not health.kept:
                    return None
                connection = health.kept.pop()
            if connection.is_fresh:
                return connection
            connection.close()

    def _keep(self, connection: Connection) -> None:
        with self._lock:
            health = self._health(connection.node)
            if connection.is_answered and len(health.kept) < KEPT_MAX:
                health.kept.append(connection)
                return
        connection.close()

    def _note_failure(self, node: Node) -> None:
        with self._lock:
            self._health(node).failed()

    def _health(self, node: Node) -> _Health:
        return next(health for health in self._nodes if health.node == node)
