"""`python -P -m consumers apply`: the apply side as a process."""

import argparse
import sys
from pathlib import Path

from changeover.daemon import run_daemon
from changeover.settings import Settings
from consumers.wiring import apply


def main() -> int:
    """Run the part that the command line names; its exit status."""
    parser = argparse.ArgumentParser(prog="python -P -m consumers", description=__doc__)
    parser.add_argument("part", choices=["apply"])
    parser.add_argument("--config", type=Path, default=Path("changeover.toml"), help="the settings file")
    arguments = parser.parse_args()
    return run_daemon(arguments.part, lambda should_stop: apply(Settings.load(arguments.config), should_stop))


if __name__ == "__main__":
    sys.exit(main())
