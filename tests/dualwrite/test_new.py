"""NEW: the application's own values, in the new database alone."""

import time

import pytest

from changeover.decide import Write
from changeover.dualwrite import DualStore, Origin
from changeover.envelope import encode_key
from changeover.errors import PhaseForbids, TableUnknown, ValueRefused, WritesFenced
from changeover.mysql.catalog import captured_tables
from changeover.mysql.connection import Connection
from changeover.phase import Phase
from changeover.targets.wiring import open_target
from changeover.values import Row
from changeover.version import ROW_MAX, Version
from tests.support.ward import NEW_EPOCH, Ward


def write(store: DualStore, number: int, dose: str, note: str | None = None) -> None:
    """The shape of an application's transaction that lives on in NEW."""
    with store.transaction() as tx:
        tx.old.execute("REPLACE INTO prescription VALUES (%s, %s, %s)", (number, dose, note))
        tx.put("prescription", number, {"id": number, "dose": dose, "note": note})


def test_the_same_code_goes_on_in_new_and_the_old_database_is_left_alone(ward: Ward) -> None:
    store = ward.store()
    for phase in (Phase.OLD, Phase.BOTH_READ_OLD, Phase.BOTH_READ_NEW, Phase.NEW):
        ward.move(phase)
        write(store, 1, "1.500", phase)
        answer = store.get("prescription", id=1)
        assert answer.value == {"id": 1, "dose": "1.500", "note": phase}
    assert ward.run("SELECT note FROM prescription") == [(Phase.BOTH_READ_NEW,)]
    assert answer.origin is Origin.NEW
    assert answer.version == Version(NEW_EPOCH, 0, 0)
    assert (store.counts.now()["puts"], store.counts.now()["put_mismatch"]) == (3, 0)


def test_a_late_write_of_the_time_before_changes_nothing_in_new(ward: Ward) -> None:
    ward.move(Phase.NEW)
    store = ward.store()
    write(store, 1, "2")
    with Connection(ward.settings().source) as connection, open_target(ward.settings()) as target:
        (table,) = captured_tables(connection)
        row: Row = {"id": 1, "dose": "9.000", "note": "late"}
        target.write([Write(table, encode_key(table, row), Version(1, 2**60, ROW_MAX), row)])
    assert store.get("prescription", id=1).value == {"id": 1, "dose": "2.000", "note": None}


def test_a_deletion_in_new_leaves_a_marker(ward: Ward) -> None:
    ward.move(Phase.NEW)
    store = ward.store()
    write(store, 1, "2")
    with store.transaction() as tx:
        tx.delete("prescription", 1)
        assert tx.get("prescription", id=1).value is None
    held = ward.held(1)
    assert held is not None
    assert (held.body, held.version) == (None, Version(NEW_EPOCH, 0, 0))


def test_the_first_write_of_new_waits_until_every_earlier_lease_has_run_out(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ward.store(lease_s=0.4)
    waits_s = list[float]()

    def wait(wait_s: float) -> None:
        waits_s.append(wait_s)
        time.sleep(wait_s)

    monkeypatch.setattr(store._in_new, "_sleep", wait)
    assert store.phase is Phase.OLD
    ward.move(Phase.NEW)
    began = time.monotonic()
    write(store, 1, "2")
    assert time.monotonic() - began >= 0.4
    write(store, 1, "3")
    assert waits_s[1:] == [0.0]


def test_what_new_does_not_have_is_refused_and_nothing_is_written(ward: Ward) -> None:
    ward.move(Phase.NEW)
    store = ward.store()
    with pytest.raises(PhaseForbids, match=r"tx\.old\.execute"), store.transaction() as tx:
        tx.execute("INSERT INTO prescription VALUES (1, 1, NULL)")
    with pytest.raises(PhaseForbids, match=r"tx\.put"), store.transaction() as tx:
        tx.changed("prescription", id=1)
    assert ward.run("SELECT count(*) FROM prescription") == [(0,)]
    assert ward.held(1) is None


def test_a_value_of_another_shape_and_a_table_that_is_not_captured_are_refused(ward: Ward) -> None:
    store = ward.store()
    with store.transaction() as tx:
        tx.old.execute("INSERT INTO prescription VALUES (1, 1, NULL)")
        tx.put("prescription", 1, {"id": 1, "dose": "1"})
    with pytest.raises(TableUnknown, match="citizen"), store.transaction() as tx:
        tx.changed("citizen", id=1)
    assert store.counts.now()["put_mismatch"] == 1  # before NEW it fails nobody
    ward.move(Phase.NEW)
    with pytest.raises(ValueRefused, match="note"), store.transaction() as tx:
        tx.put("prescription", 1, {"id": 1, "dose": "1"})


def test_while_fenced_a_write_waits_and_then_fails_clearly(ward: Ward) -> None:
    ward.move(Phase.FENCED)
    store = ward.store(fence_wait_s_max=0.2)
    began = time.monotonic()
    with pytest.raises(WritesFenced, match="Nothing was written"):
        write(store, 1, "2")
    assert 0.2 <= time.monotonic() - began < 10
    assert ward.run("SELECT count(*) FROM prescription") == [(0,)]


def test_a_write_that_waits_at_the_fence_goes_on_when_it_is_undone(ward: Ward) -> None:
    ward.move(Phase.FENCED)
    store = ward.store()
    with ward.meanwhile(lambda: write(store, 1, "2")) as writing:
        time.sleep(0.2)
        assert writing.is_alive()
        ward.move(Phase.BOTH_READ_NEW)
    assert ward.run("SELECT count(*) FROM prescription") == [(1,)]


@pytest.mark.parametrize(
    ("value", "mismatches"),
    [
        ({"id": 1, "dose": "2.500", "note": "daily"}, 0),
        ({"id": 1, "dose": "2.5", "note": "daily"}, 0),
        ({"id": 1, "dose": "2.501", "note": "daily"}, 1),
        ({"id": 1, "dose": "2.500", "note": "Daily"}, 1),
    ],
)
def test_a_put_that_is_not_what_the_row_has_become_is_counted(
    ward: Ward, value: dict[str, object], mismatches: int
) -> None:
    store = ward.store()
    with store.transaction() as tx:
        tx.old.execute("INSERT INTO prescription VALUES (1, 2.5, 'daily')")
        tx.put("prescription", 1, value)
    assert (store.counts.now()["puts"], store.counts.now()["put_mismatch"]) == (1, mismatches)


def test_a_deletion_of_what_is_still_there_is_a_mismatch(ward: Ward) -> None:
    store = ward.store()
    ward.run("INSERT INTO prescription VALUES (1, 2.5, 'daily')")
    with store.transaction() as tx:
        tx.delete("prescription", 1)
    assert store.counts.now()["put_mismatch"] == 1
