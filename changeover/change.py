"""Change: one key's new state, with the version that says where it belongs."""

import enum
from dataclasses import dataclass

from changeover.table import Table
from changeover.values import Row
from changeover.version import Version


class Op(enum.StrEnum):
    """What happened to the row, in Debezium's letters."""

    CREATE = "c"
    UPDATE = "u"
    DELETE = "d"
    READ = "r"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a change comes from, for people and tools: no decision rests on it.

    `transaction` is the GTID for a change of the binlog, None for a read; `at_ms` is the commit's or the
    read's time on the source's clock, in milliseconds since 1970. Equal for every reading of one change.
    """

    at_ms: int
    transaction: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """The state of one key after one transaction, or as a bounded read saw it.

    `before` is None where no row was or where it is not known (a read); `after` is None for a delete.
    """

    table: Table
    op: Op
    before: Row | None
    after: Row | None
    version: Version
    origin: Origin

    def __post_init__(self) -> None:
        if (self.after is None) != (self.op is Op.DELETE):
            message = f"a change {self.op.name} of {self.table.full_name} has the wrong images"
            raise ValueError(message)

    @property
    def image(self) -> Row:
        """The row image that holds the key: the state after, or what a delete removed."""
        row = self.after if self.after is not None else self.before
        if row is None:
            message = f"a delete of {self.table.full_name} needs at least its key columns in `before`"
            raise ValueError(message)
        return row
