"""Scans: how far each table is compared, in the control schema, so that it goes on where it stopped."""

import enum
from dataclasses import dataclass

from changeover.mysql.control import ControlSchema
from changeover.table import Table
from changeover.version import Version


class Stage(enum.StrEnum):
    """What a scan is at."""

    SOURCE = "source"
    """The source's rows are compared, in the order of their keys."""

    TARGET = "target"
    """The target's keys are walked over, for rows that the source lacks."""

    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanState:
    """How far the scan of a table is: in its stage, all up to `place` is judged.

    `lowest` is the lowest bound of its reads so far, `lowest_ms` its time on the source's clock. `unsettled`
    counts keys that could not be judged; `unsettled_why` names some of them.
    """

    table_name: str
    stage: Stage = Stage.SOURCE
    place: bytes | None = None
    lowest: Version | None = None
    lowest_ms: int | None = None
    rows_estimated: int = 0
    rows_compared: int = 0
    bytes_compared: int = 0
    keys_walked: int = 0
    unsettled: int = 0
    unsettled_why: str = ""


COLUMNS = (
    "stage",
    "place",
    "lowest",
    "lowest_ms",
    "rows_estimated",
    "rows_compared",
    "bytes_compared",
    "keys_walked",
    "unsettled",
    "unsettled_why",
)


class ScanBooks:
    """The scans of one pipeline."""

    def __init__(self, control: ControlSchema) -> None:
        self._connection = control.connection
        self._pipeline = control.pipeline
        self._table = control.table("verify_scan")

    def open(self, table: Table) -> ScanState:
        """The table's scan that was begun and not ended, or a new one."""
        found = self._connection.raw(
            f"SELECT {', '.join(COLUMNS)} FROM {self._table} "
            "WHERE pipeline = %s AND table_schema = %s AND table_name = %s AND stage <> 'done'",
            (self._pipeline, table.schema, table.name),
        )
        for row in found:
            return _state(table.full_name, row)
        return ScanState(table_name=table.full_name, rows_estimated=self._estimate(table))

    def save(self, state: ScanState) -> None:
        """Write down how far the scan is."""
        schema, name = state.table_name.split(".", 1)
        values = (
            state.stage.value,
            state.place,
            state.lowest.text if state.lowest else None,
            state.lowest_ms,
            *(getattr(state, column) for column in COLUMNS[4:]),
        )
        self._connection.execute(
            f"INSERT INTO {self._table} (pipeline, table_schema, table_name, {', '.join(COLUMNS)}) "
            f"VALUES ({', '.join(['%s'] * (3 + len(COLUMNS)))}) ON DUPLICATE KEY UPDATE "
            f"{', '.join(f'{column} = VALUES({column})' for column in COLUMNS)}",
            (self._pipeline, schema, name, *values),
        )

    def _estimate(self, table: Table) -> int:
        rows = self._connection.value(
            "SELECT coalesce(max(table_rows), 0) FROM information_schema.tables "
            "WHERE table_schema = %s AND table_name = %s",
            (table.schema, table.name),
        )
        return int(rows)


def _state(name: str, row: tuple[bytes | None, ...]) -> ScanState:
    stage, place, lowest, lowest_ms, *counts, why = row
    estimated, rows, size, walked, unsettled = (int(count or 0) for count in counts)
    return ScanState(
        table_name=name,
        stage=Stage((stage or b"").decode()),
        place=place,
        lowest=Version.parse(lowest.decode()) if lowest else None,
        lowest_ms=int(lowest_ms) if lowest_ms else None,
        rows_estimated=estimated,
        rows_compared=rows,
        bytes_compared=size,
        keys_walked=walked,
        unsettled=unsettled,
        unsettled_why=(why or b"").decode(),
    )
