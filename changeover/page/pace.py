"""Pace: how fast the import copies, and when each table will be done."""

from collections import deque
from collections.abc import Iterator, Sequence

from changeover.mysql.imports import TableProgress

WINDOW_S = 60.0
"""The pace is that of the last minute: long enough to be calm, short enough to notice a throttle."""

WINDOW_S_MIN = 3.0
"""A chunk is copied at once: in less time the pace would be the luck of the moment."""


class Pace:
    """Follows the number of rows copied; bounded by a look each second of the window."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def see(self, at_s: float, rows: int) -> float | None:
        """Rows a second by the window that ends with this look; None if nothing can be said."""
        if self._seen and rows < self._seen[-1][1]:
            self._seen.clear()  # another import began
        self._seen.append((at_s, rows))
        while self._seen[0][0] < at_s - WINDOW_S:
            self._seen.popleft()
        first_s, first_rows = self._seen[0]
        if at_s - first_s < WINDOW_S_MIN or rows == first_rows:
            return None
        return (rows - first_rows) / (at_s - first_s)


def rows_left(table: TableProgress) -> int:
    """Rows of the table still to copy, by the server's estimate."""
    return 0 if table.is_done else max(0, table.rows_estimated - table.rows_copied)


def etas_s(tables: Sequence[TableProgress], rows_a_second: float | None) -> Iterator[int | None]:
    """Seconds until each table is copied, 0 if it is; None where that is unknown.

    Tables are copied one after the other, in their order, by all workers.
    """
    left = 0
    for table in tables:
        left += rows_left(table)
        if table.is_done:
            yield 0
        elif rows_a_second is None or not left:  # more rows than were estimated: nobody knows how many
            yield None
        else:
            yield round(left / rows_a_second)
