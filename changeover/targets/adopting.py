"""Whether a SQLite table that another tool made holds rows as exactly as one of our own would."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from changeover.errors import TargetUnusable
from changeover.table import Table

Rows = Callable[[str, str], list[tuple[Any, ...]]]
"""The rows of a statement with one parameter."""

NONE = "BLOB"
"""SQLite's name for no affinity: such a column keeps every value as it comes."""


def check(rows: Rows, table: Table, declared: Mapping[str, str]) -> None:
    """Return if the table of that name has these columns and this key, and nothing that changes a write.

    `declared` is the type that each column would have in a table of ours.
    """
    complaints = [
        *_of_columns(rows, table, declared),
        *_of_indexes(rows, table),
        *(f"it has the trigger {name}" for (name,) in rows(TRIGGERS, table.name)),
    ]
    if complaints:
        message = f"the target's table {table.name} cannot be adopted: {'; '.join(complaints)}"
        hint = "Have the other tool make the table as changeover would, or move into a new target file."
        raise TargetUnusable(message, hint=hint)


TRIGGERS = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE"
COLUMNS = 'SELECT name, type, "notnull", pk, hidden FROM pragma_table_xinfo(?)'
INDEXES = 'SELECT name, origin FROM pragma_index_list(?) WHERE "unique"'
COLLATIONS = "SELECT name FROM pragma_index_xinfo(?) WHERE key AND coll <> 'BINARY'"


def _of_columns(rows: Rows, table: Table, declared: Mapping[str, str]) -> Iterator[str]:
    found = {name: rest for name, *rest in rows(COLUMNS, table.name)}
    if missing := [name for name in table.column_names if name not in found]:
        yield f"it lacks {', '.join(missing)}"
    if more := [name for name in found if name not in declared]:
        yield f"it has {', '.join(more)} beside"
    for column in table.columns:
        if column.name not in found:
            continue
        kind, is_not_null, _, hidden = found[column.name]
        if _affinity(kind) not in {_affinity(declared[column.name]), NONE} or hidden:
            yield f"{column.name} is declared {kind}, which changes values of {column.sql_type}"
        if is_not_null and column.nullable:
            yield f"{column.name} takes no NULL"
    key = {name for name, (_, _, place, _) in found.items() if place}
    if key != set(table.key):
        yield f"its key is ({', '.join(sorted(key))}), not ({', '.join(table.key)})"


def _of_indexes(rows: Rows, table: Table) -> Iterator[str]:
    """With another unique index, or a key that folds case, one row's write would delete another."""
    for name, origin in rows(INDEXES, table.name):
        if origin != "pk":
            yield f"it has the unique index {name}"
            continue
        for (column,) in rows(COLLATIONS, name):
            yield f"its key does not compare {column} by bytes"


AFFINITIES = (
    ("INTEGER", ("INT",)),
    ("TEXT", ("CHAR", "CLOB", "TEXT")),
    (NONE, ("BLOB",)),
    ("REAL", ("REAL", "FLOA", "DOUB")),
)
"""What a declared type has in it, and the affinity that SQLite gives it then; the first that fits counts."""


def _affinity(declared: str) -> str:
    upper = declared.upper()
    for affinity, parts in AFFINITIES:
        if any(part in upper for part in parts):
            return affinity
    return "NUMERIC" if upper else NONE
