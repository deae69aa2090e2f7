"""`python -P -m cdc capture|snapshot`: one part of the capture side as a process."""

import argparse
import os
import sys
from pathlib import Path

from cdc.wiring import capture_and_tell, snapshot
from changeover.daemon import Duty, run_daemon
from changeover.errors import CutShort
from changeover.orders import Orders
from changeover.settings import member_of


def main() -> int:
    """Run the part that the command line names; its exit status."""
    parser = argparse.ArgumentParser(prog="python -P -m cdc", description=__doc__)
    parser.add_argument("part", choices=["capture", "snapshot"])
    parser.add_argument("--config", type=Path, default=Path("changeover.toml"), help="the settings file")
    parser.add_argument("--worker", default=str(os.getpid()), help="a name for this snapshot worker")
    parser.add_argument(
        "--until-done",
        action="store_true",
        help="end with status 75 if snapshot is asked to stop before: for what takes 0 for done",
    )
    arguments = parser.parse_args()

    def work(duty: Duty) -> None:
        if duty.part == "capture":
            capture_and_tell(duty)
        else:
            with Orders(duty) as orders:
                orders.obey(lambda stretch: snapshot(stretch, f"snapshot-{arguments.worker}"))
            if arguments.until_done and duty.should_stop():
                raise CutShort("the import was asked to stop")

    return run_daemon(arguments.part, arguments.config, work, member_of(arguments.worker))


if __name__ == "__main__":
    sys.exit(main())
