"""One connection to a node: requests are answered in their order, through whatever faults it has."""

import random
import socket
import struct
import time
from collections.abc import Iterator

from changeover.riak import keys, objects, session
from changeover.riak.wire import Frame, FrameSplitter, frame
from tests.riak.double.faults import Cut, Faults
from tests.riak.double.security import Security, User
from tests.riak.double.service import Service, error

ABOUT_OBJECTS = frozenset({objects.GET, objects.PUT, objects.DELETE, keys.INDEX, keys.LIST_KEYS})

WRONG_PASSWORDS_MAX = 3

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that makes a close a reset, as when a process is killed."""


class Over(Exception):
    """The connection is at its end."""


class Link:
    """A connection. `run` serves it until it ends, in a thread of its own; `cut` ends it from outside."""

    def __init__(
        self, link: socket.socket, service: Service, faults: Faults, security: Security | None
    ) -> None:
        self._link = link
        self._service = service
        self._faults = faults
        self._security = security
        self._splitter = FrameSplitter()
        self._pending: list[Frame] = []
        self._out: list[bytes] = []
        self._chance = random.Random(id(self))
        self.about_objects = 0
        """Requests about objects that came so far."""

    def run(self) -> None:
        """Serve it. `OSError` or `Over` at its end."""
        user = self._log_in(self._security) if self._security is not None else None
        while True:
            self._answer(self._next(), user)

    def cut(self) -> None:
        """Reset the connection."""
        try:
            self._link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self._link.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def close(self) -> None:
        """Close it."""
        self._link.close()

    def _next(self) -> Frame:
        """The next request; what has been answered by now goes out before we wait for it."""
        while not self._pending:
            self._flush()
            data = self._link.recv(256 * 1024)
            if not data:
                raise Over
            self._pending = self._splitter.feed(data)[::-1]
        return self._pending.pop()

    # -- the login

    def _log_in(self, security: Security) -> User:
        while (request := self._next()).code != session.START_TLS:
            self._out.append(error("Security is enabled, please STARTTLS first"))
        self._out.append(frame(session.START_TLS))
        self._flush()
        self._link = security.tls.wrap_socket(self._link, server_side=True)
        for _ in range(WRONG_PASSWORDS_MAX):
            while (request := self._next()).code != session.AUTH:
                self._out.append(error("Security is enabled, please authenticate first"))
            user = security.user(request)
            if user is not None:
                self._out.append(frame(session.AUTH_DONE))
                return user
            time.sleep(security.pause_s)
            self._out.append(error("Authentication failed"))
        self._flush()
        raise Over

    # -- answers

    def _answer(self, request: Frame, user: User | None) -> None:
        faults = self._faults
        is_about_object = request.code in ABOUT_OBJECTS
        self._wait(request)
        refusal = self._refusal(request, user)
        if refusal:
            self._out.append(error(refusal))
            return
        cut = self._cut() if is_about_object else None
        if cut is Cut.BEFORE:
            self._end()
        answer = self._service.answer(request)
        if faults.is_silent and is_about_object:
            list(answer)
        elif cut is None:
            self._out += self._spoilt(answer) if is_about_object else answer
            self._flush_if_large()
        else:
            self._cut_off(b"".join(answer), cut)

    def _wait(self, request: Frame) -> None:
        faults = self._faults
        wait_s = faults.delay_s
        if faults.slow_keys is not None and faults.slow_keys(self._service.key_of(request)):
            wait_s += faults.slow_s
        if wait_s:
            self._flush()
            time.sleep(wait_s)

    def _refusal(self, request: Frame, user: User | None) -> str:
        """The error that answers this request before it is looked at; empty for none."""
        faults = self._faults
        is_about_node = request.code in {session.PING, session.SERVER_INFO}
        if request.code == session.START_TLS:
            return "Security not enabled; STARTTLS not allowed."
        if faults.is_starting and not is_about_node:
            return f"Unknown message code: {request.code}"
        if faults.error and not is_about_node and self._chance.random() < faults.error_share:
            return faults.error
        return user.refusal(request) if user is not None else ""

    def _cut(self) -> Cut | None:
        """How this request is the connection's last, None if it is not."""
        faults = self._faults
        self.about_objects += 1
        if faults.cut is not None and self.about_objects > faults.cut_after:
            return faults.cut
        if faults.cut_share and self._chance.random() < faults.cut_share:
            return self._chance.choice(list(Cut))
        return None

    def _cut_off(self, answer: bytes, cut: Cut) -> None:
        if cut is Cut.INSIDE:
            self._out.append(answer[: len(answer) // 2])
        self._end()

    def _end(self) -> None:
        self._flush()
        raise Over

    def _spoilt(self, answer: Iterator[bytes]) -> Iterator[bytes]:
        faults = self._faults
        for part in answer:
            yield (faults.instead or part) + faults.besides

    def _flush_if_large(self) -> None:
        if len(self._out) > 64 or self._faults.delay_s or self._faults.slow_s:
            self._flush()

    def _flush(self) -> None:
        data, self._out = b"".join(self._out), []
        size = self._faults.piece_bytes or len(data)
        for start in range(0, len(data), size or 1):
            time.sleep(self._faults.piece_delay_s)
            self._link.sendall(data[start : start + size])
