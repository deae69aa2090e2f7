import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest
from pymysql.connections import Connection

from changeover.demo import keys as keys_module
from changeover.demo import writer as writer_module
from changeover.demo.application import KINDS, Kind
from changeover.demo.keys import Keys
from changeover.demo.server import PrivateMariaDB
from changeover.demo.writer import PASSWORD_VARIABLE, Pace, Tally, Writer
from tests.support.processes import environment

WAIT_S_MAX = 60.0
FIELDS = {"transactions", "rows", "by_kind", "seconds", "rolled_back", "retried", "errors"}


@pytest.fixture
def writer(mariadb: PrivateMariaDB, source: "Connection[Any]") -> Iterator[Writer]:
    assert source.open  # the database is there

    def connect() -> "Connection[Any]":
        return mariadb.connect(database="records", autocommit=False, init_command="SET time_zone = '+00:00'")

    made = Writer(connect, seed=3)
    yield made
    made._connection.close()


def start(mariadb: PrivateMariaDB, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "changeover.demo.writer", "--port", str(mariadb.port), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**environment(), PASSWORD_VARIABLE: mariadb.password},
    )


def rows(connection: "Connection[Any]", sql: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def contents(connection: "Connection[Any]") -> list[Any]:
    return rows(connection, "CHECKSUM TABLE records.citizen, records.prescription, records.dispensing")


def kind_named(name: str) -> Kind:
    return next(kind for kind in KINDS if kind.name == name)


@pytest.mark.usefixtures("source")
def test_it_writes_at_its_rate_for_the_asked_time_and_prints_one_line(mariadb: PrivateMariaDB) -> None:
    output, errors = start(mariadb, "--rate", "100", "--seconds", "2", "--seed", "5").communicate(
        timeout=WAIT_S_MAX
    )
    (line,) = output.splitlines()
    told = json.loads(line)
    assert errors == ""
    assert set(told) == FIELDS
    assert told["errors"] == 0
    assert told["seconds"] >= 2
    assert told["transactions"] + told["rolled_back"] == sum(told["by_kind"].values())
    # A busy machine may be much slower, but nothing is faster than the rate.
    assert 0 < sum(told["by_kind"].values()) <= 100 * told["seconds"] + 1
    assert told["rows"] > 0


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_its_totals(mariadb: PrivateMariaDB, number: signal.Signals) -> None:
    process = start(mariadb, "--progress")
    assert process.stdout is not None
    before = json.loads(process.stdout.readline())  # the progress of the first second
    process.send_signal(number)
    output, errors = process.communicate(timeout=WAIT_S_MAX)
    assert (process.returncode, errors) == (0, "")
    assert json.loads(output.splitlines()[-1])["transactions"] >= before["transactions"] > 0


def test_without_a_password_it_says_where_it_looks_for_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)
    assert writer_module.main([]) == 2
    assert PASSWORD_VARIABLE in capsys.readouterr().err


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_kind_of_transaction_is_accepted_by_the_server(writer: Writer, kind: Kind) -> None:
    for _ in range(3):
        writer._attempt(kind)
    assert writer.tally.by_kind == {kind.name: 3}
    assert (writer.tally.errors, writer.tally.retried) == (0, 0)


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if not kind.is_committed], ids=lambda kind: kind.name
)
def test_what_is_rolled_back_leaves_no_trace_and_is_counted_apart(
    writer: Writer, source: "Connection[Any]", kind: Kind
) -> None:
    before = contents(source)
    for _ in range(5):
        writer._attempt(kind)
    assert contents(source) == before
    assert (writer.tally.rows, writer.tally.rolled_back) == (0, 5)
    assert json.loads(writer.tally.line())["transactions"] == 0


@pytest.mark.parametrize("name", ["insert_and_delete", "swap_keys"])
def test_such_a_transaction_leaves_the_keys_as_they_were(
    writer: Writer, source: "Connection[Any]", name: str
) -> None:
    keys = "SELECT CAST(id AS CHAR) FROM records.dispensing UNION SELECT cpr FROM records.citizen ORDER BY 1"
    before = rows(source, keys)
    for _ in range(5):
        writer._attempt(kind_named(name))
    assert rows(source, keys) == before


def test_it_knows_the_keys_that_the_tables_hold_after_all_it_did(
    writer: Writer, source: "Connection[Any]"
) -> None:
    for _ in range(1_500):
        writer.write()
    assert writer.tally.errors == 0
    for table, key, keys in (
        ("citizen", "cpr", writer._application._citizens),
        ("dispensing", "id", writer._application._dispensings),
    ):
        held: Keys[Any] = keys
        assert set(held._held) == {found for (found,) in rows(source, f"SELECT {key} FROM records.{table}")}


def test_a_change_of_a_citizens_number_takes_the_prescriptions_along(
    writer: Writer, source: "Connection[Any]"
) -> None:
    orphans = "SELECT COUNT(*) FROM records.prescription WHERE cpr NOT IN (SELECT cpr FROM records.citizen)"
    before = rows(source, orphans)
    for _ in range(20):
        writer._attempt(kind_named("change_key"))
    assert rows(source, orphans) == before


def test_a_lock_conflict_is_tried_again(writer: Writer, mariadb: PrivateMariaDB) -> None:
    with contextlib.closing(mariadb.connect(database="records", autocommit=False)) as other:
        rows(writer._connection, "SET SESSION innodb_lock_wait_timeout = 1")
        rows(other, "SELECT id FROM medicine FOR UPDATE")
        attempts = iter([kind_named("update_medicine"), kind_named("insert")])
        writer._application.next_kind = lambda: next(attempts)  # type: ignore[method-assign]
        original = writer._again_after

        def again_after(error: Any) -> bool:  # noqa: ANN401 - of the same type as there
            other.rollback()
            return original(error)

        writer._again_after = again_after  # type: ignore[method-assign]
        writer.write()
    assert (writer.tally.retried, writer.tally.errors) == (1, 0)
    assert writer.tally.by_kind == {"update_medicine": 1}


def test_it_goes_on_over_a_lost_connection_and_counts_it(writer: Writer, source: "Connection[Any]") -> None:
    writer.write()
    ((thread,),) = rows(writer._connection, "SELECT CONNECTION_ID()")
    rows(source, f"KILL {thread}")
    for _ in range(5):
        writer.write()
    assert writer.tally.errors == 1
    assert writer.tally.by_kind.total() == 5


def test_after_a_stall_only_a_short_backlog_is_caught_up_with() -> None:
    pace = Pace(1_000, Event())
    time.sleep(1)
    started_s = time.monotonic()
    for _ in range(400):
        pace.wait()
    # 0.2 s of the stall, 200 transactions, are made up for at once; the other 200 take their time.
    assert time.monotonic() - started_s >= 0.19


def test_a_deleted_key_comes_back_and_a_held_one_is_never_new() -> None:
    fresh = iter(range(100, 10_000))
    keys = Keys(random.Random(1), range(10), lambda: next(fresh))
    for key in range(5):
        keys.release(key)
    new = {keys.new() for _ in range(200)}
    assert set(range(5)) <= new
    assert not new & set(range(5, 10))
    keys.hold(3)
    assert {keys.pick() for _ in range(500)} == {3, 5, 6, 7, 8, 9}
    assert 3 not in {keys.new() for _ in range(200)}


def test_only_so_many_keys_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_module, "KEYS_HELD_MAX", 10)
    keys = Keys(random.Random(1), (), lambda: 0)
    for key in range(1, 100):
        keys.hold(key)
    assert len(keys) == 10
    assert len(keys._place) == 10


def test_the_tally_counts_committed_and_rolled_back_apart() -> None:
    tally = Tally(rolled_back=2)
    tally.by_kind.update({"insert": 3, "rollback": 2})
    told = json.loads(tally.line())
    assert (told["transactions"], told["rolled_back"]) == (3, 2)
