"""A history as a person reads it, and the shortest schedule that still breaks the same invariant."""

from collections.abc import Callable, Iterator, Sequence

import orjson

from tests.simulation.chance import Replayed
from tests.simulation.history import Event
from tests.simulation.invariants import key_of
from tests.simulation.schedule import EVERYTHING, Outcome, Shape, run

RUNS_MAX = 4_000
"""Schedules tried while a story is made shorter: some twenty seconds."""


def shrunk(outcome: Outcome, shape: Shape = EVERYTHING, runs_max: int = RUNS_MAX) -> Outcome:
    """A schedule with fewer and plainer choices that breaks the same invariant."""
    best = outcome
    left = runs_max

    def try_(choices: Sequence[int]) -> bool:
        nonlocal best, left
        left -= 1
        found = run(Replayed(choices), shape)
        if found.broken != outcome.broken or len(found.events) > len(best.events):
            return False
        best = found
        return True

    length = len(best.choices)
    while length and left > 0:
        start = 0
        while start < len(best.choices) and left > 0:
            for shorter in _shorter(best.choices, start, length):
                if left > 0 and shorter != best.choices and try_(shorter):
                    break
            else:
                start += length
        length //= 2
    return best


def _shorter(choices: Sequence[int], start: int, length: int) -> Iterator[list[int]]:
    """The choices without a part of them, or with the plainest ones there."""
    head, part, tail = choices[:start], choices[start : start + length], choices[start + length :]
    yield [*head, *tail]
    if any(part):
        yield [*head, *[0] * len(part), *tail]
    if length == 1 and part and part[0] > 1:
        yield [*head, part[0] // 2, *tail]


def told(outcome: Outcome) -> str:
    """The story of the key that is concerned, a line for each thing that happened; what did not hold last."""
    lines = [LINES[event["event"]](event) for event in outcome.events if _belongs(event, outcome)]
    return "\n".join([*(f"  {line}" for line in lines), outcome.why])


def complaint(which: str, outcome: Outcome, shape: Shape) -> str:
    """What a test says of a schedule that broke an invariant: which one it was, and its shortest story."""
    return f"{which}, {outcome.broken}:\n{told(shrunk(outcome, shape))}"


def _belongs(event: Event, outcome: Outcome) -> bool:
    """Whether it is a part of the story: what concerns no other key, and is more than a step of every day."""
    key = outcome.key
    match event["event"]:
        case "committed":
            keys = {(table, key_of(row)) for table, *rows in event["changes"] for row in rows if row}
            return key in keys if key else bool(keys)
        case "logged" | "written" | "purged" | "planted" | "written in NEW" | "read":
            return key is None or key == (event["table"], event["key"])
        case "visible" | "offsets" | "ended":
            return False
        case "through" | "checkpoint":
            return key is None or event["version"] in outcome.why
        case kind:
            return kind in LINES


def _committed(event: Event) -> str:
    changes = ", ".join(f"{table.partition('.')[2]} {_change(b, a)}" for table, b, a in event["changes"])
    return f"source    {event['gtid']} is in the binlog: {changes}"


def _change(before: Event | None, after: Event | None) -> str:
    if after is None:
        return f"{(before or {}).get('id')} deleted"
    if before is not None and before["id"] != after["id"]:
        return f"{before['id']} becomes {after['id']}"
    return f"{after['id']} = {after['name']!r}"


def _logged(event: Event) -> str:
    envelope = orjson.loads(event["value"])
    row = envelope["after"]
    what = f"{event['table'].partition('.')[2]} {_change(envelope['before'], row)}"
    kind = "read" if envelope["op"] == "r" else f"change of {envelope['source']['gtid']}"
    return f"log       gets a {kind}: {what}, version {_short(envelope['source']['sequence'])}"


def _written(event: Event) -> str:
    row = event["row"]
    held = "deleted" if row is None else repr(row["name"])
    return (
        f"target    {event['table'].partition('.')[2]} {event['key']} is {held}, version "
        f"{_short(event['version'])}, after a write of {_short(event['by'])}"
    )


def _short(version: str) -> str:
    epoch, sequence, row = int(version[:8], 16), int(version[8:24], 16), version[24:]
    place = f"{sequence >> 40}/{sequence & (1 << 40) - 1}" if sequence >> 40 else str(sequence)
    return f"({epoch}, {place}, {'MAX' if row == 'f' * 8 else int(row, 16)})"


LINES: dict[str, Callable[[Event], str]] = {
    "committed": _committed,
    "lost": lambda event: f"source    has forgotten {', '.join(event['gtids'])}",
    "failover": lambda event: f"source    server {event['to']} takes over",
    "epoch": lambda event: f"source    epoch {event['number']} is that of {event['identity']}",
    "takeover": lambda event: f"log       {event['who']} takes it over",
    "logged": _logged,
    "checkpoint": lambda event: f"log       checkpoint {_short(event['version'])}",
    "through": lambda event: f"log       {event['group']} has applied through {_short(event['version'])}",
    "written": _written,
    "purged": lambda event: f"target    {event['table']} {event['key']}: the delete marker is removed",
    "planted": lambda event: f"target    {event['table']} {event['key']} is falsified: {event['what']}",
    "judged": lambda event: f"verifier  finds in {event['table']} {event['differences'] or 'no difference'}",
    "phase": lambda event: f"operator  moves the phase to {event['phase']}",
    "written in NEW": lambda event: f"app       writes {event['key']} = {event['row']} in NEW",
    "read": lambda event: f"app       reads {event['key']} = {event['row']} from {event['origin']}",
    "fault": lambda event: f"{event['who']:<9} {event['what']}",
    "killed": lambda event: f"{event['who']:<9} is killed {event['what']}",
    "stopped": lambda event: f"{event['who']:<9} stops for good: {event['kind']}: {event['why']}",
    "halted": lambda _: "operator  halts the import",
    "second capture": lambda _: "operator  starts a second capture",
    "quiet": lambda _: "all is quiet",
}
