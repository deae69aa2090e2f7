"""What the library adds to a transaction: its time without it, in OLD, and with direct writes."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from changeover.demo.server import PrivateMariaDB
from changeover.phase import Phase
from tests.support.accounts import run
from tests.support.ward import TABLE, Ward

RUNS = 500


def main() -> None:
    """Print the figures."""
    with PrivateMariaDB() as server, tempfile.TemporaryDirectory() as folder:
        run(server, "CREATE DATABASE ward", "USE ward", TABLE, "INSERT INTO prescription VALUES (1, 1, NULL)")
        ward = Ward(server, "ward", Path(folder))
        ward.begin()
        connection = server.connect(autocommit=False, database="ward")

        def plain(dose: int) -> None:
            with connection.cursor() as cursor:
                cursor.execute("UPDATE prescription SET dose = %s WHERE id = 1", (dose,))
            connection.commit()

        with ward.store() as store:

            def dual(dose: int) -> None:
                with store.transaction() as tx:
                    tx.execute("UPDATE prescription SET dose = %s WHERE id = 1", (dose,))
                    tx.changed("prescription", id=1)

            print("| transaction | median ms | p99 ms |\n|---|---|---|")
            measure("without the library", plain)
            measure("in `OLD`", dual)
            ward.move(Phase.BOTH_READ_OLD)
            measure("in `BOTH_READ_OLD`, with its direct write", dual)
            counts = store.counts.now()
        print(f"{counts['direct_writes']} direct writes, {counts['direct_failed']} failed")


def measure(name: str, work: Callable[[int], None]) -> None:
    """Print the median and the 99th percentile of as many runs."""
    took_ms = []
    for number in range(RUNS):
        began = time.perf_counter()
        work(number % 90_000)
        took_ms.append((time.perf_counter() - began) * 1_000)
    print(f"| {name} | {statistics.median(took_ms):.2f} | {statistics.quantiles(took_ms, n=100)[98]:.2f} |")


if __name__ == "__main__":
    main()
