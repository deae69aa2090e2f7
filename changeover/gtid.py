"""MySQL's GTID sets: which transactions of which servers have been executed.

A set is written `uuid:1-100:200,uuid2:1-7`. MySQL gives a new commit the lowest free number, so a set with
a gap will fill it later: what was executed for certain, in order, is the run that starts at 1.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from uuid import UUID

Run = tuple[int, int]
"""The first and the last number of an unbroken run."""


@dataclass(frozen=True, slots=True)
class GtidSet:
    """For each server's uuid the runs of its transactions, in order, none touching the next."""

    runs: Mapping[str, tuple[Run, ...]]

    @classmethod
    def parse(cls, text: str) -> Self:
        """The set that MySQL wrote; `ValueError` for anything else, tagged sets of MySQL 8.3 included.

        >>> GtidSet.parse('b:1-5:7, a:3').text
        'a:3,b:1-5:7'
        """
        runs: dict[str, tuple[Run, ...]] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            uuid, *intervals = part.split(":")
            runs[uuid.lower()] = _merged([*runs.get(uuid.lower(), ()), *map(_run, intervals)])
        return cls(runs)

    @property
    def text(self) -> str:
        """As MySQL reads and writes it."""
        return ",".join(
            ":".join([uuid, *(f"{first}-{last}" if last > first else f"{first}" for first, last in runs)])
            for uuid, runs in sorted(self.runs.items())
        )

    @property
    def encoded(self) -> bytes:
        """As a replica says it to the server: each uuid with its runs, whose ends are one behind the last."""
        parts = [struct.pack("<Q", len(self.runs))]
        for uuid, runs in sorted(self.runs.items()):
            parts.append(UUID(uuid).bytes + struct.pack("<Q", len(runs)))
            parts += [struct.pack("<QQ", first, last + 1) for first, last in runs]
        return b"".join(parts)

    def with_transaction(self, uuid: str, number: int) -> Self:
        """The set with one more transaction in it.

        >>> GtidSet.parse('a:1-4').with_transaction('a', 5).text
        'a:1-5'
        """
        runs = _merged([*self.runs.get(uuid, ()), (number, number)])
        return type(self)({**self.runs, uuid: runs})

    def unbroken_end(self, uuid: str) -> int:
        """The last number of the server's run that starts at 1; 0 if there is none.

        >>> GtidSet.parse('a:1-100:200-300').unbroken_end('a')
        100
        """
        first, last = next(iter(self.runs.get(uuid, ())), (0, 0))
        return last if first == 1 else 0

    def has_gap(self, uuid: str) -> bool:
        """Whether numbers of the server are missing between those that are there."""
        runs = self.runs.get(uuid, ())
        return len(runs) > 1 or any(first != 1 for first, _ in runs)


def _run(interval: str) -> Run:
    first, _, last = interval.partition("-")
    run = (int(first), int(last or first))
    if not 1 <= run[0] <= run[1]:
        message = f"no run of transaction numbers: {interval!r}"
        raise ValueError(message)
    return run


def _merged(runs: list[Run]) -> tuple[Run, ...]:
    merged: list[Run] = []
    for first, last in sorted(runs):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)
