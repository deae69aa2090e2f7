"""Keys as people write them: a JSON object of the key's columns, or the value alone where the key has one."""

from pathlib import Path
from typing import Any

import orjson

from changeover.envelope import decode_key, encode_key
from changeover.errors import KeyUnreadable
from changeover.table import Column, Kind, Table

INTEGERS = frozenset({Kind.INTEGER, Kind.YEAR, Kind.BIT})


def parse_key(table: Table, text: str) -> bytes:
    """The key that the text names, as `envelope.encode_key` writes it; `KeyUnreadable` if it names none.

    Bytes are written in base64, as they are in the log's keys. A text needs no quotes where it stands alone.
    """
    found = _parsed(table, text)
    named = found if isinstance(found, dict) else {table.key[0]: found}
    if named.keys() != set(table.key) or (len(table.key) > 1 and not isinstance(found, dict)):
        wanted = ", ".join(table.key)
        raise KeyUnreadable(f"{text} is no key of {table.full_name}, whose columns are {wanted}", hint=HINT)
    for column in table.key_columns:
        if not _fits(column, named[column.name]):
            message = f"{text} is no key of {table.full_name}: {column.name} is {column.sql_type}"
            raise KeyUnreadable(message, hint=HINT)
    try:
        return encode_key(table, decode_key(table, orjson.dumps(named)))
    except ValueError as error:
        raise KeyUnreadable(f"{text} is no key of {table.full_name}: {error}", hint=HINT) from error


def read_keys(table: Table, text: str) -> list[bytes]:
    """The keys that `--keys` names: a JSON list, one key, or a file that has one in each line."""
    if text.lstrip().startswith("["):
        try:
            listed = orjson.loads(text)
        except ValueError as error:
            raise KeyUnreadable(f"the list of keys is no JSON: {error}", hint=HINT) from error
        return [parse_key(table, orjson.dumps(one).decode()) for one in listed]
    if text.lstrip().startswith("{"):
        return [parse_key(table, text)]
    try:
        lines = Path(text).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise KeyUnreadable(f"the file of keys {text} cannot be read: {reason}", hint=HINT) from error
    return [parse_key(table, line.strip()) for line in lines if line.strip()]


def is_key(table: Table, key: bytes) -> bool:
    """Whether it is a key of the table, and not what a store calls something else."""
    try:
        return decode_key(table, key).keys() == set(table.key)
    except (ValueError, TypeError, AttributeError):
        return False


HINT = 'Write {"id": 7}, or the value alone where the key has one column.'


def _parsed(table: Table, text: str) -> Any:  # noqa: ANN401 - whatever the JSON holds
    is_text = len(table.key) == 1 and table.key_columns[0].kind not in INTEGERS
    if is_text and not text.startswith(("{", '"')):
        return text
    try:
        return orjson.loads(text)
    except ValueError:
        return text


def _fits(column: Column, value: object) -> bool:
    return type(value) is (int if column.kind in INTEGERS else str)
