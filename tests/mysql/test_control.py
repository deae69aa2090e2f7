"""The control schema: made once, shared by pipelines side by side, and bound to one log each."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from changeover.demo.server import PrivateMariaDB
from changeover.epoch import Epoch
from changeover.errors import EpochTaken, LogUnusable, StateNewer
from changeover.mysql.connection import Connection
from changeover.mysql.control import TABLES, ControlSchema
from changeover.settings import Settings
from changeover.version import Version
from tests.support.pipeline import schema_of, write_settings
from tests.support.tables import CITIZEN

PASSPORT = replace(CITIZEN, name="passport")
EPOCHS = [
    Epoch(1, "0-1", 5, None),
    Epoch(2, "0-2", 2**63, Version.of_change(1, 2**63 - 1)),
    Epoch(3, "0-1", 2**64 - 1, Version.of_change(2, 2**64 - 2)),
]


@pytest.fixture
def connection(mariadb: PrivateMariaDB, tmp_path: Path) -> Iterator[Connection]:
    with (
        schema_of(mariadb, "controlled") as schema,
        Connection(Settings.load(write_settings(mariadb, schema, tmp_path)).source) as connection,
    ):
        yield connection


@pytest.fixture
def control(connection: Connection) -> ControlSchema:
    control = ControlSchema(connection, "test")
    control.make()
    return control


def sequence(connection: Connection) -> int:
    """The number of this connection's last commit."""
    return int(connection.value("SELECT @@last_gtid").rpartition("-")[2])


def test_before_it_is_made_it_is_not_there_and_looking_does_not_make_it(connection: Connection) -> None:
    control = ControlSchema(connection, "test")
    assert not control.exists()
    assert connection.query("SHOW DATABASES LIKE 'controlled\\_control'") == []


def test_one_that_a_newer_release_has_made_is_refused_and_nothing_is_made_in_it(
    control: ControlSchema,
) -> None:
    connection = control.connection
    connection.execute(f"INSERT INTO {control.table('format')} VALUES (99)")
    connection.execute(f"DROP TABLE {control.table('finding')}")  # which the newer release may do without
    before = connection.query(f"SHOW TABLES FROM {control.schema}")
    for look in (control.exists, control.make, control.require_known):
        with pytest.raises(StateNewer, match=r"'controlled_control' is of format 99; this release knows 1"):
            look()
    assert connection.query(f"SHOW TABLES FROM {control.schema}") == before
    assert connection.query(f"SELECT number FROM {control.table('format')} ORDER BY 1") == [("1",), ("99",)]


def test_made_twice_it_is_there_and_keeps_its_rows(control: ControlSchema) -> None:
    control.open_epoch(EPOCHS[0])
    control.make()
    assert control.exists()
    assert control.epochs() == EPOCHS[:1]


def test_a_schema_of_which_only_a_part_was_made_is_completed(
    control: ControlSchema, connection: Connection
) -> None:
    connection.execute(f"DROP TABLE {control.table('import_chunk')}")
    assert not control.exists()
    control.make()
    found = connection.query("SHOW TABLES FROM controlled_control")
    assert {name for (name,) in found} == set(TABLES)


def test_it_keeps_the_tables_that_were_given_last_and_no_others(control: ControlSchema) -> None:
    other = ControlSchema(control.connection, "test2")
    longer = replace(CITIZEN, columns=(*CITIZEN.columns, replace(CITIZEN.columns[-1], name="ž💾")))
    for tables in ([], [CITIZEN, PASSPORT], [longer, PASSPORT], [PASSPORT], [CITIZEN]):
        control.keep_tables(tables)
        assert control.kept_tables() == tables
        assert other.kept_tables() == []


def test_two_pipelines_in_one_schema_do_not_see_each_other(
    control: ControlSchema, connection: Connection
) -> None:
    other = ControlSchema(connection, "test2")
    other.make()
    control.bind("a" * 32)
    other.bind("b" * 32)
    control.open_epoch(EPOCHS[0])
    other.open_epoch(Epoch(1, "0-9", 77, None))
    assert control.epochs() == EPOCHS[:1]
    assert other.epochs() == [Epoch(1, "0-9", 77, None)]
    control.beat("capture")
    other.beat("capture")
    beats = connection.query(f"SELECT pipeline, beat FROM {control.table('heartbeat')} ORDER BY pipeline")
    assert beats == [("test", "1"), ("test2", "1")]


def test_names_of_pipelines_differ_by_every_byte(control: ControlSchema, connection: Connection) -> None:
    control.open_epoch(EPOCHS[0])
    assert ControlSchema(connection, "TEST").epochs() == []


def test_the_log_that_a_pipeline_began_with_is_bound_again_and_again(control: ControlSchema) -> None:
    for _ in range(2):
        control.bind("a" * 32)


def test_another_log_is_refused_and_the_first_stays_bound(control: ControlSchema) -> None:
    control.bind("a" * 32)
    with pytest.raises(LogUnusable, match="pipeline 'test' began with another log"):
        control.bind("b" * 32)
    control.bind("a" * 32)


def test_epochs_come_back_as_they_were_written_and_in_order(control: ControlSchema) -> None:
    for epoch in reversed(EPOCHS):
        control.open_epoch(epoch)
    assert control.epochs() == EPOCHS


def test_an_epoch_that_another_process_has_opened_is_not_opened_again(control: ControlSchema) -> None:
    control.open_epoch(EPOCHS[0])
    with pytest.raises(EpochTaken, match="epoch 1"):
        control.open_epoch(Epoch(1, "0-2", 9, None))
    assert control.epochs() == EPOCHS[:1]


def test_each_beat_is_a_commit_of_its_own_in_the_binlog(
    control: ControlSchema, connection: Connection
) -> None:
    control.beat("capture")
    first = sequence(connection)
    control.beat("capture")
    second = sequence(connection)
    control.beat("snapshot-1")
    assert first < second < sequence(connection)
    beats = connection.query(f"SELECT beater, beat FROM {control.table('heartbeat')} ORDER BY beater")
    assert beats == [("capture", "2"), ("snapshot-1", "1")]


def test_a_beat_carries_the_sources_clock_from_before_its_commit(
    control: ControlSchema, connection: Connection
) -> None:
    before = control.now_ms()
    control.beat("capture")
    at_ms = int(connection.value(f"SELECT at_ms FROM {control.table('heartbeat')}"))
    assert before <= at_ms <= control.now_ms()
    assert before > 1_700_000_000_000
