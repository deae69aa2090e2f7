"""Status: how far a pipeline is, read from the source, the log and the target's group, touching nothing.

What cannot be known is None, and is shown as unknown; never as 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from changeover.log import Log
from changeover.mysql.control import ControlSchema
from changeover.mysql.imports import ImportBooks, TableProgress
from changeover.mysql.orders import Order, OrderBook
from changeover.progress import has_passed
from changeover.version import Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A pipeline at one moment.

    `lag_ms` is the age of what the target has applied through, on the source's clock: all that was
    committed longer ago than that is in the target. It never reads lower than the truth. `now_ms` is that
    clock.
    """

    now_ms: int
    orders: Sequence[Order]
    """What parts are told: to rest, or to go no faster."""

    tables: Sequence[TableProgress]
    changes_captured: int
    records_applied: int
    stale: int
    captured_through: Version | None
    applied_through: Version | None
    lag_ms: int | None
    is_import_logged: bool
    is_import_applied: bool

    @property
    def rows_total(self) -> int:
        """Rows to copy: exact for tables that are done, the server's estimate for the others."""
        return sum(
            table.rows_copied if table.is_done else max(table.rows_copied, table.rows_estimated)
            for table in self.tables
        )

    @property
    def rows_copied(self) -> int:
        """Rows copied into the log."""
        return sum(table.rows_copied for table in self.tables)


class Statuses:
    """Reads the status of one pipeline again and again."""

    def __init__(self, control: ControlSchema, log: Log, group: str) -> None:
        self._control = control
        self._books = ImportBooks(control)
        self._log = log
        self._group = group

    def now(self) -> Status:
        """The pipeline as it is now."""
        # The clock before the progress: what is applied in between makes lag read higher, never lower.
        now_ms = self._control.now_ms()
        is_made = self._control.exists()
        tables = self._books.progress() if is_made else []
        group = self._log.progress_of(self._group)
        checkpoint = self._log.checkpoint()
        is_logged = bool(tables) and all(table.is_done for table in tables)
        return Status(
            now_ms=now_ms,
            orders=OrderBook(self._control).all() if is_made else [],
            tables=tables,
            changes_captured=checkpoint.changes if checkpoint else 0,
            records_applied=group.records,
            stale=group.stale,
            captured_through=checkpoint.version if checkpoint else None,
            applied_through=group.through.version if group.through else None,
            lag_ms=now_ms - group.through.source_ms if group.through else None,
            is_import_logged=is_logged,
            is_import_applied=is_logged and has_passed(group.committed, self._books.ends()),
        )
