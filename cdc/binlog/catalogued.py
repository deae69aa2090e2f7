"""A table map that tells types alone, as MySQL 5.7 writes it, completed by the table as the catalog has it.

Names, signs, character sets and labels are taken from the catalog by the columns' places. Nothing here can
show that the catalog still tells the truth: whoever reads it sees to that (`changeover/mysql/schema.py`).
"""

from cdc.binlog import table_map as wire
from cdc.binlog.plans import BINARY, base_of
from cdc.binlog.rows import BYTES, CHARSET_NAMES
from cdc.binlog.table_map import TableMap, WireColumn
from changeover.table import Column, Table


def completed(described: TableMap, table: Table) -> TableMap:
    """The table map with the catalog's words, untouched where the columns are not as many."""
    if len(described.columns) != len(table.columns):
        return described
    pairs = zip(described.columns, table.columns, strict=True)
    return described._replace(columns=tuple(_completed(*pair) for pair in pairs))


def _completed(bare: WireColumn, column: Column) -> WireColumn:
    named = bare._replace(name=column.name)
    charset = CHARSET_NAMES.get(column.charset, column.charset)
    if bare.kind in wire.NUMBERS:
        return named._replace(is_unsigned="unsigned" in column.sql_type)
    if bare.kind in wire.TEXTS:
        return named._replace(charset=BINARY if base_of(column.sql_type) in BYTES else charset)
    if bare.kind == wire.ENUM:
        return named._replace(charset=charset, labels=("", *column.members))
    if bare.kind == wire.SET:
        return named._replace(charset=charset, labels=column.members)
    if bare.kind == wire.JSON:
        return named._replace(kind=wire.JSON_OF_57)
    return named
