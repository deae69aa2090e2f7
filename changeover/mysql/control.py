"""The control schema on the source: what must be agreed on by all processes, as few rows of MySQL.

Made on first use. Each row is keyed by the pipeline, so several migrations may share the schema.
"""

from changeover.epoch import Epoch
from changeover.errors import LogUnusable
from changeover.mysql.connection import Connection, quoted
from changeover.version import Version

HEARTBEAT = "heartbeat"
"""The table whose changes capture turns into watermarks."""

TABLES = {
    "pipeline": "pipeline VARCHAR(32) PRIMARY KEY, log_identity CHAR(32) NOT NULL",
    "epoch": (
        "pipeline VARCHAR(32), number INT UNSIGNED, identity VARCHAR(64) NOT NULL, "
        "first_sequence BIGINT UNSIGNED NOT NULL, after CHAR(32), PRIMARY KEY (pipeline, number)"
    ),
    HEARTBEAT: (
        "pipeline VARCHAR(32), beater VARCHAR(32), beat BIGINT UNSIGNED NOT NULL, "
        "at_ms BIGINT UNSIGNED NOT NULL, PRIMARY KEY (pipeline, beater)"
    ),
    "import_table": (
        "pipeline VARCHAR(32), table_schema VARCHAR(64), table_name VARCHAR(64), place INT NOT NULL, "
        "rows_estimated BIGINT UNSIGNED NOT NULL, cut_up_to LONGBLOB, chunks_cut INT UNSIGNED NOT NULL, "
        "is_cut TINYINT NOT NULL, PRIMARY KEY (pipeline, table_schema, table_name)"
    ),
    "import_chunk": (
        "pipeline VARCHAR(32), table_schema VARCHAR(64), table_name VARCHAR(64), chunk INT UNSIGNED, "
        "above LONGBLOB, up_to LONGBLOB, copied_version CHAR(32), copied_rows BIGINT UNSIGNED, "
        "log_ends LONGBLOB, PRIMARY KEY (pipeline, table_schema, table_name, chunk)"
    ),
}

NOW_MS = "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS UNSIGNED)"
"""The source's clock in milliseconds, as it was when the statement began."""


class ControlSchema:
    """A pipeline's rows in the control schema, over one connection."""

    def __init__(self, connection: Connection, pipeline: str) -> None:
        self.connection = connection
        self.pipeline = pipeline
        self.schema = connection.source.control_schema

    def table(self, name: str) -> str:
        """The control table's name in SQL."""
        return f"{quoted(self.schema)}.{quoted(name)}"

    def exists(self) -> bool:
        """Whether the schema was made, without touching it."""
        found = self.connection.value(
            "SELECT count(*) FROM information_schema.tables WHERE table_schema = %s", (self.schema,)
        )
        return int(found) >= len(TABLES)

    def make(self) -> None:
        """Make the schema and its tables unless they are there."""
        if self.exists():
            return
        self.connection.execute(f"CREATE DATABASE IF NOT EXISTS {quoted(self.schema)}")
        for name, columns in TABLES.items():
            self.connection.execute(
                f"CREATE TABLE IF NOT EXISTS {self.table(name)} ({columns}) "
                "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"
            )

    def bind(self, log_identity: str) -> None:
        """Bind the pipeline to its log, once: a log that is not the one it began with is refused.

        With an empty log in its place the chunks that were copied would count as done, and be nowhere.
        """
        table = self.table("pipeline")
        self.connection.execute(f"INSERT IGNORE INTO {table} VALUES (%s, %s)", (self.pipeline, log_identity))
        bound = self.connection.value(
            f"SELECT log_identity FROM {table} WHERE pipeline = %s", (self.pipeline,)
        )
        if bound != log_identity:
            message = (
                f"pipeline {self.pipeline!r} began with another log: "
                f"this one was made anew, or belongs to another source"
            )
            hint = "Put the old log back, or start under a new pipeline name with a new log and target."
            raise LogUnusable(message, hint=hint)

    def epochs(self) -> list[Epoch]:
        """All epochs so far, in order."""
        rows = self.connection.query(
            f"SELECT number, identity, first_sequence, after FROM {self.table('epoch')} "
            "WHERE pipeline = %s ORDER BY number",
            (self.pipeline,),
        )
        return [
            Epoch(int(number), identity, int(first), Version.parse(after) if after else None)
            for number, identity, first, after in rows
        ]

    def open_epoch(self, epoch: Epoch) -> None:
        """Write the epoch down; an error if another process has just opened one of that number."""
        self.connection.execute(
            f"INSERT INTO {self.table('epoch')} VALUES (%s, %s, %s, %s, %s)",
            (
                self.pipeline,
                epoch.number,
                epoch.identity,
                epoch.first_sequence,
                epoch.after.text if epoch.after else None,
            ),
        )

    def beat(self, beater: str) -> None:
        """Commit a heartbeat: it moves the binlog on, and is a bound for reads that begin after it."""
        self.connection.execute(
            f"INSERT INTO {self.table(HEARTBEAT)} VALUES (%s, %s, 1, {NOW_MS}) "
            f"ON DUPLICATE KEY UPDATE beat = beat + 1, at_ms = {NOW_MS}",
            (self.pipeline, beater),
        )

    def now_ms(self) -> int:
        """The source's clock."""
        return int(self.connection.value(f"SELECT {NOW_MS}"))
