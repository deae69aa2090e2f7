"""The log between capture and consumers: a topic for each table, ordered by key, read from offsets.

Two kinds of writer, so two interfaces. **Capture** is one at a time: its entries and its checkpoint are
one transaction, and a newer capture fences it. **Import and repair** append beside it: they keep no
checkpoint here, since their versions make repetition harmless.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

from changeover.decide import Write
from changeover.envelope import decode, encode_key
from changeover.errors import ChangeUnreadable
from changeover.progress import Offsets, Partition, Watermark
from changeover.table import Table
from changeover.version import Version


class Entry(NamedTuple):
    """A change on its way into the log: the envelope's key and value, and the table that they belong to."""

    table: Table
    key: bytes
    value: bytes


class Record(NamedTuple):
    """An entry as a consumer gets it, with its place."""

    partition: Partition
    offset: int
    table: Table
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All of the source up to and including the transaction of `version` is durable in the log.

    `position` is the source's own word for that place, such as a GTID; capture resumes behind it.
    """

    version: Version
    position: str
    changes: int = 0
    """Changes captured since the pipeline began."""


@dataclass(frozen=True, slots=True)
class Beat:
    """A watermark without its end offsets, which only the log knows (`progress.Watermark`)."""

    version: Version
    source_ms: int


@dataclass(frozen=True, slots=True)
class GroupProgress:
    """How far a consumer group is.

    `through` is what it has applied through, None if unknown. `records` counts what was applied, and `stale`
    those of them that changed nothing.
    """

    committed: Offsets
    through: Watermark | None
    records: int
    stale: int


class CaptureLog(Protocol):
    """The log in the hands of the one live capture."""

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The last durable checkpoint, None before the first."""

    def append(self, entries: Sequence[Entry], checkpoint: Checkpoint | None, beat: Beat | None) -> None:
        """Return once the entries, the checkpoint and the beat's watermark are durable, all or nothing.

        Without a checkpoint the entries are a part of a transaction whose rest is still to come. Raises
        `Fenced` if a newer capture has taken over, `LogUnavailable` if the log does not answer: the
        outcome is then unknown, and the caller must open the log anew and resume from its checkpoint.
        """


class Reader(Protocol):
    """The log in the hands of one member of a consumer group."""

    def poll(self, limit: int) -> Sequence[Record]:
        """Up to `limit` records behind those polled before, in order for each partition; empty if none."""

    def commit(self, offsets: Offsets, *, records: int = 0, stale: int = 0) -> Watermark | None:
        """Durably move the group's offsets; the watermark that this member's partitions have passed.

        Only after the target holds the `records` before `offsets`, of which `stale` changed nothing there.
        To be called with no offsets too: a source without changes still moves on, and so does what is
        applied through.
        """


class History(Protocol):
    """What a log held at one moment, read by nobody's group: nothing is committed."""

    def firsts(self) -> Offsets:
        """For each partition the offset of the first record that is still there; its end if none is."""

    def read(self, starts: Offsets, limit: int) -> Iterator[Sequence[Record]]:
        """Up to `limit` records at a time of these partitions, each in order, to its end of then.

        Raises `LogTrimmed` if the log drops records before they are read.
        """


class Log(Protocol):
    """A log. Each method raises `LogUnavailable` if it does not answer."""

    @property
    def identity(self) -> str:
        """Random when the log was made: another log under the same name has another one."""

    def capture(self) -> CaptureLog:
        """Take over as the one live capture; whoever was it before is fenced from now on."""

    def append(self, entries: Sequence[Entry]) -> Offsets:
        """Return once the entries are durable, with the end offsets of the partitions they went to."""

    def reader(self, group: str) -> Reader:
        """Read on where the group has committed, from the start if it never has."""

    def history(self) -> History:
        """What the log holds now, to be read beside all groups."""

    def progress_of(self, group: str) -> GroupProgress:
        """How far the group is; nothing committed if it never was."""

    def checkpoint(self) -> Checkpoint | None:
        """Capture's last durable checkpoint, for whoever wants to know."""

    def close(self) -> None:
        """Let go of files and connections."""

    def __enter__(self) -> Self:
        """The log itself; closed at the end of the block."""

    def __exit__(self, *_: object) -> None:
        """Close."""


def writes_of(records: Iterable[Record]) -> Iterator[Write]:
    """What the records ask a target to hold."""
    for record in records:
        change = decode(record.table, record.value)
        if encode_key(record.table, change.image) != record.key:
            message = f"a record of {record.table.full_name} holds another row than its key says"
            raise ChangeUnreadable(message, hint=f"It lies at {record.partition} offset {record.offset}.")
        yield Write(change.table, record.key, change.version, change.after, change.origin.transaction)


def topic_of(pipeline: str, table: Table) -> str:
    """The topic of a table: `<pipeline>.<schema>.<table>`."""
    return f"{pipeline}.{table.full_name}"
