"""The facts that gates judge, gathered from source, log and control schema; nothing is touched."""

import math

from changeover.log import Log
from changeover.mysql import grants
from changeover.mysql.catalog import captured_tables
from changeover.mysql.control import ControlSchema
from changeover.mysql.facts import ServerFacts, read_server
from changeover.mysql.phases import phase_now
from changeover.mysql.preflight import kind_of
from changeover.mysql.processes import ProcessSeen, processes
from changeover.mysql.retention import binlog_kept_s
from changeover.phases.gates import Facts, Process, Proved
from changeover.settings import Settings
from changeover.status import Statuses
from changeover.verify.verdicts import State, Verdicts, whole


def gather(settings: Settings, control: ControlSchema, log: Log) -> Facts:
    """What there is to judge now."""
    server = read_server(control.connection)
    verdict = whole(Verdicts(control).now([table.full_name for table in captured_tables(control.connection)]))
    now = Statuses(control, log, settings.consumer.group).now()
    state = phase_now(control)
    return Facts(
        now_ms=control.now_ms(),
        phase=state.phase,
        fence=state.fence,
        applied_through=now.applied_through,
        # Another tool's copy has no books here; ours that was begun is to be finished, whoever does it.
        is_imported=now.is_import_applied or (settings.snapshot.workers == 0 and not now.tables),
        lag_ms=now.lag_ms,
        findings_open=verdict.findings_open,
        proved=Proved(
            state=verdict.state.value,
            is_clean=verdict.state is State.CLEAN,
            why=verdict.why,
            as_of_ms=verdict.as_of_ms,
        ),
        retention_left_s=_retention_left_s(server, now.lag_ms),
        processes=[_process(seen) for seen in processes(control)],
        lacking=_lacking(server, by_revoking=bool(settings.phases.revoke_from)),
        is_read_only=server.variable("read_only").upper() not in {"OFF", "0"},
    )


def _process(seen: ProcessSeen) -> Process:
    return Process(
        name=seen.name,
        phase=seen.phase,
        seen_ms=seen.seen_ms,
        unreported=tuple(name for name in COUNTERS if name not in seen.report),
        **{name: seen.report.get(name, 0) for name in COUNTERS},
    )


COUNTERS = (
    "direct_writes",
    "direct_failed",
    "compared",
    "compared_mismatch",
    "puts",
    "put_mismatch",
    "changed_calls",
)


def _retention_left_s(server: ServerFacts, lag_ms: int | None) -> float | None:
    """How long the binlog still keeps what capture has yet to read, if it stands still from now on.

    Capture is as far as the target at least, so the target's lag is no less than its own.
    """
    kept = binlog_kept_s(server.variables, is_mariadb=server.is_mariadb)
    if not kept:
        return math.inf
    return None if lag_ms is None else kept - lag_ms / 1_000


def _lacking(server: ServerFacts, *, by_revoking: bool) -> tuple[str, ...]:
    """What this user has not, of what the way into NEW takes.

    Whether it may revoke what others have shows when it does: what it may not leads back from the fence.
    """
    if by_revoking:
        return ()
    kind = kind_of(server)
    held = grants.parse(server.grants, is_mariadb=server.is_mariadb)
    return tuple(one for one in grants.for_the_fence(kind) if not held.has(one, grants.Scope()))
