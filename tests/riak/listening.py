"""A port that is no node of Riak's."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from changeover.riak.access import Node


@contextmanager
def listening(answer: bytes, links: list[socket.socket] | None = None) -> Iterator[Node]:
    """A port that answers whatever comes first with these bytes, and then reads nothing more."""
    kept = links if links is not None else []

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                link, _ = listener.accept()
                link.recv(100)
                link.sendall(answer)
            except OSError:
                return
            kept.append(link)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        yield Node("127.0.0.1", listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    for link in kept:
        link.close()
