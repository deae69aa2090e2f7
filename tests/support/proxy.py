"""A proxy between us and a server, which does to the server's bytes what a bad network would."""

import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

CHUNK = 1 << 16
JOIN_S_MAX = 10

Change = Callable[[bytes], bytes]
"""From what the server sent to what arrives."""


@contextmanager
def proxied(port: int, change: Change, piece_bytes: int = CHUNK) -> Iterator[int]:
    """A port of this machine that leads to another one; what comes back is cut into pieces of this size."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        arguments = (listening, port, change, piece_bytes)
        thread = threading.Thread(target=_accept, args=arguments, daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(JOIN_S_MAX)


def _accept(listening: socket.socket, port: int, change: Change, piece_bytes: int) -> None:
    threads = []
    with suppress(OSError):
        while True:
            client, _ = listening.accept()
            threads.append(
                threading.Thread(target=_carry, args=(client, port, change, piece_bytes), daemon=True)
            )
            threads[-1].start()
    for thread in threads:
        thread.join()


def _carry(client: socket.socket, port: int, change: Change, piece_bytes: int) -> None:
    """Until one of the two hangs up."""
    with closing(client), closing(socket.create_connection(("127.0.0.1", port))) as server, suppress(OSError):
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            ready, _, _ = select.select([client, server], [], [])
            chunk = ready[0].recv(CHUNK)
            if not chunk:
                return
            if ready[0] is client:
                server.sendall(chunk)
                continue
            chunk = change(chunk)
            for at in range(0, len(chunk), piece_bytes):
                client.sendall(chunk[at : at + piece_bytes])
