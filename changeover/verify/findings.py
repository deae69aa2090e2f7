"""Findings: keys at which source and target differed, kept in the control schema until they are equal again.

No value is kept but the key: of both sides there are digests, and whoever wants to see the values reads them
anew. A key has one finding, which is opened again when the key differs again.
"""

import enum
import hashlib
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

import orjson

from changeover.mysql.control import NOW_MS, ControlSchema
from changeover.version import Version

FINDINGS_OPEN_MAX = 10_000
"""Open findings of one table, above which a scan ends there: by then it is one fault and not many."""

WRITER_LENGTH_MAX = 255

LOST_MARKER = ("delete marker",)
"""Differs where a deleted row left nothing behind: a late copy of the row would bring it back."""


class Kind(enum.StrEnum):
    """How source and target differ at a key."""

    MISSING = "missing"
    """The source has the row, the target does not."""

    EXTRA = "extra"
    """The target has the row, the source does not."""

    DIFFERENT = "different"
    """Both have it, with other values."""

    AHEAD = "ahead of the source"
    """The target holds it under a version that the source has never committed."""

    NO_PROVENANCE = "no provenance"
    """The target holds something there that has no version: somebody else wrote it."""


class State(enum.StrEnum):
    """Whether a finding still stands."""

    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What a judgement has found at a key of a table (`schema.name`); no value but the key.

    `source_version` is the bound of the read that found it, `target_version` what the target held, None for
    nothing. `last_writer` is the source's transaction that the target's state came from, where that is known.
    """

    table_name: str
    key: bytes
    kind: Kind
    columns: tuple[str, ...]
    source_version: Version
    target_version: Version | None
    source_digest: str | None
    target_digest: str | None
    last_writer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A difference with its number and history. Times are the source's clock, in milliseconds since 1970."""

    number: int
    table_name: str
    key: bytes
    kind: Kind
    columns: tuple[str, ...]
    first_seen_ms: int
    last_seen_ms: int
    source_version: Version
    target_version: Version | None
    source_digest: str | None
    target_digest: str | None
    last_writer: str | None
    state: State
    closed_how: str | None


COLUMNS = (
    "number, table_schema, table_name, row_key, kind, differing, first_seen_ms, last_seen_ms, "
    "source_version, target_version, source_digest, target_digest, last_writer, state, closed_how"
)


class Findings:
    """The findings of one pipeline."""

    def __init__(self, control: ControlSchema) -> None:
        self._connection = control.connection
        self._pipeline = control.pipeline
        self._table = control.table("finding")

    def note(self, difference: Difference) -> None:
        """Write the difference down; a finding of that key that is open is seen once more."""
        schema, name = difference.table_name.split(".", 1)
        held = difference.target_version
        seen: dict[str, str | bytes | None] = {
            "kind": difference.kind.value,
            "differing": orjson.dumps(difference.columns).decode(),
            "source_version": difference.source_version.text,
            "target_version": held.text if held else None,
            "source_digest": difference.source_digest,
            "target_digest": difference.target_digest,
            "last_writer": difference.last_writer and difference.last_writer[:WRITER_LENGTH_MAX],
        }
        self._connection.execute(
            f"INSERT INTO {self._table} (pipeline, table_schema, table_name, key_digest, row_key, state, "
            f"first_seen_ms, last_seen_ms, {', '.join(seen)}) "
            f"VALUES (%s, %s, %s, %s, %s, 'open', {NOW_MS}, {NOW_MS}, {', '.join(['%s'] * len(seen))}) "
            f"ON DUPLICATE KEY UPDATE first_seen_ms = IF(state = 'open', first_seen_ms, {NOW_MS}), "
            f"last_seen_ms = {NOW_MS}, state = 'open', closed_how = NULL, "
            f"{', '.join(f'{column} = VALUES({column})' for column in seen)}",
            (self._pipeline, schema, name, digest_of_key(difference.key), difference.key, *seen.values()),
        )

    def open(self, table: str | None = None) -> list[Finding]:
        """The open findings, of one table (`schema.name`) or all, in the order of their numbers."""
        return self._select("state = 'open'", (), table)

    def all(self, table: str | None = None) -> list[Finding]:
        """The findings, closed ones too."""
        return self._select("TRUE", (), table)

    def get(self, number: int) -> Finding | None:
        """The finding of that number, None if there is none."""
        return next(iter(self._select("number = %s", (number,), None)), None)

    def close(self, number: int, how: str) -> None:
        """Close the finding: its key was found equal, or what else `how` tells in a few words."""
        self._connection.execute(
            f"UPDATE {self._table} SET state = 'closed', closed_how = %s "
            "WHERE pipeline = %s AND number = %s AND state = 'open'",
            (how, self._pipeline, number),
        )

    def close_equal(self, table: str, keys: Iterable[bytes], bare: Container[bytes] = ()) -> None:
        """Close the open findings of these keys of a table, which were found equal.

        Of the `bare` ones the target holds nothing: that mends all but a delete marker that was lost.
        """
        open_now = {finding.key: finding for finding in self.open(table)}
        for key in keys if open_now else ():
            if key in open_now and not (key in bare and open_now[key].columns == LOST_MARKER):
                self.close(open_now[key].number, "found equal")

    def open_counts(self) -> dict[str, int]:
        """How many are open, by table (`schema.name`); tables without any are left out."""
        rows = self._connection.query(
            f"SELECT table_schema, table_name, count(*) FROM {self._table} "
            "WHERE pipeline = %s AND state = 'open' GROUP BY table_schema, table_name",
            (self._pipeline,),
        )
        return {f"{schema}.{name}": int(count) for schema, name, count in rows}

    def _select(self, condition: str, parameters: Sequence[int], table: str | None) -> list[Finding]:
        sql = f"SELECT {COLUMNS} FROM {self._table} WHERE pipeline = %s AND {condition}"
        values: list[str | int] = [self._pipeline, *parameters]
        if table is not None:
            sql += " AND table_schema = %s AND table_name = %s"
            values += table.split(".", 1)
        return [_finding(row) for row in self._connection.raw(f"{sql} ORDER BY number", values)]


def digest_of_key(key: bytes) -> str:
    """What stands for a key where a key would be too long: an index, a report."""
    return hashlib.blake2b(key, digest_size=16).hexdigest()


def _finding(row: tuple[bytes | None, ...]) -> Finding:
    texts = [None if value is None else value.decode("utf-8", "replace") for value in row]
    number, schema, name, _, kind, columns, first, last, source, target, *rest = texts
    source_digest, target_digest, writer, state, how = rest
    return Finding(
        number=int(number or 0),
        table_name=f"{schema}.{name}",
        key=row[3] or b"",
        kind=Kind(kind or ""),
        columns=tuple(orjson.loads(columns or "[]")),
        first_seen_ms=int(first or 0),
        last_seen_ms=int(last or 0),
        source_version=Version.parse(source or ""),
        target_version=Version.parse(target) if target else None,
        source_digest=source_digest,
        target_digest=target_digest,
        last_writer=writer,
        state=State(state or ""),
        closed_how=how,
    )
