"""The captured tables as the source describes them, or why one of them cannot be moved exactly."""

import fnmatch
import re
from collections.abc import Sequence

from changeover.errors import SettingsInvalid, TableUnfit
from changeover.mysql.connection import Connection
from changeover.settings import SourceSettings
from changeover.table import Column, Kind, Table

SYSTEM_SCHEMAS = ("information_schema", "performance_schema", "mysql", "sys")

KINDS = {
    **dict.fromkeys(("tinyint", "smallint", "mediumint", "int", "bigint"), Kind.INTEGER),
    "decimal": Kind.DECIMAL,
    "float": Kind.FLOAT,
    "double": Kind.DOUBLE,
    **dict.fromkeys(("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum"), Kind.TEXT),
    **dict.fromkeys(("varbinary", "tinyblob", "blob", "mediumblob", "longblob"), Kind.BYTES),
    "date": Kind.DATE,
    "datetime": Kind.DATETIME,
    "timestamp": Kind.TIMESTAMP,
}
"""The closed list of types whose values mysql-replication reads exactly."""

NULL_HIDES_VALUES = frozenset({Kind.DATE, Kind.DATETIME, Kind.TIMESTAMP})
"""Where the library's None may be a zero date: NULL and the zero date would become one."""

UNORDERED_KEYS = ("enum", "float", "double")
"""No key of chunks: ENUM sorts by number and compares as text, floats do not compare by their text."""

COLUMNS = (
    "SELECT table_schema, table_name, column_name, data_type, column_type, is_nullable, character_set_name, "
    "datetime_precision, extra FROM information_schema.columns "
    "WHERE (table_schema, table_name) IN ({}) ORDER BY table_schema, table_name, ordinal_position"
)

KEYS = (
    "SELECT table_schema, table_name, column_name, sub_part FROM information_schema.statistics "
    "WHERE index_name = 'PRIMARY' AND (table_schema, table_name) IN ({}) "
    "ORDER BY table_schema, table_name, seq_in_index"
)


def captured_tables(connection: Connection) -> list[Table]:
    """The tables that the settings include; `TableUnfit` names each that cannot be moved, and why."""
    source = connection.source
    names = _captured_names(connection, source)
    if not names:
        message = f"source.include names no table: nothing matches {', '.join(source.include)}"
        raise SettingsInvalid(message, hint="Give schema.table, with * for any; see SHOW TABLES.")
    tables, complaints = _read(connection, names)
    complaints += _same_names(tables)
    if complaints:
        raise TableUnfit("; ".join(complaints), hint="Change the table, or put it in source.exclude.")
    return tables


def _captured_names(connection: Connection, source: SourceSettings) -> list[tuple[str, str]]:
    hidden = (*SYSTEM_SCHEMAS, source.control_schema)
    found = connection.query(
        "SELECT table_schema, table_name FROM information_schema.tables "
        "WHERE table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY table_schema, table_name"
    )
    names = [(schema or "", name or "") for schema, name in found if schema not in hidden]
    return [name for name in names if _matches(name, source.include) and not _matches(name, source.exclude)]


def _matches(name: tuple[str, str], patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(".".join(name), pattern) for pattern in patterns)


def _read(connection: Connection, names: list[tuple[str, str]]) -> tuple[list[Table], list[str]]:
    marks = ", ".join(["(%s, %s)"] * len(names))
    flat = [part for name in names for part in name]
    columns: dict[tuple[str, str], list[tuple[str, ...]]] = {name: [] for name in names}
    for schema, name, *rest in connection.query(COLUMNS.format(marks), flat):
        columns[schema or "", name or ""].append(tuple(value or "" for value in rest))
    keys: dict[tuple[str, str], list[tuple[str, str]]] = {name: [] for name in names}
    for schema, name, column, prefix in connection.query(KEYS.format(marks), flat):
        keys[schema or "", name or ""].append((column or "", prefix or ""))
    tables: list[Table] = []
    complaints: list[str] = []
    for name in names:
        found = _complaints(".".join(name), columns[name], keys[name])
        complaints += found
        if not found:
            tables.append(_table(name, columns[name], [column for column, _ in keys[name]]))
    return tables, complaints


def _table(name: tuple[str, str], columns: list[tuple[str, ...]], key: list[str]) -> Table:
    return Table(
        schema=name[0],
        name=name[1],
        key=tuple(key),
        columns=tuple(
            Column(
                name=column,
                kind=KINDS[data_type],
                sql_type=column_type,
                nullable=is_nullable == "YES",
                fraction_digits=int(precision or 0),
            )
            for column, data_type, column_type, is_nullable, _, precision, _ in columns
        ),
    )


def _complaints(table: str, columns: list[tuple[str, ...]], key: list[tuple[str, str]]) -> list[str]:
    found = [f"{table}.{column[0]} {why}" for column in columns if (why := _why_unfit(column)) is not None]
    if not key:
        found.append(f"{table} has no primary key")
    types = {column: data_type for column, data_type, *_ in columns}
    found += [
        f"{table}.{column} is a {types[column].upper()} in the primary key, which has no usable order"
        for column, _ in key
        if types[column] in UNORDERED_KEYS
    ]
    found += [f"{table}.{column} is in the primary key by a prefix only" for column, prefix in key if prefix]
    return found


def _why_unfit(column: tuple[str, ...]) -> str | None:
    _, data_type, column_type, is_nullable, charset, _, extra = column
    kind = KINDS.get(data_type)
    if kind is None:
        return f"has type {column_type}, which this release cannot read exactly from the binlog"
    if kind is Kind.TEXT and charset != "utf8mb4":
        return f"has character set {charset}; this release reads utf8mb4 only"
    if kind in NULL_HIDES_VALUES and is_nullable == "YES":
        return f"is a nullable {data_type.upper()}: a zero date could not be told from NULL"
    if re.search(r"GENERATED|INVISIBLE|ROW START|ROW END", extra, re.IGNORECASE):
        return f"is {extra.lower()}, which this release does not move"
    if "compressed" in column_type.lower():
        return "is COMPRESSED, which this release cannot read from the binlog"
    return None


def _same_names(tables: list[Table]) -> list[str]:
    """Two source tables that would be one table in the target, where names know no case."""
    seen: dict[str, Table] = {}
    found = []
    for table in tables:
        other = seen.setdefault(table.name.lower(), table)
        if other is not table:
            found.append(f"{other.full_name} and {table.full_name} would be one table in the target")
    return found
