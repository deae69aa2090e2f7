"""Rows a second of a scan, and what it costs those who write and the pipeline, on a private MariaDB.

    python -m benchmarks.verify [rows]

The scan runs in this process; server, writer, capture and consumer are processes of their own. A scan goes on
for as long as the writer is measured beside it.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.spine import timed
from changeover.demo import records
from changeover.demo.server import PrivateMariaDB
from changeover.verify.verdicts import State, whole
from changeover.verify.verifier import Verifier, verifying
from tests.support.pipeline import Pipeline

ROWS = 60_000
MEASURED_S = 8.0
RATE = 150
"""Transactions a second that the writer tries."""


def main(rows: int) -> None:
    """The sample database of the demo, moved into SQLite and scanned."""
    with tempfile.TemporaryDirectory() as name, PrivateMariaDB() as server:
        root = server.connect()
        records.create(root)
        filled = records.fill(root, rows, 1)
        with Pipeline(server, records.SCHEMA, Path(name)) as pipeline:
            pipeline.until(lambda now: now.is_import_applied, 120)
            with verifying(pipeline.settings) as verifier:
                timed("a scan, nobody writes", filled, lambda: check(verifier))
                for what, is_scanning, rate in RUNS:
                    beside(pipeline, verifier, what, is_scanning=is_scanning, rate=rate)


RUNS = (
    ("no scan", False, None),
    ("scan", True, None),
    ("scan, --rate 2000", True, 2_000.0),
    ("no scan", False, None),
)


def check(verifier: Verifier) -> None:
    """Scan once."""
    if whole(verifier.scan(verifier.tables)).state is not State.CLEAN:
        raise SystemExit("the move is not clean")


def beside(
    pipeline: Pipeline, verifier: Verifier, what: str, *, is_scanning: bool, rate: float | None
) -> None:
    """Print what the writer does, and how far the target lags, beside a scan or without one."""
    stop = threading.Event()
    lags: list[int] = []

    def watch() -> None:
        with verifying(pipeline.settings) as own:
            while not stop.wait(0.1):
                pipeline.supervisor.poll()
                lag_ms = own.lag_ms()
                lags.append(lag_ms if lag_ms is not None else 0)

    watcher = threading.Thread(target=watch)
    watcher.start()
    writer = write(pipeline)
    until_s = time.monotonic() + MEASURED_S
    began_cpu = time.process_time()
    while time.monotonic() < until_s:
        if is_scanning:
            verifier.scan(verifier.tables, rows_per_s=rate, should_stop=lambda: time.monotonic() > until_s)
        else:
            time.sleep(0.1)
    own_cpu = time.process_time() - began_cpu
    writer.terminate()
    output, _ = writer.communicate(timeout=30)
    stop.set()
    watcher.join()
    done = json.loads(output.splitlines()[-1])["transactions"]
    lag = f"lag {statistics.median(lags):,.0f} ms, at worst {max(lags):,} ms"
    print(
        f"{what:<18} {done / MEASURED_S:>5,.0f} transactions/s, {lag}, {own_cpu / MEASURED_S:.0%} of a core"
    )


def write(pipeline: Pipeline) -> "subprocess.Popen[bytes]":
    """The demo's writer."""
    server = pipeline.server
    arguments = [
        "--host",
        server.host,
        "--port",
        str(server.port),
        "--user",
        server.user,
        "--rate",
        str(RATE),
    ]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "changeover.demo.writer", *arguments],
        stdout=subprocess.PIPE,
        env=os.environ | {"CHANGEOVER_DEMO_PASSWORD": server.password},
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
