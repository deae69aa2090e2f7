"""`python -P -m consumers apply`: the apply side as a process."""

import argparse
import sys
from pathlib import Path

from changeover.daemon import run_daemon
from consumers.wiring import apply_as_ordered


def main() -> int:
    """Run the part that the command line names; its exit status."""
    parser = argparse.ArgumentParser(prog="python -P -m consumers", description=__doc__)
    parser.add_argument("part", choices=["apply"])
    parser.add_argument("--config", type=Path, default=Path("changeover.toml"), help="the settings file")
    parser.add_argument("--member", type=int, default=1, help="which of several on this host this is")
    arguments = parser.parse_args()
    return run_daemon(arguments.part, arguments.config, apply_as_ordered, arguments.member)


if __name__ == "__main__":
    sys.exit(main())
