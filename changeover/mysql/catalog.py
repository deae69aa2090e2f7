"""The captured tables as the source describes them, or why one of them cannot be moved exactly."""

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from changeover import charsets
from changeover.errors import SettingsInvalid, TableUnfit
from changeover.mysql.connection import Connection
from changeover.table import TEXT_KINDS, Column, Kind, Table

SYSTEM_SCHEMAS = ("information_schema", "performance_schema", "mysql", "sys")

KINDS = {
    **dict.fromkeys(("tinyint", "smallint", "mediumint", "int", "bigint"), Kind.INTEGER),
    "year": Kind.YEAR,
    "bit": Kind.BIT,
    "decimal": Kind.DECIMAL,
    "float": Kind.FLOAT,
    "double": Kind.DOUBLE,
    **dict.fromkeys(("char", "varchar", "tinytext", "text", "mediumtext", "longtext"), Kind.TEXT),
    "enum": Kind.ENUM,
    "set": Kind.SET,
    "json": Kind.JSON,  # of MySQL; to MariaDB it is a LONGTEXT
    **dict.fromkeys(("varbinary", "tinyblob", "blob", "mediumblob", "longblob", "vector"), Kind.BYTES),
    "binary": Kind.BINARY,
    **dict.fromkeys(("geometry", "point", "linestring", "polygon"), Kind.GEOMETRY),
    **dict.fromkeys(("multipoint", "multilinestring", "multipolygon"), Kind.GEOMETRY),
    **dict.fromkeys(("geometrycollection", "geomcollection"), Kind.GEOMETRY),
    "date": Kind.DATE,
    "time": Kind.TIME,
    "datetime": Kind.DATETIME,
    "timestamp": Kind.TIMESTAMP,
    "uuid": Kind.UUID,
    "inet4": Kind.INET4,
    "inet6": Kind.INET6,
}
"""The closed list of types: what is not in it is refused by name."""

UNORDERED_KEYS = ("enum", "set", "float", "double")
"""No key of chunks: ENUM and SET sort by number and compare as text, floats do not compare by their text."""

COLUMNS = (
    "SELECT table_schema, table_name, column_name, data_type, column_type, is_nullable, character_set_name, "
    "datetime_precision FROM information_schema.columns "
    "WHERE (table_schema, table_name) IN ({}) ORDER BY table_schema, table_name, ordinal_position"
)

KEYS = (
    "SELECT table_schema, table_name, column_name, sub_part FROM information_schema.statistics "
    "WHERE index_name = 'PRIMARY' AND (table_schema, table_name) IN ({}) "
    "ORDER BY table_schema, table_name, seq_in_index"
)

INDEXES = (
    "SELECT DISTINCT table_schema, table_name, index_name, column_name FROM information_schema.statistics "
    "WHERE (column_name IS NULL OR (index_type = 'HASH' AND non_unique = 0)) "
    "AND (table_schema, table_name) IN ({}) ORDER BY table_schema, table_name, index_name"
)
"""MySQL's indexes over expressions name no column; MariaDB's unique ones over long values are HASH."""

Name = tuple[str, str]
"""Schema and table."""


class ColumnRow(NamedTuple):
    """A column as information_schema describes it; empty text where it has NULL."""

    name: str
    data_type: str
    column_type: str
    is_nullable: str
    character_set: str
    precision: str


class KeyRow(NamedTuple):
    """A column of a primary key as information_schema describes it."""

    name: str
    prefix: str


def captured_tables(connection: Connection) -> list[Table]:
    """The tables that the settings include; `TableUnfit` names each that cannot be moved, and why."""
    tables, complaints = fit_tables(connection, captured_names(connection))
    if complaints:
        raise TableUnfit("; ".join(complaints), hint=UNFIT_HINT)
    return tables


UNFIT_HINT = "Change the table, or put it in source.exclude."


def fit_tables(connection: Connection, names: Sequence[Name]) -> tuple[list[Table], list[str]]:
    """The tables of these names that can be moved, and what stands against the others."""
    columns = {name: [ColumnRow(*row) for row in rows] for name, rows in _of(connection, COLUMNS, names)}
    keys = {name: [KeyRow(*row) for row in rows] for name, rows in _of(connection, KEYS, names)}
    by_name = {name: [*_complaints(columns[name], keys[name])] for name in names}
    complaints = [f"{'.'.join(name)}{why}" for name in names for why in by_name[name]]
    complaints += _same_names(names)
    complaints += _hidden_versions(connection, names)
    complaints += _hidden_columns(connection, names)
    if not is_described_in_binlog(connection):
        complaints += _doubtful_labels(columns)
    return [_table(name, columns[name], keys[name]) for name in names if not by_name[name]], complaints


def is_described_in_binlog(connection: Connection) -> bool:
    """Whether the server can describe a table's columns in the binlog, which MySQL 5.7 cannot."""
    return bool(connection.query("SHOW GLOBAL VARIABLES LIKE 'binlog_row_metadata'"))


def captured_names(connection: Connection) -> list[Name]:
    """Schema and name of each table that the settings include; `SettingsInvalid` if there is none."""
    source = connection.source
    hidden = (*SYSTEM_SCHEMAS, source.control_schema)
    found = connection.query(
        "SELECT table_schema, table_name FROM information_schema.tables "
        "WHERE table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY table_schema, table_name"
    )
    names = [(schema, name) for schema, name in found if schema not in hidden]
    wanted = [name for name in names if _matches(name, source.include) and not _matches(name, source.exclude)]
    if not wanted:
        message = f"source.include names no table: nothing matches {', '.join(source.include)}"
        hint = (
            "Give schema.table, with * for any; SHOW TABLES, as this user, has no table that it may not read."
        )
        raise SettingsInvalid(message, hint=hint)
    return wanted


def _matches(name: Name, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(".".join(name), pattern) for pattern in patterns)


def _of(connection: Connection, sql: str, names: Sequence[Name]) -> Iterator[tuple[Name, list[list[str]]]]:
    """For each table the query's rows, without the two columns that name it."""
    marks = ", ".join(["(%s, %s)"] * len(names))
    rows: dict[Name, list[list[str]]] = {name: [] for name in names}
    parts = [part for name in names for part in name]
    for schema, name, *rest in connection.query(sql.format(marks), parts):
        # information_schema compares names without regard to case, where the server may tell them apart.
        if (schema, name) in rows:
            rows[schema, name].append(rest)
    yield from rows.items()


def _table(name: Name, columns: Sequence[ColumnRow], key: Sequence[KeyRow]) -> Table:
    return Table(
        schema=name[0],
        name=name[1],
        key=tuple(row.name for row in key),
        columns=tuple(
            Column(
                name=row.name,
                kind=KINDS[row.data_type],
                sql_type=row.column_type,
                nullable=row.is_nullable == "YES",
                fraction_digits=int(row.precision or 0),
                charset=row.character_set if KINDS[row.data_type] in TEXT_KINDS else "",
            )
            for row in columns
        ),
    )


def _complaints(columns: Sequence[ColumnRow], key: Sequence[KeyRow]) -> Iterator[str]:
    """What stands against the table, each to be put behind its name."""
    for column in columns:
        why = _why_unfit(column)
        if why:
            yield f".{column.name} {why}"
    if not key:
        yield " has no primary key"
    by_name = {column.name: column for column in columns}
    for name, prefix in key:
        column = by_name[name]
        if column.data_type in UNORDERED_KEYS:
            yield f".{name} is a {column.data_type.upper()} in the primary key, which has no usable order"
        if column.character_set in charsets.IRREVERSIBLE:
            yield f".{name} is in the primary key in {column.character_set}, {TWO_WAYS}"
        if prefix:
            yield f".{name} is in the primary key by a prefix only"


TWO_WAYS = "which can store one text in two ways, so two rows could become one"


def _why_unfit(column: ColumnRow) -> str | None:
    kind = KINDS.get(column.data_type)
    if kind is None:
        return f"has type {column.column_type}, which this release does not know"
    if kind in TEXT_KINDS and not charsets.is_known(column.character_set):
        return f"has character set {column.character_set or 'binary'}, in which this release reads no text"
    return None


def _hidden_versions(connection: Connection, names: Sequence[Name]) -> Iterator[str]:
    """Tables whose old rows are kept in hidden columns, which row events then have and SELECT has not."""
    found = connection.query(
        "SELECT table_schema, table_name FROM information_schema.tables WHERE table_type = 'SYSTEM VERSIONED'"
    )
    for name in found:
        if name in names:
            yield f"{'.'.join(name)} is system-versioned, which this release does not move"


def _doubtful_labels(columns: Mapping[Name, Sequence[ColumnRow]]) -> Iterator[str]:
    """ENUMs and SETs whose labels the catalog may not tell: characters beyond 3-byte UTF-8 are '?' there."""
    for name, rows in columns.items():
        for row in rows:
            if row.data_type in {"enum", "set"} and "?" in row.column_type:
                yield (
                    f"{'.'.join(name)}.{row.name} has a label with '?', which this server also shows "
                    "for characters that it cannot show, and its binlog does not have labels"
                )


HIDES = "puts a hidden column into the binlog"


def _hidden_columns(connection: Connection, names: Sequence[Name]) -> Iterator[str]:
    """Tables with indexes that are kept in columns of their own: row events have those, and no SELECT."""
    for name, rows in _of(connection, INDEXES, names):
        for index, column in rows:
            over = "whole long values, as UNIQUE" if column else "an expression"
            yield f"{'.'.join(name)} has index {index} over {over}, which {HIDES}"


def _same_names(names: Sequence[Name]) -> Iterator[str]:
    """Source tables whose names would be one: in the target, which knows no case, or in the log."""
    seen: dict[str, Name] = {}
    for name in names:
        other = seen.setdefault(name[1].lower(), name)
        if other is not name:
            yield f"{'.'.join(other)} and {'.'.join(name)} would be one table in the target"
        if "." in "".join(name):
            yield f"{'.'.join(name)} has a dot in its name, so its topic could be another table's"
