"""A small database that was moved, with its pipeline running: what a test of verification begins with."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from changeover.demo.sql import SQLServer
from tests.support.pipeline import Pipeline, schema_of

FAST = "[verify]\nchunk_rows = 100\nwait_s_max = 60\n"
"""Small chunks, so that a small table has several."""


@contextmanager
def moved(
    server: SQLServer, folder: Path, statements: Sequence[str], *, name: str = "moved", extra: str = FAST
) -> Iterator[Pipeline]:
    """A pipeline whose import is applied."""
    with (
        schema_of(server, name, *statements) as schema,
        Pipeline(server, schema, folder, extra=extra) as pipeline,
    ):
        pipeline.until(lambda now: now.is_import_applied)
        yield pipeline


def target_file(pipeline: Pipeline) -> "closing[sqlite3.Connection]":
    """The target's file, in autocommit; the consumer that runs beside may hold it for a while."""
    return closing(sqlite3.connect(pipeline.folder / "target.db", timeout=60, isolation_level=None))
