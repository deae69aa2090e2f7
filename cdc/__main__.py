"""`python -P -m cdc capture|snapshot`: one part of the capture side as a process."""

import argparse
import os
import sys
from pathlib import Path

from cdc.wiring import capture, snapshot
from changeover.daemon import ShouldStop, run_daemon
from changeover.settings import Settings


def main() -> int:
    """Run the part that the command line names; its exit status."""
    parser = argparse.ArgumentParser(prog="python -P -m cdc", description=__doc__)
    parser.add_argument("part", choices=["capture", "snapshot"])
    parser.add_argument("--config", type=Path, default=Path("changeover.toml"), help="the settings file")
    parser.add_argument("--worker", default=str(os.getpid()), help="a name for this snapshot worker")
    arguments = parser.parse_args()

    def work(should_stop: ShouldStop) -> None:
        settings = Settings.load(arguments.config)
        if arguments.part == "capture":
            capture(settings, should_stop)
        else:
            snapshot(settings, f"snapshot-{arguments.worker}", should_stop)

    return run_daemon(arguments.part, work)


if __name__ == "__main__":
    sys.exit(main())
