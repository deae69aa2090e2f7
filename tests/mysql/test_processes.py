"""What the application's processes say of themselves, as a move of phase reads it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from changeover.demo.server import PrivateMariaDB
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.mysql.processes import processes, report_process
from changeover.phase import Phase
from changeover.settings import Settings
from tests.support.pipeline import schema_of, write_settings


@pytest.fixture
def control(mariadb: PrivateMariaDB, tmp_path: Path) -> Iterator[ControlSchema]:
    with (
        schema_of(mariadb, "reported") as schema,
        Connection(Settings.load(write_settings(mariadb, schema, tmp_path)).source) as connection,
    ):
        control = ControlSchema(connection, "test")
        control.make()
        yield control


def test_a_process_is_seen_as_it_last_reported_itself(control: ControlSchema) -> None:
    began_ms = control.now_ms()
    report_process(control, "web-1", "0.1.0", Phase.OLD, {"changed_calls": 1})
    report_process(control, "web-1", "0.1.0", Phase.BOTH_READ_OLD, {"changed_calls": 2, "puts": 3})
    (seen,) = processes(control)
    assert (seen.name, seen.version, seen.phase) == ("web-1", "0.1.0", Phase.BOTH_READ_OLD)
    assert seen.report == {"changed_calls": 2, "puts": 3}
    assert began_ms <= seen.seen_ms <= control.now_ms()


def test_processes_of_another_pipeline_are_not_seen(control: ControlSchema) -> None:
    report_process(ControlSchema(control.connection, "other"), "web-1", "0.1.0", Phase.OLD, {})
    assert processes(control) == []


def test_the_last_seen_comes_first_and_none_is_forgotten(control: ControlSchema) -> None:
    for name in ("web-1", "web-2"):
        report_process(control, name, "0.1.0", Phase.OLD, {})
        control.connection.execute("DO SLEEP(0.002)")
    report_process(control, "web-1", "0.1.0", Phase.OLD, {})
    assert [seen.name for seen in processes(control)] == ["web-1", "web-2"]
