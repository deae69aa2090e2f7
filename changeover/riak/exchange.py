"""Many requests over some connections at once: each connection has a window of requests under way."""

import select
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from changeover.errors import ChangeoverError
from changeover.riak.connection import Connection
from changeover.riak.keys import Keys, Walk
from changeover.riak.refusals import NodeUnavailable, translated
from changeover.riak.request import ErrorSaid, Request
from changeover.riak.wire import Frame, Malformed

WINDOW = 32
"""Requests under way on one connection at most; more made a real node no faster.

A window is filled again when it is half empty, so that requests go out in parts and not one by one.
"""

SEND_BYTES = 512 * 1024
"""What is given to a connection at a time, about: a whole window of large objects would fill memory."""


class Exchange:
    """Sends requests and gathers their answers, over connections that nobody else uses meanwhile.

    The first error that Riak answers ends the sending; what is under way is still read, so that the
    connections stay of use.
    """

    def __init__(self, requests: Sequence[Request[Any]], connections: Sequence[Connection]) -> None:
        self._requests = requests
        self._answers: list[Any] = [None] * len(requests)
        self._next = 0
        self._window = min(WINDOW, -(-len(requests) // len(connections)))
        self._lanes = {connection.fileno(): _Lane(connection) for connection in connections}
        self._poll = select.poll()
        self._refused: ChangeoverError | None = None

    def run(self, timeout_s: float) -> list[Any]:
        """The answers, in the order of the requests; each has to come within this time of the one before."""
        for lane in list(self._lanes.values()):
            self._poll.register(lane.number, select.POLLIN)
            self._fill(lane)
            self._watch(lane)
        look_again_at = 0.0
        while self._lanes:
            now = time.monotonic()
            if now >= look_again_at:
                look_again_at = self._soonest_end(timeout_s, now)
            for number, _ in self._poll.poll((look_again_at - now) * 1000):
                self._serve(self._lanes[number])
        if self._refused is not None:
            raise self._refused
        return self._answers

    def _soonest_end(self, timeout_s: float, now: float) -> float:
        """When the lane that has waited longest will have waited too long; an error if that is now."""
        oldest = min(self._lanes.values(), key=lambda lane: lane.since)
        if oldest.since + timeout_s <= now:
            raise NodeUnavailable(oldest.connection.node, f"has not answered for {timeout_s:g} s")
        return oldest.since + timeout_s

    def _serve(self, lane: "_Lane") -> None:
        """Whatever the connection is ready for."""
        connection = lane.connection
        if connection.has_unsent:
            connection.flush()
        frames = connection.receive()
        if frames:
            self._take(lane, frames)
        if len(lane.places) <= self._window // 2 and not connection.has_unsent:
            self._fill(lane)
        if not lane.places or connection.has_unsent != lane.is_sending:
            self._watch(lane)

    def _watch(self, lane: "_Lane") -> None:
        """Wait for answers, and for room if there is something left to send; or for nothing more."""
        if not lane.places:
            lane.connection.is_answered = True
            self._poll.unregister(lane.number)
            del self._lanes[lane.number]
            return
        lane.is_sending = lane.connection.has_unsent
        self._poll.modify(lane.number, select.POLLIN | (select.POLLOUT if lane.is_sending else 0))

    def _take(self, lane: "_Lane", frames: Sequence[Frame]) -> None:
        """Match answers with their requests: they come in the same order."""
        lane.since = time.monotonic()
        if len(frames) > len(lane.places):
            raise NodeUnavailable(lane.connection.node, "answers what nobody asked")
        requests, answers, next_place = self._requests, self._answers, lane.places.popleft
        for frame in frames:
            place = next_place()
            try:
                answers[place] = requests[place].answer(frame)
            except ErrorSaid as error:
                self._refused = self._refused or translated(error.said, lane.connection.node)
                self._next = len(self._requests)
            except Malformed as error:
                raise NodeUnavailable(
                    lane.connection.node, f"answers what cannot be read: {error}"
                ) from error

    def _fill(self, lane: "_Lane") -> None:
        """Send more of the requests, as far as the window goes."""
        if not lane.places:
            lane.since = time.monotonic()
        first, frames, size = self._next, [], 0
        for request in self._requests[first : first + self._window - len(lane.places)]:
            frame = request.frame()
            frames.append(frame)
            size += len(frame)
            if size > SEND_BYTES:
                break
        if frames:
            self._next += len(frames)
            lane.places.extend(range(first, self._next))
            lane.connection.send(b"".join(frames))


def walk(request: Walk, connection: Connection, timeout_s: float) -> Iterator[Keys]:
    """Each part of the answer as it comes, within this time of the one before."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    connection.send(request.frame())
    until = time.monotonic() + timeout_s
    while True:
        left_s = until - time.monotonic()
        if left_s <= 0:
            raise NodeUnavailable(connection.node, f"has not gone on for {timeout_s:g} s")
        poll.poll(left_s * 1000)
        connection.flush()
        for frame in connection.receive():
            part = _part(request, frame, connection)
            connection.is_answered = part.is_last
            yield part
            if part.is_last:
                return
            until = time.monotonic() + timeout_s


def _part(request: Walk, frame: Frame, connection: Connection) -> Keys:
    try:
        return request.part(frame)
    except ErrorSaid as error:
        raise translated(error.said, connection.node) from error
    except Malformed as error:
        raise NodeUnavailable(connection.node, f"answers what cannot be read: {error}") from error


class _Lane:
    """One connection's part in an exchange."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.number = connection.fileno()
        self.places: deque[int] = deque()
        """Of the requests under way, in the order in which they were sent."""
        self.since = 0.0
        """When the oldest of them became the next to be answered."""
        self.is_sending = False
