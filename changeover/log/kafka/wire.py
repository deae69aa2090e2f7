"""What stands in Kafka's records beside the envelopes: JSON of checkpoints, watermarks and commits."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from changeover.errors import ChangeUnreadable
from changeover.log import Checkpoint
from changeover.progress import Offsets, Partition, Watermark
from changeover.version import Version

HEADER_TABLE = "changeover-table"
"""Header with the fingerprint of the table definition under which the record was written."""


KEY_WATERMARK = b"watermark"
"""The key of every record in the progress topic. One of another kind is to have another key."""


@contextmanager
def readable(where: str) -> Iterator[str]:
    """What lies there is decoded in the block, with `ChangeUnreadable` where it is none of ours."""
    try:
        yield where
    except (ValueError, KeyError, TypeError) as error:
        message = f"{where} holds what cannot be read: {type(error).__name__}: {error}"
        raise ChangeUnreadable(message, hint=NOT_OURS) from error


NOT_OURS = "Run the newer release that wrote it; if another program did, only changeover may write there."


def offsets_to_json(offsets: Offsets) -> list[Any]:
    """Offsets as JSON can carry them."""
    return [[topic, number, offset] for (topic, number), offset in sorted(offsets.items())]


def offsets_from_json(offsets: Iterable[Sequence[Any]]) -> dict[Partition, int]:
    """The offsets that `offsets_to_json` was given."""
    return {Partition(topic, number): offset for topic, number, offset in offsets}


@dataclass(frozen=True, slots=True)
class CaptureState:
    """What a capture that takes over must know: the checkpoint, and what no watermark has named yet.

    `holder` is the capture that wrote it: one that has lost its transaction finds here who took over, if any.
    """

    checkpoint: Checkpoint | None = None
    ends: Offsets = field(default_factory=dict)
    holder: str = ""

    def encode(self) -> bytes:
        """As the control topic holds it."""
        checkpoint = self.checkpoint
        return orjson.dumps(
            {
                "version": checkpoint.version.text if checkpoint else None,
                "position": checkpoint.position if checkpoint else None,
                "changes": checkpoint.changes if checkpoint else 0,
                "ends": offsets_to_json(self.ends),
                "holder": self.holder,
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
        return cls(checkpoint, offsets_from_json(found["ends"]), found["holder"])


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
    and `progress_offset` the place in the progress topic behind it. All records that end before `applied`
    have been applied: the offset is lower where it waits for the other parts of a split record. `records` and
    `stale` count what was applied from this partition since the group began.
    """

    through: Watermark | None = None
    progress_offset: int = 0
    applied: int = 0
    records: int = 0
    stale: int = 0

    def encode(self) -> str:
        """As the commit's metadata carries it: 200 bytes of 4,096 that Kafka allows."""
        through = self.through
        note = {
            "through": through.version.text if through else None,
            "source_ms": through.source_ms if through else 0,
            "progress": self.progress_offset,
            "applied": self.applied,
            "records": self.records,
            "stale": self.stale,
        }
        return orjson.dumps(note).decode()

    @classmethod
    def decode(cls, metadata: str | None) -> "CommitNote":
        """The note that was encoded; an empty one where there is none, as after a reset by Kafka's tools."""
        if not metadata:
            return cls()
        found = orjson.loads(metadata)
        version = found["through"]
        through = Watermark(Version.parse(version), found["source_ms"], {}) if version else None
        return cls(through, found["progress"], found["applied"], found["records"], found["stale"])
