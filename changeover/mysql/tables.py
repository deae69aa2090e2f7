"""The captured tables: which cannot be moved, what changes in them without a trace, how much they hold."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from changeover.errors import SettingsInvalid
from changeover.finding import Finding, Severity
from changeover.mysql.catalog import UNFIT_HINT, Name, captured_names, fit_tables
from changeover.mysql.connection import Connection, quoted
from changeover.mysql.facts import seen, version_of
from changeover.mysql.numbering import is_mariadb
from changeover.table import Table

SUBJECT = "tables"

LOGGED_CASCADES_SINCE = (9, 6)
"""MySQL from here on cascades above the storage engine, where the binlog sees it."""

SILENT = frozenset({"CASCADE", "SET NULL", "SET DEFAULT"})

CONSTRAINT = re.compile(
    r"^  CONSTRAINT (?P<constraint>`(?:[^`]|``)*`) FOREIGN KEY \(.*?\) "
    r"REFERENCES (?:`(?P<schema>(?:[^`]|``)*)`\.)?`(?P<table>(?:[^`]|``)*)` \(.*?\)"
    r"(?P<rules>.*?),?$",
    re.MULTILINE,
)
RULE = re.compile(r"ON (DELETE|UPDATE) (CASCADE|SET NULL|SET DEFAULT)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What the server thinks a table holds."""

    rows: int
    data_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignKey:
    """A foreign key that changes rows of `child`."""

    child: Name
    parent: Name
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFacts:
    """The captured tables as they stand."""

    names: Sequence[Name]
    tables: Sequence[Table]
    """Those of them that can be moved."""
    complaints: Sequence[str]
    size: Size
    engines: Sequence[tuple[Name, str]]
    """Tables that an engine without transactions keeps."""
    foreign_keys: Sequence[ForeignKey]
    are_cascades_logged: bool
    triggers: Sequence[tuple[Name, str]]
    loose_keys: Sequence[tuple[Name, str, str]]
    """Key columns, with their collation, for which keys of different bytes can be equal."""


def read_tables(connection: Connection) -> TableFacts:
    """The facts about the tables that the settings include."""
    try:
        names = captured_names(connection)
    except SettingsInvalid as error:
        return _none(str(error))
    marks, parts = ", ".join(["(%s, %s)"] * len(names)), [part for name in names for part in name]
    where = f"WHERE (table_schema, table_name) IN ({marks})"
    tables, complaints = fit_tables(connection, names)
    return TableFacts(
        names=names,
        tables=tables,
        complaints=complaints,
        size=_size(connection, where, parts),
        engines=[
            ((schema, name), engine)
            for schema, name, engine in connection.query(
                f"SELECT table_schema, table_name, engine FROM information_schema.tables {where} "
                "AND engine NOT IN "
                "(SELECT engine FROM information_schema.engines WHERE transactions = 'YES')",
                parts,
            )
        ],
        foreign_keys=_foreign_keys(connection, names),
        are_cascades_logged=_are_cascades_logged(connection),
        triggers=[
            ((schema, table), trigger)
            for schema, table, trigger in connection.query(
                "SELECT event_object_schema, event_object_table, trigger_name "
                "FROM information_schema.triggers "
                f"WHERE (event_object_schema, event_object_table) IN ({marks}) ORDER BY 1, 2, 3",
                parts,
            )
        ],
        loose_keys=[
            ((schema, table), column, collation)
            for schema, table, column, collation in connection.query(
                "SELECT c.table_schema, c.table_name, c.column_name, c.collation_name "
                "FROM information_schema.columns c JOIN information_schema.statistics s "
                "USING (table_schema, table_name, column_name) WHERE s.index_name = 'PRIMARY' "
                rf"AND c.collation_name NOT LIKE '%%\_bin' AND (c.table_schema, c.table_name) IN ({marks}) "
                "ORDER BY 1, 2, s.seq_in_index",
                parts,
            )
        ],
    )


def _none(complaint: str) -> TableFacts:
    return TableFacts(
        names=(),
        tables=(),
        complaints=(complaint,),
        size=Size(rows=0, data_bytes=0),
        engines=(),
        foreign_keys=(),
        are_cascades_logged=False,
        triggers=(),
        loose_keys=(),
    )


def _size(connection: Connection, where: str, parts: list[str]) -> Size:
    ((rows, data_bytes),) = connection.query(
        "SELECT coalesce(sum(table_rows), 0), coalesce(sum(data_length), 0) "
        f"FROM information_schema.tables {where}",
        parts,
    )
    return Size(rows=int(rows), data_bytes=int(data_bytes))


def _foreign_keys(connection: Connection, names: Sequence[Name]) -> list[ForeignKey]:
    # MariaDB shows the rules to those only who may more than SELECT: they are in SHOW CREATE TABLE for all.
    children = connection.query(
        "SELECT DISTINCT table_schema, table_name, referenced_table_schema, referenced_table_name "
        "FROM information_schema.key_column_usage WHERE referenced_table_name IS NOT NULL ORDER BY 1, 2"
    )
    concerned = {
        (schema, child)
        for schema, child, parent_schema, parent in children
        if (schema, child) in names or (parent_schema, parent) in names
    }
    return [key for child in sorted(concerned) for key in _keys_of(connection, child)]


def _keys_of(connection: Connection, child: Name) -> Iterator[ForeignKey]:
    # Refused to who may not SELECT from it: grants say so of a captured table, and another one is not moved.
    rows = seen(connection, f"SHOW CREATE TABLE {'.'.join(map(quoted, child))}") or [{"Create Table": ""}]
    definition = rows[0]["Create Table"]
    for found in CONSTRAINT.finditer(definition):
        rules = tuple(" ".join(("ON", *rule)) for rule in RULE.findall(found["rules"]))
        if rules:
            schema = (found["schema"] or child[0]).replace("``", "`")
            yield ForeignKey(child=child, parent=(schema, found["table"].replace("``", "`")), rules=rules)


def _are_cascades_logged(connection: Connection) -> bool:
    if is_mariadb(connection) or version_of(connection.value("SELECT @@version")) < LOGGED_CASCADES_SINCE:
        return False
    return connection.value("SELECT @@global.innodb_native_foreign_keys") in {"0", "OFF"}


def judge_tables(facts: TableFacts) -> list[Finding]:
    """What stands against the tables."""
    return [
        *(
            _found(Severity.REFUSE, complaint, UNFIT_HINT if facts.names else "")
            for complaint in facts.complaints
        ),
        *_cascades(facts),
        *_engines(facts),
        *_triggers(facts),
        *_loose_keys(facts),
    ]


def _cascades(facts: TableFacts) -> Iterator[Finding]:
    for key in facts.foreign_keys:
        child, parent, rules = ".".join(key.child), ".".join(key.parent), ", ".join(key.rules)
        what = f"{child} has a foreign key to {parent} with {rules}"
        if facts.are_cascades_logged:
            yield _found(
                Severity.NOTE, f"{what}: the rows that it changes are logged before the parent's", ""
            )
        elif key.child in facts.names:
            mend = "let the application delete and update the children, and make the key RESTRICT"
            yield _found(Severity.REFUSE, f"{what}: the binlog does not hold the rows that it changes", mend)
        else:
            mend = "put the child into no other move; this one is whole without it"
            yield _found(
                Severity.WARN, f"{what}, and is not captured: what it changes there is not logged", mend
            )


def _engines(facts: TableFacts) -> Iterator[Finding]:
    for name, engine in facts.engines:
        what = f"{'.'.join(name)} is kept by {engine}, which has no transactions: reads of it have no bound"
        yield _found(Severity.WARN, what, f"ALTER TABLE {'.'.join(map(quoted, name))} ENGINE = InnoDB")


def _triggers(facts: TableFacts) -> Iterator[Finding]:
    for name, trigger in facts.triggers:
        what = (
            f"{'.'.join(name)} has a trigger {trigger}: what it changes is in the binlog and is moved as such"
        )
        yield _found(Severity.NOTE, what, "do not make it anew on the new side")


def _loose_keys(facts: TableFacts) -> Iterator[Finding]:
    for name, column, collation in facts.loose_keys:
        what = f"{'.'.join(name)}.{column} is a key with collation {collation}: 'a' and 'A' are one key there"
        yield _found(
            Severity.NOTE, what, "on the new side they are two: let the application spell keys one way"
        )


def _found(severity: Severity, what: str, mend: str) -> Finding:
    return Finding(severity=severity, subject=SUBJECT, what=what, mend=mend)
