"""What tests of the Riak target share: a target in buckets of its own, and a look at its objects."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

from changeover.envelope import encode_key
from changeover.mapping import ObjectMapping, Rules
from changeover.riak.access import Access
from changeover.riak.client import Client
from changeover.riak.objects import Fetched, Get
from changeover.riak.request import Bucket
from changeover.table import Table
from changeover.targets.riak.control import Control
from changeover.targets.riak.fitness import Way, releases
from changeover.targets.riak.target import Options, RiakTarget
from tests.contracts.target import PASSPORT
from tests.support.tables import CITIZEN, EVERY_KIND, citizen

TYPES: dict[Way, str] = {"merge": "plain3", "siblings": "mult"}


@dataclass(frozen=True)
class Place:
    """Where a test's targets write: a pipeline and buckets that no other test has."""

    access: Access
    options: Options
    pipeline: str
    mapping: Callable[[], ObjectMapping]

    def open(self, **other: object) -> RiakTarget:
        options = replace(self.options, **other)  # type: ignore[arg-type] # tests name what is there
        return RiakTarget(self.access, self.pipeline, self.mapping(), options, sleep=lambda _: None)

    def bucket(self, table: Table = CITIZEN) -> Bucket:
        return Bucket(self.mapping().bucket(table).encode(), self.options.bucket_type.encode())

    def fetch(self, number: int, table: Table = CITIZEN) -> Fetched:
        """An object as any client gets it."""
        place = self.mapping().place(table, encode_key(table, citizen(number)))
        with Client(self.access) as client:
            return client.call(Get(self.bucket(table), place.key.encode()))


def place_in(access: Access, way: Way = "merge", **rules: Rules) -> Place:
    """A new place; the cluster's release counts as proved, as if doctor had been here."""
    name = f"test-{uuid.uuid4()}"
    given = {
        table.full_name: replace(rules.get(table.name, Rules()), bucket=f"{name}-{table.name}")
        for table in (CITIZEN, PASSPORT, EVERY_KIND)
    }
    place = Place(access, Options(bucket_type=TYPES[way], ordering=way), name, lambda: ObjectMapping(given))
    if way == "merge":
        prove_for_tests(place)
    return place


def prove_for_tests(place: Place) -> None:
    with Client(place.access) as client:
        control = Control(client, place.pipeline, place.options.bucket_type, place.options.ordering)
        for release in releases(place.access):
            control.keep_proof(release, {})
