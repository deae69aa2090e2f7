"""Each rule of the protocol that the library stands on, and the story that breaks when it is switched off."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import changeover.dualwrite.commits
import changeover.dualwrite.old
import changeover.dualwrite.reads
import changeover.dualwrite.store
import changeover.dualwrite.transaction
from changeover.demo.server import PrivateMariaDB
from changeover.dualwrite import Answer, DualStore, Origin, Transaction
from changeover.dualwrite.commits import CommitPlaces
from changeover.dualwrite.old import rows_of
from changeover.dualwrite.transaction import OldTransaction
from changeover.epoch import Epoch
from changeover.errors import TransactionBroken
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.mysql.numbering import numbering_of
from changeover.phase import Phase
from changeover.version import Version
from tests.support.ward import Ward

RULE = pytest.mark.parametrize("is_on", [True, False], ids=["rule on", "rule off"])


def dose_of(answer: Answer) -> str:
    """The dose that a read has found."""
    assert answer.value is not None
    return str(answer.value["dose"])


def add(store: DualStore, dose: int) -> None:
    """Add to the dose of prescription 1."""
    with store.transaction() as tx:
        tx.execute("UPDATE prescription SET dose = dose + %s WHERE id = 1", (dose,))
        tx.changed("prescription", id=1)


def at_point(monkeypatch: pytest.MonkeyPatch, wanted: str, act: Callable[[], None]) -> None:
    """Have something happen the first time that a transaction comes to a point."""
    waiting = [act]

    def reach(point: str) -> None:
        if point == wanted and waiting:
            waiting.pop()()

    monkeypatch.setattr(changeover.dualwrite.transaction, "reach", reach)


@RULE
def test_the_body_is_what_stands_in_the_row_just_before_the_commit(
    ward: Ward, monkeypatch: pytest.MonkeyPatch, *, is_on: bool
) -> None:
    """An old view, and an UPDATE that changes nothing: read without a lock, the stale row wins for ever."""
    if not is_on:
        monkeypatch.setattr(changeover.dualwrite.transaction, "FOR_UPDATE", "")
    ward.move(Phase.BOTH_READ_OLD)
    ward.run("INSERT INTO prescription VALUES (1, 1, NULL), (2, 1, NULL)")
    store, other = ward.store(), ward.store()
    with store.transaction() as tx:
        tx.execute("SELECT * FROM prescription")  # REPEATABLE READ: the view is opened
        add(other, 4)
        tx.execute("UPDATE prescription SET dose = 5 WHERE id = 1")  # it is 5 by now
        tx.execute("UPDATE prescription SET dose = 2 WHERE id = 2")  # so that there is something to commit
        tx.changed("prescription", id=1)
    held = ward.held(1)
    assert held is not None
    assert held.body is not None
    assert held.body["dose"] == ("5.000" if is_on else "1.000")


@RULE
def test_the_place_of_a_commit_is_its_own(
    ward: Ward, monkeypatch: pytest.MonkeyPatch, *, is_on: bool
) -> None:
    """Another session's higher number on our body drops a true change for good."""
    ward.move(Phase.BOTH_READ_OLD)
    ward.run("INSERT INTO prescription VALUES (1, 1, NULL), (2, 1, NULL)")
    store = ward.store()
    changed_at: list[int] = []

    def others_commit() -> None:
        ward.run("UPDATE prescription SET dose = 7 WHERE id = 1")
        changed_at.append(ward.newest_sequence)
        ward.run("UPDATE prescription SET dose = 7 WHERE id = 2")

    at_point(monkeypatch, "dualwrite.committed", others_commit)
    if not is_on:
        monkeypatch.setattr(CommitPlaces, "_gtid", lambda *_: ward.newest_gtid)
    add(store, 1)
    ward.deliver(changed_at[0], {"id": 1, "dose": "7.000", "note": None})
    held = ward.held(1)
    assert held is not None
    assert held.body is not None
    assert held.body["dose"] == ("7.000" if is_on else "2.000")


@pytest.mark.parametrize("does_tell", [True, False])
def test_a_commit_that_changed_nothing_has_no_place_and_needs_none(
    ward: Ward, monkeypatch: pytest.MonkeyPatch, *, does_tell: bool
) -> None:
    """The session's last GTID is that of the transaction before: its number says nothing of this row."""
    if not does_tell:
        monkeypatch.setattr(changeover.dualwrite.old, "tells_gtids", lambda _: False)
    ward.move(Phase.BOTH_READ_NEW)
    ward.run("INSERT INTO prescription VALUES (1, 1, NULL)")
    store = ward.store()
    add(store, 1)
    before = ward.held(1)
    with store.transaction() as tx:
        tx.execute("UPDATE prescription SET dose = dose WHERE id = 1")
        tx.changed("prescription", id=1)
    assert ward.held(1) == before
    assert store.counts.now()["direct_doubtful"] == 0
    assert store.get("prescription", id=1).origin is Origin.NEW  # nothing was written that could be missed


@pytest.mark.parametrize("does_tell", [True, False])
def test_mysql_tells_the_place_in_the_answer_or_in_the_sessions_history(
    ward: Ward, monkeypatch: pytest.MonkeyPatch, *, does_tell: bool
) -> None:
    if not does_tell:
        monkeypatch.setattr(changeover.dualwrite.old, "tells_gtids", lambda _: False)
    ward.move(Phase.BOTH_READ_OLD)
    ward.run("INSERT INTO prescription VALUES (1, 1, NULL)")
    store = ward.store()
    for _ in range(3):
        before = ward.newest_sequence
        add(store, 1)
        after = ward.newest_sequence
        held = ward.held(1)
        assert held is not None
        assert held.version in [Version(1, sequence, 0) for sequence in range(before + 1, after + 1)]
        ward.run("INSERT INTO prescription VALUES (2, 1, NULL)")
        ward.run("DELETE FROM prescription WHERE id = 2")


def test_a_session_that_is_another_one_behind_the_commit_has_no_place(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody between us and the server may hand the session on."""
    monkeypatch.setattr(changeover.dualwrite.old, "tells_gtids", lambda _: False)
    ward.move(Phase.BOTH_READ_OLD)
    ward.run("INSERT INTO prescription VALUES (1, 1, NULL)")
    store = ward.store()
    other = ward.server.connect()
    try:
        monkeypatch.setattr(
            changeover.dualwrite.commits,
            "rows_of",
            lambda _, sql: rows_of(other, sql),
        )
        with other.cursor() as cursor:
            cursor.execute(f"UPDATE {ward.schema}.prescription SET note = 'theirs'")
        add(store, 1)
    finally:
        other.close()
    assert ward.held(1) is None
    assert store.counts.now()["direct_doubtful"] == 1


@RULE
def test_a_server_that_is_not_the_newest_epochs_has_no_place(
    ward: Ward, monkeypatch: pytest.MonkeyPatch, *, is_on: bool
) -> None:
    """Numbers of the old server, stamped with the new one's epoch, beat all that the new one commits."""
    ward.move(Phase.BOTH_READ_OLD)
    ward.run("INSERT INTO prescription VALUES (1, 1, NULL)")
    with Connection(ward.settings().source) as connection:
        control = ControlSchema(connection, "test")
        other = "0-99" if isinstance(ward.server, PrivateMariaDB) else "00000000-0000-0000-0000-000000000099"
        last = Version.of_change(1, numbering_of(connection).bound(lambda: control.beat("test"))[1])
        control.open_epoch(Epoch(2, other, 1, last))
    if not is_on:
        learned = changeover.dualwrite.commits.version_of
        monkeypatch.setattr(
            changeover.dualwrite.commits,
            "version_of",
            lambda epoch, gtid: learned(
                Epoch(epoch.number, gtid.replace(":", "-").rpartition("-")[0], 1, None), gtid
            ),
        )
    store = ward.store()
    add(store, 1)
    held = ward.held(1)
    assert (held is None) is is_on
    assert store.counts.now()["direct_doubtful"] == is_on


@RULE
def test_of_two_that_read_to_write_the_second_waits_for_the_first(
    ward: Ward, monkeypatch: pytest.MonkeyPatch, *, is_on: bool
) -> None:
    """In the third phase two read 0 from the new database, and both write 1: a lost update in the source."""
    ward.move(Phase.BOTH_READ_NEW)
    ward.run("INSERT INTO prescription VALUES (1, 0, NULL)")
    stores = [ward.store(), ward.store()]
    add(stores[0], 0)
    ward.deliver(ward.newest_sequence, {"id": 1, "dose": "0.000", "note": None})
    if not is_on:

        def get(_: OldTransaction, table: str, /, **key: Any) -> Answer:  # noqa: ANN401
            return stores[0].get(table, **key)

        monkeypatch.setattr(OldTransaction, "get", get)
    both_have_read = threading.Barrier(2)

    def add_one(store: DualStore) -> None:
        with store.transaction() as tx:
            dose = float(dose_of(tx.get("prescription", id=1)))
            if is_on:
                time.sleep(0.2)  # the other one would read meanwhile
            else:
                both_have_read.wait(60)
            tx.execute("UPDATE prescription SET dose = %s WHERE id = 1", (dose + 1,))
            tx.changed("prescription", id=1)

    with ward.meanwhile(lambda: add_one(stores[0])), ward.meanwhile(lambda: add_one(stores[1])):
        pass
    assert ward.run("SELECT dose = 2 FROM prescription") == [(int(is_on),)]


@RULE
def test_a_session_never_reads_older_than_it_wrote(
    ward: Ward, monkeypatch: pytest.MonkeyPatch, *, is_on: bool
) -> None:
    if not is_on:
        monkeypatch.setattr(changeover.dualwrite.reads, "accepts", lambda *_: True)
    ward.move(Phase.BOTH_READ_NEW)
    ward.run("INSERT INTO prescription VALUES (1, 1, NULL)")
    store = ward.store(direct_writes=False)
    ward.deliver(ward.newest_sequence, {"id": 1, "dose": "1.000", "note": None})
    assert store.get("prescription", id=1).origin is Origin.NEW
    add(store, 1)
    answer = store.get("prescription", id=1)
    assert dose_of(answer) == ("2.000" if is_on else "1.000")
    assert answer.origin is (Origin.OLD if is_on else Origin.NEW)
    ward.deliver(ward.newest_sequence, {"id": 1, "dose": "2.000", "note": None})
    assert store.get("prescription", id=1).origin is Origin.NEW


@RULE
def test_no_phase_ends_under_a_transaction(
    ward: Ward, monkeypatch: pytest.MonkeyPatch, *, is_on: bool
) -> None:
    """Read outside of the transaction, a phase can end before what was begun in it is committed."""
    ward.move(Phase.BOTH_READ_NEW)
    if not is_on:
        monkeypatch.setattr(changeover.dualwrite.store, "SHARED", "")
    store = ward.store()
    with store.transaction() as tx:
        tx.execute("INSERT INTO prescription VALUES (1, 1, NULL)")
        with ward.meanwhile(lambda: ward.move(Phase.FENCED)) as moving:
            moving.join(0.5 if is_on else 60)
            has_moved = not moving.is_alive()
            tx.execute("COMMIT")
    assert has_moved is not is_on


def test_a_transaction_that_a_statement_of_its_own_has_ended_is_refused_behind_a_move(ward: Ward) -> None:
    ward.move(Phase.BOTH_READ_NEW)
    store = ward.store()

    def commit_and_go_on(tx: Transaction) -> None:
        tx.execute("COMMIT")
        ward.move(Phase.FENCED)
        tx.execute("START TRANSACTION")
        tx.execute("INSERT INTO prescription VALUES (1, 1, NULL)")
        tx.changed("prescription", id=1)

    with pytest.raises(TransactionBroken, match="BOTH_READ_NEW"), store.transaction() as tx:
        commit_and_go_on(tx)
    assert ward.run("SELECT count(*) FROM prescription") == [(0,)]


@pytest.mark.parametrize("name", ["sync_binlog", "innodb_flush_log_at_trx_commit"])
def test_a_server_that_can_forget_a_commit_gets_no_direct_writes(ward: Ward, name: str) -> None:
    ward.move(Phase.BOTH_READ_OLD)
    ward.run("INSERT INTO prescription VALUES (1, 1, NULL)")
    (before,) = ward.run(f"SELECT @@global.{name}")
    ward.run(f"SET GLOBAL {name} = 2")
    try:
        store = ward.store()
        add(store, 1)
        assert ward.held(1) is None
        assert store.counts.now()["direct_failed"] == 0  # it is no failure: the binlog alone delivers here
    finally:
        ward.run(f"SET GLOBAL {name} = {before[0]}")


def test_a_table_without_transactions_gets_no_direct_writes(ward: Ward) -> None:
    ward.run("CREATE TABLE loose (id INT PRIMARY KEY) ENGINE = MyISAM")
    ward.move(Phase.BOTH_READ_OLD)
    ward.run("INSERT INTO loose VALUES (1)")
    store = ward.store()
    with store.transaction() as tx:
        tx.execute("INSERT INTO prescription VALUES (1, 1, NULL)")
        tx.changed("loose", id=1)
        tx.changed("prescription", id=1)
    assert store.counts.now()["direct_writes"] == 1
    assert store.counts.now()["direct_failed"] == 1


def test_a_session_whose_modes_change_values_gets_no_direct_writes(ward: Ward) -> None:
    ward.move(Phase.BOTH_READ_OLD)
    ward.run("INSERT INTO prescription VALUES (1, 1, NULL)")
    store = ward.store()
    with store.transaction() as tx:
        tx.execute("SET SESSION sql_mode = 'PAD_CHAR_TO_FULL_LENGTH'")
        tx.execute("UPDATE prescription SET dose = 2 WHERE id = 1")
        tx.changed("prescription", id=1)
    assert ward.held(1) is None
    assert store.counts.now()["direct_doubtful"] == 1
