"""`python -m tests.soak --minutes 30`: a pipeline under load for a while, its memory and its lag watched.

Exit status 0 only if no part's memory grows once all is warm, lag stays in bounds, and every row is equal.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pymysql.connections import Connection as SQLConnection

from changeover.demo import records
from changeover.demo.server import PrivateMariaDB
from tests.operation.scraping import Scrape, addresses
from tests.soak.judgement import Sample, complaints, growth_mb
from tests.support.moving import writing
from tests.support.pipeline import Pipeline

ROWS = 20_000
LOOK_S = 5.0
WARM_SHARE = 0.25
WARM_S_MIN = 400.0
"""Caches of SQLite and of texts were full after six minutes, where it was measured."""

MOMENTS = "CREATE TABLE moment (id INT PRIMARY KEY, day DATE, at DATETIME, stamp TIMESTAMP NULL)"
MOMENTS_IN_ALL, MOMENTS_AT_ONCE = 86_400, 200
SOME_MOMENTS = """
INSERT INTO moment SELECT seq, '1900-01-01' + INTERVAL seq DAY,
    '1900-01-01' + INTERVAL seq DAY + INTERVAL seq SECOND,
    '1970-01-02' + INTERVAL seq % 20000 DAY + INTERVAL seq SECOND FROM seq_{first}_to_{last}
"""
"""Capture keeps texts of days and times that it has met, up to a bound: random ones fill it in hours only.
So all are met in the warm-up, and what grows after it is a leak. A few at a time: what a large transaction
needs stays with the process, and a leak would hide in it."""

PARTS = ("capture", "apply")
SETTINGS = '[metrics]\nlisten = "127.0.0.1:0"\n'


def main() -> int:
    """Soak; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument(
        "--minutes", type=float, default=30.0, help="how long, with seven of warm-up at least"
    )
    arguments = parser.parse_args()
    if arguments.minutes * 60 < 1.5 * WARM_S_MIN:
        parser.error(
            f"--minutes must be {1.5 * WARM_S_MIN / 60:g} at least: there are {WARM_S_MIN:g} s of warm-up"
        )
    with tempfile.TemporaryDirectory() as folder:
        wrong = _soak(Path(folder), arguments.minutes * 60)
    for complaint in wrong:
        print(f"soak: {complaint}")
    return 1 if wrong else 0


def _soak(folder: Path, length_s: float) -> list[str]:
    with PrivateMariaDB() as server:
        connection = server.connect()
        records.create(connection, json_type="JSON")
        records.fill(connection, ROWS, 7)
        _execute(connection, MOMENTS)
        with (
            writing(server) as stop_writing,
            Pipeline(server, records.SCHEMA, folder, extra=SETTINGS) as pipeline,
        ):
            pipeline.until(lambda now: now.is_import_applied, 300)
            for first in range(1, MOMENTS_IN_ALL, MOMENTS_AT_ONCE):
                _execute(connection, SOME_MOMENTS.format(first=first, last=first + MOMENTS_AT_ONCE - 1))
            warm_s = max(WARM_S_MIN, length_s * WARM_SHARE)
            samples = []
            for sample in _samples(pipeline, length_s):
                print(_line(sample), flush=True)
                samples.append(sample)
            totals = stop_writing()
            pipeline.drain(300)
            compared = pipeline.compare(*records.TABLES, "moment")
    warm = [sample for sample in samples if sample.at_s >= warm_s]
    for part in PARTS:
        print(f"soak: {part} grows by {growth_mb(warm, part):+.3f} MB in 10 minutes")
    worst = max(sample.lag_s for sample in warm)
    print(f"soak: {totals['transactions']:,} transactions, lag at most {worst:.2f} s")
    different = [f"{compared.difference_count} rows differ"] if compared.difference_count else []
    return [*complaints(warm), *different]


def _execute(connection: "SQLConnection[Any]", statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def _samples(pipeline: Pipeline, length_s: float) -> Iterator[Sample]:
    """A look every few seconds, without a restart in between: that would hide a leak."""
    began_s = time.monotonic()
    where = addresses(pipeline.folder / "daemons.log")
    while (at_s := time.monotonic() - began_s) < length_s:
        scrapes = {part: Scrape(where[part]) for part in PARTS}
        lag_s = scrapes["capture"].value("changeover_lag_seconds")
        memory = {part: scrape.value("process_resident_memory_bytes") for part, scrape in scrapes.items()}
        if lag_s is not None:
            yield Sample(at_s, {part: size or 0.0 for part, size in memory.items()}, lag_s)
        time.sleep(LOOK_S)


def _line(sample: Sample) -> str:
    memory = ", ".join(f"{part} {size / 1e6:.2f} MB" for part, size in sample.memory.items())
    return f"{sample.at_s:6.0f} s  {memory}, lag {sample.lag_s:.2f} s"


if __name__ == "__main__":
    sys.exit(main())
