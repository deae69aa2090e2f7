"""Messages about the connection itself: is the node there, who is it, TLS and the login."""

from typing import NamedTuple

from changeover.riak.request import body_of, only, text_in
from changeover.riak.wire import Frame, bytes_field, fields, frame

PING, PONG = 1, 2
SERVER_INFO, SERVER_INFO_SAID = 7, 8
AUTH, AUTH_DONE = 253, 254
START_TLS = 255


class Ping(NamedTuple):
    """Ask whether the node answers."""

    def frame(self) -> bytes:
        """As it goes over the wire."""
        return frame(PING)

    def answer(self, frame: Frame, /) -> None:
        """Nothing: it does."""
        body_of(frame, PONG)


class Server(NamedTuple):
    """A node: its name in the cluster, and the version of Riak that it runs."""

    node: str
    version: str


class ServerInfo(NamedTuple):
    """Ask a node who it is."""

    def frame(self) -> bytes:
        """As it goes over the wire."""
        return frame(SERVER_INFO)

    def answer(self, frame: Frame, /) -> Server:
        """Who it is."""
        body = body_of(frame, SERVER_INFO_SAID)
        return Server(text_in(only(fields(body), 1)), text_in(only(fields(body), 2)))


class StartTls(NamedTuple):
    """Ask to go on in TLS; what follows the answer on the connection is the handshake."""

    def frame(self) -> bytes:
        """As it goes over the wire."""
        return frame(START_TLS)

    def answer(self, frame: Frame, /) -> None:
        """Nothing: go on."""
        body_of(frame, START_TLS)


class Auth(NamedTuple):
    """Log in; Riak takes it in TLS only."""

    user: str
    password: str

    def frame(self) -> bytes:
        """As it goes over the wire."""
        return frame(AUTH, bytes_field(1, self.user.encode()) + bytes_field(2, self.password.encode()))

    def answer(self, frame: Frame, /) -> None:
        """Nothing: logged in."""
        body_of(frame, AUTH_DONE)

    def __repr__(self) -> str:
        """Without the password."""
        return f"Auth({self.user!r})"
