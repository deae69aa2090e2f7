"""Faults planted in a target that a pipeline keeps in step, under the feet of every guard."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from changeover.decide import Write
from changeover.envelope import decode_key, encode_key
from changeover.repair.forced import Forced, ForcedWrites
from changeover.repair.repair import Order, Repair, Repaired
from changeover.riak.client import Client
from changeover.riak.objects import Content, Get, Put
from changeover.riak.request import Bucket
from changeover.settings import Settings
from changeover.table import Table
from changeover.targets import Held
from changeover.targets.riak.objects import VERSION
from changeover.values import Row, Value
from changeover.verify.findings import Finding
from changeover.verify.verdicts import State
from changeover.verify.verifier import Verifier, verifying
from changeover.version import Version
from changeover.wiring import mapping_of, riak_access
from tests.riak.double.running import Running
from tests.support.pipeline import Pipeline

WAIT_S_MAX = 60
ONE_WORKER = "[snapshot]\nworkers = 1\n"
"""Each process takes a second of the processor to start."""


@dataclass(frozen=True)
class Store:
    """The store under a target, as somebody with access to its files has it."""

    settings: Settings
    riak: Running | None = None

    def forget(self, table: Table, key: bytes) -> None:
        """Lose all that is held for the key, markers and versions too."""
        if self.riak:
            bucket, name = self._place(table, key)
            for replica in self.riak.cluster.replicas:
                replica.own.pop((bucket.type, bucket.name, name), None)
            return
        with closing(sqlite3.connect(self._file, timeout=60)) as file, file:
            (table_id,) = file.execute(
                "SELECT id FROM changeover_table WHERE name = ?", (table.name,)
            ).fetchone()
            file.execute("DELETE FROM changeover_version WHERE table_id = ? AND key = ?", (table_id, key))
            # At once: a consumer that comes in between would find a row of nobody, and stop.
            file.execute(f'DELETE FROM "{table.name}" WHERE id = ?', (decode_key(table, key)["id"],))

    def put_foreign(self, table: Table, key: bytes, row: Row) -> None:
        """Another program writes there."""
        if self.riak:
            self._put(table, key, Content(b"theirs"))
            return
        self.forget(table, key)
        marks = ", ".join("?" * len(row))
        with closing(sqlite3.connect(self._file, timeout=60)) as file, file:
            file.execute(f'INSERT INTO "{table.name}" VALUES ({marks})', list(row.values()))

    def put_sibling(self, table: Table, key: bytes, version: Version) -> None:
        """A state of an older version comes to lie beside what is there, where the store keeps siblings."""
        self._put(table, key, Content(b"{}", metadata=((VERSION, version.text.encode()),)))

    def values(self, table: Table, key: bytes) -> int:
        """How many values a reader gets for the key."""
        if not self.riak:
            return 1
        bucket, name = self._place(table, key)
        with Client(riak_access(self.settings.target)) as client:
            return len(client.call(Get(bucket, name)).contents)

    @property
    def _file(self) -> Path:
        return Path(self.settings.target.url.removeprefix("sqlite:"))

    def _put(self, table: Table, key: bytes, content: Content) -> None:
        bucket, name = self._place(table, key)
        with Client(riak_access(self.settings.target)) as client:
            client.call(Put(bucket, name, content))

    def _place(self, table: Table, key: bytes) -> tuple[Bucket, bytes]:
        place = mapping_of(self.settings).place(table, key)
        return Bucket(place.bucket.encode(), self.settings.target.bucket_type.encode()), place.key.encode()


class Moved:
    """A pipeline in step, its parts still running, with what verifies and repairs it."""

    def __init__(self, pipeline: Pipeline, verifier: Verifier, riak: Running | None) -> None:
        self.pipeline = pipeline
        self.verifier = verifier
        self.store = Store(pipeline.settings, riak)
        self.target, self.findings = verifier.target, verifier.findings
        (self.source_table,) = verifier.chosen([f"{pipeline.schema}.thing"])
        self.table = verifier.source.mask(self.source_table).to

    def key(self, number: int) -> bytes:
        return encode_key(self.table, {"id": number})

    def held(self, number: int) -> Held[Any] | None:
        (held,) = self.target.read_many(self.table, [self.key(number)])
        return held

    def row(self, number: int) -> Row | None:
        """The source's row."""
        key = self.key(number)
        return self.verifier.source.keys(self.source_table, [key]).rows.get(key)

    def plant(self, number: int, row: Row | None, version: Version) -> None:
        """Have the target hold this of a key, whatever it was."""
        self.store.forget(self.table, self.key(number))
        self.target.write([Write(self.table, self.key(number), version, row)])

    def forced_writes(self) -> list[Forced]:
        return ForcedWrites(self.verifier.control).all()

    def execute(self, *statements: str) -> None:
        """As the application."""
        with closing(self.pipeline.server.connect(database=self.pipeline.schema)) as client:
            for statement in statements:
                with client.cursor() as cursor:
                    cursor.execute(statement)

    def verify(self) -> list[Finding]:
        """Verify the table, source and target both ways; the findings that are open then."""
        (verdict,) = self.verifier.scan([self.source_table])
        found = self.findings.open(self.table.full_name)
        assert verdict.state is (State.DIFFERENCES if found else State.CLEAN), verdict
        return found

    def repair(self, *numbers: int, reason: str = "", wait_s_max: float = WAIT_S_MAX) -> list[Repaired]:
        """Repair these keys, or those of all open findings."""
        keys = [self.key(number) for number in numbers] or [one.key for one in self.findings.open()]
        return list(self.repairing(reason, wait_s_max).repair(self.source_table, keys))

    def repairing(self, reason: str = "", wait_s_max: float = WAIT_S_MAX) -> Repair:
        settings = self.pipeline.settings
        return Repair(
            self.verifier.source,
            self.verifier.log,
            self.target,
            self.verifier.judge,
            pipeline=settings.pipeline,
            group=settings.consumer.group,
            order=Order("tester@here", reason),
            wait_s_max=wait_s_max,
        )


@contextmanager
def moved(pipeline: Pipeline, riak: Running | None = None) -> Iterator[Moved]:
    """The pipeline once its import is applied."""
    with pipeline:
        pipeline.until(lambda now: now.is_import_applied)
        pipeline.drain()
        with verifying(pipeline.settings, "repair") as verifier:
            yield Moved(pipeline, verifier, riak)


def changed(row: Row | None, **columns: Value) -> Row:
    assert row
    return {**row, **columns}


def with_value(number: int, **columns: Value) -> Callable[[Moved], int]:
    """The target holds other values of some columns, under the version that it should hold."""

    def plant(place: Moved) -> int:
        held = place.held(number)
        assert held
        place.plant(number, changed(place.row(number), **columns), held.version)
        return number

    return plant
