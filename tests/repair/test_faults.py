"""Each kind of fault, planted in each target: found, and mended by repair."""

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager

import pytest

from changeover.decide import Write
from changeover.verify.findings import LOST_MARKER, Kind
from changeover.verify.judge import note
from changeover.version import Version
from tests.repair.planting import Moved, changed, with_value


def lost(place: Moved) -> int:
    place.store.forget(place.table, place.key(11))
    return 11


def extra(place: Moved) -> int:
    place.plant(900, changed(place.row(12), id=900), Version.of_change(1, 1))
    return 900


def swapped(place: Moved) -> int:
    row = place.row(13)
    assert row
    return with_value(13, name=row["other"], other=row["name"])(place)


def late(place: Moved) -> int:
    """A change was lost on its way: the target still has the state before it, under that one's version."""
    before, row = place.held(14), place.row(14)
    assert before
    place.execute("UPDATE thing SET name = 'newer' WHERE id = 14")
    place.pipeline.drain()
    place.plant(14, row, before.version)
    return 14


def risen(place: Moved) -> int:
    """A marker was lost, and a late row of the import came back."""
    before, row = place.held(15), place.row(15)
    assert before
    place.execute("DELETE FROM thing WHERE id = 15")
    place.pipeline.drain()
    marker = place.held(15)
    assert marker
    assert marker.body is None
    place.plant(15, row, before.version)
    return 15


FAULTS: Mapping[str, tuple[Kind, Callable[[Moved], int]]] = {
    "a flipped byte": (Kind.DIFFERENT, with_value(1, data=b"\x01" * 50 + b"\x03" + b"\x01" * 49)),
    "a missing row": (Kind.MISSING, lost),
    "an extra row": (Kind.EXTRA, extra),
    "swapped columns": (Kind.DIFFERENT, swapped),
    "an older state under its older version": (Kind.DIFFERENT, late),
    "an older value under the version of now": (Kind.DIFFERENT, with_value(4, name="older")),
    "a deleted row that came back": (Kind.EXTRA, risen),
    "NULL for the empty text": (Kind.DIFFERENT, with_value(7, name=None)),
    "a truncated blob": (Kind.DIFFERENT, with_value(8, data=b"\x08" * 99)),
    "a datetime off by an hour": (Kind.DIFFERENT, with_value(9, at="2024-03-31 03:30:00.123")),
    "a decimal off in its 30th digit": (
        Kind.DIFFERENT,
        with_value(10, price="10.123456789012345678901234567891"),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_as_what_it_is_and_mended(place: Moved, fault: str) -> None:
    kind, plant = FAULTS[fault]
    number = plant(place)
    assert [(found.key, found.kind) for found in place.verify()] == [(place.key(number), kind)]
    (done,) = place.repair()
    assert done.is_mended
    assert done.judgement.equal == [place.key(number)]
    assert place.findings.open() == []
    assert place.verify() == []


def test_a_lost_marker_is_found_among_recent_changes_and_put_back(place: Moved) -> None:
    recent = place.verifier._recent([place.source_table])
    row = place.row(29)
    place.execute("DELETE FROM thing WHERE id = 29")
    place.pipeline.drain()
    place.store.forget(place.table, place.key(29))
    ((_, judgement),) = recent.look()
    note(place.findings, judgement, place.table.full_name)
    assert [found.columns for found in place.findings.open()] == [LOST_MARKER]
    (done,) = place.repair()
    assert done.is_mended
    assert place.findings.open() == []
    place.target.write([Write(place.table, place.key(29), Version.of_change(1, 1), row)])
    assert place.verify() == [], "a late write brought the row back"


def test_after_a_lost_tail_repair_sweeps_away_what_the_source_lacks(place: Moved) -> None:
    """Rows of a server that took them with it: the new one has never had them."""
    row = place.row(2)
    phantoms = range(1_000, 1_150)
    for number in phantoms:
        place.plant(number, changed(row, id=number), Version.of_change(1, 2))
    assert {finding.kind for finding in place.verify()} == {Kind.EXTRA}
    done = place.repair()
    assert sum(one.deleted for one in done) == len(phantoms)
    assert all(one.is_mended for one in done)
    late = [Write(place.table, place.key(n), Version.of_change(1, 3), changed(row, id=n)) for n in phantoms]
    place.target.write(late)
    assert place.verify() == [], "a late write brought a phantom back"


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.full) for seed in range(2, 8))])
def test_a_seeded_mix_of_faults_is_found_and_mended_while_the_application_writes(
    place: Moved, seed: int
) -> None:
    chance = random.Random(seed)
    quiet, hot = range(1, 20), range(40, 61)
    with writing(place, hot, seed) as written:
        planted = {plant_any(place, chance, number) for number in chance.sample(quiet, 10)}
        for number in chance.sample(hot, 5):  # mended by the next change, or found
            plant_any(place, chance, number)
        found = {finding.key for finding in place.verify()}
        assert planted <= found
        assert found <= planted | {place.key(number) for number in hot}
        list(place.repair())
        while written() < HOT_CHANGES_MIN:
            time.sleep(0.05)
    place.pipeline.drain()
    assert place.verify() == []


HOT_CHANGES_MIN = 200
REPLACE = "REPLACE INTO thing (id, name, other, price) VALUES (%s, %s, %s, %s)"


def plant_any(place: Moved, chance: random.Random, number: int) -> bytes:
    """One fault at this key."""
    held, row = place.held(number), place.row(number)
    assert held
    if row is None:  # deleted by a test before
        place.plant(number, changed(place.row(2), id=number), Version.of_change(1, 1))
        return place.key(number)
    wrong = chance.choice(
        [
            {"name": "wrong"},
            {"name": row["other"], "other": row["name"]},
            {"at": "2024-03-31 03:30:00.123"},
            {"data": b"\0"},
            {"price": None},
            None,
        ]
    )
    if wrong is None:
        place.store.forget(place.table, place.key(number))
    else:
        version = held.version if chance.random() < 0.5 else Version.of_change(1, 1)
        place.plant(number, changed(row, **wrong), version)
    return place.key(number)


@contextmanager
def writing(place: Moved, numbers: Sequence[int], seed: int) -> Iterator[Callable[[], int]]:
    """Somebody changes, deletes and puts back these rows all the time; how many changes he has made."""
    chance = random.Random(seed)
    stop = threading.Event()
    count = itertools.count(1)
    made = [0]

    def write() -> None:
        with closing(place.pipeline.server.connect(database=place.pipeline.schema)) as client:
            while not stop.wait(0.002):
                number = chance.choice(numbers)
                with client.cursor() as cursor:
                    if chance.random() < 0.1:
                        cursor.execute("DELETE FROM thing WHERE id = %s", (number,))
                    values = (number, f"change {next(count)}", "", "0")
                    cursor.execute(
                        "REPLACE INTO thing (id, name, other, price) VALUES (%s, %s, %s, %s)", values
                    )
                made[0] += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield lambda: made[0]
    finally:
        stop.set()
        thread.join()
