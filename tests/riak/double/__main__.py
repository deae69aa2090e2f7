"""A cluster of doubles as a process of its own, until its standard input ends.

    python -m tests.riak.double --nodes 3

It prints the nodes' addresses in one line, `host:port,host:port`, once they listen. The bucket types `plain3`
(without siblings) and `mult` (with siblings) are there.
"""

import argparse
import sys

from changeover.riak.buckets import Properties
from tests.riak.double.running import running


def main() -> None:
    """Serve until standard input ends."""
    asked = argparse.ArgumentParser(prog="python -m tests.riak.double", description=__doc__.splitlines()[0])
    asked.add_argument("--nodes", type=int, default=1, help="how many nodes share the three replicas")
    asked.add_argument("--type", action="append", default=[], help="one more bucket type: NAME, or NAME:mult")
    asked.add_argument(
        "--delete-mode-s", type=float, help="seconds until tombstones are reaped; kept for ever if not said"
    )
    asked.add_argument("--delay-s", type=float, default=0, help="wait before each answer")
    asked.add_argument(
        "--cut-share", type=float, default=0, help="share of requests at which a connection is cut"
    )
    asked.add_argument(
        "--error-share", type=float, default=0, help="share of requests answered with an error"
    )
    options = asked.parse_args()
    with running(options.nodes, delete_mode_s=options.delete_mode_s) as double:
        for said in options.type:
            name, _, kind = said.partition(":")
            double.cluster.add_type(name.encode(), Properties(allow_mult=kind == "mult"))
        for node in double.nodes:
            node.faults.delay_s, node.faults.cut_share = options.delay_s, options.cut_share
            node.faults.error, node.faults.error_share = "overload", options.error_share
        print(",".join(str(node.address) for node in double.nodes), flush=True)  # noqa: T201 - what it is for
        sys.stdin.read()


if __name__ == "__main__":
    main()
