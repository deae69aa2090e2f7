"""What a statement in the binlog can do to the captured tables, judged from its words.

Row changes never come as statements, so a statement is harmless, or a DDL that changes a captured table,
or DML of a session that switched to STATEMENT format. In doubt it counts as the worse: that costs a
stop which a person looks at, where the other mistake costs rows.
"""

import enum
import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet

Name = tuple[str, str]
"""Schema and table."""


class Effect(enum.Enum):
    """What a statement can do to the captured tables."""

    NONE = "none"
    CHANGES_TABLE = "changes a captured table"
    CHANGES_ROWS = "changes rows without logging them as rows"
    UNDOES_ROWS = "undoes rows that were logged before it"


HARMLESS = frozenset(
    {"grant", "revoke", "analyze", "optimize", "check", "flush", "begin", "savepoint", "release", "xa"}
)
ROWS_BY_STATEMENT = frozenset(
    {"insert", "update", "delete", "replace", "load", "call", "select", "set", "do", "with", "values"}
)
ACCOUNTS = frozenset({"password", "default"})
"""What follows SET in a statement about accounts: SET PASSWORD, SET DEFAULT ROLE."""

OBJECTS_WITHOUT_ROWS = frozenset(
    {"view", "trigger", "procedure", "function", "event", "user", "role", "package", "temporary"}
)
OBJECTS_WITH_ROWS = frozenset({"table", "tables", "database", "schema", "index", "sequence"})
DDL = frozenset({"create", "alter", "drop"})
BEFORE_A_NAME = frozenset({"table", "tables", "exists", "to", "from", "into", "update", "on", "like", "as"})
"""Words behind which `.name` means the name without a schema, as MariaDB allows."""

TOKEN = re.compile(
    r"""
      /\*M?!\d* | /\*.*?\*/ | --[ \t][^\n]* | \#[^\n]*   # comments; the executable ones are read as code
    | '(?:[^'\\]|\\.|'')*'                             # text
    | `(?P<quoted>(?:[^`]|``)+)` | "(?P<ansi>(?:[^"]|"")*)"
    | (?P<word>[\w$]+) | (?P<dot>\.)
    """,
    re.VERBOSE | re.DOTALL,
)

VALUE = re.compile(
    r"""'(?:[^'\\]|\\.|'')*(?:'|$) | "(?:[^"\\]|\\.|"")*(?:"|$) | \b\d[\w.]*""", re.VERBOSE | re.DOTALL
)


def effect_of(text: str, schema: str, captured: AbstractSet[Name]) -> Effect:
    """What the statement, run in `schema`, can do to the captured tables (names in lower case).

    >>> effect_of("ALTER TABLE citizen ADD x INT", "records", {("records", "citizen")}).name
    'CHANGES_TABLE'
    """
    tokens = list(_tokens(text))
    if not tokens or _is_harmless(tokens):
        return Effect.NONE
    if tokens[0] == "rollback":
        return Effect.UNDOES_ROWS
    is_mentioned = _mentions(_that_count(tokens), schema.lower(), captured)
    if tokens[0] in ROWS_BY_STATEMENT:
        # A server that restarts logs DELETE FROM for each MEMORY table, and that alone is harmless.
        is_of_memory_table = tokens[0] == "delete" and len(tokens) <= len(("delete", "from", "a", ".", "b"))
        return Effect.NONE if is_of_memory_table and not is_mentioned else Effect.CHANGES_ROWS
    return Effect.CHANGES_TABLE if is_mentioned else Effect.NONE


def without_values(text: str) -> str:
    """The statement in one line, with texts and numbers left out: they may be a row's, for nobody to see.

    >>> without_values("INSERT INTO t  VALUES ('Anne', 1)")
    'INSERT INTO t VALUES (…, …)'
    """
    return " ".join(VALUE.sub("…", text).split())


def _tokens(text: str) -> Iterator[str]:
    for match in TOKEN.finditer(text):
        quoted = match["quoted"]
        token = quoted.replace("``", "`") if quoted else match["ansi"] or match["word"] or match["dot"]
        if token:
            yield token.lower()


def _that_count(tokens: list[str]) -> list[str]:
    """The tokens that can name what is changed: of a CREATE TABLE the new table's name alone.

    What follows it may mention other tables, in REFERENCES, LIKE or SELECT, without changing them.
    """
    if tokens[0] != "create" or "table" not in tokens:
        return tokens
    behind = tokens.index("table") + 1
    while tokens[behind : behind + 1] in (["if"], ["not"], ["exists"]):
        behind += 1
    dots = tokens[behind : behind + 2]
    return tokens[: behind + (2 if dots[:1] == ["."] else 3 if dots[1:] == ["."] else 1)]


def _mentions(tokens: list[str], schema: str, captured: AbstractSet[Name]) -> bool:
    """Whether a token can be the name of a captured table, or of the schema of one."""
    for place, token in enumerate(tokens):
        is_behind_dot = place > 0 and tokens[place - 1] == "."
        qualifier = tokens[place - 2] if is_behind_dot and place > 1 else None
        if (qualifier, token) in captured:
            return True
        if (schema, token) in captured and (not is_behind_dot or qualifier in BEFORE_A_NAME):
            return True
    is_about_schema = not {"database", "schema"}.isdisjoint(tokens[1:4])
    return is_about_schema and not {name[0] for name in captured}.isdisjoint(tokens)


def _is_harmless(tokens: list[str]) -> bool:
    is_about_accounts = tokens[0] == "set" and not ACCOUNTS.isdisjoint(tokens[1:2])
    is_about_no_rows = tokens[0] in DDL and _is_about_objects_without_rows(tokens)
    return tokens[0] in HARMLESS or is_about_accounts or is_about_no_rows


def _is_about_objects_without_rows(tokens: list[str]) -> bool:
    """Whether a CREATE, ALTER or DROP is of a view, a routine or the like: `CREATE OR REPLACE ... VIEW`."""
    for token in tokens[1:]:
        if token in OBJECTS_WITHOUT_ROWS:
            return True
        if token in OBJECTS_WITH_ROWS:
            return False
    return False
