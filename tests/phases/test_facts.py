"""Facts: gates judge the application's processes by what the library itself reports."""

from collections.abc import Callable
from pathlib import Path

from changeover import __version__
from changeover.demo.sql import SQLServer
from changeover.dualwrite.counts import Counts
from changeover.log.sqlite import SQLiteLog
from changeover.mysql.catalog import captured_tables
from changeover.mysql.control import ControlSchema
from changeover.mysql.imports import ImportBooks
from changeover.mysql.processes import report_process
from changeover.phase import Phase
from changeover.phases.facts import gather
from changeover.phases.gates import failing, judge
from changeover.settings import Settings
from tests.support.accounts import run
from tests.support.pipeline import write_settings


def test_what_the_library_reports_is_what_the_gates_judge(
    either: SQLServer, open_control: Callable[[], ControlSchema], tmp_path: Path
) -> None:
    control = open_control()
    run(either, "CREATE TABLE phased.item (id INT PRIMARY KEY)")
    counts = Counts()
    counts.add("direct_writes", 995)
    counts.add("direct_failed", 5)
    counts.add("compared", 400)
    counts.add("puts", 7)
    counts.add("put_mismatch", 1)
    counts.changed()
    report_process(control, "web-1", __version__, Phase.OLD, counts.now())
    report_process(control, "web-0", "0.0.1", Phase.OLD, {"direct_writes": 1})
    settings = Settings.load(write_settings(either, "phased", tmp_path))
    with SQLiteLog(tmp_path / "log.db", "test", replay_window_h=1) as log:
        facts = gather(settings, control, log)
    assert {process.name for process in facts.processes} == {"web-0", "web-1"}
    judged = {gate.name: gate for gate in judge(Phase.FENCED, facts, settings.phases)}
    assert judged["direct writes"].figure == "99.50 % of 1,001"
    assert judged["compared reads"].figure == "0 mismatches of 400"
    assert judged["values of tx.put"].figure == "1 mismatches of 7"
    assert judged["tx.changed"].figure == "1 calls"
    assert "web-0 does not report direct_failed, compared" in judged["processes"].reason
    assert "web-1" not in judged["processes"].reason
    # Nothing has begun: what is not known does not hold.
    shut = {gate.name for gate in failing(list(judged.values()))}
    assert {"import", "lag", "verdict"} <= shut


def test_an_import_that_was_begun_is_to_be_finished_though_no_worker_is_set(
    either: SQLServer, open_control: Callable[[], ControlSchema], tmp_path: Path
) -> None:
    control = open_control()
    run(either, "CREATE TABLE phased.item (id INT PRIMARY KEY)")
    settings = Settings.load(write_settings(either, "phased", tmp_path, extra="[snapshot]\nworkers = 0"))
    with SQLiteLog(tmp_path / "log.db", "test", replay_window_h=1) as log:
        assert gather(settings, control, log).is_imported
        ImportBooks(control).enrol(captured_tables(control.connection))
        assert not gather(settings, control, log).is_imported
