"""The log in one SQLite file: the embedded default, for several processes on one host.

Each topic has one partition. Writers take turns by SQLite's own lock; WAL lets readers go on meanwhile.
`synchronous=FULL` makes each commit durable before it returns, so a capture that appends many small
transactions at once is faster than one that appends each alone.
"""

import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from changeover import sqlite_file
from changeover.crashpoints import reach
from changeover.errors import Fenced, LogUnusable
from changeover.formats import require_known
from changeover.log import Beat, Checkpoint, Entry, GroupProgress, sqlite_retention, topic_of
from changeover.log.sqlite_access import transaction, translated
from changeover.log.sqlite_reading import SQLiteHistory, SQLiteReader
from changeover.log.sqlite_retention import note_append, trim
from changeover.log.sqlite_watermarks import insert_watermark
from changeover.progress import Offsets, Partition, Watermark
from changeover.table import Table
from changeover.version import Version

FORMAT = 1
LOCK_WAIT_S_MAX = 60.0
"""How long a writer waits for its turn: appends take milliseconds, a checkpoint of a large WAL a second."""

REPLAY_WINDOW_H = 168.0
"""How long records are kept at least, so that they can be read again."""

SCHEMA = (
    """
CREATE TABLE changeover_log (format INTEGER, pipeline TEXT, identity TEXT);
CREATE TABLE table_definition (id INTEGER PRIMARY KEY, fingerprint TEXT UNIQUE, definition BLOB);
CREATE TABLE topic (id INTEGER PRIMARY KEY, name TEXT UNIQUE, end INTEGER NOT NULL);
CREATE TABLE record (topic INTEGER, offset INTEGER, table_definition INTEGER, key BLOB, value BLOB,
                     PRIMARY KEY (topic, offset)) WITHOUT ROWID;
CREATE TABLE capture (generation INTEGER, version TEXT, position TEXT, changes INTEGER);
CREATE TABLE watermark (version TEXT PRIMARY KEY, source_ms INTEGER, ends BLOB) WITHOUT ROWID;
CREATE TABLE consumer_group (name TEXT PRIMARY KEY, through TEXT, through_ms INTEGER, records INTEGER,
                            stale INTEGER)
                            WITHOUT ROWID;
CREATE TABLE committed (consumer_group TEXT, topic TEXT, offset INTEGER,
                        PRIMARY KEY (consumer_group, topic)) WITHOUT ROWID;
INSERT INTO capture VALUES (0, NULL, NULL, 0);
"""
    + sqlite_retention.SCHEMA
)


class SQLiteLog:
    """A log in a SQLite file, made on first use."""

    def __init__(
        self,
        path: Path,
        pipeline: str,
        *,
        replay_window_h: float = REPLAY_WINDOW_H,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._pipeline = pipeline
        self._window_ms = int(replay_window_h * 3_600_000)
        self._now_s = now_s
        self._tables: dict[int, Table] = {}
        self._path = path
        check(path, pipeline)
        try:
            self.connection = sqlite_file.connect(path, LOCK_WAIT_S_MAX)
        except sqlite3.Error as error:
            raise _unusable(path, str(error)) from error
        with transaction(self.connection):
            self.identity = self._identity()

    def capture(self) -> "SQLiteCaptureLog":
        """Take over as the one live capture."""
        with transaction(self.connection):
            self.connection.execute("UPDATE capture SET generation = generation + 1")
            (generation,) = self.connection.execute("SELECT generation FROM capture").fetchone()
            taken = SQLiteCaptureLog(self, generation)
        reach("capture.log_taken")
        return taken

    def append(self, entries: Sequence[Entry]) -> Offsets:
        """Return once the entries are durable, with the end offsets of their partitions."""
        with transaction(self.connection):
            ends = self.insert(entries)
            reach("snapshot.entries_produced")
        return ends

    def insert(self, entries: Sequence[Entry]) -> Offsets:
        """The entries' end offsets, once they are in the open transaction."""
        rows: dict[str, list[tuple[int, bytes, bytes]]] = {}
        table_ids: dict[str, int] = {}  # of this transaction only: a rollback takes definitions with it
        for table, key, value in entries:
            table_id = table_ids.get(table.fingerprint) or self._define(table)
            table_ids[table.fingerprint] = table_id
            rows.setdefault(topic_of(self._pipeline, table), []).append((table_id, key, value))
        return {Partition(topic, 0): self._insert_into(topic, own) for topic, own in rows.items()}

    def reader(self, group: str) -> "SQLiteReader":
        """Read on where the group has committed."""
        return SQLiteReader(self, group)

    def history(self) -> "SQLiteHistory":
        """What the log holds now."""
        return SQLiteHistory(self)

    def progress_of(self, group: str) -> GroupProgress:
        """How far the group is."""
        with self.reading():
            offsets = self.connection.execute(
                "SELECT topic, offset FROM committed WHERE consumer_group = ?", (group,)
            ).fetchall()
            row = self.connection.execute(
                "SELECT through, through_ms, records, stale FROM consumer_group WHERE name = ?", (group,)
            ).fetchone()
        through, through_ms, records, stale = row or (None, 0, 0, 0)
        return GroupProgress(
            committed={Partition(topic, 0): offset for topic, offset in offsets},
            through=Watermark(Version.parse(through), through_ms, {}) if through else None,
            records=records,
            stale=stale,
        )

    def ends(self) -> dict[Partition, int]:
        """For each topic the offset behind its last record."""
        with self.reading():
            rows = self.connection.execute("SELECT name, end FROM topic").fetchall()
        return {Partition(topic, 0): end for topic, end in rows}

    def checkpoint(self) -> Checkpoint | None:
        """Capture's last durable checkpoint."""
        with self.reading():
            version, position, changes = self.connection.execute(
                "SELECT version, position, changes FROM capture"
            ).fetchone()
        return Checkpoint(Version.parse(version), position, changes) if version else None

    def table(self, table_id: int) -> Table:
        """The definition under which records were written."""
        if table_id not in self._tables:
            (definition,) = self.connection.execute(
                "SELECT definition FROM table_definition WHERE id = ?", (table_id,)
            ).fetchone()
            self._tables[table_id] = Table.parse(definition)
        return self._tables[table_id]

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Reads outside a transaction; `StateNewer` where a newer release may have written what was read."""
        with translated():
            try:
                yield
            finally:  # behind the reads, for the number rises before them; and where one cannot be understood
                (found,) = self.connection.execute("SELECT format FROM changeover_log").fetchone()
                require_known(_named(self._path), found, FORMAT)

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()

    def __enter__(self) -> Self:
        """The log itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _insert_into(self, topic: str, rows: Sequence[tuple[int, bytes, bytes]]) -> int:
        topic_id, start = self._topic(topic)
        end = start + len(rows)
        self.connection.executemany(
            "INSERT INTO record VALUES (?, ?, ?, ?, ?)",
            ((topic_id, offset, *row) for offset, row in enumerate(rows, start)),
        )
        self.connection.execute("UPDATE topic SET end = ? WHERE id = ?", (end, topic_id))
        note_append(self.connection, topic_id, start, int(self._now_s() * 1000))
        return end

    def trim(self) -> int:
        """Remove records that are older than the replay window and that every group has passed; how many."""
        with transaction(self.connection):
            return trim(self.connection, int(self._now_s() * 1000) - self._window_ms)

    def _topic(self, name: str) -> tuple[int, int]:
        self.connection.execute("INSERT OR IGNORE INTO topic (name, end) VALUES (?, 0)", (name,))
        topic_id, end = self.connection.execute(
            "SELECT id, end FROM topic WHERE name = ?", (name,)
        ).fetchone()
        return topic_id, end

    def _define(self, table: Table) -> int:
        self.connection.execute(
            "INSERT OR IGNORE INTO table_definition (fingerprint, definition) VALUES (?, ?)",
            (table.fingerprint, table.definition),
        )
        (table_id,) = self.connection.execute(
            "SELECT id FROM table_definition WHERE fingerprint = ?", (table.fingerprint,)
        ).fetchone()
        return int(table_id)

    def _identity(self) -> str:
        """The log's identity, with its tables made if there are none."""
        if not self.connection.execute(
            "SELECT 1 FROM sqlite_master WHERE name = 'changeover_log'"
        ).fetchone():
            for statement in SCHEMA.split(";"):
                self.connection.execute(statement)
            self.connection.execute(
                "INSERT INTO changeover_log VALUES (?, ?, ?)", (FORMAT, self._pipeline, secrets.token_hex(16))
            )
        (identity,) = self.connection.execute("SELECT identity FROM changeover_log").fetchone()
        return str(identity)


class SQLiteCaptureLog:
    """The log in the hands of the capture that took it over as this generation."""

    def __init__(self, log: SQLiteLog, generation: int) -> None:
        self._log = log
        self._generation = generation
        # A capture before us may have died between its entries and their watermark: take all that is
        # there as written since the last one.
        self._ends: dict[Partition, int] = log.ends()

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The last durable checkpoint."""
        return self._log.checkpoint()

    def append(self, entries: Sequence[Entry], checkpoint: Checkpoint | None, beat: Beat | None) -> None:
        """Return once all of it is durable; see `changeover.log.CaptureLog`."""
        connection = self._log.connection
        with transaction(connection):
            (generation,) = connection.execute("SELECT generation FROM capture").fetchone()
            if generation != self._generation:
                message = "a newer capture has taken over this log"
                raise Fenced(message)
            ends = {**self._ends, **self._log.insert(entries)}
            reach("capture.entries_produced")
            if checkpoint:
                connection.execute(
                    "UPDATE capture SET version = ?, position = ?, changes = ?",
                    (checkpoint.version.text, checkpoint.position, checkpoint.changes),
                )
                reach("capture.checkpoint_written")
            if beat:
                insert_watermark(connection, Watermark(beat.version, beat.source_ms, ends))
        self._ends = {} if beat else ends
        reach("capture.appended")


def check(path: Path, pipeline: str) -> None:
    """Return if the file is a log of the pipeline or can become one, else raise `LogUnusable`."""
    why = sqlite_file.why_unusable(path)
    if why:
        raise _unusable(path, why)
    try:
        header = sqlite_file.header_of(path, "changeover_log")
    except sqlite3.Error as error:
        raise _unusable(path, str(error)) from error
    if header:
        require_known(_named(path), header[0], FORMAT)
    if header and header != (FORMAT, pipeline):
        message = (
            f"the log {path} is of pipeline {header[1]!r} in format {header[0]}, "
            f"not of {pipeline!r} in format {FORMAT}"
        )
        raise LogUnusable(message, hint="Give each pipeline a log file of its own.")


def _named(path: Path) -> str:
    return f"the log {path}"


def _unusable(path: Path, why: str) -> LogUnusable:
    hint = "Set log.url to a file in a folder that this user can write, with space left."
    return LogUnusable(f"the log {path} cannot be opened for writing: {why}", hint=hint)
