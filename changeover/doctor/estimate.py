"""How long the import may take and how much room it needs, by the server's own guess of its tables' size."""

from collections.abc import Iterator
from dataclasses import dataclass

from changeover.finding import Finding, Severity
from changeover.mysql.facts import ServerFacts
from changeover.mysql.preflight import SUBJECT
from changeover.mysql.retention import binlog_kept_s
from changeover.mysql.tables import Size

IMPORT_ROWS_PER_S = 5_000
"""Rows that two snapshot workers and one consumer bring over in a second, on a small machine."""

IMPORT_BYTES_PER_S = 5_000_000
"""The same for wide rows, of which fewer go through in a second."""

LOG_BYTES_PER_ROW = 700
"""Envelope and key of a row, without its values."""

LOG_BYTES_PER_BYTE = 3
"""A value as JSON, with its column's name; bytes as base64."""

TARGET_BYTES_PER_ROW = 150
"""The version of a key, in a table of its own."""

TARGET_BYTES_PER_BYTE = 2
"""Canonical text in place of the source's binary numbers and dates."""

RETENTION_TIMES_IMPORT = 3
"""A binlog is to reach back this many times the import's length, should capture stand still meanwhile."""

RETENTION_S_MIN = 86_400
"""A day: a capture that stops in the night can wait for the morning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Rows and bytes as the server guesses them, and what follows at the rates of this file."""

    rows: int
    data_bytes: int
    import_s: int
    log_bytes: int
    target_bytes: int


def estimate_of(size: Size) -> Estimate:
    """What a move of this size takes.

    >>> estimate_of(Size(rows=1_000_000, data_bytes=100_000_000)).import_s
    200
    """
    return Estimate(
        rows=size.rows,
        data_bytes=size.data_bytes,
        import_s=max(size.rows // IMPORT_ROWS_PER_S, size.data_bytes // IMPORT_BYTES_PER_S),
        log_bytes=size.rows * LOG_BYTES_PER_ROW + size.data_bytes * LOG_BYTES_PER_BYTE,
        target_bytes=size.rows * TARGET_BYTES_PER_ROW + size.data_bytes * TARGET_BYTES_PER_BYTE,
    )


def retention_findings(server: ServerFacts, estimate: Estimate) -> Iterator[Finding]:
    """Whether the binlog reaches back far enough."""
    wanted_s = max(RETENTION_S_MIN, estimate.import_s * RETENTION_TIMES_IMPORT)
    kept_s = binlog_kept_s(server.variables, is_mariadb=server.is_mariadb)
    if 0 < kept_s < wanted_s:
        days = -(-wanted_s // 86_400)
        in_seconds = "binlog_expire_logs_seconds" in server.variables
        mend = (
            f"SET GLOBAL binlog_expire_logs_seconds = {wanted_s}"
            if in_seconds
            else f"SET GLOBAL expire_logs_days = {days}"
        )
        what = (
            f"the binlog is kept for {spoken(kept_s)} only, where the import takes about "
            f"{spoken(estimate.import_s)}: a capture that stands still for longer cannot go on"
        )
        yield Finding(severity=Severity.WARN, subject=SUBJECT, what=what, mend=mend)
    size_max = server.integer("max_binlog_total_size")
    if size_max:
        what = f"the binlog is dropped beyond {size_max:,} bytes (max_binlog_total_size), however new it is"
        mend = "SET GLOBAL max_binlog_total_size = 0, or see that it holds a day of changes"
        yield Finding(severity=Severity.WARN, subject=SUBJECT, what=what, mend=mend)


def spoken(seconds: int) -> str:
    """A length of time in its largest unit.

    >>> spoken(90), spoken(7_200), spoken(172_800)
    ('2 min', '2 h', '2 days')
    """
    for unit, name in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds} s"
