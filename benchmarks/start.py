"""Processor time of a command before it does anything, the best of several starts.

    python -m benchmarks.start [starts]

`python -X importtime -m changeover status` says which module takes how much of it.
"""

import resource
import subprocess
import sys

STARTS = 10
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("--help",),
    ("status", "--help"),
    ("serve", "--help"),
    ("demo", "--help"),
)


def main(starts: int) -> None:
    """Each command in turn, so that a busy minute of the machine is everybody's."""
    best: dict[tuple[str, ...], float] = {}
    for _ in range(starts):
        for words in COMMANDS:
            best[words] = min(best.get(words, float("inf")), cpu_s(words))
    for words, took_s in best.items():
        print(f"changeover {' '.join(words):20} {took_s:.2f} s of CPU")


def cpu_s(words: tuple[str, ...]) -> float:
    """User and system time of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "changeover", *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else STARTS)
