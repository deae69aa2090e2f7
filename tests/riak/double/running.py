"""A cluster of doubles that runs: for a `with` block, in threads of this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from changeover.riak.access import Access
from changeover.riak.buckets import Properties
from tests.riak.double.cluster import Cluster
from tests.riak.double.node import Node

TYPES = {b"plain3": Properties(allow_mult=False), b"mult": Properties(allow_mult=True)}
"""The bucket types that the tests use; a real node needs them too."""


@dataclass(frozen=True, slots=True)
class Running:
    """The nodes, and what they share."""

    cluster: Cluster
    nodes: tuple[Node, ...]

    @property
    def access(self) -> Access:
        """How to reach them; with patience for a test, not for a network."""
        addresses = tuple(node.address for node in self.nodes)
        return Access(nodes=addresses, connect_timeout_s=20, answer_timeout_s=60)

    def impatient(self, timeout_s: float) -> Access:
        """How to reach them, if an answer is not waited for longer than that."""
        return replace(self.access, answer_timeout_s=timeout_s)


@contextmanager
def running(nodes: int = 1, *, delete_mode_s: float | None = None, seed: int = 0) -> Iterator[Running]:
    """A cluster of so many nodes with three replicas."""
    cluster = Cluster(nodes, types=dict(TYPES), delete_mode_s=delete_mode_s, seed=seed)
    found = tuple(Node(cluster, number) for number in range(nodes))
    try:
        for node in found:
            node.start()
        yield Running(cluster, found)
    finally:
        for node in found:
            node.hang_up()
