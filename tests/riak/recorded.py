"""59 requests and what a real node answered (OpenRiak 3.2.3), and how to compare them with other answers.

Recorded with delete_mode=keep, in bucket `rec` of the types `plain3` (without siblings, n_val 3) and `mult`
(with siblings). Tags and times of values differ from run to run, and so do the names under which a server's
vnodes stand in clocks; all else has to be alike.
"""

import json
from pathlib import Path
from typing import NamedTuple

from changeover.riak import objects, session
from changeover.riak.clock import ACTOR, Entry, decode
from changeover.riak.wire import Frame, FrameSplitter, bytes_field, fields, frame, number_field

FRAMES = Path(__file__).parent / "frames.jsonl"

BUCKET = b"rec"

CLOCK_FIELDS = {objects.PUT: 3, objects.DELETE: 4, objects.GOT: 2, objects.PUT_DONE: 2}
"""In which field of which message a clock stands."""

OF_ONE_RUN = {5, 7, 8}
"""The fields of a content that no second run repeats: tag and time."""


class Recorded(NamedTuple):
    """A request and its answer, as they went over the wire."""

    note: str
    request: bytes
    response: bytes


def recorded() -> list[Recorded]:
    """All of them, in their order."""
    found = [json.loads(line) for line in FRAMES.read_text().splitlines()]
    return [
        Recorded(one["note"], bytes.fromhex(one["request"]), bytes.fromhex(one["response"])) for one in found
    ]


def only_frame(data: bytes) -> Frame:
    """The one frame that these bytes are."""
    splitter = FrameSplitter()
    (found,) = splitter.feed(data)
    assert splitter.is_between_frames
    return found


def clock_in(data: bytes) -> bytes:
    """The clock in a message, empty if there is none."""
    found = only_frame(data)
    field = CLOCK_FIELDS.get(found.code)
    return next(
        (value for number, value in fields(found.body) if number == field and isinstance(value, bytes)), b""
    )


def in_place_of(data: bytes, clocks: dict[bytes, bytes], bucket: bytes) -> bytes:
    """A recorded request for a run of today: in a bucket of its own, and with the clocks of this run."""
    found = only_frame(data)
    if not found.body:
        return data
    changed = b""
    for number, value in fields(found.body):
        if isinstance(value, int):
            changed += number_field(number, value)
        elif number == 1 and value == BUCKET:
            changed += bytes_field(1, bucket)
        elif number == CLOCK_FIELDS.get(found.code):
            changed += bytes_field(number, clocks.get(value, value))
        else:
            changed += bytes_field(number, value)
    return frame(found.code, changed)


def alike(data: bytes) -> object:
    """An answer without what no second run repeats."""
    found = only_frame(data)
    if found.code == session.SERVER_INFO_SAID:
        return found.code, [number for number, _ in fields(found.body)]
    return found.code, [_alike(found.code, number, value) for number, value in fields(found.body)]


def _alike(code: int, number: int, value: int | bytes) -> object:
    if code in {objects.GOT, objects.PUT_DONE} and isinstance(value, bytes):
        if number == 1:
            return [(field, said) for field, said in fields(value) if field not in OF_ONE_RUN]
        if number == 2:
            return [_alike_entry(actor, entry) for actor, entry in decode(value).items()]
    return number, value


def _alike_entry(actor: bytes, entry: Entry) -> object:
    """Our own entry as it is; of a server's the length of its name, and the counter."""
    return (actor, entry) if actor == ACTOR else (len(actor), entry.counter, entry.time > 0)
