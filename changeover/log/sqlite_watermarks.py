"""The SQLite log's watermarks: rows with end offsets, folded together once every group has passed them."""

import sqlite3
from collections.abc import Mapping

import orjson

from changeover.progress import Partition, Watermark
from changeover.version import Version

TRIMMED_AT = 100
"""How many passed watermarks are let lie before they are folded into one."""


def insert_watermark(connection: sqlite3.Connection, watermark: Watermark) -> None:
    """Write the watermark down, inside a transaction."""
    ends = orjson.dumps([[topic, number, end] for (topic, number), end in watermark.ends.items()])
    connection.execute(
        "INSERT OR REPLACE INTO watermark VALUES (?, ?, ?)",
        (watermark.version.text, watermark.source_ms, ends),
    )


def trim_watermarks(connection: sqlite3.Connection) -> None:
    """Fold the watermarks that every group has passed into the newest of them, once they are many.

    Its end offsets then hold for all of them, so that a group which starts from the first record later
    still finds each partition named.
    """
    passed = connection.execute(
        "SELECT version, source_ms, ends FROM watermark "
        "WHERE version <= (SELECT min(through) FROM consumer_group) ORDER BY version"
    ).fetchall()
    if len(passed) < TRIMMED_AT:
        return
    ends: dict[Partition, int] = {}
    for _, _, some in passed:
        ends |= _parse_offsets(some)
    version, source_ms, _ = passed[-1]
    connection.execute("DELETE FROM watermark WHERE version <= ?", (version,))
    insert_watermark(connection, Watermark(Version.parse(version), source_ms, ends))


def _parse_offsets(ends: bytes) -> Mapping[Partition, int]:
    return {Partition(topic, number): end for topic, number, end in orjson.loads(ends)}


def watermarks_behind(connection: sqlite3.Connection, version: Version | None) -> list[Watermark]:
    """The watermarks behind a version, all for None, in order."""
    rows = connection.execute(
        "SELECT version, source_ms, ends FROM watermark WHERE version > ? ORDER BY version",
        (version.text if version else "",),
    ).fetchall()
    return [Watermark(Version.parse(found), ms, _parse_offsets(ends)) for found, ms, ends in rows]
