"""Reading the SQLite log: as the only member of a consumer group, or all that it holds once more."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from changeover.errors import LogTrimmed
from changeover.log import Record
from changeover.log.sqlite_access import transaction
from changeover.log.sqlite_watermarks import trim_watermarks, watermarks_behind
from changeover.progress import AppliedThrough, Offsets, Partition, Watermark

if TYPE_CHECKING:
    from changeover.log.sqlite import SQLiteLog

COMMITS_BETWEEN_TRIMS = 100


class SQLiteReader:
    """The only member of its group: one host has nothing to balance."""

    def __init__(self, log: "SQLiteLog", group: str) -> None:
        self._log = log
        self._group = group
        self._commits = 0
        progress = log.progress_of(group)
        self._committed = dict(progress.committed)
        self._position = dict(progress.committed)
        self._through = AppliedThrough(progress.through)

    def poll(self, limit: int) -> Sequence[Record]:
        """Up to `limit` records, from all topics in turn."""
        connection = self._log.connection
        records: list[Record] = []
        with self._log.reading():
            topics = connection.execute("SELECT id, name, end FROM topic").fetchall()
            behind = [
                (topic_id, Partition(name, 0))
                for topic_id, name, end in topics
                if self._position.get(Partition(name, 0), 0) < end
            ]
            for topic_id, partition in behind:
                share = min(max(1, limit // len(behind)), limit - len(records))
                records += self._read(topic_id, partition, share)
        return records

    def commit(self, offsets: Offsets, *, records: int = 0, stale: int = 0) -> Watermark | None:
        """Move the group's offsets; the watermark that it has now applied through."""
        connection = self._log.connection
        for watermark in self._watermarks_ahead():
            self._through.expect(watermark, watermark.ends)
        through = self._through.passed({**self._committed, **offsets})
        if not offsets and through == self._through.mark:
            return through
        with transaction(connection):
            connection.executemany(
                "INSERT OR REPLACE INTO committed VALUES (?, ?, ?)",
                [(self._group, partition.topic, offset) for partition, offset in offsets.items()],
            )
            connection.execute(
                "INSERT INTO consumer_group VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET through = "
                "excluded.through, through_ms = excluded.through_ms, records = records + excluded.records, "
                "stale = stale + excluded.stale",
                (self._group, *_through_columns(through), records, stale),
            )
            trim_watermarks(connection)
        self._committed |= offsets
        self._through.settle(through)
        self._trim_at_times()
        return through

    def _trim_at_times(self) -> None:
        self._commits += 1
        if self._commits % COMMITS_BETWEEN_TRIMS == 0:
            self._log.trim()

    def _read(self, topic_id: int, partition: Partition, limit: int) -> list[Record]:
        start = self._position.get(partition, 0)
        rows = self._log.connection.execute(
            "SELECT offset, table_definition, key, value FROM record WHERE topic = ? AND offset >= ? "
            "ORDER BY offset LIMIT ?",
            (topic_id, start, limit),
        ).fetchall()
        if rows and rows[0][0] != start:
            message = f"{partition.topic} no longer holds records {start} to {rows[0][0] - 1}"
            raise LogTrimmed(message)
        if rows:
            self._position[partition] = rows[-1][0] + 1
        return [
            Record(partition, offset, self._log.table(table_id), key, value)
            for offset, table_id, key, value in rows
        ]

    def _watermarks_ahead(self) -> list[Watermark]:
        with self._log.reading():
            newest = self._through.newest
            return watermarks_behind(self._log.connection, newest.version if newest else None)


class SQLiteHistory:
    """What the log held when this was made."""

    def __init__(self, log: "SQLiteLog") -> None:
        self._log = log
        self._ends = log.ends()

    def firsts(self) -> dict[Partition, int]:
        """For each topic the offset of its first record that is there."""
        with self._log.reading():
            rows = self._log.connection.execute(
                "SELECT name, (SELECT min(offset) FROM record WHERE topic = id) FROM topic"
            ).fetchall()
        found = {Partition(name, 0): first for name, first in rows}
        return {
            partition: end if (first := found[partition]) is None else min(first, end)
            for partition, end in self._ends.items()
        }

    def read(self, starts: Offsets, limit: int) -> Iterator[Sequence[Record]]:
        """The records from the starts on, one topic after the other."""
        for partition, start in starts.items():
            position = start
            while position < self._ends[partition]:
                records = self._read(partition, position, min(position + limit, self._ends[partition]))
                if not records or records[0].offset != position:
                    message = f"records of {partition.topic} from offset {position} on were trimmed meanwhile"
                    raise LogTrimmed(message)
                position = records[-1].offset + 1
                yield records

    def _read(self, partition: Partition, start: int, end: int) -> list[Record]:
        with self._log.reading():
            rows = self._log.connection.execute(
                "SELECT offset, table_definition, key, value FROM record WHERE offset >= ? AND offset < ? "
                "AND topic = (SELECT id FROM topic WHERE name = ?) ORDER BY offset",
                (start, end, partition.topic),
            ).fetchall()
            return [
                Record(partition, offset, self._log.table(table_id), key, value)
                for offset, table_id, key, value in rows
            ]


def _through_columns(through: Watermark | None) -> tuple[str | None, int | None]:
    return (through.version.text, through.source_ms) if through else (None, None)
