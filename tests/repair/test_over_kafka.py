"""Repair and explain of a pipeline from MySQL over Kafka, whose log has several partitions and writers."""

from collections.abc import Iterator

import pytest

from changeover.demo.broker import PrivateKafka
from changeover.demo.mysql8 import PrivateMySQL
from changeover.explain import Fate, explain
from changeover.mysql.catalog import captured_tables
from changeover.values import Row
from changeover.verify.findings import Kind
from changeover.version import ROW_MAX, Version
from changeover.wiring import create_topics
from tests.repair.planting import ONE_WORKER, Moved, moved
from tests.support.pipeline import Pipeline, schema_of

CREATE = "CREATE TABLE thing (id INT PRIMARY KEY, ratio DOUBLE, name VARCHAR(50))"
FILL = "INSERT INTO thing VALUES " + ", ".join(f"({number}, -0e0, 'row {number}')" for number in range(1, 31))


@pytest.fixture(scope="module")
def place(mysql: PrivateMySQL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moved]:
    with PrivateKafka() as kafka, schema_of(mysql, "mended_8", CREATE, FILL) as schema:
        folder = tmp_path_factory.mktemp("mended_8")
        pipeline = Pipeline(mysql, schema, folder, log=f"kafka://{kafka.bootstrap}", extra=ONE_WORKER)
        with pipeline.connection() as connection:
            create_topics(pipeline.settings, captured_tables(connection))
        with moved(pipeline) as place:
            yield place


def row_of(place: Moved, number: int) -> Row:
    row = place.row(number)
    assert row
    return row


def test_a_zero_that_lost_its_sign_is_found_and_mended(place: Moved) -> None:
    held = place.held(1)
    assert held
    place.plant(1, {**row_of(place, 1), "ratio": 0.0}, held.version)
    assert [(found.key, found.columns) for found in place.verify()] == [(place.key(1), ("ratio",))]
    (done,) = place.repair()
    assert done.is_mended
    mended = place.held(1)
    assert mended
    assert mended.body
    assert str(mended.body["ratio"]) == "-0.0"
    assert place.verify() == []


def test_a_repair_goes_over_the_one_before(place: Moved) -> None:
    for _ in range(2):  # the second finds a bounded read held, and a bound of MySQL moves by a heartbeat only
        held = place.held(2)
        assert held
        place.plant(2, {**row_of(place, 2), "name": "wrong"}, held.version)
        (done,) = place.repair(2)
        assert done.is_mended
    held = place.held(2)
    assert held
    assert held.version.row == ROW_MAX


def test_faults_in_both_partitions_are_found_and_mended_together(place: Moved) -> None:
    for number in range(3, 9):
        place.store.forget(place.table, place.key(number))
    for number in range(100, 106):
        place.plant(number, {**row_of(place, 9), "id": number}, Version.of_change(1, 1))
    kinds = [found.kind for found in place.verify()]
    assert sorted(kinds) == [Kind.EXTRA] * 6 + [Kind.MISSING] * 6
    (done,) = place.repair()
    assert (done.written, done.deleted, done.is_mended) == (6, 6, True)
    assert place.verify() == []


def test_the_one_partition_of_a_key_holds_all_changes_of_it(place: Moved) -> None:
    numbers = range(20, 25)
    place.execute("UPDATE thing SET name = 'newer' WHERE id BETWEEN 20 AND 24")
    place.pipeline.drain()
    place.repair(*numbers)
    found = [explain(place.verifier, place.source_table, place.key(number), 30) for number in numbers]
    for one in found:
        assert one.fates == [Fate.SUPERSEDED, Fate.SUPERSEDED, Fate.HELD]
        assert one.conclusion().startswith("equal")
    assert {one.partition.number for one in found if one.partition} == {0, 1}
