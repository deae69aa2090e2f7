"""CPU time of a PUT through the transport, against bare loops over one socket, to a sink that only answers.

    python -m benchmarks.riak [puts]

The sink is a process of its own and answers every frame with the same five bytes, so that a figure is what
the client alone costs. The bare loop does what has to be done and nothing else: it makes the same frames,
sends a window of them, reads as many answers and looks at their code, on one blocking socket, without time
limits, failover or a second connection. What it costs to make the frames is shown beside it.
"""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from changeover.riak.access import Access, Node
from changeover.riak.client import Client
from changeover.riak.clock import of_version
from changeover.riak.exchange import WINDOW
from changeover.riak.objects import PUT_DONE, Content, Put
from changeover.riak.request import Bucket
from changeover.riak.wire import FrameSplitter
from changeover.version import Version

PUTS = 50_000
VALUE_BYTES = 1_000
BATCH = 2_000
"""Puts in one call: what the consumer applies at a time."""

ROUNDS = 5
"""The best of so many counts: the others say what else the machine did."""

SINK = """
import socket, struct, sys, threading
def serve(link):
    rest = b""
    while data := link.recv(1 << 20):
        rest += data
        answers, place = [], 0
        while len(rest) - place >= 5:
            after = place + 4 + int.from_bytes(rest[place:place + 4], "big")
            if after > len(rest):
                break
            answers.append(b"\\0\\0\\0\\1" + bytes((rest[place + 4] + 1,)))
            place = after
        rest = rest[place:]
        link.sendall(b"".join(answers))
listener = socket.create_server(("127.0.0.1", 0), backlog=64)
print(listener.getsockname()[1], flush=True)
while True:
    link, _ = listener.accept()
    threading.Thread(target=serve, args=(link,), daemon=True).start()
"""


@contextmanager
def sink() -> Iterator[Node]:
    """Where a process listens that answers each request with the code above its own, and nothing else."""
    with subprocess.Popen([sys.executable, "-c", SINK], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Node("127.0.0.1", int(process.stdout.readline() if process.stdout else ""))
        finally:
            process.kill()


def puts(count: int) -> list[Put]:
    """Ordered writes as the target makes them."""
    bucket = Bucket(b"shop.citizen", b"plain3")
    content = Content(b"x" * VALUE_BYTES, b"application/json")
    return [
        Put(
            bucket,
            b"%d" % number,
            content._replace(metadata=((b"changeover-version", Version(1, number, 1).text.encode()),)),
            of_version(Version(1, number, 1)),
            as_is=True,
        )
        for number in range(count)
    ]


def bare(node: Node, wanted: Sequence[Put]) -> None:
    """The least that sends these with a window of them under way, and looks at the answers."""
    splitter = FrameSplitter()
    with socket.create_connection(node) as link:
        for start in range(0, len(wanted), WINDOW):
            window = wanted[start : start + WINDOW]
            link.sendall(b"".join([put.frame() for put in window]))
            answered = 0
            while answered < len(window):
                for code, _ in splitter.feed(link.recv(65_536)):
                    if code != PUT_DONE:
                        raise ValueError(code)
                    answered += 1


def through(client: Client, wanted: Sequence[Put]) -> None:
    """The same through the transport, in batches."""
    for start in range(0, len(wanted), BATCH):
        client.call_many(wanted[start : start + BATCH])


def best_cpu_us(count: int, *works: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    """The least CPU time of this process that each of the works took for one of `count`, in microseconds.

    They take turns, so that what else the machine does falls on all of them.
    """
    found: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for work, taken in zip(works, found, strict=True):
            began = time.process_time()
            work()
            taken.append((time.process_time() - began) / count * 1e6)
    return [min(taken) for taken in found]


def main(count: int) -> None:
    """Print what a put costs each way."""
    wanted = puts(count)
    with sink() as node, Client(Access(nodes=(node,))) as client:
        frames, loop, ours = best_cpu_us(
            count,
            lambda: [len(put.frame()) for put in wanted],
            lambda: bare(node, wanted),
            lambda: through(client, wanted),
        )
    print(f"making the frame            {frames:6.2f} us of CPU a put of {VALUE_BYTES} bytes")
    print(f"bare loop, frame included   {loop:6.2f} us")
    print(f"through the transport       {ours:6.2f} us, {ours / loop:.2f} times the bare loop")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else PUTS)
