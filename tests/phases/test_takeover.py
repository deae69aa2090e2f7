"""The way into NEW, killed at every step: the next call finishes it or undoes it, and never half of it."""

import signal
import time
from collections.abc import Iterator
from contextlib import closing

import pymysql
import pytest

from changeover.crashpoints import POINTS
from changeover.demo.sql import SQLServer
from changeover.epoch import Epoch
from changeover.errors import EpochsClosed, EpochTaken, MoveRefused, PhaseHeld
from changeover.exits import DIFFERENT, OK
from changeover.handover import DECIDED, NAME, Handover, Word
from changeover.mysql.bounded import EPOCH_WAIT_S_MAX
from changeover.mysql.connection import Connection
from changeover.mysql.facts import read_server
from changeover.mysql.grants import Role, statements
from changeover.mysql.preflight import needs_of
from changeover.phase import Phase, PhaseState
from changeover.phases.takeover import Takeover
from changeover.targets import Note
from changeover.targets.wiring import open_target
from changeover.version import Version
from tests.phases.stages import FENCE_S, FORCE, SETTINGS, Stage
from tests.support.accounts import HOST, USER, account, run
from tests.support.pipeline import Pipeline, schema_of

TABLES = (
    "CREATE TABLE item (id INT PRIMARY KEY, name VARCHAR(50))",
    "INSERT INTO item VALUES (1, 'ž'), (2, '')",
)
UNDONE = (
    "row_locked",
    "row_written",
    "row_committed",
    "frozen",
    "fence_noted",
    "drained",
    "epoch_reserved",
)
"""Killed at these, the word is not out; at the first two there is no fence either."""
FINISHED = ("decided", "new_committed", "settled")
ON_THE_WAY_BACK = ("back_told", "thawed", "resolved")


@pytest.fixture(scope="module", params=["mariadb", "mysql"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    server: SQLServer = request.getfixturevalue(request.param)
    with schema_of(server, "taken", *TABLES) as schema:
        folder = tmp_path_factory.mktemp(request.param)
        with Pipeline(server, schema, folder, extra=SETTINGS) as pipeline:
            pipeline.until(lambda now: now.is_import_applied)
            yield Stage(pipeline)
        run(server, "SET GLOBAL read_only = 0")


@pytest.fixture
def stage(running: Stage) -> Stage:
    running.reset()
    return running


def check_undone(stage: Stage) -> None:
    state = stage.state()
    assert (state.phase, state.deadline_ms, state.new_epoch) == (Phase.BOTH_READ_NEW, None, None)
    assert state.fence is not None  # the writes of OLD lie before it still
    assert not stage.is_frozen()
    handover = stage.handover()
    assert handover is None or not handover.is_new


def check_new(stage: Stage) -> None:
    state = stage.state()
    assert (state.phase, state.deadline_ms) == (Phase.NEW, None)
    assert state.fence is not None
    assert stage.is_frozen()
    with stage.control() as control:
        assert state.new_epoch == control.epochs()[-1].number + 1
    handover = stage.handover()
    assert handover is not None
    assert handover.is_settled
    assert (handover.epoch, handover.attempt) == (state.new_epoch, state.attempt - 1)


def test_every_point_on_the_way_is_met_by_a_kill() -> None:
    met = {*UNDONE, *FINISHED, *ON_THE_WAY_BACK}
    assert {f"phase.{point}" for point in met} == {point for point in POINTS if point.startswith("phase.")}


def test_the_new_database_takes_over_and_nobody_writes_to_the_old_one(stage: Stage) -> None:
    schema = stage.pipeline.schema
    with account(stage.server, f"GRANT SELECT, INSERT ON {schema}.* TO mover@127.0.0.1") as old_code:
        run(old_code, f"INSERT INTO {schema}.item VALUES (8, 'in time')")
        answer = stage.step("advance", force=FORCE)
        assert answer.is_made, answer.why
        with pytest.raises(Exception, match="read-only"):
            run(old_code, f"INSERT INTO {schema}.item VALUES (9, 'too late')")
    check_new(stage)
    fenced, new = stage.moves()[-2:]
    assert (fenced.after, new.after) == (Phase.FENCED, Phase.NEW)
    with pytest.raises(MoveRefused, match="no way back from NEW"):
        stage.step("back")


def test_what_is_written_just_before_the_fence_is_in_the_new_database(stage: Stage) -> None:
    schema = stage.pipeline.schema
    number = 1_000 + stage.state().since_ms % 1_000_000
    run(stage.server, f"INSERT INTO {schema}.item VALUES ({number}, 'last')")
    assert stage.step("advance", force=FORCE).is_made
    assert stage.pipeline.compare("item").difference_count == 0


@pytest.mark.parametrize("point", UNDONE)
def test_a_mover_that_dies_before_the_word_is_out_leaves_a_fence_that_the_next_call_undoes(
    stage: Stage, point: str
) -> None:
    stage.killed("advance", point)
    if point in {"row_locked", "row_written"}:
        check_undone(stage)
        return
    assert stage.state().phase is Phase.FENCED
    answer = stage.step("back")
    assert answer.state.phase is Phase.BOTH_READ_NEW
    assert answer.is_made
    check_undone(stage)


def test_who_comes_to_undo_a_fence_behind_somebody_who_went_back_further_is_told(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.killed("advance", "frozen")
    resolve = Takeover.resolve

    def overtaken(takeover: Takeover) -> PhaseState:
        resolve(takeover)
        return stage.step("back").state

    monkeypatch.setattr(Takeover, "resolve", overtaken)
    answer = stage.step("back")
    assert (answer.is_made, answer.state.phase) == (False, Phase.BOTH_READ_OLD)
    assert "another mover came first" in answer.why


@pytest.mark.parametrize("point", FINISHED)
def test_a_mover_that_dies_once_the_word_is_out_is_finished_by_the_next_call(
    stage: Stage, point: str
) -> None:
    stage.killed("advance", point)
    if point == "decided":
        assert stage.state().phase is Phase.FENCED
        answer = stage.step("back")
        assert (answer.is_made, answer.state.phase) == (False, Phase.NEW)
        assert "had decided for NEW" in answer.why
    else:
        with pytest.raises(MoveRefused):
            stage.step("advance")
    check_new(stage)


@pytest.mark.parametrize("point", ON_THE_WAY_BACK)
def test_an_undoing_that_dies_is_undone_by_the_next_call(stage: Stage, point: str) -> None:
    stage.killed("advance", "epoch_reserved")
    stage.killed("back", point)
    if stage.state().phase is Phase.FENCED:
        answer = stage.step("advance")
        assert not answer.is_made
        assert "its fence is undone" in answer.why
    check_undone(stage)


# -- what can go wrong on the way


def test_a_fence_that_takes_too_long_is_undone_and_writers_go_on(stage: Stage) -> None:
    schema = stage.pipeline.schema
    with stage.behind():
        begun_s = time.monotonic()
        with stage.patience(2):
            answer = stage.step("advance", force=FORCE)
        took_s = time.monotonic() - begun_s
    assert not answer.is_made
    assert "the target has not applied all of the old database" in answer.why
    assert took_s < FENCE_S / 2
    check_undone(stage)
    grants = f"GRANT SELECT, INSERT, DELETE ON {schema}.* TO mover@127.0.0.1"
    with account(stage.server, grants) as old_code:
        run(
            old_code, f"INSERT INTO {schema}.item VALUES (70, '')", f"DELETE FROM {schema}.item WHERE id = 70"
        )
    assert [move.after for move in stage.moves()][2:] == [Phase.FENCED, Phase.BOTH_READ_NEW]


def test_locked_tables_hold_the_fence_up_until_its_time_is_over(stage: Stage) -> None:
    with closing(stage.server.connect(database=stage.pipeline.schema)) as client, client.cursor() as cursor:
        cursor.execute("LOCK TABLES item WRITE")
        with stage.patience(2):
            answer = stage.step("advance", force=FORCE)
        assert "statements or table locks of others do not end" in answer.why
        cursor.execute("UNLOCK TABLES")
    check_undone(stage)


def test_a_server_that_capture_has_not_seen_holds_the_fence_up_until_its_time_is_over(stage: Stage) -> None:
    with stage.control() as control:
        newest = control.epochs()[-1]
        renamed = f"UPDATE {control.table('epoch')} SET identity = %s WHERE number = {newest.number}"
        control.connection.execute(renamed, ("77-77",))
        try:
            begun_s = time.monotonic()
            with stage.patience(2):
                answer = stage.step("advance", force=FORCE)
            took_s = time.monotonic() - begun_s
        finally:
            control.connection.execute(renamed, (newest.identity,))
    assert "capture has not yet seen this server" in answer.why
    assert took_s < EPOCH_WAIT_S_MAX / 2
    check_undone(stage)


def test_a_transaction_that_is_open_at_the_fence_cannot_commit_behind_it(stage: Stage) -> None:
    schema = stage.pipeline.schema
    grants = f"GRANT SELECT, INSERT, DELETE ON {schema}.* TO mover@127.0.0.1"
    with (
        account(stage.server, grants) as old_code,
        closing(old_code.connect(database=schema)) as client,
        client.cursor() as cursor,
    ):
        client.begin()
        cursor.execute("INSERT INTO item VALUES (71, 'open')")
        assert stage.step("advance", force=FORCE).is_made
        with pytest.raises(pymysql.err.OperationalError, match="read-only"):
            client.commit()
    check_new(stage)
    assert stage.pipeline.compare("item").difference_count == 0


def test_a_second_mover_does_not_disturb_the_first_and_says_who_it_is(stage: Stage) -> None:
    with stage.paused("advance", "drained") as mover:
        with pytest.raises(PhaseHeld, match=r"another mover is on the way into NEW: thread \d+"):
            stage.step("back")
        mover.send_signal(signal.SIGCONT)
        assert mover.wait(60) == OK
    check_new(stage)


def test_behind_the_fence_no_epoch_begins(stage: Stage) -> None:
    with stage.control() as control:
        newest = control.epochs()[-1]
        switched = Epoch(newest.number + 1, "77-77", 1, Version.of_change(newest.number, 2**40))
        stage.killed("advance", "frozen")
        with pytest.raises(EpochTaken, match="while it is fenced"):
            control.open_epoch(switched)
        stage.step("back")
        assert stage.step("advance", force=FORCE).is_made
        with pytest.raises(EpochsClosed, match="behind the fence of NEW"):
            control.open_epoch(switched)
        assert control.epochs()[-1] == newest


def test_a_word_that_comes_late_is_not_heard(stage: Stage) -> None:
    stage.killed("advance", "epoch_reserved")
    fenced = stage.state()
    assert fenced.new_epoch is not None
    stage.step("back")
    late = Handover(word=Word.NEW, epoch=fenced.new_epoch, attempt=fenced.attempt, step=DECIDED)
    with open_target(stage.settings) as target:
        target.remember(NAME, Note(late.version, late.text))
    check_undone(stage)
    stage.killed("advance", "epoch_reserved")
    assert stage.step("back").state.phase is Phase.BOTH_READ_NEW


def test_where_read_only_cannot_be_set_the_named_accounts_are_revoked(stage: Stage) -> None:
    schema = stage.pipeline.schema
    grants = f"GRANT SELECT, INSERT, DELETE ON {schema}.* TO mover@127.0.0.1"
    with (
        account(stage.server, grants) as old_code,
        stage.having(revoke_from=("mover@127.0.0.1",)),
        closing(old_code.connect(database=schema)) as client,
        client.cursor() as cursor,
    ):
        stage.killed_here("advance", "drained")
        with pytest.raises(pymysql.Error, match="denied"):
            run(old_code, f"INSERT INTO {schema}.item VALUES (72, 'fenced')")
        with pytest.raises(pymysql.Error):
            cursor.execute("SELECT 1")  # its session was ended
        assert stage.step("back").state.phase is Phase.BOTH_READ_NEW
        run(
            old_code, f"INSERT INTO {schema}.item VALUES (73, '')", f"DELETE FROM {schema}.item WHERE id = 73"
        )
        assert stage.step("advance", force=FORCE).is_made
        with pytest.raises(pymysql.Error, match="denied"):
            run(old_code, f"INSERT INTO {schema}.item VALUES (74, 'too late')")
    assert not stage.is_frozen()  # not by read_only


@pytest.mark.parametrize("point", ["row_committed", "drained"])
def test_a_mover_that_loses_its_connection_undoes_the_fence_over_another(stage: Stage, point: str) -> None:
    with stage.paused("advance", point) as mover:
        (thread,) = stage.movers()
        run(stage.server, f"KILL {thread}")
        mover.send_signal(signal.SIGCONT)
        assert mover.wait(60) == DIFFERENT
    check_undone(stage)


@pytest.mark.parametrize("point", ["row_committed", "drained"])
def test_a_mover_that_is_told_to_end_undoes_the_fence_first(stage: Stage, point: str) -> None:
    with stage.paused("advance", point) as mover:
        mover.send_signal(signal.SIGTERM)
        mover.send_signal(signal.SIGCONT)
        assert mover.wait(60) == 130  # as Ctrl-C has it
    check_undone(stage)


def test_the_operators_grants_that_doctor_names_are_enough(stage: Stage) -> None:
    source = stage.settings.source
    with Connection(source) as connection:
        needs = needs_of(Role.OPERATOR, read_server(connection), source)
    with (
        account(stage.server, *statements(needs, f"{USER}@{HOST}")) as operator,
        stage.logged_in_as(operator),
    ):
        assert stage.step("advance", force=FORCE).is_made
    check_new(stage)
