"""What the demo moves into: a SQLite file, a Riak node that is there, or a double of one.

No package registry holds a Riak, so without an address the demo uses the double that the tests have: it
speaks Riak's protocol, merges as Riak does, and keeps everything in memory. It lies beside the packages, in
the checkout that the demo was started from, and runs as a process of its own.
"""

import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from changeover.demo import oracle, records
from changeover.demo.oracle_riak import RiakSide
from changeover.errors import SettingsInvalid

CHECKOUT = Path(__file__).parents[2]
DOUBLE = "tests.riak.double"
BUCKET_TYPE = "changeover"
DOUBLES_NODES = 3
STOP_WAIT_S_MAX = 10.0
"""Whoever has not ended by then is killed: it holds nothing that is wanted any more."""


@dataclass(frozen=True, slots=True)
class Destination:
    """The new database: who moves into it, the lines of its settings, and the oracle's look at it.

    That look is given the demo's folder.
    """

    pipeline: str
    settings: str
    side: Callable[[Path], Path | oracle.Target]


@contextmanager
def into_sqlite() -> Iterator[Destination]:
    """A file in the demo's folder."""
    yield Destination("demo", 'url = "sqlite:records.db"', lambda folder: folder / "records.db")


@contextmanager
def into_riak(address: str, say: Callable[[str], None]) -> Iterator[Destination]:
    """The node at the address, or a double where there is none."""
    if address:
        say(f"the target is the Riak at {address}: new buckets of type {BUCKET_TYPE}, which stay there")
        yield _at(address)
        return
    with _double() as addresses:
        say(f"the target is a double of Riak with {DOUBLES_NODES} nodes: no Riak was named (RIAK=host:port)")
        yield _at(addresses)


def _at(addresses: str) -> Destination:
    first = urlsplit(f"//{addresses.partition(',')[0]}")
    host, port = first.hostname, first.port
    if host is None or port is None:
        raise SettingsInvalid(f"{addresses!r} is no address of a Riak node", hint="Say HOST:PORT.")
    # Its own each time: a real node still has the objects of the last run, whose versions mean nothing now.
    pipeline = f"demo-{secrets.token_hex(3)}"
    # The rows are made up, so they may cross a network as they are.
    plain = "allow_plain_text = true"
    lines = [f'url = "riak://{addresses}"', f'bucket_type = "{BUCKET_TYPE}"', plain]
    for table in records.TABLES:
        lines += [f'[mapping.tables."{records.SCHEMA}.{table}"]', f'bucket = "{pipeline}-{table}"']
    return Destination(
        pipeline, "\n".join(lines), lambda _: RiakSide(host, port, BUCKET_TYPE, prefix=f"{pipeline}-")
    )


@contextmanager
def _double() -> Iterator[str]:
    """The addresses of a double's nodes; it ends when its standard input does, so it cannot outlive us."""
    if not (CHECKOUT / "tests" / "riak" / "double").is_dir():
        raise SettingsInvalid(
            "there is no double of Riak here: it comes with a checkout, not with the installed package",
            hint="Name a node: --riak HOST:PORT; or run `make demo TARGET=riak` in a checkout.",
        )
    command = [sys.executable, "-m", DOUBLE, "--nodes", str(DOUBLES_NODES), "--type", BUCKET_TYPE]
    with subprocess.Popen(
        command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdin is not None  # noqa: S101 - it was made with pipes
        assert process.stdout is not None  # noqa: S101
        try:
            addresses = process.stdout.readline().decode().strip()
            if not addresses:
                raise SettingsInvalid("the double of Riak did not start", hint=f"Run: python -m {DOUBLE}")
            yield addresses
        finally:
            process.stdin.close()
            try:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(STOP_WAIT_S_MAX)
            finally:
                process.kill()
