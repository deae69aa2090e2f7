"""The control schema on the source: what must be agreed on by all processes, as few rows of MySQL.

Made on first use. Each row is keyed by the pipeline, so several migrations may share the schema.
"""

import hashlib
from collections.abc import Sequence

from changeover.crashpoints import reach
from changeover.epoch import Epoch
from changeover.errors import EpochsClosed, EpochTaken, LogUnusable, TableMissing
from changeover.formats import require_known
from changeover.mysql.connection import Connection, quoted
from changeover.table import Column, Kind, Table
from changeover.version import Version

HEARTBEAT = "heartbeat"
"""The table whose changes capture turns into watermarks."""

PHASE = "pipeline_phase"
"""The table of the row that says which phase a pipeline is in (`phases.py`)."""

FORMAT = 1
"""Of what the rows mean. It rises where an older release would misread them, which then refuses."""

TABLES = {
    "format": "number INT UNSIGNED PRIMARY KEY",
    "pipeline": (
        "pipeline VARCHAR(32) PRIMARY KEY, log_identity CHAR(32) NOT NULL, first_identity VARCHAR(64)"
    ),
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
    "captured_table": (
        "pipeline VARCHAR(32), table_schema VARCHAR(64), table_name VARCHAR(64), "
        "definition LONGTEXT NOT NULL, PRIMARY KEY (pipeline, table_schema, table_name)"
    ),
    "part_order": (
        "pipeline VARCHAR(32), part VARCHAR(16), paused_since_ms BIGINT UNSIGNED, "
        "rows_per_s INT UNSIGNED, given_by VARCHAR(255) NOT NULL, PRIMARY KEY (pipeline, part)"
    ),
    PHASE: (
        "pipeline VARCHAR(32) PRIMARY KEY, phase VARCHAR(16) NOT NULL, attempt INT UNSIGNED NOT NULL, "
        "since_ms BIGINT UNSIGNED NOT NULL, deadline_ms BIGINT UNSIGNED, new_epoch INT UNSIGNED, "
        "fence CHAR(32)"
    ),
    "phase_move": (
        "pipeline VARCHAR(32), attempt INT UNSIGNED, at_ms BIGINT UNSIGNED NOT NULL, "
        "who VARCHAR(255) NOT NULL, from_phase VARCHAR(16) NOT NULL, to_phase VARCHAR(16) NOT NULL, "
        "evidence LONGTEXT NOT NULL, forced TEXT, took_ms INT UNSIGNED, PRIMARY KEY (pipeline, attempt)"
    ),
    "revoked": (
        "pipeline VARCHAR(32), account VARCHAR(255), on_schema VARCHAR(64), on_table VARCHAR(64), "
        "privileges TEXT NOT NULL, PRIMARY KEY (pipeline, account, on_schema, on_table)"
    ),
    "process": (
        "pipeline VARCHAR(32), name VARCHAR(128), version VARCHAR(32) NOT NULL, phase VARCHAR(16) NOT NULL, "
        "seen_ms BIGINT UNSIGNED NOT NULL, report LONGTEXT NOT NULL, PRIMARY KEY (pipeline, name)"
    ),
    "finding": (
        "number BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, pipeline VARCHAR(32), table_schema VARCHAR(64), "
        "table_name VARCHAR(64), key_digest CHAR(32) CHARACTER SET ascii, row_key LONGBLOB NOT NULL, "
        "kind VARCHAR(24) NOT NULL, differing MEDIUMTEXT NOT NULL, first_seen_ms BIGINT UNSIGNED NOT NULL, "
        "last_seen_ms BIGINT UNSIGNED NOT NULL, source_version CHAR(32) NOT NULL, target_version CHAR(32), "
        "last_writer VARCHAR(255), source_digest CHAR(32), target_digest CHAR(32), "
        "state VARCHAR(8) NOT NULL, closed_how VARCHAR(255), "
        "UNIQUE KEY (pipeline, table_schema, table_name, key_digest)"
    ),
    "verdict": (
        "pipeline VARCHAR(32), table_schema VARCHAR(64), table_name VARCHAR(64), "
        "outcome VARCHAR(16) NOT NULL, why TEXT NOT NULL, as_of CHAR(32), as_of_ms BIGINT UNSIGNED, "
        "rows_compared BIGINT UNSIGNED NOT NULL, bytes_compared BIGINT UNSIGNED NOT NULL, "
        "judged_at_ms BIGINT UNSIGNED NOT NULL, PRIMARY KEY (pipeline, table_schema, table_name)"
    ),
    "forced_write": (
        "number BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, pipeline VARCHAR(32), "
        "at_ms BIGINT UNSIGNED NOT NULL, who VARCHAR(255) NOT NULL, reason TEXT NOT NULL, "
        "table_schema VARCHAR(64), table_name VARCHAR(64), row_key LONGBLOB NOT NULL, "
        "held_version CHAR(32) NOT NULL, written_version CHAR(32) NOT NULL, outcome VARCHAR(8) NOT NULL"
    ),
    "verify_scan": (
        "pipeline VARCHAR(32), table_schema VARCHAR(64), table_name VARCHAR(64), "
        "stage VARCHAR(16) NOT NULL, place LONGBLOB, lowest CHAR(32), lowest_ms BIGINT UNSIGNED, "
        "rows_estimated BIGINT UNSIGNED NOT NULL, "
        "rows_compared BIGINT UNSIGNED NOT NULL, bytes_compared BIGINT UNSIGNED NOT NULL, "
        "keys_walked BIGINT UNSIGNED NOT NULL, unsettled INT UNSIGNED NOT NULL, unsettled_why TEXT NOT NULL, "
        "PRIMARY KEY (pipeline, table_schema, table_name)"
    ),
}


# The columns of a table that was once released never change: a new fact is a new table. So an upgrade is
# CREATE TABLE and no ALTER, for which capture has no grant. tests/upgrade holds them to the release before.


def heartbeat_table(schema: str) -> Table:
    """The table of heartbeats as it is made in the control schema of that name."""
    return Table(
        schema=schema,
        name=HEARTBEAT,
        key=("pipeline", "beater"),
        columns=(
            *(_column(name, Kind.TEXT, "varchar(32)", charset="utf8mb4") for name in ("pipeline", "beater")),
            *(_column(name, Kind.INTEGER, "bigint unsigned") for name in ("beat", "at_ms")),
        ),
    )


def _column(name: str, kind: Kind, sql_type: str, charset: str = "") -> Column:
    return Column(name=name, kind=kind, sql_type=sql_type, nullable=False, charset=charset)


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

    def lock_name(self, *place: str) -> str:
        """The name of a lock of the server that stands for a place of this pipeline."""
        # Names of locks are the server's, and 64 characters long at most.
        full = "/".join((self.schema, self.pipeline, *place))
        return f"changeover:{hashlib.blake2b(full.encode(), digest_size=16).hexdigest()}"

    def exists(self) -> bool:
        """Whether the schema was made, without touching it; `StateNewer` if a newer release's is there."""
        self.require_known()
        found = self.connection.value(
            "SELECT count(*) FROM information_schema.tables WHERE table_schema = %s "
            f"AND table_name IN ({', '.join('%s' for _ in TABLES)})",
            (self.schema, *TABLES),
        )
        return int(found) >= len(TABLES)

    def make(self) -> None:
        """Make the schema and its tables, or those that an older release had not; `StateNewer` if newer."""
        if not (self.exists() and self._format()):
            # Another part may be at it: MariaDB lists a table before it can be opened. CREATE waits for it.
            self._make_tables()
            self.connection.execute(f"INSERT IGNORE INTO {self.table('format')} VALUES ({FORMAT})")
            self.require_known()

    def require_known(self) -> None:
        """Return if the schema is not there, or of a format that this release knows; else `StateNewer`."""
        require_known(f"the control schema {self.schema!r}", self._format(), FORMAT)

    def _format(self) -> int | None:
        """The number in the table of formats, written when all tables are made; None before that."""
        try:
            found = self.connection.value(f"SELECT max(number) FROM {self.table('format')}")
        except TableMissing:
            return None
        return int(found) if found else None

    def _make_tables(self) -> None:
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
        self.connection.execute(
            f"INSERT IGNORE INTO {table} (pipeline, log_identity) VALUES (%s, %s)",
            (self.pipeline, log_identity),
        )
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

    def note_first_identity(self, identity: str) -> None:
        """Write down whose place the first checkpoint is going to be: a position alone does not tell it."""
        self.connection.execute(
            f"UPDATE {self.table('pipeline')} SET first_identity = %s WHERE pipeline = %s",
            (identity, self.pipeline),
        )

    def first_identity(self) -> str:
        """The identity of the server on which the pipeline began; empty where none is written down."""
        return self.connection.value(
            f"SELECT first_identity FROM {self.table('pipeline')} WHERE pipeline = %s", (self.pipeline,)
        )

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
        """Write the epoch down; a capture that was fenced and does not know it may have done so before us.

        Raises `EpochTaken` if the one that is written down is another one of that number. On the way into NEW
        the list is closed, for NEW has the epoch above all others: then `EpochTaken` too, as the fence may be
        undone, and in NEW `EpochsClosed`.
        """
        after = epoch.after.text if epoch.after else None
        # The phase is read under a lock, so that no fence comes between it and the epoch.
        self.connection.execute(
            f"INSERT IGNORE INTO {self.table('epoch')} SELECT %s, %s, %s, %s, %s FROM DUAL "
            f"WHERE NOT EXISTS (SELECT 1 FROM {self.table(PHASE)} WHERE pipeline = %s "
            "AND phase IN ('FENCED', 'NEW') LOCK IN SHARE MODE)",
            (self.pipeline, epoch.number, epoch.identity, epoch.first_sequence, after, self.pipeline),
        )
        if epoch not in self.epochs():
            self._check_open()
            message = f"epoch {epoch.number} of {epoch.identity} was opened by another capture meanwhile"
            raise EpochTaken(message)
        reach("capture.epoch_opened")

    def _check_open(self) -> None:
        """Raise if the list of epochs is closed."""
        phase = self.connection.value(
            f"SELECT phase FROM {self.table(PHASE)} WHERE pipeline = %s", (self.pipeline,)
        )
        if phase == "NEW":
            raise EpochsClosed("the source has become another server behind the fence of NEW")
        if phase == "FENCED":
            raise EpochTaken("the source has become another server while it is fenced")

    def kept_tables(self) -> list[Table]:
        """The captured tables as they were kept, none where they never were."""
        rows = self.connection.query(
            f"SELECT definition FROM {self.table('captured_table')} "
            "WHERE pipeline = %s AND definition <> '' ORDER BY table_schema, table_name",
            (self.pipeline,),
        )
        return [Table.parse(definition.encode()) for (definition,) in rows]

    def keep_tables(self, tables: Sequence[Table]) -> None:
        """Keep these tables, in place of any that were kept before."""
        kept, names = self.kept_tables(), {table.full_name for table in tables}
        new = [(table, table.definition.decode()) for table in tables if table not in kept]
        gone = [(table, "") for table in kept if table.full_name not in names]  # there is no grant to DELETE
        for table, definition in (*new, *gone):
            self.connection.execute(
                f"INSERT INTO {self.table('captured_table')} VALUES (%s, %s, %s, %s) "
                "ON DUPLICATE KEY UPDATE definition = VALUES(definition)",
                (self.pipeline, table.schema, table.name, definition),
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
