"""Grants: what a user needs on the source, what it has, what is missing and what is in excess.

Three users: **capture** reads the tables and the binlog and keeps the control schema, also under the fence's
`read_only`; the **application** reads the phase; the **operator** moves the phase, fences the old database
and verifies. All here is text in
and text out, from what SHOW GRANTS says; MariaDB puts password hashes into that, which go no further.
"""

import enum
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from changeover.finding import Finding, Severity

SUBJECT = "grants"
ALL = "ALL PRIVILEGES"
GRANT_OPTION = "GRANT OPTION"
NOTHING = frozenset({"USAGE"})

MARIADB_NAMES = {
    "REPLICATION CLIENT": "BINLOG MONITOR",
    "REPLICATION REPLICA": "REPLICATION SLAVE",
    "REPLICA MONITOR": "SLAVE MONITOR",
}
"""MariaDB understands both names; this is the one that it answers with."""

SUPER_COVERS = frozenset(
    {"BINLOG MONITOR", "CONNECTION_ADMIN", "REPLICATION CLIENT", "SYSTEM_VARIABLES_ADMIN"}
)
"""Privileges that MySQL cut out of SUPER and still finds in it, as MariaDB does with the first."""

PAST_THE_BINLOG_OR_FENCE = frozenset(
    {
        ALL,
        "SUPER",
        "BINLOG ADMIN",
        "BINLOG_ADMIN",
        "CONNECTION ADMIN",
        "CONNECTION_ADMIN",
        "READ_ONLY ADMIN",
        "SESSION_VARIABLES_ADMIN",
        "SYSTEM_VARIABLES_ADMIN",
    }
)
"""With these an application could write past the binlog (`sql_log_bin = 0`) or under `read_only`."""

FOR_THE_FENCE = frozenset({"CONNECTION_ADMIN", "READ_ONLY ADMIN", "SUPER"})
"""What capture needs only once the old database is made read-only: its heartbeats must still be committed."""

CONTROL = ("SELECT", "INSERT", "UPDATE", "CREATE")
"""No DELETE: what capture writes down stays."""


WRITTEN_BY_PROCESSES = ("heartbeat", "process")
"""Where the application's library writes: bounds for compared reads, and how its process is."""

OF_PROCESSES = ("INSERT", "UPDATE")


class Role(enum.StrEnum):
    """Whom a set of grants is for."""

    CAPTURE = "capture"
    APPLICATION = "application"
    OPERATOR = "operator"


class Scope(NamedTuple):
    """What a grant is on. Schemas are patterns of LIKE, as in GRANT itself; empty means all."""

    schema: str = ""
    table: str = ""

    @property
    def text(self) -> str:
        """As SQL has it.

        >>> Scope().text, Scope('a').text, Scope('a', 't').text
        ('*.*', '`a`.*', '`a`.`t`')
        """
        return ".".join(f"`{part.replace('`', '``')}`" if part else "*" for part in self)


Needs = Mapping[Scope, tuple[str, ...]]
"""Privileges by what they are on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What decides how privileges are called and which are needed."""

    is_mariadb: bool
    version: tuple[int, ...]
    has_literal_schemas: bool = False
    """MySQL's partial_revokes: `%` and `_` in a grant's schema stand for themselves."""

    @property
    def sees_binlog(self) -> str:
        """The privilege to look at the binlog's state."""
        return "BINLOG MONITOR" if self.is_mariadb else "REPLICATION CLIENT"

    @property
    def writes_under_read_only(self) -> frozenset[str]:
        """Privileges of which each lifts `read_only` from a user."""
        if not self.is_mariadb:
            return frozenset({ALL, "SUPER", "CONNECTION_ADMIN"})
        return frozenset({ALL, "READ_ONLY ADMIN", *(("SUPER",) if self.version < (10, 11) else ())})

    @property
    def least_to_write_under_read_only(self) -> str:
        """The one of them that gives the least beside it."""
        if self.is_mariadb:
            return "READ_ONLY ADMIN"
        return "SUPER" if self.has_only_super else "CONNECTION_ADMIN"

    @property
    def has_only_super(self) -> bool:
        """Whether it is a MySQL from before SUPER was cut into parts."""
        return not self.is_mariadb and self.version < (8, 0)

    @property
    def needs_more_to_lock(self) -> bool:
        """Whether a locking read takes more than SELECT."""
        return not self.is_mariadb and self.version < (8, 0, 22)


@dataclass(frozen=True, slots=True)
class Held:
    """What a user may do, directly or through roles; `own` is what was granted to it directly."""

    all: Mapping[Scope, frozenset[str]]
    own: Mapping[Scope, frozenset[str]]
    revoked: Mapping[Scope, frozenset[str]]
    """MySQL's partial revokes: exceptions, by schema, from what is granted on everything."""

    def has(self, privilege: str, scope: Scope) -> bool:
        """Whether the user has the privilege on all of the scope."""
        return any(_covers(privileges, privilege) for privileges in self._reaching(scope))

    def can_write_under_read_only(self, kind: "Kind") -> bool:
        """Whether `read_only` does not bind this user."""
        return bool(self.all.get(Scope(), frozenset()) & kind.writes_under_read_only)

    def _reaching(self, scope: Scope) -> Iterator[frozenset[str]]:
        yield self.all.get(Scope(), frozenset()) - self._exceptions(scope)
        if scope.schema:
            yield self.all.get(self._schema_entry(scope), frozenset())
        if scope.table:
            yield self.all.get(scope, frozenset())

    def _exceptions(self, scope: Scope) -> frozenset[str]:
        return self.revoked.get(Scope(_literal(scope.schema)), frozenset()) if scope.schema else frozenset()

    def _schema_entry(self, scope: Scope) -> Scope:
        """The one entry that the server goes by: it takes the most specific one, and does not add them up."""
        if Scope(scope.schema) in self.all:
            return Scope(scope.schema)
        name = scope.schema if scope.table else _literal(scope.schema)
        if not scope.table and _is_pattern(scope.schema):
            return Scope(scope.schema)
        entries = [held for held in self.all if held.schema and not held.table]
        fitting = [held for held in entries if _like(held.schema).fullmatch(name)]
        return max(fitting, key=_specificity, default=Scope(scope.schema))


def needs_of(role: Role, kind: Kind, include: Sequence[str], control_schema: str) -> Needs:
    """The privileges that are exactly enough, by what they are on."""
    control = Scope(_escaped(control_schema, kind))
    tables: Needs = dict.fromkeys(_table_scopes(include, kind), ("SELECT",))
    everywhere: tuple[str, ...]
    match role:
        case Role.CAPTURE:
            # Whether the binlog leaves databases out can be seen with the second only.
            everywhere = ("REPLICATION SLAVE", kind.sees_binlog, kind.least_to_write_under_read_only)
            return _merged({Scope(): everywhere}, tables, {control: CONTROL})
        case Role.APPLICATION:
            # LOCK TABLES is the least of the three that MySQL asks for: nothing can be changed with it.
            reads: Needs = {control: ("SELECT", "LOCK TABLES") if kind.needs_more_to_lock else ("SELECT",)}
            return {**reads, **{Scope(control_schema, table): OF_PROCESSES for table in WRITTEN_BY_PROCESSES}}
        case Role.OPERATOR:
            everywhere = (kind.sees_binlog, "PROCESS", *for_the_fence(kind))
            return _merged({Scope(): everywhere}, tables, {control: (*CONTROL, "DELETE", "DROP")})


def for_the_fence(kind: Kind) -> tuple[str, ...]:
    """What it takes to set read_only, to write the control schema under it, and to end other connections."""
    if kind.is_mariadb:
        return ("READ_ONLY ADMIN", "CONNECTION ADMIN")
    if kind.has_only_super:
        return ("SUPER",)
    return ("SYSTEM_VARIABLES_ADMIN", "CONNECTION_ADMIN")


def parse(lines: Iterable[str], *, is_mariadb: bool) -> Held:
    """What SHOW GRANTS says.

    >>> held = parse(["GRANT SELECT ON `shop`.* TO `u`@`%` WITH GRANT OPTION"], is_mariadb=False)
    >>> sorted(held.own[Scope("shop")])
    ['GRANT OPTION', 'SELECT']
    """
    every: dict[Scope, frozenset[str]] = {}
    own: dict[Scope, frozenset[str]] = {}
    revoked: dict[Scope, frozenset[str]] = {}
    for line in lines:
        found = LINE.match(line)
        if found is None:  # a role that is granted, a proxy user, a routine
            continue
        scope = Scope(*(_unquoted(part) for part in _objects(found["on"])))
        privileges = frozenset(_privileges(found["what"], is_mariadb=is_mariadb))
        if found["verb"] == "REVOKE":
            revoked[scope] = revoked.get(scope, frozenset()) | privileges
            continue
        if line.rstrip().endswith("WITH GRANT OPTION"):
            privileges |= {GRANT_OPTION}
        every[scope] = every.get(scope, frozenset()) | privileges
        if found["host"]:  # MariaDB shows a role's own lines too, and a role has no host
            own[scope] = own.get(scope, frozenset()) | privileges
    return Held(every, own, revoked)


NAME = r"(?:\*|`(?:[^`]|``)*`|[^\s.`]+)"
LINE = re.compile(
    rf"(?P<verb>GRANT|REVOKE) (?P<what>.+?) ON (?:TABLE )?(?P<on>{NAME}\.{NAME}) (?:TO|FROM) "
    r"(?:`(?:[^`]|``)*`|'(?:[^']|'')*'|\w+)(?P<host>@\S+)?"
)


ROUTINE_LINE = re.compile(
    rf"GRANT (?P<what>.+?) ON (?:PROCEDURE|FUNCTION|PACKAGE|PACKAGE BODY) (?P<on>{NAME}\.{NAME}) TO "
)


def routines_run(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Schema and name of each routine that SHOW GRANTS lets run by itself.

    >>> list(routines_run(["GRANT EXECUTE, ALTER ROUTINE ON PROCEDURE `shop`.`sell` TO `u`@`%`"]))
    [('shop', 'sell')]
    """
    for line in lines:
        found = ROUTINE_LINE.match(line)
        if found and "EXECUTE" in found["what"]:
            schema, name = (_unquoted(part) for part in _objects(found["on"]))
            yield schema, name


def account(user: str) -> str:
    """`name@host` as SQL has it; `%` for a host that is not said.

    >>> account("app"), account("cdc@10.0.0.%")
    ("'app'@'%'", "'cdc'@'10.0.0.%'")
    """
    name, _, host = user.rpartition("@") if "@" in user else (user, "", "%")
    return "@".join("'" + part.replace("\\", "\\\\").replace("'", "''") + "'" for part in (name, host))


def statements(needs: Needs, user: str) -> list[str]:
    """The statements that give the user what it needs."""
    return [f"GRANT {', '.join(what)} ON {scope.text} TO {account(user)};" for scope, what in needs.items()]


def missing(role: Role, user: str, held: Held, needs: Needs) -> Iterator[Finding]:
    """What the user lacks, a finding for each place; apart from it, what it lacks for the fence alone."""
    severity = Severity.REFUSE if role is Role.CAPTURE else Severity.WARN
    for scope, wanted in needs.items():
        lacking = [privilege for privilege in wanted if not held.has(privilege, scope)]
        for_fence = [one for one in lacking if role is Role.CAPTURE and one in FOR_THE_FENCE]
        at_once = [one for one in lacking if one not in for_fence]
        if at_once:
            yield _lacks(severity, f"{role} user {user}", at_once, scope, user)
        if for_fence:
            whose = f"for the way into the last phase, {role} user {user}"
            yield _lacks(Severity.WARN, whose, for_fence, scope, user)


def _lacks(severity: Severity, whose: str, lacking: Sequence[str], scope: Scope, user: str) -> Finding:
    return Finding(
        severity=severity,
        subject=SUBJECT,
        what=f"{whose} lacks {', '.join(lacking)} on {scope.text}",
        mend=" ".join(statements({scope: tuple(lacking)}, user)),
    )


def excess(role: Role, user: str, held: Held, needs: Needs, control_schema: str) -> Iterator[Finding]:
    """What the user has without need, a finding for each place."""
    for scope, privileges in held.own.items():
        spare = privileges - NOTHING - set(needs.get(scope, ()))
        if role is Role.APPLICATION:
            spare = _harmful(scope, spare, control_schema)
        if spare:
            is_administrator = role is Role.CAPTURE and scope == Scope() and GRANT_OPTION in spare
            yield Finding(
                severity=Severity.WARN,
                subject=SUBJECT,
                what=f"{role} user {user} has more than it needs: {', '.join(sorted(spare))} on {scope.text}",
                mend=(
                    f"give {role} a user of its own, such as: {' '.join(statements(needs, 'changeover@%'))}"
                    if is_administrator
                    else _without(role, user, held, needs, scope, spare)
                ),
            )


def _without(  # noqa: PLR0913, PLR0917 - all of it decides what is left
    role: Role, user: str, held: Held, needs: Needs, scope: Scope, spare: frozenset[str]
) -> str:
    """Statements that take what is spare away, and nothing that is needed."""
    rest = {place: own for place, own in held.all.items() if place != scope}
    rest[scope] = held.all[scope] - spare
    without = Held(rest, {}, held.revoked)
    lost = {
        place: tuple(one for one in wanted if held.has(one, place) and not without.has(one, place))
        for place, wanted in needs.items()
    }
    first = {place: wanted for place, wanted in lost.items() if wanted and place != scope}
    again = {scope: lost[scope]} if lost.get(scope) else {}
    revokes = [f"REVOKE {what} ON {scope.text} FROM {account(user)};" for what in _at_once(spare)]
    words = [APPLICATION_FIRST] if role is Role.APPLICATION and ALL in spare else []
    return " ".join([*words, *statements(first, user), *revokes, *statements(again, user)])


APPLICATION_FIRST = "First grant it what it needs on its own databases."


def _at_once(privileges: frozenset[str]) -> list[str]:
    """The privileges as lists that one REVOKE takes: ALL PRIVILEGES stands alone."""
    if ALL not in privileges:
        return [", ".join(sorted(privileges))]
    return [ALL, *([GRANT_OPTION] if GRANT_OPTION in privileges else [])]


def _harmful(scope: Scope, spare: frozenset[str], control_schema: str) -> frozenset[str]:
    """An application has its own tables to write; what counts is what gets past us."""
    if scope == Scope():
        return spare & PAST_THE_BINLOG_OR_FENCE
    return spare if _like(scope.schema).fullmatch(control_schema) else frozenset()


def _covers(held: frozenset[str], privilege: str) -> bool:
    return privilege in held or ALL in held or ("SUPER" in held and privilege in SUPER_COVERS)


def _table_scopes(include: Sequence[str], kind: Kind) -> Iterator[Scope]:
    """Where SELECT is needed so that every table is seen that a pattern means: others are hidden from us."""
    for pattern in include:
        schema, _, table = pattern.partition(".")
        if "[" in schema or set(schema) == {"*"} or (_has_wildcard(schema) and kind.has_literal_schemas):
            yield Scope()
        elif _has_wildcard(schema):
            yield Scope(_escaped(schema, kind).replace("*", "%").replace("?", "_"))
        elif _has_wildcard(table):
            yield Scope(_escaped(schema, kind))
        else:
            yield Scope(schema, table)


def _has_wildcard(pattern: str) -> bool:
    return any(character in pattern for character in "*?[")


def _merged(*parts: Needs) -> Needs:
    merged: dict[Scope, tuple[str, ...]] = {}
    for scope, privileges in ((scope, part[scope]) for part in parts for scope in part):
        merged[scope] = tuple(dict.fromkeys((*merged.get(scope, ()), *privileges)))
    return merged


def _escaped(schema: str, kind: Kind) -> str:
    return schema if kind.has_literal_schemas else re.sub(r"([_%\\])", r"\\\1", schema)


def _literal(schema: str) -> str:
    return re.sub(r"\\([_%\\])", r"\1", schema)


def _is_pattern(schema: str) -> bool:
    return re.search(r"(?<!\\)[_%]", schema) is not None


def is_like(pattern: str, schema: str) -> bool:
    r"""Whether the schema is one of those that a grant's pattern means.

    >>> is_like(r"shop\_%", "shop_eu"), is_like(r"shop\_%", "shopping")
    (True, False)
    """
    return _like(pattern).fullmatch(schema) is not None


def _like(pattern: str) -> re.Pattern[str]:
    """LIKE's pattern as a regular expression."""
    parts = re.findall(r"\\.|.", pattern)
    plain = {"%": ".*", "_": "."}
    return re.compile("".join(plain.get(part) or re.escape(part.removeprefix("\\")) for part in parts))


def _specificity(scope: Scope) -> int:
    """The server prefers the entry whose first wildcard comes latest."""
    wildcard = re.search(r"(?<!\\)[_%]", scope.schema)
    return wildcard.start() if wildcard else len(scope.schema) + 1


def _objects(on: str) -> list[str]:
    return re.findall(NAME, on)


def _unquoted(name: str) -> str:
    return "" if name == "*" else name.strip("`").replace("``", "`")


def _privileges(text: str, *, is_mariadb: bool) -> Iterator[str]:
    """The privileges; those on single columns stay together with their columns, and cover nothing."""
    for part in re.split(r",\s*(?![^(]*\))", text):
        name = part.strip()
        if name == "ALL":
            name = ALL
        yield MARIADB_NAMES.get(name, name) if is_mariadb else name
