import sqlite3
from collections.abc import Sequence
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.events import Images
from cdc.spill import SpillingStore
from cdc.transaction import Folded, KeyId, Transaction
from changeover.change import Origin
from changeover.envelope import encode_key
from changeover.table import Table
from changeover.version import Version
from tests.support.tables import CITIZEN, EVERY_KIND, citizen, exactly, named, rows

PASSPORT = named("passport")
key_ids = st.builds(
    KeyId,
    st.sampled_from([CITIZEN.full_name, PASSPORT.full_name]),
    st.sampled_from([b"1", b"2", b"3", b"\xff"]),
)
tables = {table.full_name: table for table in (CITIZEN, PASSPORT)}
steps = st.lists(st.tuples(key_ids, st.sampled_from(["set", "pop"]), st.integers(0, 9)), max_size=25)


def folded(number: int, table: Table = CITIZEN) -> Folded:
    return Folded(table, None, citizen(number))


@pytest.mark.parametrize("keys_in_memory_max", [0, 1, 3, 100])
@given(steps=steps)
def test_it_is_a_dict_in_order_of_first_touch_whatever_fits_into_memory(
    keys_in_memory_max: int, steps: Sequence[tuple[KeyId, str, int]]
) -> None:
    model: dict[KeyId, Folded] = {}
    with closing(SpillingStore(keys_in_memory_max)) as store:
        for key_id, step, number in steps:
            if step == "set":
                model[key_id] = store[key_id] = folded(number, tables[key_id.table])
            else:
                assert store.pop(key_id, None) == model.pop(key_id, None)
            assert list(store.items()) == list(model.items())
            assert len(store) == len(model)
            assert store.get(key_id) == model.get(key_id)


@given(st.lists(st.tuples(st.none() | rows(EVERY_KIND), rows(EVERY_KIND)), max_size=4))
def test_every_value_comes_back_from_the_file_as_it_was(images: Sequence[Images]) -> None:
    with closing(SpillingStore(0)) as store:
        for place, (before, after) in enumerate(images):
            key_id = KeyId(EVERY_KIND.full_name, str(place).encode())
            written = Folded(EVERY_KIND, before, after)
            store[key_id] = written
            read = store[key_id]
            assert (exactly(read.before), exactly(read.after)) == (
                exactly(written.before),
                exactly(written.after),
            )


def test_it_spills_beyond_its_bound_and_not_before() -> None:
    with closing(SpillingStore(2)) as store:
        spilled = []
        for number in (1, 2, 2, 3):
            store[KeyId(CITIZEN.full_name, str(number).encode())] = folded(number)
            spilled.append(store.is_spilled)
        assert spilled == [False, False, False, True]


@pytest.mark.parametrize("keys_in_memory_max", [0, 100])
def test_a_key_that_is_not_there_is_an_error(keys_in_memory_max: int) -> None:
    missing = KeyId(CITIZEN.full_name, b"2")
    with closing(SpillingStore(keys_in_memory_max)) as store:
        store[KeyId(CITIZEN.full_name, b"1")] = folded(1)
        with pytest.raises(KeyError):
            store[missing]
        with pytest.raises(KeyError):
            del store[missing]


def test_the_file_is_gone_with_the_store() -> None:
    store = SpillingStore(0)
    store[KeyId(CITIZEN.full_name, b"1")] = folded(1)
    store.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
        len(store)


def test_a_transaction_folds_the_same_in_memory_and_in_the_file() -> None:
    changes = [
        (citizen(1), citizen(2)),
        (None, citizen(1)),
        (citizen(2), None),
        (citizen(3), citizen(3, "x")),
    ]
    results = []
    for keys_in_memory_max in (0, 100):
        with closing(SpillingStore(keys_in_memory_max)) as store:
            transaction = Transaction(store)
            for before, after in changes:
                transaction.add(CITIZEN, before, after)
            results.append(list(transaction.changes(Version.of_change(1, 1), Origin(0))))
    assert results[0] == results[1]
    assert {key for key, _ in results[0]} == {encode_key(CITIZEN, citizen(number)) for number in (1, 3)}
