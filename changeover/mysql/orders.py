"""Orders to the parts of a pipeline: rows of the control schema, so that they outlive whoever obeys them."""

from dataclasses import dataclass
from datetime import UTC, datetime

from changeover.mysql.control import NOW_MS, ControlSchema

ORDER = "part_order"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a part is told: to rest since then, or to go no faster; both None for a part that is free.

    `by` is who gave the last order.
    """

    part: str
    paused_since_ms: int | None = None
    rows_per_s: int | None = None
    by: str = ""

    @property
    def is_paused(self) -> bool:
        """Whether the part is to rest."""
        return self.paused_since_ms is not None

    def __str__(self) -> str:
        """The order for people; empty for none.

        >>> print(Order(part="apply", paused_since_ms=1_800_000_000_000, by="eva@ops"))
        paused since 2027-01-15 08:00:00 UTC by eva@ops
        """
        if self.paused_since_ms is not None:
            since = datetime.fromtimestamp(self.paused_since_ms / 1000, UTC)
            return f"paused since {since:%Y-%m-%d %H:%M:%S} UTC by {self.by}"
        return f"throttled to {self.rows_per_s:,} rows/s by {self.by}" if self.rows_per_s else ""


class OrderBook:
    """The orders of one pipeline."""

    def __init__(self, control: ControlSchema) -> None:
        self._control = control
        self._connection = control.connection
        self._table = control.table(ORDER)

    def all(self) -> list[Order]:
        """Every order that holds."""
        rows = self._connection.query(
            f"SELECT part, paused_since_ms, rows_per_s, given_by FROM {self._table} "
            "WHERE pipeline = %s AND (paused_since_ms IS NOT NULL OR rows_per_s IS NOT NULL) ORDER BY part",
            (self._control.pipeline,),
        )
        return [
            Order(
                part=part,
                paused_since_ms=int(since) if since else None,
                rows_per_s=int(rate) if rate else None,
                by=by,
            )
            for part, since, rate, by in rows
        ]

    def of(self, part: str) -> Order:
        """The part's order as it is now."""
        return next((order for order in self.all() if order.part == part), Order(part=part))

    def pause(self, part: str, by: str) -> None:
        """Let the part rest; one that rests already keeps its time."""
        self._write(part, by, "paused_since_ms", f"coalesce(paused_since_ms, {NOW_MS})", NOW_MS)

    def resume(self, part: str, by: str) -> None:
        """Let the part work again."""
        self._write(part, by, "paused_since_ms", "NULL", "NULL")

    def throttle(self, part: str, rows_per_s: int | None, by: str) -> None:
        """Let each process of the part do that many rows a second at most; None: as many as it can."""
        rate = "NULL" if rows_per_s is None else str(int(rows_per_s))
        self._write(part, by, "rows_per_s", rate, rate)

    def _write(self, part: str, by: str, column: str, value: str, first: str) -> None:
        # There is no grant to DELETE: a row without an order stays.
        self._connection.execute(
            f"INSERT INTO {self._table} (pipeline, part, given_by, {column}) VALUES (%s, %s, %s, {first}) "
            f"ON DUPLICATE KEY UPDATE {column} = {value}, given_by = VALUES(given_by)",
            (self._control.pipeline, part, by),
        )
