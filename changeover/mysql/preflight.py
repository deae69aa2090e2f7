"""Whether a source, as it is set up, can be captured without losing or misreading a change.

One set of checks for the doctor, who reports them all, and for each start, which goes by those that refuse.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from changeover.errors import SourceUnavailable, SourceUnfit
from changeover.finding import Finding, Severity, refusals
from changeover.gtid import GtidSet
from changeover.mysql import grants
from changeover.mysql.connection import Connection
from changeover.mysql.facts import ServerFacts, read_server
from changeover.mysql.numbering import GAP_HINT
from changeover.mysql.tables import judge_tables, read_tables
from changeover.settings import SourceSettings
from changeover.table import Table

SUBJECT = "source"

MARIADB_VERSION_MIN = (10, 5)
MYSQL_VERSION_MIN = (8, 0, 14)
MYSQL_57_MIN = (5, 7, 9)
"""The first that was meant for use. MySQL 8.0 describes tables in the binlog, and whole only since 8.0.14."""

RELATIVES = ("TiDB", "Vitess", "OceanBase", "SingleStore")
"""Servers that speak like MySQL and have no binlog of it."""

CLOCK_APART_MS_MAX = 2_000

NEW_SESSIONS = "it counts for new sessions only, so let the application reconnect"
LASTING = "write it into the server's configuration too, for a restart forgets it"


class Requirement(NamedTuple):
    """A server variable, what it must be, and how to make it so."""

    variable: str
    wanted: str
    mend: str


COMMON = (
    Requirement("log_bin", "ON", "write log_bin into the server's configuration, and restart it"),
    Requirement("binlog_format", "ROW", f"SET GLOBAL binlog_format = 'ROW'; {NEW_SESSIONS}; {LASTING}"),
    Requirement(
        "binlog_row_image", "FULL", f"SET GLOBAL binlog_row_image = 'FULL'; {NEW_SESSIONS}; {LASTING}"
    ),
    Requirement("binlog_row_metadata", "FULL", f"SET GLOBAL binlog_row_metadata = 'FULL'; {LASTING}"),
)

MYSQL = (
    *COMMON,
    Requirement("binlog_row_value_options", "", f"SET GLOBAL binlog_row_value_options = ''; {NEW_SESSIONS}"),
    Requirement("binlog_order_commits", "ON", "SET GLOBAL binlog_order_commits = ON"),
)


def check_source(connection: Connection) -> list[Table]:
    """The captured tables, if nothing about the source forbids the move; else it raises with every reason.

    `SourceUnfit`, or `SourceUnavailable` if all that is wrong may be over by itself.
    """
    facts, source = read_server(connection), connection.source
    found = refusals(server_findings(facts, source))
    found += refusals(user_findings(grants.Role.CAPTURE, facts.user, facts.grants, facts, source))
    tables = read_tables(connection)
    found += refusals(judge_tables(tables))
    if found:
        kind = SourceUnavailable if all(finding.passes for finding in found) else SourceUnfit
        message = "; ".join(finding.text.rstrip(".;") for finding in found)
        raise kind(message, hint="For all findings run `changeover doctor`.")
    return [*tables.tables]


def server_findings(facts: ServerFacts, source: SourceSettings) -> Iterator[Finding]:
    """All that there is to say of the server."""
    for check in CHECKS:
        yield from check(facts)
    yield from _same_server_id(facts, source.server_id)


def user_findings(
    role: grants.Role, user: str, lines: Sequence[str], facts: ServerFacts, source: SourceSettings
) -> Iterator[Finding]:
    """What the user lacks and what it has without need, from what SHOW GRANTS says of it."""
    held = grants.parse(lines, is_mariadb=facts.is_mariadb)
    needs = needs_of(role, facts, source)
    yield from grants.missing(role, user, held, needs)
    yield from grants.excess(role, user, held, needs, source.control_schema)


def needs_of(role: grants.Role, facts: ServerFacts, source: SourceSettings) -> grants.Needs:
    """What a user in this role needs on this server."""
    return grants.needs_of(role, kind_of(facts), source.include, source.control_schema)


def kind_of(facts: ServerFacts) -> grants.Kind:
    """What the server calls its privileges."""
    return grants.Kind(
        is_mariadb=facts.is_mariadb,
        version=facts.version,
        has_literal_schemas=facts.is_on("partial_revokes"),
    )


# -- what must be so ---------------------------------------------------------------------------------------


def _version(facts: ServerFacts) -> Iterator[Finding]:
    name, least = ("MariaDB", MARIADB_VERSION_MIN) if facts.is_mariadb else ("MySQL", MYSQL_VERSION_MIN)
    if not facts.is_mariadb and facts.version < (8, 0):
        least = MYSQL_57_MIN
    wanted = ".".join(str(part) for part in least)
    relative = next((one for one in RELATIVES if one.lower() in facts.version_text.lower()), None)
    if relative:
        what = f"the source is {relative} ({facts.version_text}), which has no binlog of MySQL's"
        yield _refuse(what, "move from the MySQL or MariaDB that it is fed by")
    elif facts.version < least:
        yield _refuse(
            f"the source is {name} {facts.version_text}, older than {wanted}", f"upgrade to {wanted}"
        )


def _proxy(facts: ServerFacts) -> Iterator[Finding]:
    if not facts.is_same_session:
        what = (
            "a proxy stands before the source: sessions may share a connection, and learn each other's GTIDs"
        )
        yield _refuse(what, "let source.url name the server itself")


def _variables(facts: ServerFacts) -> Iterator[Finding]:
    for variable, wanted, mend in COMMON if facts.is_mariadb else MYSQL:
        found = facts.variables.get(variable)
        if variable == "binlog_row_metadata" and _is_mysql_57(facts):
            continue
        if found is None and wanted:
            yield _refuse(f"{variable} is unknown to this server", "upgrade to a server that has it")
        elif (found or "") != wanted:
            yield _refuse(f"{variable} is {found or 'empty'}, not {wanted or 'empty'}", mend)


def _schema(facts: ServerFacts) -> Iterator[Finding]:
    if _is_mysql_57(facts):
        what = (
            "the binlog of MySQL 5.7 does not describe tables: the schema is read at the start, any DDL on a "
            "captured table is a stop, and capture can only start now"
        )
        yield _note(what, "change no captured table until the move is over, with sql_log_bin = 0 neither")


def _is_mysql_57(facts: ServerFacts) -> bool:
    return not facts.is_mariadb and facts.version[:2] == (5, 7)


def _filters(facts: ServerFacts) -> Iterator[Finding]:
    if facts.filters:
        what = f"the binlog does not hold every database: {facts.filters}"
        yield _refuse(what, "start the server without binlog_do_db and binlog_ignore_db")


# -- one order of commits ----------------------------------------------------------------------------------


def _gtid_mode(facts: ServerFacts) -> Iterator[Finding]:
    mode = facts.variable("gtid_mode")
    if not facts.is_mariadb and mode not in {"ON", "OFF"}:
        what = f"gtid_mode is {mode}: transactions with and without a GTID have no one order"
        yield _refuse(what, "finish the switch: SET GLOBAL gtid_mode = ON (or OFF), by way of OFF_PERMISSIVE")


def _domains(facts: ServerFacts) -> Iterator[Finding]:
    if facts.is_mariadb and "," in (facts.gtids or ""):
        what = f"the binlog has several GTID domains, whose commits have no common order: {facts.gtids}"
        mend = "write in one domain, purge the logs with others, FLUSH BINARY LOGS DELETE_DOMAIN_ID = (…)"
        yield _refuse(what, mend)


def _gaps(facts: ServerFacts) -> Iterator[Finding]:
    if facts.is_mariadb or facts.variable("gtid_mode") != "ON" or facts.gtids is None:
        return
    try:
        executed = GtidSet.parse(facts.gtids)
    except ValueError:
        said = "".join(facts.gtids.split())  # the server puts each uuid on a line of its own
        yield _refuse(f"the source has tagged GTIDs: {said}", "this release cannot order them")
        return
    if executed.has_gap(facts.variable("server_uuid").lower()):
        yield _refuse(f"the source's own GTIDs have a lasting gap: {executed.text}", GAP_HINT)


def _clusters(facts: ServerFacts) -> Iterator[Finding]:
    if facts.is_on("wsrep_on"):
        what = "the source is a Galera node (wsrep_on): its nodes write side by side"
        yield _refuse(what, "move from a plain replica of the cluster that is made a primary")
    if facts.variable("group_replication_group_name"):
        what = "the source belongs to group replication: its members share the numbers of their commits"
        yield _refuse(what, "move from a server outside the group (and unset group_replication_group_name)")


def _replication(facts: ServerFacts) -> Iterator[Finding]:
    running = [row for row in facts.replication or () if row["sql_running"] == "Yes"]
    if not running:
        return
    workers = facts.integer("replica_parallel_workers", "slave_parallel_workers")
    in_order = facts.is_on("replica_preserve_commit_order", "slave_preserve_commit_order")
    name = "replica" if "replica_preserve_commit_order" in facts.variables else "slave"
    if not facts.is_mariadb and workers > 1 and not in_order:
        what = f"the source is a replica with {workers} workers that commit out of order"
        yield _refuse(what, f"SET GLOBAL {name}_preserve_commit_order = ON (or {name}_parallel_workers = 0)")
    own = facts.variable("server_uuid").lower()
    others = {uuid for row in running for uuid in _uuids(row["retrieved"])} - {own}
    if others:
        what = f"two servers write: the source itself, and over replication {', '.join(sorted(others))}"
        yield _refuse(what, "let source.url name the primary")
    elif not in_order or facts.is_mariadb:
        what = "the source replicates from another server; what is written there gets its numbers there"
        yield _warn(what, "let source.url name the primary, or see that nothing else is written over there")


def _uuids(gtids: str) -> Iterator[str]:
    for part in filter(None, (part.strip() for part in gtids.split(","))):
        yield part.partition(":")[0].lower()


def _read_only(facts: ServerFacts) -> Iterator[Finding]:
    mend = "let source.url name the primary: the control schema must be written there"
    mode = facts.variable("read_only").upper()
    held = grants.parse(facts.grants, is_mariadb=facts.is_mariadb)
    if facts.is_on("super_read_only") or mode.endswith("NO_ADMIN"):
        yield _refuse("the source is read-only for everybody", mend, passes=True)
    elif mode in {"OFF", "0"}:
        return
    elif _is_replica(facts) and not facts.is_fenced:
        # Whoever may write under it would give the replica transactions that its primary does not have.
        yield _refuse("the source is a replica, and read_only", mend, passes=True)
    elif held.can_write_under_read_only(kind_of(facts)):
        yield _warn("the source is read_only, which this user may write under", mend)
    else:
        yield _refuse("the source is read_only", mend, passes=True)


def _is_replica(facts: ServerFacts) -> bool:
    """Whether it follows another server, or has: MariaDB does not say to everybody which of the two.

    A promoted one keeps its place in what it followed. Where the fence is ours, it is the primary.
    """
    return bool(facts.replication or facts.variable("gtid_slave_pos"))


# -- what may be decided -----------------------------------------------------------------------------------


def _durability(facts: ServerFacts) -> Iterator[Finding]:
    for variable in ("sync_binlog", "innodb_flush_log_at_trx_commit"):
        found = facts.variable(variable)
        if found != "1":
            what = f"{variable} is {found}: a crash can forget commits that the new database already has"
            yield _warn(
                what, f"SET GLOBAL {variable} = 1; until then the application must not write directly"
            )


def _semi_sync(facts: ServerFacts) -> Iterator[Finding]:
    point = facts.variable("rpl_semi_sync_source_wait_point", "rpl_semi_sync_master_wait_point")
    is_on = facts.is_on("rpl_semi_sync_source_enabled", "rpl_semi_sync_master_enabled")
    if is_on and point == "AFTER_SYNC":
        return
    what = "replication is not lossless (semi-sync with AFTER_SYNC): a failover can forget commits"
    yield _note(what, "no matter without failover; with it, set it up, or leave direct writes off")


def _time_zone(facts: ServerFacts) -> Iterator[Finding]:
    zone = facts.variable("time_zone")
    zone = facts.variable("system_time_zone") if zone == "SYSTEM" else zone
    if zone not in {"UTC", "+00:00", "Etc/UTC"}:
        what = f"the server's time zone is {zone}: TIMESTAMP is moved in UTC, DATETIME as it stands"
        yield _note(what, "")


def _clock(facts: ServerFacts) -> Iterator[Finding]:
    if abs(facts.clock_ahead_ms) > CLOCK_APART_MS_MAX:
        what = f"the source's clock is {facts.clock_ahead_ms / 1000:+.1f} s from this machine's"
        yield _note(what, "nothing is ordered by it, and lag is told by the source's alone; see to NTP")


def _not_seen(facts: ServerFacts) -> Iterator[Finding]:
    if facts.replication is None or facts.filters is None:
        what = "replication and binlog filters were not looked at: this user may not see them"
        yield _note(what, f"GRANT {kind_of(facts).sees_binlog} ON *.*, as the grants say")


Check = Callable[[ServerFacts], Iterator[Finding]]

CHECKS: Sequence[Check] = (
    _version,
    _proxy,
    _variables,
    _schema,
    _filters,
    _gtid_mode,
    _domains,
    _gaps,
    _clusters,
    _replication,
    _read_only,
    _durability,
    _semi_sync,
    _time_zone,
    _clock,
    _not_seen,
)


def _same_server_id(facts: ServerFacts, server_id: int | None) -> Iterator[Finding]:
    if server_id is None:
        return
    mend = "choose another source.server_id, or leave it out for a random one"
    if server_id == facts.integer("server_id"):
        yield _refuse(f"source.server_id {server_id} is the source's own", mend)
    elif facts.replica_ids is None:
        what = (
            f"whether source.server_id {server_id} is free was not looked at: this user may not see replicas"
        )
        yield _note(what, "see SHOW SLAVE HOSTS, or leave it out for a random one")
    elif server_id in facts.replica_ids:
        what = f"source.server_id {server_id} is that of a replica: they would throw each other out"
        yield _refuse(what, f"{mend}; or is it capture itself that runs?")


def _refuse(what: str, mend: str, *, passes: bool = False) -> Finding:
    return Finding(severity=Severity.REFUSE, subject=SUBJECT, what=what, mend=mend, passes=passes)


def _warn(what: str, mend: str) -> Finding:
    return Finding(severity=Severity.WARN, subject=SUBJECT, what=what, mend=mend)


def _note(what: str, mend: str) -> Finding:
    return Finding(severity=Severity.NOTE, subject=SUBJECT, what=what, mend=mend)
