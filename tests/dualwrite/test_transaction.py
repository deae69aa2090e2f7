"""Transactions: what an application changes in the old database is in the new one right after its commit."""

import pytest

from changeover.dualwrite import Origin, Transaction
from changeover.phase import Phase
from changeover.version import ROW_OF_DIRECT_WRITE
from tests.support.ward import Ward

BOTH = [Phase.BOTH_READ_OLD, Phase.BOTH_READ_NEW]


@pytest.mark.parametrize("phase", BOTH)
def test_what_was_changed_is_in_the_new_database_right_after_the_commit(ward: Ward, phase: Phase) -> None:
    ward.move(phase)
    store = ward.store()
    with store.transaction() as tx:
        tx.execute("INSERT INTO prescription VALUES (%s, %s, %s)", (1, "2.5", "daily"))
        tx.changed("prescription", id=1)
    held = ward.held(1)
    assert held is not None
    assert held.body == {"id": 1, "dose": "2.500", "note": "daily"}
    assert (held.version.epoch, held.version.row) == (1, ROW_OF_DIRECT_WRITE)
    assert store.counts.now()["direct_writes"] == 1
    assert store.counts.now()["direct_failed"] == 0


def test_in_the_first_phase_the_new_database_is_left_alone(ward: Ward) -> None:
    store = ward.store()
    with store.transaction() as tx:
        tx.execute("INSERT INTO prescription VALUES (1, 2.5, NULL)")
        tx.changed("prescription", id=1)
    assert ward.held(1) is None
    assert store.get("prescription", id=1).value == {"id": 1, "dose": "2.500", "note": None}


def test_a_deleted_row_leaves_a_marker(ward: Ward) -> None:
    ward.move(Phase.BOTH_READ_OLD)
    ward.run("INSERT INTO prescription VALUES (1, 2.5, NULL)")
    with ward.store().transaction() as tx:
        tx.execute("DELETE FROM prescription WHERE id = 1")
        tx.changed("prescription", id=1)
    held = ward.held(1)
    assert held is not None
    assert held.body is None


def test_each_direct_write_is_above_the_one_before(ward: Ward) -> None:
    ward.move(Phase.BOTH_READ_OLD)
    store = ward.store()
    ward.run("INSERT INTO prescription VALUES (1, 0, NULL)")
    versions = []
    for dose in range(1, 5):
        with store.transaction() as tx:
            tx.execute("UPDATE prescription SET dose = %s WHERE id = 1", (dose,))
            tx.changed("prescription", id=1)
        held = ward.held(1)
        assert held is not None
        assert held.body == {"id": 1, "dose": f"{dose}.000", "note": None}
        versions.append(held.version)
    assert versions == sorted(set(versions))


def test_a_transaction_that_fails_changes_neither_database(ward: Ward) -> None:
    ward.move(Phase.BOTH_READ_OLD)
    store = ward.store()

    def fail(tx: Transaction) -> None:
        tx.execute("INSERT INTO prescription VALUES (1, 2.5, NULL)")
        tx.changed("prescription", id=1)
        raise LookupError

    with pytest.raises(LookupError), store.transaction() as tx:
        fail(tx)
    assert ward.run("SELECT count(*) FROM prescription") == [(0,)]
    assert ward.held(1) is None


def test_reads_follow_the_phase(ward: Ward) -> None:
    ward.move(Phase.BOTH_READ_OLD)
    store = ward.store()
    with store.transaction() as tx:
        tx.execute("INSERT INTO prescription VALUES (1, 2.5, 'daily')")
        tx.changed("prescription", id=1)
    old = store.get("prescription", id=1)
    ward.move(Phase.BOTH_READ_NEW)
    new = store.get("prescription", id=1)
    assert old.value == new.value == {"id": 1, "dose": "2.500", "note": "daily"}
    assert (old.origin, new.origin) == (Origin.OLD, Origin.NEW)
    ward.move(Phase.BOTH_READ_OLD)
    assert store.get("prescription", id=1).origin is Origin.OLD


@pytest.mark.parametrize("masked", ["note", "id"])
def test_what_is_masked_is_masked_in_every_answer_and_in_the_new_database(ward: Ward, masked: str) -> None:
    extra = f'[masks]\nhash = ["ward.prescription.{masked}"]\nsecret = "no more than a secret"'
    ward.move(Phase.BOTH_READ_OLD)
    store = ward.store(extra=extra)
    with store.transaction() as tx:
        tx.execute("INSERT INTO prescription VALUES (1, 2.5, 'daily')")
        tx.changed("prescription", id=1)
    old = store.get("prescription", id=1)
    ward.move(Phase.BOTH_READ_NEW)
    new = store.get("prescription", id=1)
    assert (old.origin, new.origin) == (Origin.OLD, Origin.NEW)
    assert old.value == new.value
    assert new.value is not None
    assert len(str(new.value[masked])) == 32
    with store.transaction() as tx:
        tx.execute("DELETE FROM prescription WHERE id = 1")
        tx.changed("prescription", id=1)
    assert store.get("prescription", id=1).value is None
    assert store.get("prescription", id=1).origin is Origin.NEW
