"""The tables at the demo's end: what the move came to, and how the application has taken over."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from changeover.demo import clinic, oracle, records, takeover
from changeover.demo.practice import Books
from changeover.demo.server import PrivateMariaDB
from changeover.demo.show import Show
from changeover.status import Status


def compare(server: PrivateMariaDB, target: Path | oracle.Target, *more: str) -> oracle.Comparison:
    """The oracle's look at the sample tables, and any more, on both sides."""
    connection = server.connect()
    try:
        return oracle.compare(connection, records.SCHEMA, (*records.TABLES, *more), target)
    finally:
        connection.close()


def end_of_move(  # noqa: PLR0913 - the figures of a table
    show: Show,
    last: Status,
    written: dict[str, int],
    *,
    kills: Sequence[str],
    lags_ms: Sequence[int],
    compared: oracle.Comparison,
) -> bool:
    """Show what the move came to; whether both sides are equal."""
    for difference in compared.differences[:10]:
        show.event(f"different: {difference}")
    show.result(
        "moved while it was written to",
        {
            "rows copied by the import": f"{last.rows_copied:,}",
            "transactions written meanwhile": f"{written['transactions']:,}",
            "changes captured": f"{last.changes_captured:,}",
            "stale writes skipped": f"{last.stale:,}",
            "processes killed with SIGKILL": f"{len(kills)} ({', '.join(kills)})",
            "lag in step, median / worst": _lag(lags_ms),
            "rows in the source": f"{sum(compared.rows_source.values()):,}",
            "rows in the target": f"{sum(compared.rows_target.values()):,}",
            "differences": f"{compared.difference_count:,}",
        },
    )
    return compared.difference_count == 0


def end_of_way(server: PrivateMariaDB, target: Path, show: Show, took: takeover.Took, books: Books) -> bool:
    """Show how the application has taken over; whether it is all well."""
    compared = compare(server, target, clinic.TABLE)
    different = takeover.unlike(compared, books.acknowledged)
    lost = takeover.not_kept(target, books.acknowledged)
    for what in (
        *different[:10],
        *(f"visit {key} is not as it was acknowledged" for key in lost[:10]),
        *books.failures[:10],
    ):
        show.event(f"wrong: {what}")
    show.result("taken over while it was in use", _figures(took, books, len(different) + len(lost)))
    return not (different or lost or books.failed or books.stale) and books.requests > 0


def _figures(took: takeover.Took, books: Books, wrong: int) -> dict[str, str]:
    while_both = {"since": took.both_since, "until": took.both_until}
    new, old = (books.p99_ms(is_old=is_old, **while_both) for is_old in (False, True))
    added = "unknown" if new is None or old is None else f"{new - old:,.1f} ms ({new:,.1f} less {old:,.1f})"
    return {
        "requests of 4 processes": f"{books.requests:,}",
        "failed requests": f"{books.failed:,}",
        "stale reads after own writes": f"{books.stale:,}",
        "differences": f"{wrong:,}",
        "added write latency, p99": added,
        **{
            f"{number}. {move.before.value} -> {move.after.value}": f"{move.ms:,.0f} ms"
            for number, move in enumerate(took.moves, 1)
        },
    }


def _lag(lags_ms: Sequence[int]) -> str:
    return f"{statistics.median(lags_ms):,.0f} / {max(lags_ms):,} ms" if lags_ms else "unknown"
