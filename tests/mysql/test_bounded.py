"""Bounded reads: a bound is a commit that every SELECT after it has seen, under the epoch of this server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from changeover.demo.mysql8 import PrivateMySQL
from changeover.demo.server import PrivateMariaDB
from changeover.epoch import Epoch
from changeover.errors import SourceUnavailable
from changeover.mysql.bounded import EPOCH_WAIT_S_MAX, BoundedReader
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.mysql.numbering import numbering_of
from changeover.settings import Settings
from changeover.version import ROW_MAX, Version
from tests.support.pipeline import schema_of, write_settings


class Waits:
    """A sleep that takes no time, and notes how long it should have been; something may happen meanwhile."""

    def __init__(self) -> None:
        self.slept_s = 0.0
        self.epoch: tuple[ControlSchema, Epoch] | None = None

    def __call__(self, delay_s: float) -> None:
        self.slept_s += delay_s
        if self.epoch and self.slept_s > 1:
            control, epoch = self.epoch
            control.open_epoch(epoch)
            self.epoch = None


@pytest.fixture
def control(mariadb: PrivateMariaDB, tmp_path: Path) -> Iterator[ControlSchema]:
    with (
        schema_of(mariadb, "bounded", "CREATE TABLE t (id INT PRIMARY KEY)") as schema,
        Connection(Settings.load(write_settings(mariadb, schema, tmp_path)).source) as connection,
    ):
        control = ControlSchema(connection, "test")
        control.make()
        yield control


def number(connection: Connection) -> int:
    """The number of this connection's last commit."""
    return int(connection.value("SELECT @@last_gtid").rpartition("-")[2])


def test_a_bound_has_the_latest_epoch_and_counts_as_having_seen_all_of_its_transaction(
    control: ControlSchema,
) -> None:
    control.open_epoch(Epoch(1, "0-2", 1, None))
    control.open_epoch(Epoch(2, "0-1", 1, Version.of_change(1, 9)))
    bound = BoundedReader(control.connection, "test", "reader").bound()
    assert bound == Version(2, number(control.connection), ROW_MAX)


def test_each_bound_is_higher_than_the_one_before_on_an_idle_source_too(control: ControlSchema) -> None:
    control.open_epoch(Epoch(1, "0-1", 1, None))
    reader = BoundedReader(control.connection, "test", "reader")
    bounds = [reader.bound() for _ in range(5)]
    assert bounds == sorted(set(bounds))


def test_a_bound_lies_above_all_that_was_committed_before_it(control: ControlSchema) -> None:
    control.open_epoch(Epoch(1, "0-1", 1, None))
    reader = BoundedReader(control.connection, "test", "reader")
    with Connection(control.connection.source) as writer:
        for row in range(20):
            writer.execute("INSERT INTO bounded.t VALUES (%s)", (row,))
            bound = reader.bound()
            assert bound.sequence > number(writer)
            assert control.connection.value("SELECT count(*) FROM bounded.t") == str(row + 1)


def test_a_read_waits_for_capture_to_open_the_epoch(control: ControlSchema) -> None:
    waits = Waits()
    waits.epoch = (control, Epoch(1, "0-1", 1, None))
    assert BoundedReader(control.connection, "test", "reader", waits).bound().epoch == 1
    assert 1 < waits.slept_s < 2


def test_without_an_epoch_a_read_gives_up_in_time_and_says_what_to_check(control: ControlSchema) -> None:
    waits = Waits()
    with pytest.raises(SourceUnavailable, match=r"capture has not yet seen this server.*changeover status"):
        BoundedReader(control.connection, "test", "reader", waits).bound()
    assert waits.slept_s == pytest.approx(EPOCH_WAIT_S_MAX, abs=0.2)


def test_the_epoch_of_another_pipeline_is_none_of_ours(control: ControlSchema) -> None:
    ControlSchema(control.connection, "test2").open_epoch(Epoch(1, "0-1", 1, None))
    assert BoundedReader(control.connection, "test", "reader")._bound() is None


def test_a_bound_below_the_epochs_first_transaction_is_none(control: ControlSchema) -> None:
    control.beat("reader")
    control.open_epoch(Epoch(1, "0-1", number(control.connection) + 1_000_000, None))
    assert BoundedReader(control.connection, "test", "reader")._bound() is None


def test_a_server_that_is_not_the_latest_epochs_gives_no_bound(control: ControlSchema) -> None:
    control.open_epoch(Epoch(1, "0-1", 1, None))
    control.open_epoch(Epoch(2, "0-2", 5, Version.of_change(1, 4)))
    assert BoundedReader(control.connection, "test", "reader")._bound() is None


def test_a_session_with_another_server_id_gives_no_bound(control: ControlSchema) -> None:
    control.open_epoch(Epoch(1, "0-1", 1, None))
    control.connection.execute("SET SESSION server_id = 2")
    assert BoundedReader(control.connection, "test", "reader")._bound() is None


def test_a_session_with_another_gtid_domain_gives_no_bound(tmp_path: Path) -> None:
    with PrivateMariaDB() as server:  # a second domain stays in a server's position for good
        source = Settings.load(write_settings(server, "bounded", tmp_path)).source
        with Connection(source) as connection:
            control = ControlSchema(connection, "test")
            control.make()
            control.open_epoch(Epoch(1, "0-1", 1, None))
            reader = BoundedReader(connection, "test", "reader")
            assert reader.bound().epoch == 1
            connection.execute("SET SESSION gtid_domain_id = 7")
            assert reader._bound() is None


def test_the_end_lies_above_all_that_was_committed_and_has_a_heartbeat_behind_it(
    control: ControlSchema,
) -> None:
    control.open_epoch(Epoch(1, "0-1", 1, None))
    reader = BoundedReader(control.connection, "test", "reader")
    with Connection(control.connection.source) as writer:
        for row in range(20):
            writer.execute("INSERT INTO bounded.t VALUES (%s)", (row,))
            end = reader.end()
            assert number(writer) < end.sequence < number(control.connection)
            assert (end.epoch, end.row) == (1, 1)


@pytest.mark.parametrize("options", [{}, {"gtid_mode": "OFF", "enforce_gtid_consistency": "OFF"}])
def test_on_mysql_the_end_is_never_below_what_a_read_before_it_saw(
    options: dict[str, str], tmp_path: Path
) -> None:
    with (
        PrivateMySQL(options=options) as server,
        schema_of(server, "bounded", "CREATE TABLE t (id INT PRIMARY KEY)") as schema,
    ):
        source = Settings.load(write_settings(server, schema, tmp_path)).source
        with Connection(source) as connection, Connection(source) as writer:
            control = ControlSchema(connection, "test")
            control.make()
            control.open_epoch(Epoch(1, numbering_of(connection).identity(), 1, None))
            reader = BoundedReader(connection, "test", "reader")
            for row in range(5):
                writer.execute("INSERT INTO bounded.t VALUES (%s)", (row,))
                committed = numbering_of(writer).here(lambda: None).sequence
                end = reader.end()
                assert committed < end.sequence
                # The next bound has seen the heartbeat behind it, and so has whoever reads the binlog.
                assert end.sequence < numbering_of(writer).here(lambda: None).sequence
