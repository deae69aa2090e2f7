"""What fails on the new side never fails the user, and what fails on the old one is said clearly."""

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

import changeover
import changeover.dualwrite.transaction
from changeover.crashpoints import VARIABLE
from changeover.demo.server import PrivateMariaDB
from changeover.dualwrite import DualStore, Origin, Transaction
from changeover.errors import CommitUnknown, SourceUnavailable
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.mysql.processes import processes
from changeover.phase import Phase
from tests.riak.double.running import Running, running
from tests.support.accounts import run
from tests.support.pipeline import Pipeline, schema_of
from tests.support.processes import environment, wait_until
from tests.support.ward import PATIENCE_S, TABLE, Ward

PRESCRIBE = """
import os, sys
from pathlib import Path
from changeover import crashpoints
from changeover.dualwrite import DualStore
store = DualStore.from_settings(Path(sys.argv[1]))
crashpoints.arm(os.environ)
with store.transaction() as tx:
    tx.execute("UPDATE prescription SET dose = dose + 1 WHERE id = 1")
    tx.changed("prescription", id=1)
"""


def add(store: DualStore, number: int = 1) -> None:
    """Add 1 to the dose, or prescribe 1."""
    with store.transaction() as tx:
        tx.execute(
            "INSERT INTO prescription VALUES (%s, 1, NULL) ON DUPLICATE KEY UPDATE dose = dose + 1", (number,)
        )
        tx.changed("prescription", id=number)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """The new database, a SQLite file, is held by somebody else, so that no write gets on."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@pytest.mark.parametrize(
    "point",
    [
        "committed",
        "learned",
        *(pytest.param(point, marks=pytest.mark.full) for point in ("looked", "written")),
    ],
)
def test_a_process_that_is_killed_around_its_commit_loses_nothing(
    mariadb: PrivateMariaDB, tmp_path: Path, point: str
) -> None:
    with schema_of(mariadb, "killed", TABLE, "INSERT INTO prescription VALUES (1, 1, NULL)") as schema:
        ward = Ward(mariadb, schema, tmp_path)
        with Pipeline(mariadb, schema, tmp_path, parts=("capture", "apply")) as pipeline:
            pipeline.until(lambda now: now.captured_through is not None)
            ward.move(Phase.BOTH_READ_OLD)
            ward.settings()
            done = subprocess.run(
                [sys.executable, "-c", PRESCRIBE, str(tmp_path / "changeover.toml")],
                check=False,
                timeout=60,
                env=environment() | {VARIABLE: f"dualwrite.{point}:1:kill"},
            )
            assert done.returncode == -9
            is_committed = point != "looked"
            assert ward.run("SELECT dose FROM prescription") == [(1 + is_committed,)]
            pipeline.drain()
            held = ward.held(1)
            assert (held is not None) is is_committed
            if held:
                assert held.body == {"id": 1, "dose": "2.000", "note": None}


def test_a_direct_write_that_takes_too_long_holds_nobody_up_and_may_happen_later(ward: Ward) -> None:
    ward.move(Phase.BOTH_READ_NEW)
    add(ward.store())
    store = ward.store(write_timeout_s=0.2, read_timeout_s=0.2)
    with locked(ward.folder / "target.db"):
        began = time.monotonic()
        add(store)
        assert time.monotonic() - began < PATIENCE_S  # as long as the new database is waited for
        answer = store.get("prescription", id=1)
        assert (answer.value, answer.origin) == ({"id": 1, "dose": "2.000", "note": None}, Origin.OLD)
        assert answer.fell_back
    assert store.counts.now()["direct_timed_out"] == 1
    assert wait_until(lambda: ward.body(1) == answer.value)
    assert wait_until(lambda: store.get("prescription", id=1).origin is Origin.NEW)


@pytest.mark.parametrize("is_delivered", [True, False])
def test_a_wait_for_the_binlog_ends_when_it_has_delivered_or_the_time_is_up(
    ward: Ward, *, is_delivered: bool
) -> None:
    ward.move(Phase.BOTH_READ_NEW)
    add(ward.store())
    wait_s_max = PATIENCE_S if is_delivered else 0.6
    store = ward.store(when_new_fails="wait", write_timeout_s=0.1, new_timeout_s=0.2, wait_s_max=wait_s_max)
    with ExitStack() as stack:
        with locked(ward.folder / "target.db"):
            began = time.monotonic()
            writing = stack.enter_context(ward.meanwhile(lambda: add(store)))
            # By then the write has failed for good; where nobody delivers, it must not come through either.
            writing.join(0.6 if is_delivered else PATIENCE_S)
            assert writing.is_alive() is is_delivered
            assert time.monotonic() - began >= 0.6
        if is_delivered:
            ward.deliver(ward.newest_sequence, {"id": 1, "dose": "2.000", "note": None})
    assert store.counts.now()["waits_expired"] == (not is_delivered)


def test_two_processes_that_write_one_key_end_with_the_same_in_both(ward: Ward) -> None:
    ward.move(Phase.BOTH_READ_NEW)
    stores = [ward.store(), ward.store()]

    def add_all(store: DualStore) -> None:
        for _ in range(25):
            add(store)

    add(stores[0])
    with ward.meanwhile(lambda: add_all(stores[0])), ward.meanwhile(lambda: add_all(stores[1])):
        pass
    held = ward.held(1)
    assert held is not None
    assert held.body == {"id": 1, "dose": "51.000", "note": None}
    assert ward.run("SELECT dose FROM prescription") == [(51,)]


def test_processes_in_adjacent_phases_see_their_own_writes(ward: Ward) -> None:
    """One still goes by the lease of the phase before, when others have moved on, and back."""
    ward.move(Phase.BOTH_READ_NEW)
    slow = ward.store(lease_s=30)
    add(slow)
    assert slow.get("prescription", id=1).origin is Origin.NEW
    ward.move(Phase.BOTH_READ_OLD)
    quick = ward.store()
    for expected in range(2, 6, 2):
        add(slow)
        assert slow.get("prescription", id=1).value == {"id": 1, "dose": f"{expected}.000", "note": None}
        add(quick)
        assert quick.get("prescription", id=1).value == {"id": 1, "dose": f"{expected + 1}.000", "note": None}


def test_a_commit_that_is_not_answered_is_reported_as_unknown_and_never_read_past(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    ward.move(Phase.BOTH_READ_NEW)
    store = ward.store()
    add(store)

    threads: list[int] = []

    def reach(point: str) -> None:
        if point == "dualwrite.looked":
            ward.run(f"KILL {threads[0]}")

    def add_in_vain(tx: Transaction) -> None:
        threads.append(tx.execute("SELECT CONNECTION_ID()").fetchone()[0])
        tx.execute("UPDATE prescription SET dose = dose + 1 WHERE id = 1")
        tx.changed("prescription", id=1)

    monkeypatch.setattr(changeover.dualwrite.transaction, "reach", reach)
    with pytest.raises(CommitUnknown, match="not known"), store.transaction() as tx:
        add_in_vain(tx)
    monkeypatch.undo()
    assert store.counts.now()["commits_unknown"] == 1
    answer = store.get("prescription", id=1)
    assert (answer.value, answer.origin) == ({"id": 1, "dose": "1.000", "note": None}, Origin.OLD)
    add(store)  # whoever has the row's lock now comes behind what is unknown
    assert store.get("prescription", id=1).origin is Origin.NEW


def test_a_process_reports_what_it_has_done(ward: Ward) -> None:
    ward.move(Phase.BOTH_READ_OLD)
    store = ward.store(report_s=0.05)
    add(store)
    with Connection(ward.settings().source) as connection:
        control = ControlSchema(connection, "test")
        assert wait_until(lambda: any(seen.report["direct_writes"] for seen in processes(control)))
        (seen,) = processes(control)
    assert (seen.phase, seen.version) == (Phase.BOTH_READ_OLD, changeover.__version__)
    assert seen.report["changed_calls"] == 1
    assert abs(seen.report["last_changed_ms"] - time.time() * 1000) < 60_000


@pytest.fixture
def riak() -> Iterator[Running]:
    with running(1) as riak:
        yield riak


def into(riak: Running) -> str:
    """The settings of a target in the double."""
    return f'url = "riak://{riak.nodes[0].address}"\nbucket_type = "mult"\nordering = "siblings"'


@pytest.mark.parametrize("phase", [Phase.BOTH_READ_OLD, Phase.BOTH_READ_NEW])
def test_while_the_new_database_is_down_the_application_goes_on(
    ward: Ward, riak: Running, phase: Phase
) -> None:
    ward.move(phase)
    store = ward.store(target=into(riak))
    add(store)
    assert store.counts.now()["direct_writes"] == 1
    assert store.get("prescription", id=1).origin is (
        Origin.NEW if phase is Phase.BOTH_READ_NEW else Origin.OLD
    )
    riak.nodes[0].kill()
    for _ in range(10):
        add(store)
    answer = store.get("prescription", id=1)
    assert (answer.value, answer.origin) == ({"id": 1, "dose": "11.000", "note": None}, Origin.OLD)
    assert store.counts.now()["direct_failed"] == 10
    riak.nodes[0].start()

    def is_back() -> bool:
        add(store, 2)
        return store.counts.now()["direct_writes"] > 1

    assert wait_until(is_back)


def test_while_the_old_database_is_down_the_third_phase_reads_on_and_writes_fail_clearly(
    tmp_path: Path,
) -> None:
    with PrivateMariaDB() as server:
        run(server, "CREATE DATABASE gone", "USE gone", TABLE)
        ward = Ward(server, "gone", tmp_path)
        ward.begin()
        ward.move(Phase.BOTH_READ_NEW)
        with ward.store() as store, ward.store() as other:
            add(store)
            assert other.get("prescription", id=1).origin is Origin.NEW
            server.stop()
            for one in (store, other):
                answer = one.get("prescription", id=1)
                assert (answer.value, answer.origin) == ({"id": 1, "dose": "1.000", "note": None}, Origin.NEW)
            with pytest.raises((SourceUnavailable, CommitUnknown)):
                add(store)
            with ward.store() as late:  # a process that begins now
                assert late.tables.find("prescription").table.name == "prescription"
                with pytest.raises(SourceUnavailable):
                    late.get("prescription", id=1)
            server.start()
            assert wait_until(lambda: writes(store))
            ward.move(Phase.NEW)
            assert store.get("prescription", id=1).origin is Origin.NEW
            server.stop()
            with ward.store() as late:
                with late.transaction() as tx:
                    tx.put("prescription", 2, {"id": 2, "dose": 1, "note": "new"})
                for one in (late, store, other):
                    answer = one.get("prescription", id=2)
                    assert answer.value == {"id": 2, "dose": "1.000", "note": "new"}
            server.start()


def writes(store: DualStore) -> bool:
    try:
        add(store, 3)
    except SourceUnavailable:
        return False
    return True
