"""Records that are too large for the broker: split by who appends, and joined by who reads.

The parts lie in one partition, in order, but records of other producers may lie between them, parts of other
split records among them.
"""

from dataclasses import dataclass, field

from changeover.errors import ChangeUnreadable

HEADER_PART = "changeover-part"
"""Header of a part: `<id>:<number>:<count>`, numbered from 0."""


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


@dataclass(slots=True)
class _Begun:
    """A split record of which some parts are here."""

    first: int
    parts: list[bytes] = field(default_factory=list)


class Join:
    """Puts the parts of split records of one partition together again.

    All records that end before `applied` have been applied, though reading resumes earlier, at the first part
    of one that does not.
    """

    def __init__(self, applied: int = 0) -> None:
        self._applied = applied
        self._begun: dict[str, _Begun] = {}
        self._joined: list[tuple[int, int]] = []
        """First and last offset of each joined record that may not have been applied yet."""

    def take(self, offset: int, header: bytes, value: bytes) -> bytes | None:
        """The whole value, None while parts of it are missing."""
        part = Part.parse(header)
        if part.number == 0:
            self._begun[part.record] = _Begun(offset)
        elif part.record not in self._begun and offset < self._applied:
            return None  # its first part lies before the place where we resumed: it has been applied
        begun = self._begun.get(part.record)
        if begun is None or part.number != len(begun.parts):
            there = len(begun.parts) if begun else 0
            raise ChangeUnreadable(f"part {part.number + 1} of {part.count} of a record comes after {there}")
        begun.parts.append(value)
        if len(begun.parts) < part.count:
            return None
        del self._begun[part.record]
        self._joined.append((begun.first, offset))
        return b"".join(begun.parts)

    def resume_at(self, end: int) -> int:
        """Where to resume once all records that end before `end` are applied: no later than their parts."""
        begun = (one.first for one in self._begun.values())
        joined = (first for first, last in self._joined if last >= end)
        return min([end, *begun, *joined])

    def forget(self, end: int) -> None:
        """All records that end before `end` are applied, and that is durable."""
        self._joined = [(first, last) for first, last in self._joined if last >= end]
