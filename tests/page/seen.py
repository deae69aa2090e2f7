"""Facts to paint."""

from changeover.mysql.imports import TableProgress
from changeover.page.facts import Facts
from changeover.phase import Phase, PhaseState
from changeover.status import Status

STATUS = Status(
    orders=(),
    now_ms=1_800_000_000_000,
    tables=[TableProgress("shop.customer", 1_000, 1_000, 0, is_cut=True)],
    changes_captured=7,
    records_applied=1_007,
    stale=0,
    captured_through=None,
    applied_through=None,
    lag_ms=148,
    is_import_logged=True,
    is_import_applied=True,
)
FACTS = Facts(
    status=STATUS,
    imports=True,
    phase=PhaseState(phase=Phase.OLD, attempt=0, since_ms=0),
    moves=(),
    verdicts=(),
    findings=(),
    gates=None,
    heartbeats=(),
    processes=(),
)
