"""`changeover doctor` as people and programs meet it: its words, its JSON, its exit status, and no traces."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from changeover.cli import app
from changeover.demo.mysql8 import PrivateMySQL
from changeover.demo.sql import SQLServer
from changeover.doctor.estimate import estimate_of
from changeover.doctor.examine import Report
from changeover.doctor.report import plain, verdict
from changeover.errors import SourceRefused, SourceUnavailable
from changeover.exits import DIFFERENT, OK, USAGE
from changeover.finding import Finding, Severity
from changeover.mysql.grants import WRITTEN_BY_PROCESSES
from changeover.mysql.tables import Size
from tests.support.accounts import HOST, Account, account, run
from tests.support.pipeline import schema_of, write_settings

CAPTURE = (
    "GRANT REPLICATION SLAVE, REPLICATION CLIENT, {under_read_only} ON *.* TO mover@127.0.0.1",
    "GRANT SELECT ON visited.* TO mover@127.0.0.1",
    r"GRANT SELECT, INSERT, UPDATE, CREATE ON `visited\_control`.* TO mover@127.0.0.1",
)

Doctor = Callable[..., Result]


@pytest.fixture
def schema(server: SQLServer) -> Iterator[str]:
    with schema_of(
        server, "visited", "CREATE TABLE note (id INT PRIMARY KEY)", "INSERT INTO note VALUES (1)"
    ) as name:
        yield name


@pytest.fixture
def mover(server: SQLServer, schema: str) -> Iterator[Account]:
    assert schema == "visited"
    under_read_only = "CONNECTION_ADMIN" if isinstance(server, PrivateMySQL) else "READ_ONLY ADMIN"
    with account(server, *(line.format(under_read_only=under_read_only) for line in CAPTURE)) as user:
        yield user


@pytest.fixture
def doctor(mover: Account, tmp_path: Path) -> Doctor:
    def ask(*arguments: str, user: SQLServer = mover) -> Result:
        config = write_settings(user, "visited", tmp_path)
        return CliRunner().invoke(app, ["doctor", "--config", str(config), *arguments])

    return ask


def the_json(result: Result) -> Any:  # noqa: ANN401 - what programs read
    return json.loads(result.stdout)


def whats(result: Result, severity: Severity) -> Sequence[str]:
    return [finding["what"] for finding in the_json(result)["findings"] if finding["severity"] == severity]


def state_of(server: SQLServer, folder: Path) -> object:
    binlog = run(server, "SHOW MASTER STATUS")
    return (
        binlog,
        run(server, "SHOW DATABASES"),
        run(server, "SHOW TABLES FROM visited"),
        run(server, "SHOW GRANTS FOR mover@127.0.0.1"),
        sorted(path.name for path in folder.iterdir()),
    )


def test_a_healthy_pipeline_is_go_and_nothing_was_touched(
    server: SQLServer, doctor: Doctor, tmp_path: Path
) -> None:
    doctor()  # which writes the settings file of the test itself
    before = state_of(server, tmp_path)
    result = doctor()
    assert state_of(server, tmp_path) == before
    assert result.exit_code == OK
    first, second, *_, last = result.stdout.splitlines()
    assert first.startswith("source: 127.0.0.1:")
    assert "1 tables, about " in second
    assert last == "go: 0 refuse, 0 warn, 2 note"


def test_warnings_are_go(server: SQLServer, doctor: Doctor) -> None:
    run(server, "SET GLOBAL sync_binlog = 0")
    try:
        result = doctor()
    finally:
        run(server, "SET GLOBAL sync_binlog = 1")
    assert result.exit_code == OK
    assert "warn\n  source: sync_binlog is 0" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("go: 0 refuse, 1 warn")


def test_a_refusal_is_no_go_and_comes_first(server: SQLServer, doctor: Doctor) -> None:
    run(server, "CREATE TABLE visited.keyless (id INT)", "SET GLOBAL sync_binlog = 0")
    try:
        result = doctor()
        as_json = doctor("--json")
    finally:
        run(server, "SET GLOBAL sync_binlog = 1")
    assert result.exit_code == as_json.exit_code == DIFFERENT
    headings = [line for line in result.stdout.splitlines() if line in set(Severity)]
    assert headings == ["refuse", "warn", "note"]
    assert result.stdout.splitlines()[-1].startswith("no go: 1 refuse, 1 warn")
    assert the_json(as_json)["verdict"] == "no go"
    assert whats(as_json, Severity.REFUSE) == ["visited.keyless has no primary key"]


def test_json_says_the_same_to_programs(doctor: Doctor) -> None:
    found = the_json(doctor("--json"))
    assert set(found) == {"verdict", "server", "tables", "estimate", "findings"}
    assert found["verdict"] == "go"
    assert found["tables"] == 1
    assert all(set(finding) == {"severity", "subject", "what", "mend"} for finding in found["findings"])


def test_statements_are_not_broken_over_lines(server: SQLServer, doctor: Doctor) -> None:
    with account(server, user="other") as other:
        result = doctor(user=other)
    assert result.exit_code == DIFFERENT
    line = r"GRANT SELECT, INSERT, UPDATE, CREATE ON `visited\_control`.* TO 'other'@'127.0.0.1';"
    assert line in [text.strip() for text in result.stdout.splitlines()]


def test_who_has_no_privilege_at_all_gets_a_report_with_all_that_is_missing(
    server: SQLServer, doctor: Doctor
) -> None:
    with account(server, user="other") as other:
        result = doctor("--json", user=other)
        refusals = [one for one in the_json(result)["findings"] if one["severity"] == "refuse"]
        assert any("source.include names no table" in one["what"] for one in refusals)
        for refusal in refusals:
            if refusal["subject"] == "grants":
                run(server, refusal["mend"])
        assert doctor("--json", user=other).exit_code == OK


@pytest.fixture
def begun(server: SQLServer, doctor: Doctor) -> Iterator[None]:
    """The tables of the control schema that an application writes, as `changeover run` has made them."""
    del doctor  # which makes the schema anew, and drops this one
    tables = [f"CREATE TABLE visited_control.{name} (number INT)" for name in WRITTEN_BY_PROCESSES]
    run(server, "CREATE DATABASE visited_control", *tables)
    yield
    run(server, "DROP DATABASE IF EXISTS visited_control")


@pytest.mark.usefixtures("begun")
@pytest.mark.parametrize("role", ["application", "operator"])
def test_another_user_is_judged_by_whoever_may_see_its_grants(
    server: SQLServer, doctor: Doctor, role: str
) -> None:
    with account(server, user="other"):
        arguments = (f"--{role}-user", f"other@{HOST}", "--json")
        warned = [
            one
            for one in the_json(doctor(*arguments, user=server))["findings"]
            if one["what"].startswith(f"{role} user other@{HOST} lacks")
        ]
        assert warned
        assert {one["severity"] for one in warned} == {"warn"}
        run(server, *(one["mend"] for one in warned))
        assert not [
            what for what in whats(doctor(*arguments, user=server), Severity.WARN) if what.startswith(role)
        ]


def test_a_users_statements_are_printed_to_who_may_not_see_its_grants(doctor: Doctor) -> None:
    notes = [
        one["mend"]
        for one in the_json(doctor("--application-user", "app@10.%", "--json"))["findings"]
        if one["what"].startswith("what application user app@10.% may do was not looked at")
    ]
    (note,) = notes
    assert note.startswith("it needs GRANT SELECT")
    assert r"ON `visited\_control`.* TO 'app'@'10.%';" in note


def test_an_administrator_can_ask_for_the_capture_user(server: SQLServer, doctor: Doctor) -> None:
    result = doctor("--capture-user", "mover@127.0.0.1", "--json", user=server)
    assert not whats(result, Severity.WARN)
    run(server, "REVOKE SELECT ON visited.* FROM mover@127.0.0.1")
    result = doctor("--capture-user", "mover@127.0.0.1", "--json", user=server)
    assert whats(result, Severity.REFUSE) == ["capture user mover@127.0.0.1 lacks SELECT on `visited`.*"]
    nobody = doctor("--capture-user", "nobody@127.0.0.1", "--json", user=server)
    assert len(whats(nobody, Severity.REFUSE)) == 3


def test_a_source_that_cannot_be_asked_has_its_usual_exit_status(doctor: Doctor, mover: Account) -> None:
    mover.password = "wrong"
    assert isinstance(doctor().exception, SourceRefused)
    mover.port = 1
    assert isinstance(doctor().exception, SourceUnavailable)


def test_no_secret_is_printed(server: SQLServer, doctor: Doctor) -> None:
    said = "".join(
        doctor(*arguments, user=server).stdout
        for arguments in (
            ("--json",),
            ("--capture-user", "mover@127.0.0.1"),
            ("--operator-user", "root@127.0.0.1"),
        )
    )
    assert server.password not in said
    assert "IDENTIFIED" not in said  # MariaDB's SHOW GRANTS puts a hash behind it
    assert "more than it needs" in said


def test_an_unknown_option_is_a_wrong_command_line() -> None:
    assert CliRunner().invoke(app, ["doctor", "--nonsense"]).exit_code == USAGE


def test_the_report_of_nothing_is_go() -> None:
    note = Finding(severity=Severity.NOTE, subject="log", what="it is there", mend="")
    report = Report(server="x", tables=0, estimate=estimate_of(Size(rows=0, data_bytes=0)), findings=(note,))
    assert verdict(report) == "go"
    assert plain(report)["findings"] == [
        {"severity": "note", "subject": "log", "what": "it is there", "mend": ""}
    ]
