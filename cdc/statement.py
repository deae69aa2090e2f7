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


HARMLESS = frozenset({"grant", "revoke", "analyze", "flush", "begin", "savepoint", "release", "xa"})
ROWS_BY_STATEMENT = frozenset(
    {"insert", "update", "delete", "replace", "load", "call", "select", "set", "do", "with", "values"}
)
OBJECTS_WITHOUT_ROWS = frozenset(
    {"view", "trigger", "procedure", "function", "event", "user", "role", "package"}
)
DDL = frozenset({"create", "alter", "drop"})

TOKEN = re.compile(
    r"""
      /\*(?!M?!).*?\*/ | --[ \t][^\n]* | \#[^\n]*      # comments; the executable ones are read as code
    | '(?:[^'\\]|\\.|'')*'                             # text
    | `(?P<quoted>(?:[^`]|``)+)` | "(?P<ansi>(?:[^"]|"")+)"
    | (?P<word>[\w$]+) | (?P<dot>\.)
    """,
    re.VERBOSE | re.DOTALL,
)


VALUE = re.compile(r"'(?:[^'\\]|\\.|'')*'", re.DOTALL)


def effect_of(text: str, schema: str, captured: AbstractSet[Name]) -> Effect:
    """What the statement, run in `schema`, can do to the captured tables (names in lower case).

    >>> effect_of("ALTER TABLE citizen ADD x INT", "records", {("records", "citizen")}).name
    'CHANGES_TABLE'
    """
    tokens = list(_tokens(text))
    if not tokens:
        return Effect.NONE
    first = tokens[0]
    if first == "rollback":
        return Effect.UNDOES_ROWS
    if first in HARMLESS:
        return Effect.NONE
    mentioned = _mentions(tokens, schema.lower(), captured)
    if first in ROWS_BY_STATEMENT:
        # A server that restarts logs DELETE FROM for each MEMORY table, and that alone is harmless.
        is_memory_table = (
            first == "delete" and not mentioned and len(tokens) <= len(["delete", "from", "a", ".", "b"])
        )
        return Effect.NONE if is_memory_table else Effect.CHANGES_ROWS
    if first in DDL and _makes_object_without_rows(tokens):
        return Effect.NONE
    return Effect.CHANGES_TABLE if mentioned else Effect.NONE


def without_values(text: str) -> str:
    """The statement in one line, with its texts left out: they may be a row's, which nobody must see.

    >>> without_values("INSERT INTO t  VALUES ('Anne', 1)")
    "INSERT INTO t VALUES ('…', 1)"
    """
    return " ".join(VALUE.sub("'…'", text).split())


def _tokens(text: str) -> Iterator[str]:
    for match in TOKEN.finditer(text):
        token = match["quoted"] or match["ansi"] or match["word"] or match["dot"]
        if token:
            yield token.lower()


def _mentions(tokens: list[str], schema: str, captured: AbstractSet[Name]) -> bool:
    """Whether a token can be the name of a captured table, or of the schema of one."""
    schemas = {name[0] for name in captured}
    for place, token in enumerate(tokens):
        if place >= 2 and tokens[place - 1] == ".":  # noqa: PLR2004 - schema, dot, table
            if (tokens[place - 2], token) in captured:
                return True
        elif (schema, token) in captured:
            return True
    return tokens[1:2] in (["database"], ["schema"]) and not schemas.isdisjoint(tokens)


def _makes_object_without_rows(tokens: list[str]) -> bool:
    """Whether a CREATE, ALTER or DROP is of a view, a routine or the like: `CREATE OR REPLACE ... VIEW`."""
    for token in tokens[1:]:
        if token in OBJECTS_WITHOUT_ROWS:
            return True
        if token in {"table", "tables", "database", "schema", "index", "sequence", "temporary"}:
            return False
    return False
