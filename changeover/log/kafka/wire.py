"""What stands in Kafka's records beside the envelopes: JSON of checkpoints, watermarks and commits; parts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from changeover.log import Checkpoint
from changeover.progress import Offsets, Partition, Watermark
from changeover.version import Version

HEADER_TABLE = "changeover-table"
"""Header with the fingerprint of the table definition under which the record was written."""

HEADER_PART = "changeover-part"
"""Header of a record that was too large for the broker: `<id>:<number>:<count>`, numbered from 0."""

Headers = Iterable[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of which split record this is."""

    record: str
    number: int
    count: int

    @property
    def header(self) -> bytes:
        """As the header carries it."""
        return f"{self.record}:{self.number}:{self.count}".encode()

    @classmethod
    def parse(cls, header: bytes) -> "Part":
        """The part whose header this is."""
        record, number, count = header.decode().split(":")
        return cls(record, int(number), int(count))


def split(value: bytes, bytes_max: int) -> list[bytes]:
    """The value in pieces of at most `bytes_max`; one piece if it fits.

    >>> split(b'abcde', 2)
    [b'ab', b'cd', b'e']
    """
    return [value[start : start + bytes_max] for start in range(0, len(value), bytes_max)] or [value]


def offsets_to_json(offsets: Offsets) -> list[Any]:
    """Offsets as JSON can carry them."""
    return [[topic, number, offset] for (topic, number), offset in sorted(offsets.items())]


def offsets_from_json(offsets: Iterable[Sequence[Any]]) -> dict[Partition, int]:
    """The offsets that `offsets_to_json` was given."""
    return {Partition(topic, number): offset for topic, number, offset in offsets}


@dataclass(frozen=True, slots=True)
class CaptureState:
    """What a capture that takes over must know: the checkpoint, and what no watermark has named yet."""

    checkpoint: Checkpoint | None
    ends: Offsets

    def encode(self) -> bytes:
        """As the control topic holds it."""
        checkpoint = self.checkpoint
        return orjson.dumps(
            {
                "version": checkpoint.version.text if checkpoint else None,
                "position": checkpoint.position if checkpoint else None,
                "changes": checkpoint.changes if checkpoint else 0,
                "ends": offsets_to_json(self.ends),
            }
        )

    @classmethod
    def decode(cls, value: bytes) -> "CaptureState":
        """The state that was encoded."""
        found = orjson.loads(value)
        version = found["version"]
        checkpoint = (
            Checkpoint(Version.parse(version), found["position"], found["changes"]) if version else None
        )
        return cls(checkpoint, offsets_from_json(found["ends"]))


def encode_watermark(watermark: Watermark) -> bytes:
    """As the progress topic holds it."""
    return orjson.dumps(
        {
            "version": watermark.version.text,
            "source_ms": watermark.source_ms,
            "ends": offsets_to_json(watermark.ends),
        }
    )


def decode_watermark(value: bytes) -> Watermark:
    """The watermark that was encoded."""
    found = orjson.loads(value)
    return Watermark(Version.parse(found["version"]), found["source_ms"], offsets_from_json(found["ends"]))


@dataclass(frozen=True, slots=True)
class CommitNote:
    """What a member writes beside each offset that it commits.

    `through` is the last watermark whose part in this member's partitions was passed, None before the first,
    and `progress_offset` the place in the progress topic behind it. `records` and `stale` count what was
    applied from this partition since the group began.
    """

    through: Watermark | None = None
    progress_offset: int = 0
    records: int = 0
    stale: int = 0

    def encode(self) -> str:
        """As the commit's metadata carries it."""
        through = self.through
        note = {
            "through": through.version.text if through else None,
            "source_ms": through.source_ms if through else 0,
            "progress": self.progress_offset,
            "records": self.records,
            "stale": self.stale,
        }
        return orjson.dumps(note).decode()

    @classmethod
    def decode(cls, metadata: str | None) -> "CommitNote":
        """The note that was encoded; an empty one where there is none."""
        if not metadata:
            return cls()
        found = orjson.loads(metadata)
        version = found["through"]
        through = Watermark(Version.parse(version), found["source_ms"], {}) if version else None
        return cls(through, found["progress"], found["records"], found["stale"])
