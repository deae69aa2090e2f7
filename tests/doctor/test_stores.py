"""What the doctor says of log and target, each thing provoked by its real cause."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from changeover.demo.broker import PrivateKafka
from changeover.doctor.estimate import Estimate, estimate_of
from changeover.doctor.stores import log_findings, space_findings, target_findings
from changeover.finding import Finding, Severity
from changeover.log.sqlite import SQLiteLog
from changeover.mysql.tables import Size
from changeover.settings import Settings
from changeover.targets.sqlite import SQLiteTarget
from changeover.wiring import create_topics
from tests.support.tables import CITIZEN

SMALL = estimate_of(Size(rows=1_000, data_bytes=100_000))


def settings_in(folder: Path, log: Any = "sqlite:log.db", target: str = "sqlite:target.db") -> Settings:  # noqa: ANN401 - a URL, or all of its section
    found = log if isinstance(log, dict) else {"url": log}
    lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in found.items())
    file = folder / "changeover.toml"
    file.write_text(
        'pipeline = "test"\n[source]\nurl = "mysql://u@h"\ninclude = ["a.*"]\n'
        f'[log]\n{lines}\n[target]\nurl = "{target}"\n'
    )
    return Settings.load(file)


def of_both(settings: Settings) -> list[Finding]:
    return [*log_findings(settings, [CITIZEN]), *target_findings(settings)]


def refused(findings: list[Finding]) -> list[tuple[str, str]]:
    assert {finding.severity for finding in findings} <= {Severity.REFUSE}
    assert all(finding.mend for finding in findings)
    return [(finding.subject, finding.what) for finding in findings]


def test_files_that_can_be_made_are_fine_and_are_not_made(tmp_path: Path) -> None:
    assert not of_both(settings_in(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["changeover.toml"]


def test_files_of_this_pipeline_are_fine(tmp_path: Path) -> None:
    SQLiteLog(tmp_path / "log.db", "test").close()
    SQLiteTarget(tmp_path / "target.db", "test").close()
    settings = settings_in(tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert not of_both(settings)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_files_of_another_pipeline_are_refused(tmp_path: Path) -> None:
    SQLiteLog(tmp_path / "log.db", "other").close()
    SQLiteTarget(tmp_path / "target.db", "other").close()
    (log, said_of_log), (target, said_of_target) = refused(of_both(settings_in(tmp_path)))
    assert (log, target) == ("log", "target")
    assert "of pipeline 'other'" in said_of_log
    assert "pipeline 'other'" in said_of_target


def test_files_that_are_no_databases_or_have_no_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "log.db").write_text("these are notes, and no database at all" * 100)
    (_, said_of_log), (_, said_of_target) = refused(
        of_both(settings_in(tmp_path, target="sqlite:nowhere/target.db"))
    )
    assert "cannot be opened" in said_of_log
    assert "there is no folder" in said_of_target


def test_a_kind_of_store_that_there_is_not_is_refused(tmp_path: Path) -> None:
    (finding,) = of_both(settings_in(tmp_path, target="oracle:target"))
    assert "names no kind of store" in finding.what


def test_room_that_is_likely_to_be_too_little_is_warned_of(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    estimate = estimate_of(Size(rows=10_000_000, data_bytes=3_000_000_000))
    assert not [*space_findings(settings, SMALL)]
    (finding,) = space_findings(settings, estimate, free=lambda _: 20_000_000_000)
    assert finding.severity is Severity.WARN
    assert finding.what.startswith("log and target may take 23.5 GB, and ")
    assert finding.what.endswith("has 20.0 GB free")
    assert not [*space_findings(settings, estimate, free=lambda _: 24_000_000_000)]


def test_a_disk_that_is_really_too_small_is_warned_of(tmp_path: Path) -> None:
    huge = Estimate(rows=0, data_bytes=0, import_s=0, log_bytes=10**18, target_bytes=0)
    (finding,) = space_findings(settings_in(tmp_path), huge)
    assert "may take 1,000,000,000.0 GB" in finding.what


def test_what_files_hold_already_needs_no_more_room(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    for name in ("log.db", "target.db"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(10_000_000_000)  # a hole: it takes no room
    estimate = Estimate(rows=0, data_bytes=0, import_s=0, log_bytes=9 * 10**9, target_bytes=10**9)
    assert not [*space_findings(settings, estimate, free=lambda _: 1)]


# -- Kafka -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kafka() -> Iterator[PrivateKafka]:
    with PrivateKafka() as broker:
        yield broker


def on_kafka(folder: Path, broker: PrivateKafka, **more: object) -> Settings:
    wanted = {"partitions": 2, "replication": 1, "min_insync": 1}
    return settings_in(folder, {"url": f"kafka://{broker.bootstrap}", **wanted, **more})


def test_missing_topics_are_refused_and_are_there_after_what_is_said_to_do(
    kafka: PrivateKafka, tmp_path: Path
) -> None:
    settings = on_kafka(tmp_path, kafka)
    found = [*log_findings(settings, [CITIZEN])]
    assert {what for _, what in refused(found)} == {
        "topic test.control is missing",
        "topic test.progress is missing",
        f"topic test.{CITIZEN.full_name} is missing",
    }
    assert all("changeover topics create" in finding.mend for finding in found)
    assert [*log_findings(settings, [CITIZEN])] == found, "looking has made a topic"
    create_topics(settings, [CITIZEN])
    assert not [*log_findings(settings, [CITIZEN])]


def test_topics_that_are_not_as_the_settings_want_them_are_refused(
    kafka: PrivateKafka, tmp_path: Path
) -> None:
    create_topics(on_kafka(tmp_path, kafka), [CITIZEN])
    found = [*log_findings(on_kafka(tmp_path, kafka, replay_window_h=1_000), [CITIZEN])]
    assert any("less than the replay window" in what for _, what in refused(found))


def test_brokers_that_do_not_answer_are_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("changeover.log.kafka.client.CONNECT_TIMEOUT_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    (finding,) = log_findings(settings_in(tmp_path, f"kafka://127.0.0.1:{port}"), [CITIZEN])
    assert finding.severity is Severity.REFUSE
    assert f"127.0.0.1:{port}" in finding.what
