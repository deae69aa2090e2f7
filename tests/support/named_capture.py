"""`python -P -m cdc`, whose process SQL in a SQLite log can ask for: `holder()`."""

import os
import sqlite3
import sys
from pathlib import Path

import cdc.__main__
from changeover import sqlite_file

connect = sqlite_file.connect


def connect_by_name(path: Path, wait_s_max: float) -> sqlite3.Connection:
    connection = connect(path, wait_s_max)
    connection.create_function("holder", 0, lambda: str(os.getpid()))
    return connection


if __name__ == "__main__":
    sqlite_file.connect = connect_by_name
    sys.exit(cdc.__main__.main())
