"""Looks at the source, the log and the target once, and has each part say what stands against the move."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from changeover.doctor.estimate import Estimate, estimate_of, retention_findings
from changeover.doctor.plain_text import plain_text_findings
from changeover.doctor.riak import riak_findings
from changeover.doctor.stores import log_findings, space_findings, target_findings
from changeover.errors import ChangeoverError, Refused, StateNewer
from changeover.finding import Finding, Severity, refusals, worst_first
from changeover.mysql import grants, tables
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.mysql.facts import ServerFacts, grants_of, read_server
from changeover.mysql.grants import Role
from changeover.mysql.preflight import SUBJECT, needs_of, server_findings, user_findings
from changeover.mysql.starting import check_start
from changeover.settings import Settings
from changeover.start import StartKind
from changeover.wiring import has_checkpoint


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
        of_server = [*server_findings(server, settings.source)]
        of_control = [*_control(connection, settings)]
        of_start = [*_start(connection, settings, is_fit=not refusals([*of_server, *users_found]))]
    estimate = estimate_of(captured.size)
    findings = [
        *of_server,
        *of_control,
        *of_start,
        *users_found,
        *tables.judge_tables(captured),
        *_unseen_triggers(server),
        *retention_findings(server, estimate),
        *log_findings(settings, captured.tables),
        *(riak_findings(settings, captured.tables) if settings.target.nodes else target_findings(settings)),
        *space_findings(settings, estimate),
        *plain_text_findings(settings),
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


def _control(connection: Connection, settings: Settings) -> Iterator[Finding]:
    """Whether a newer release has kept the control schema."""
    try:
        ControlSchema(connection, settings.pipeline).require_known()
    except StateNewer as error:
        yield Finding(severity=Severity.REFUSE, subject=SUBJECT, what=str(error.args[0]), mend=error.mend)


def _start(connection: Connection, settings: Settings, *, is_fit: bool) -> Iterator[Finding]:
    """Whether capture can start where the settings say, as long as it has not begun."""
    begin = settings.capture.begin
    if begin.kind is StartKind.NOW or _has_begun(settings):
        return
    if not is_fit:
        what = f"whether capture can start at {settings.capture.start} was not looked at"
        yield _note(SUBJECT, what, "mend what is refused of source and grants first")
        return
    try:
        check_start(connection, begin)
    except Refused as error:
        what = f"capture.start: {error.args[0]}"
        yield Finding(severity=Severity.REFUSE, subject=SUBJECT, what=what, mend=error.mend)


def _has_begun(settings: Settings) -> bool:
    """Whether capture has a checkpoint; not, where the log cannot be asked: its own findings say why."""
    try:
        return has_checkpoint(settings)
    except ChangeoverError:
        return False


def _unseen_triggers(server: ServerFacts) -> Iterator[Finding]:
    held = grants.parse(server.grants, is_mariadb=server.is_mariadb)
    if not held.has("TRIGGER", grants.Scope()):
        what = "triggers were not looked at: this login may not see them"
        yield _note(tables.SUBJECT, what, "see SHOW TRIGGERS; do not make them anew on the new side")


def _note(subject: str, what: str, mend: str) -> Finding:
    return Finding(severity=Severity.NOTE, subject=subject, what=what, mend=mend)
