"""What a process has done, as counters that only grow; they go into its report."""

import threading
import time
from collections.abc import Callable

NAMES = (
    "transactions",  # committed, in any phase
    "changed_calls",  # of `tx.changed`, which NEW does not have
    "last_changed_ms",  # when the last of them was, on this process's clock; 0: never
    "puts",  # values of the application's own that were compared with the mapped state
    "put_mismatch",  # those that were another
    "direct_writes",  # keys written to the new database right after their commit
    "direct_failed",  # keys left to the binlog instead, for whatever reason
    "direct_timed_out",  # those of them that took too long, and may have happened
    "direct_doubtful",  # those of them whose commit did not tell its place for certain
    "commits_unknown",  # transactions whose COMMIT was not answered
    "waits_expired",  # transactions that did not wait longer for the binlog
    "reads_old",
    "reads_new",
    "reads_fell_back",  # to the old database, in BOTH_READ_NEW
    "compared",  # reads made from both databases
    "compared_mismatch",  # those that differed although the target had applied through them
    "compared_dropped",  # those that the budget or a part that was away did not let be judged
)


class Counts:
    """Counters of one process, for any number of threads."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._numbers = dict.fromkeys(NAMES, 0)

    def add(self, name: str, number: int = 1) -> None:
        """Count that many more."""
        with self._lock:
            self._numbers[name] += number

    def changed(self) -> None:
        """Count a call of `tx.changed`."""
        with self._lock:
            self._numbers["changed_calls"] += 1
            self._numbers["last_changed_ms"] = int(self._clock() * 1000)

    def now(self) -> dict[str, int]:
        """All counters."""
        with self._lock:
            return dict(self._numbers)
