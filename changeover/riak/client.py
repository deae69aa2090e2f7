"""A cluster of Riak: requests go to whichever nodes answer, and answers come back in the requests' order.

Nothing is sent twice. Where an answer does not come, its outcome is not known: the caller hears
`TargetUnavailable` and repeats what may be repeated. What could not even be sent goes to another node.
"""

from collections.abc import Iterator, Sequence
from typing import Self, TypeVar

from changeover.riak.access import Access
from changeover.riak.exchange import Exchange, walk
from changeover.riak.keys import Keys, Walk
from changeover.riak.pool import Pool
from changeover.riak.request import Request

CONNECTIONS_PER_CALL = 4
"""Over how many connections one call spreads: more gave no more on a real node."""

REQUESTS_PER_CONNECTION = 8
"""A connection is worth its while from here; fewer requests go over one."""

A = TypeVar("A")


class Client:
    """A cluster, for any number of threads; every method takes a bounded time.

    They raise `TargetUnavailable` where no node answers or an answer did not come, `TargetUnusable` where
    Riak refuses or a node is not what it has to be.
    """

    def __init__(self, access: Access) -> None:
        self._timeout_s = access.answer_timeout_s
        self._pool = Pool(access)

    def call(self, request: Request[A]) -> A:
        """The answer to one request."""
        return self.call_many([request])[0]

    def call_many(self, requests: Sequence[Request[A]]) -> list[A]:
        """The answers, in the order of the requests, which may reach Riak in any order.

        If it raises, any of them may have happened.
        """
        if not requests:
            return []
        wanted = min(-(-len(requests) // REQUESTS_PER_CONNECTION), CONNECTIONS_PER_CALL)
        with self._pool.connections(wanted) as connections:
            return Exchange(requests, connections).run(self._timeout_s)

    def walk(self, request: Walk) -> Iterator[Keys]:
        """Each part of an answer that comes in several; the time-out is for each."""
        with self._pool.connections(1) as connections:
            yield from walk(request, connections[0], self._timeout_s)

    def close(self) -> None:
        """Hang up."""
        self._pool.close()

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Hang up."""
        self.close()
