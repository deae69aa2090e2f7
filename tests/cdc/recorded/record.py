"""Records the events of a server's binlog while it runs the statements beside this file.

    python -m tests.cdc.recorded.record mysql://root@127.0.0.1:3306

It makes the schema `recorded` anew. The password comes from CHANGEOVER_SOURCE__PASSWORD.
"""

import base64
import hashlib
import json
import os
import sys
from contextlib import closing
from pathlib import Path

from changeover.gtid import GtidSet
from changeover.mysql.connection import Connection, quoted
from changeover.mysql.dump import BinlogDump, Request
from changeover.settings import SourceSettings

HERE = Path(__file__).parent
SCHEMA = "recorded"
SHOWN_MAX = 300


def record(source: SourceSettings, script: Path) -> None:
    """Run the script's statements on an empty schema, and keep what came of them."""
    with Connection(source) as connection:
        for statement in (f"DROP DATABASE IF EXISTS {SCHEMA}", f"CREATE DATABASE {SCHEMA}", f"USE {SCHEMA}"):
            connection.execute(statement)
        connection.execute("RESET BINARY LOGS AND GTIDS")
        for statement in script.read_text().split(";\n"):
            if statement.strip():
                connection.execute(statement)
        events = list(_events(source))
        tables = {
            name: _table(connection, name) for (name,) in connection.query(f"SHOW TABLES FROM {SCHEMA}")
        }
    script.with_suffix(".json").write_text(json.dumps({"events": events, "tables": tables}, indent=1) + "\n")


def _events(source: SourceSettings) -> list[str]:
    with closing(BinlogDump(source, Request(executed=GtidSet.parse("")))) as dump:
        return [base64.b64encode(data).decode() for data in dump.all()]


def _table(connection: Connection, name: str) -> dict[str, list[tuple[str | None, ...]]]:
    columns = connection.query(
        "SELECT column_name, column_type FROM information_schema.columns "
        "WHERE (table_schema, table_name) = (%s, %s) ORDER BY ordinal_position",
        (SCHEMA, name),
    )
    listed = ", ".join(quoted(column) for column, _ in columns)
    rows = connection.raw(f"SELECT {listed} FROM {SCHEMA}.{quoted(name)} ORDER BY id")
    return {
        "columns": list(columns),
        "rows": [tuple(None if value is None else shown(value) for value in row) for row in rows],
    }


def shown(value: bytes) -> str:
    """The value, or what stands for a long one."""
    return value.hex() if len(value) <= SHOWN_MAX else f"sha256:{hashlib.sha256(value).hexdigest()}"


if __name__ == "__main__":
    where = SourceSettings(
        url=sys.argv[1],
        password=os.environ.get("CHANGEOVER_SOURCE__PASSWORD", ""),
        include=(f"{SCHEMA}.*",),
    )
    for found in sorted(HERE.glob("*.sql")):
        record(where, found)
