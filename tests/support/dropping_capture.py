"""`python -P -m cdc`, of which every so many changes are lost without a word: what no capture may do.

DROP_EVERY says of how many changes one is lost, DROPPED names a file that gets a line for each.
"""

import os
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import cdc.__main__
from cdc.capture import Capture
from cdc.transaction import Transaction
from changeover.change import Origin
from changeover.log import Entry
from changeover.version import Version

entries_of = Capture._entries
numbers = count(1)


def some_entries(self: Capture, changes: Transaction, version: Version, origin: Origin) -> Iterator[Entry]:
    for entry in entries_of(self, changes, version, origin):
        if next(numbers) % int(os.environ["DROP_EVERY"]):
            yield entry
        else:
            with Path(os.environ["DROPPED"]).open("ab") as dropped:
                dropped.write(entry.key + b"\n")


if __name__ == "__main__":
    Capture._entries = some_entries  # type: ignore[method-assign]
    sys.exit(cdc.__main__.main())
