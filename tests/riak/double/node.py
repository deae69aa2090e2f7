"""A node: its port, and the connections to it, each served by a thread."""

import socket
import threading
from collections import deque
from contextlib import suppress

from changeover.demo.private import free_ports
from changeover.riak.access import Node as Address
from changeover.riak.wire import Malformed
from tests.riak.double.cluster import Cluster
from tests.riak.double.faults import Faults
from tests.riak.double.link import Link, Over
from tests.riak.double.security import Security
from tests.riak.double.service import Service


class Node:
    """One node of a cluster. `start` opens its port, the same each time; `kill` is kill -9.

    `faults` are those of every connection, but for the next ones, which take theirs from `links`.
    """

    def __init__(
        self, cluster: Cluster, number: int, *, version: str = "3.2.3", security: Security | None = None
    ) -> None:
        self._cluster = cluster
        self._number = number
        self._service = Service(cluster, number, f"riak@127.0.0.{number + 1}", version)
        self._listener: socket.socket | None = None
        self._open: set[Link] = set()
        # One that no outgoing connection can be given while the node is down, or it could not come back.
        (self._port,) = free_ports(1)
        self.security = security
        self.faults = Faults()
        self.links: deque[Faults] = deque()
        self.connections = 0
        """How many there have been."""

    @property
    def address(self) -> Address:
        """Where it listens."""
        return Address("127.0.0.1", self._port)

    @property
    def is_connected(self) -> bool:
        """Whether any connection is open."""
        return bool(self._open)

    def start(self) -> None:
        """Open the port; the node's replicas are back, and are handed what they missed."""
        self._cluster.node_came_back(self._number)
        self._listener = socket.create_server(("127.0.0.1", self._port), backlog=128)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def kill(self, *, with_disk: bool = False) -> None:
        """End at once: connections are reset, the port is closed, the replicas are gone until `start`."""
        self._cluster.node_died(self._number, with_disk=with_disk)
        self.hang_up()

    def hang_up(self) -> None:
        """Close the port and reset every connection; the replicas stay."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.cut_links()

    def cut_links(self) -> None:
        """Reset every connection that there is; the port stays open."""
        for link in list(self._open):
            link.cut()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                taken, _ = listener.accept()
            except OSError:
                return
            taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            faults = self.links.popleft() if self.links else self.faults
            link = Link(taken, self._service, faults, self.security)
            self._open.add(link)
            self.connections += 1
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link: Link) -> None:
        with suppress(OSError, Over, Malformed):
            link.run()
        self._open.discard(link)
        link.close()
