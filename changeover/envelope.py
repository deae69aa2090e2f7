"""The log's wire form: Debezium's JSON change envelope, with our version in `source.sequence`.

Existing readers of `debezium-json` read our topics. The bytes of a change are a function of the change
alone, so a change that is read twice is written the same twice.
"""

from functools import lru_cache
from typing import Any

import orjson

from changeover.change import Change, Op, Origin
from changeover.errors import ChangeUnreadable
from changeover.table import Column, Kind, Table
from changeover.values import Row, row_from_json, row_to_json
from changeover.version import Version


def encode_key(table: Table, row: Row) -> bytes:
    """The key of the row as a JSON object: the log's record key, and the name of the row everywhere.

    Two rows are the same row if and only if these bytes are equal: never compare keys in another way, for
    the source's collations call keys equal that the target keeps apart.
    """
    return orjson.dumps(row_to_json(table, {name: row[name] for name in table.key}))


def decode_key(table: Table, key: bytes) -> Row:
    """The key columns and their canonical values."""
    return row_from_json(table, orjson.loads(key))


def encode(change: Change, pipeline: str) -> bytes:
    """The change as a JSON envelope."""
    table = change.table
    before = NULL if change.before is None else orjson.dumps(row_to_json(table, change.before))
    after = NULL if change.after is None else orjson.dumps(row_to_json(table, change.after))
    tail = _tail(pipeline, (table.schema, table.name), change.op, change.origin, change.version)
    return b'{"before":%b,"after":%b,%b' % (before, after, tail)


NULL = b"null"


@lru_cache(maxsize=64)  # tables and operations of the few transactions and chunks that are written at a time
def _tail(pipeline: str, table: tuple[str, str], op: Op, origin: Origin, version: Version) -> bytes:
    """What stands behind the images, without the brace before it: alike for the rows of a transaction."""
    transaction = origin.transaction
    envelope = {
        "op": op,
        "ts_ms": origin.at_ms,
        "source": {
            "connector": "changeover",
            "name": pipeline,
            "ts_ms": origin.at_ms,
            "snapshot": "true" if op is Op.READ else "false",
            "db": table[0],
            "table": table[1],
            "sequence": version.text,
            "gtid": transaction,
        },
        "transaction": None if transaction is None else {"id": transaction},
    }
    return orjson.dumps(envelope)[1:]


def decode(table: Table, value: bytes) -> Change:
    """The change that the envelope holds; `ChangeUnreadable` if it is not one of this table."""
    try:
        envelope: dict[str, Any] = orjson.loads(value)
        source = envelope["source"]
        if (source["db"], source["table"]) != (table.schema, table.name):
            message = f"it is a change of {source['db']}.{source['table']}"
            raise ValueError(message)  # noqa: TRY301 - one translation for all that can be wrong below
        return Change(
            table=table,
            op=Op(envelope["op"]),
            before=_image(table, envelope["before"], whole=envelope["op"] != Op.DELETE),
            after=_image(table, envelope["after"], whole=True),
            version=Version.parse(source["sequence"]),
            origin=Origin(source["ts_ms"], source["gtid"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        message = f"a record of {table.full_name} is no change envelope: {error}"
        raise ChangeUnreadable(message) from error


def _image(table: Table, found: Any, *, whole: bool) -> Row | None:  # noqa: ANN401 - whatever the JSON holds
    """The row image, checked against its table; of a delete it may be the key columns alone."""
    if found is None:
        return None
    if not isinstance(found, dict) or not set(table.column_names if whole else table.key) <= found.keys():
        message = "a row image is no object that has the table's columns"
        raise ValueError(message)
    columns = {column.name: column for column in table.columns}
    for name, value in found.items():
        if not _fits(columns[name], value):
            message = f"column {name} holds a value of JSON type {type(value).__name__}"
            raise ValueError(message)
    return row_from_json(table, found)


JSON_TYPES: dict[Kind, type] = {
    Kind.INTEGER: int,
    Kind.YEAR: int,
    Kind.BIT: int,
    Kind.FLOAT: float,
    Kind.DOUBLE: float,
}
"""Python's types of JSON values; text for the kinds not named."""


def _fits(column: Column, value: object) -> bool:
    if value is None:
        return column.nullable
    return type(value) is JSON_TYPES.get(column.kind, str)
