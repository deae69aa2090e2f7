"""One connection to a node: opened, logged in and known to answer; answers come in the order of requests."""

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from changeover.errors import TargetUnusable
from changeover.riak.access import Access, Node
from changeover.riak.refusals import NodeUnavailable, translated
from changeover.riak.request import ErrorSaid, Request
from changeover.riak.session import Auth, Ping, StartTls
from changeover.riak.wire import Frame, FrameSplitter, Malformed

RECEIVE_BYTES = 64 * 1024
"""Read at a time: room for more makes the allocation cost more than the reading."""

A = TypeVar("A")

WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

CERTIFICATE_MENDS = {
    10: "It has expired: renew it on the node.",  # X509_V_ERR_CERT_HAS_EXPIRED
    62: "Call the node by a name that its certificate holds.",  # X509_V_ERR_HOSTNAME_MISMATCH
    64: "Call the node by an address that its certificate holds.",  # X509_V_ERR_IP_ADDRESS_MISMATCH
}
AUTHORITY_MEND = "Name the file with its authority's certificate, and check that this is the right node."


class Connection:
    """A connection to one node, over TLS where there is a login, that has answered a ping.

    `NodeUnavailable` where the node does not answer, `TargetUnusable` where it refuses us or is not what it
    has to be. After an error the connection is of no more use: nobody knows whom the next answer belongs to.
    """

    def __init__(self, node: Node, access: Access, tls: ssl.SSLContext | None) -> None:
        self.node = node
        self.is_answered = True
        """Whether whoever used it has read all answers to what was sent."""
        self._unsent = memoryview(b"")
        self._splitter = FrameSplitter()
        with self._translated("cannot be reached"):
            self._socket = socket.create_connection(node, access.connect_timeout_s)
        try:
            self._introduce(access, tls)
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """The socket's number, for polling."""
        return self._socket.fileno()

    @property
    def has_unsent(self) -> bool:
        """Whether some of what was given to `send` is still here."""
        return bool(self._unsent)

    def send(self, frames: bytes) -> None:
        """Send these; what the socket does not take goes with `flush`."""
        self.is_answered = False
        self._unsent = memoryview(frames)
        self.flush()

    def flush(self) -> None:
        """Send more of what is unsent."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except WOULD_BLOCK:
            return
        except OSError as error:
            raise NodeUnavailable(self.node, f"broke off: {error}") from error

    def receive(self) -> list[Frame]:
        """The frames that have come by now, in order."""
        try:
            return self._splitter.feed(self._read())
        except (OSError, Malformed) as error:
            raise NodeUnavailable(self.node, f"broke off: {error}") from error

    @property
    def is_fresh(self) -> bool:
        """Whether a connection that was answered can be used again: the node has not hung up since."""
        try:
            self._socket.recv(1)
        except WOULD_BLOCK:
            return True
        except OSError:
            return False
        return False  # the end, or bytes that nobody asked for

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    # -- opening

    def _introduce(self, access: Access, tls: ssl.SSLContext | None) -> None:
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if access.login is not None and tls is not None:
            self._ask(StartTls(), access.connect_timeout_s)
            with self._handshake():
                self._socket.settimeout(access.connect_timeout_s)
                self._socket = tls.wrap_socket(self._socket, server_hostname=self.node.host)
            # Riak waits five seconds before it refuses a password.
            self._ask(Auth(access.login.user, access.login.password), access.answer_timeout_s)
        self._ask(Ping(), access.connect_timeout_s)
        self._socket.settimeout(0)

    def _ask(self, request: Request[A], timeout_s: float) -> A:
        """The answer to one request, before the others begin."""
        until = time.monotonic() + timeout_s
        with self._translated("does not answer"):
            self._socket.settimeout(timeout_s)
            self._socket.sendall(request.frame())
            try:
                return request.answer(self._only_frame(until))
            except ErrorSaid as error:
                raise translated(error.said, self.node) from error
            except Malformed as error:
                raise TargetUnusable(
                    f"what answers at {self.node} does not speak Riak's protocol buffers: {error}",
                    hint="Name the port of protocol buffers (8087), not that of HTTP (8098).",
                ) from error

    def _only_frame(self, until: float) -> Frame:
        """The next frame, with nothing behind it: in clear text before TLS, it would pass for said within."""
        frames: list[Frame] = []
        while not frames:
            self._socket.settimeout(_left(until))
            frames = self._splitter.feed(self._read())
        if len(frames) > 1 or not self._splitter.is_between_frames:
            raise Malformed("it says more than it was asked")
        return frames[0]

    def _read(self) -> bytes:
        """Some bytes, and all that TLS has unpacked already: the socket would not tell of those."""
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except WOULD_BLOCK:
            return b""
        if not data:
            raise ConnectionError("the node hung up")
        while isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            data += self._socket.recv(RECEIVE_BYTES)
        return data

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        try:
            yield
        except (OSError, Malformed) as error:
            raise NodeUnavailable(self.node, f"{what}: {error}") from error

    @contextmanager
    def _handshake(self) -> Iterator[None]:
        try:
            yield
        except ssl.SSLCertVerificationError as error:
            raise TargetUnusable(
                f"the certificate that Riak at {self.node} shows is refused: {error.verify_message}",
                hint=CERTIFICATE_MENDS.get(error.verify_code, AUTHORITY_MEND),
            ) from error
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError, TimeoutError) as error:
            raise NodeUnavailable(self.node, f"broke off while TLS began: {error}") from error
        except ssl.SSLError as error:
            raise TargetUnusable(f"Riak at {self.node} does not agree on TLS: {error.reason}") from error


def _left(until: float) -> float:
    """The seconds that are left, as a socket takes them: 0 would mean not to wait at all."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left
