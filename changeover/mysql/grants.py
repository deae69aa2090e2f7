"""Grants: what a user needs on the source, what it has, what is missing and what is in excess.

Three users: **capture** reads the tables and the binlog and keeps the control schema; the **application**
reads the phase; the **operator** moves the phase, fences the old database and verifies. All here is text in
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

SUPER_COVERS = frozenset({"BINLOG MONITOR", "CONNECTION_ADMIN", "REPLICATION CLIENT", "SYSTEM_VARIABLES_ADMIN"})
"""Privileges that MySQL cut out of SUPER and still finds in it, as MariaDB does with the first."""

WRITES_UNDER_READ_ONLY_MARIADB = frozenset({ALL, "READ_ONLY ADMIN"})
WRITES_UNDER_READ_ONLY_MYSQL = frozenset({ALL, "SUPER", "CONNECTION_ADMIN"})

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

CONTROL = ("SELECT", "INSERT", "UPDATE", "CREATE")
"""No DELETE: what capture writes down stays."""


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

        >>> Scope(), Scope(r"a\\_b").text, Scope("a", "t").text
        (Scope(schema='', table=''), '`a\\\\_b`.*', '`a`.`t`')
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

    def can_write_under_read_only(self, *, is_mariadb: bool) -> bool:
        """Whether `read_only` does not bind this user."""
        ways = WRITES_UNDER_READ_ONLY_MARIADB if is_mariadb else WRITES_UNDER_READ_ONLY_MYSQL
        return bool(self.all.get(Scope(), frozenset()) & ways)

    def _reaching(self, scope: Scope) -> Iterator[frozenset[str]]:
        yield self.all.get(Scope(), frozenset()) - self._exceptions(scope)
        if scope.schema:
            yield self.all.get(self._schema_entry(scope.schema), frozenset())
        if scope.table:
            yield self.all.get(Scope(_literal(scope.schema), scope.table), frozenset())

    def _exceptions(self, scope: Scope) -> frozenset[str]:
        return self.revoked.get(Scope(_literal(scope.schema)), frozenset()) if scope.schema else frozenset()

    def _schema_entry(self, schema: str) -> Scope:
        """The one entry that the server goes by: it takes the most specific one, and does not add them up."""
        entries = [held for held in self.all if held.schema and not held.table]
        exact = [held for held in entries if held.schema in {schema, _literal(schema)}]
        if exact or _is_pattern(schema):
            return (exact or [Scope(schema)])[0]
        fitting = [held for held in entries if _like(held.schema).fullmatch(_literal(schema))]
        return max(fitting, key=_specificity, default=Scope(schema))


def needs_of(role: Role, kind: Kind, include: Sequence[str], control_schema: str) -> Needs:
    """The privileges that are exactly enough, by what they are on."""
    control = Scope(_escaped(control_schema, kind))
    tables = dict.fromkeys(_table_scopes(include, kind), ("SELECT",))
    match role:
        case Role.CAPTURE:
            # Whether the binlog leaves databases out can be seen with the second only.
            return {Scope(): ("REPLICATION SLAVE", kind.sees_binlog), **_merged(tables, {control: CONTROL})}
        case Role.APPLICATION:
            # LOCK TABLES is the least of the three that MySQL asks for: nothing can be changed with it.
            return {control: ("SELECT", "LOCK TABLES") if kind.needs_more_to_lock else ("SELECT",)}
        case Role.OPERATOR:
            everywhere = (kind.sees_binlog, "PROCESS", *_fence(kind))
            control_rights = (*CONTROL, "DELETE", "DROP")
            return {Scope(): everywhere, **_merged(tables, {control: control_rights})}


def _fence(kind: Kind) -> tuple[str, ...]:
    """To set read_only, to write the control schema under it, and to end other connections."""
    if kind.is_mariadb:
        return ("READ_ONLY ADMIN", "CONNECTION ADMIN")
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


def account(user: str) -> str:
    """`name@host` as SQL has it; `%` for a host that is not said.

    >>> account("app"), account("cdc@10.0.0.%")
    ("'app'@'%'", "'cdc'@'10.0.0.%'")
    """
    name, _, host = user.rpartition("@") if "@" in user else (user, "", "%")
    return "@".join("'" + part.replace("\\", "\\\\").replace("'", "''") + "'" for part in (name, host))


def grants(needs: Needs, user: str) -> list[str]:
    """The statements that give the user what it needs."""
    return [f"GRANT {', '.join(what)} ON {scope.text} TO {account(user)};" for scope, what in needs.items()]


def missing(role: Role, user: str, held: Held, needs: Needs) -> Iterator[Finding]:
    """What the user lacks, a finding for each place."""
    severity = Severity.REFUSE if role is Role.CAPTURE else Severity.WARN
    for scope, wanted in needs.items():
        lacking = tuple(privilege for privilege in wanted if not held.has(privilege, scope))
        if lacking:
            yield Finding(
                severity=severity,
                subject=SUBJECT,
                what=f"{role} user {user} lacks {', '.join(lacking)} on {scope.text}",
                mend=" ".join(grants({scope: lacking}, user)),
            )


def excess(role: Role, user: str, held: Held, needs: Needs, control_schema: str) -> Iterator[Finding]:
    """What the user has without need, a finding for each place."""
    for scope, privileges in held.own.items():
        spare = privileges - NOTHING - set(needs.get(scope, ()))
        if role is Role.APPLICATION:
            spare = _harmful(scope, spare, control_schema)
        if spare:
            yield Finding(
                severity=Severity.WARN,
                subject=SUBJECT,
                what=f"{role} user {user} has more than it needs: {', '.join(sorted(spare))} on {scope.text}",
                mend=" ".join([*_kept(needs, held, scope, user), *_revokes(scope, spare, user)]),
            )


def _harmful(scope: Scope, spare: frozenset[str], control_schema: str) -> frozenset[str]:
    """An application has its own tables to write; what counts is what gets past us."""
    if scope == Scope():
        return spare & PAST_THE_BINLOG_OR_FENCE
    return spare if _like(scope.schema).fullmatch(control_schema) else frozenset()


def _kept(needs: Needs, held: Held, scope: Scope, user: str) -> list[str]:
    """Statements to run first, where what is needed is held through the place that is to be revoked only."""
    without = Held({place: own for place, own in held.all.items() if place != scope}, {}, held.revoked)
    still = {
        place: tuple(one for one in wanted if held.has(one, place) and not without.has(one, place))
        for place, wanted in needs.items()
        if place != scope or ALL in held.own[scope]
    }
    lines = grants({place: wanted for place, wanted in still.items() if wanted}, user)
    # What is needed at the very place must come after a REVOKE ALL there.
    return [line for line in lines if f" ON {scope.text} " not in line]


def _revokes(scope: Scope, spare: frozenset[str], user: str) -> Iterator[str]:
    plain = ", ".join(sorted(spare))
    yield f"REVOKE {plain} ON {scope.text} FROM {account(user)};"


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


def _merged(first: Mapping[Scope, tuple[str, ...]], second: Mapping[Scope, tuple[str, ...]]) -> Needs:
    return {
        scope: tuple(dict.fromkeys((*first.get(scope, ()), *second.get(scope, ()))))
        for scope in (*first, *(scope for scope in second if scope not in first))
    }


def _escaped(schema: str, kind: Kind) -> str:
    return schema if kind.has_literal_schemas else re.sub(r"([_%\\])", r"\\\1", schema)


def _literal(schema: str) -> str:
    return re.sub(r"\\([_%\\])", r"\1", schema)


def _is_pattern(schema: str) -> bool:
    return re.search(r"(?<!\\)[_%]", schema) is not None


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
