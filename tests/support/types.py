"""The table of types: a folder for each, with its SQL and its canonical values, written out by hand.

`table.sql` is for both servers, `mariadb.sql` and `mysql.sql` are for one of them. `expected.json` has rows
of the table's columns. Bytes are `{"hex": "ff"}`. What is long is written in parts, some of them repeated:
`{"text": ["[", ["1, ", 9999], "1]"]}` or `{"hex": [["ff", 16777215]]}`.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from pymysql.cursors import Cursor

from changeover.demo.sql import SQLServer
from changeover.values import Row, Value

FOLDER = Path(__file__).parent.parent / "types"
KINDS = ("mariadb", "mysql", "mysql57")

Parts = str | list[str | tuple[str, int]]


def cases() -> list[tuple[str, str]]:
    """Each kind of server with each type that it has."""
    return [(kind, name) for kind in KINDS for name in names(kind)]


def names(kind: str) -> list[str]:
    """The types that the kind of server has."""
    return sorted(path.parent.name for file in ("table.sql", _own(kind)) for path in FOLDER.glob(f"*/{file}"))


def _own(kind: str) -> str:
    """The file of what one kind of server has, for either MySQL."""
    return "mariadb.sql" if kind == "mariadb" else "mysql.sql"


def statements(kind: str, name: str) -> Iterator[str]:
    """The statements of a type, for a table of its name."""
    path = FOLDER / name / "table.sql"
    sql = (path if path.exists() else FOLDER / name / _own(kind)).read_text()
    sql = _fitted(sql, kind, name)
    for statement in re.split(r";$", re.sub(r"^--.*\n", "", sql, flags=re.MULTILINE), flags=re.MULTILINE):
        if statement.strip():
            yield re.sub(r"\b(TABLE|INTO) t\b", rf"\1 `{name}`", statement.strip(), count=1)


OTHERWISE_IN_57 = {
    # Labels that MySQL 5.7 does not show are refused.
    "enum": {"💾": "€"},
    "set": {"💾": "€"},
    "json": {
        # It has a number count as a level of depth, of which there may be 100.
        **{
            f"{quote}{bracket}{quote}, 100": f"{quote}{bracket}{quote}, 99"
            for quote in "'\""
            for bracket in "[]"
        },
        # It prints a whole DOUBLE without a point.
        '"-0.0"': '"-0"',
        '[30, "1.0"]': '[30, "1"]',
        '"10000000000.0"': '"10000000000"',
        "[1.0, 2.0]": "[1, 2]",
        "1.0, -0.0000001": "1, -0.0000001",
        # Of a key that comes twice it keeps the first, and bytes are stored with another type.
        r'"{\"a\": 2}"': r'"{\"a\": 1}"',
        "type15": "type16",
    },
}
"""What takes the place of what MySQL 5.7 does not have, in the SQL and in what is expected."""


def _fitted(text: str, kind: str, name: str) -> str:
    for there, instead in OTHERWISE_IN_57.get(name, {}).items() if kind == "mysql57" else ():
        text = text.replace(there, instead)
    return text


def expected(kind: str, name: str) -> list[Row]:
    """The canonical rows of the type."""
    written = (FOLDER / name / "expected.json").read_text()
    found = orjson.loads(_fitted(written, kind, name))
    return [dict(zip(found["columns"], map(_value, row), strict=True)) for row in found["rows"]]


SESSION = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,ALLOW_INVALID_DATES', SESSION time_zone = '+00:00'"
LARGE_ROWS = 64 << 20
"""Bytes of a statement or row: MariaDB's default is less than its largest values."""


@contextmanager
def writer(server: SQLServer, schema: str) -> Iterator[Cursor]:
    """A cursor that may write any value, into a schema that is made for it and goes with it."""
    with server.connect() as root, root.cursor() as cursor:
        cursor.execute(f"SET GLOBAL max_allowed_packet = {LARGE_ROWS}")
        cursor.execute(f"DROP DATABASE IF EXISTS {schema}")
        cursor.execute(f"CREATE DATABASE {schema} CHARACTER SET utf8mb4")
    with server.connect(database=schema, max_allowed_packet=LARGE_ROWS) as connection:
        cursor = connection.cursor()
        cursor.execute(SESSION)
        yield cursor
        cursor.execute(f"DROP DATABASE {schema}")


def _value(written: Any) -> Value:  # noqa: ANN401 - JSON
    match written:
        case {"hex": parts}:
            return bytes.fromhex(_joined(parts))
        case {"text": parts}:
            return _joined(parts)
        case None | int() | float() | str():
            return written
        case _:
            message = f"no way to write a value: {written!r}"
            raise ValueError(message)


def _joined(parts: Parts) -> str:
    if isinstance(parts, str):
        return parts
    return "".join(part if isinstance(part, str) else part[0] * part[1] for part in parts)
