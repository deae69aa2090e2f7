"""Looks at the source, the log and the target once, and has each part say what stands against the move."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from changeover.doctor.estimate import Estimate, estimate_of, retention_findings
from changeover.doctor.stores import log_findings, space_findings, target_findings
from changeover.finding import Finding, Severity, refusals, worst_first
from changeover.mysql import grants, tables
from changeover.mysql.connection import Connection
from changeover.mysql.facts import ServerFacts, grants_of, read_server
from changeover.mysql.grants import Role
from changeover.mysql.preflight import needs_of, server_findings, user_findings
from changeover.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All findings, worst first, and what they rest on."""

    server: str
    tables: int
    estimate: Estimate
    findings: tuple[Finding, ...]

    @property
    def is_go(self) -> bool:
        """Whether the move can begin."""
        return not refusals(self.findings)


def examine(settings: Settings, users: Mapping[Role, str]) -> Report:
    """The report; `users` name accounts (`name@host`) to be judged, for capture in place of our own login.

    Raises `SourceUnavailable` or `SourceRefused` if the source cannot be asked at all.
    """
    with Connection(settings.source) as connection:
        server = read_server(connection)
        captured = tables.read_tables(connection)
        users_found = [*_users(connection, server, users)]
    estimate = estimate_of(captured.size)
    findings = [
        *server_findings(server, settings.source),
        *users_found,
        *tables.judge_tables(captured),
        *_unseen_triggers(server),
        *retention_findings(server, estimate),
        *log_findings(settings, captured.tables),
        *target_findings(settings),
        *space_findings(settings, estimate),
    ]
    return Report(
        server=f"{settings.source.host}:{settings.source.port}, {_name(server)}",
        tables=len(captured.names),
        estimate=estimate,
        findings=tuple(worst_first(findings)),
    )


def _name(server: ServerFacts) -> str:
    return server.version_text if server.is_mariadb else f"MySQL {server.version_text}"


def _users(connection: Connection, server: ServerFacts, users: Mapping[Role, str]) -> Iterator[Finding]:
    source = connection.source
    if Role.CAPTURE not in users:
        yield from user_findings(Role.CAPTURE, server.user, server.grants, server, source)
    for role, user in users.items():
        lines = grants_of(connection, grants.account(user))
        if lines is None:
            statements = grants.statements(needs_of(role, server, source), user)
            what = f"what {role} user {user} may do was not looked at: this login may not see it"
            yield _note(grants.SUBJECT, what, f"it needs {' '.join(statements)}")
        else:
            yield from user_findings(role, user, lines, server, source)


def _unseen_triggers(server: ServerFacts) -> Iterator[Finding]:
    held = grants.parse(server.grants, is_mariadb=server.is_mariadb)
    if not held.has("TRIGGER", grants.Scope()):
        what = "triggers were not looked at: this login may not see them"
        yield _note(tables.SUBJECT, what, "see SHOW TRIGGERS; do not make them anew on the new side")


def _note(subject: str, what: str, mend: str) -> Finding:
    return Finding(severity=Severity.NOTE, subject=subject, what=what, mend=mend)
