"""The grants that the doctor prints: with them and no others everything runs, with one less it is named."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest

from changeover.demo.mysql8 import PrivateMySQL
from changeover.demo.server import PrivateMariaDB
from changeover.demo.sql import SQLServer
from changeover.errors import SourceUnfit
from changeover.finding import Finding, refusals
from changeover.mysql.connection import Connection
from changeover.mysql.facts import read_server
from changeover.mysql.grants import FOR_THE_FENCE, Role, Scope, statements
from changeover.mysql.preflight import check_source, needs_of, user_findings
from changeover.settings import SourceSettings
from tests.support.accounts import HOST, USER, Account, account, run, source_of
from tests.support.pipeline import Pipeline, schema_of

SCHEMA = "enough_1"
WRITES = 50

NAMED = f"{USER}@{HOST}"


@pytest.fixture
def schema(server: SQLServer) -> Iterator[str]:
    values = ", ".join(f"({number}, 'first')" for number in range(1, 2_001))
    with schema_of(
        server,
        SCHEMA,
        "CREATE TABLE note (id INT PRIMARY KEY, text VARCHAR(20) NOT NULL)",
        f"INSERT INTO note VALUES {values}",
    ) as name:
        yield name


def printed(source: SourceSettings, role: Role) -> list[str]:
    """The statements for a user of ours, as the doctor prints them to whoever may see no grants."""
    with Connection(source) as connection:
        return statements(needs_of(role, read_server(connection), source), NAMED)


def findings(source: SourceSettings) -> list[Finding]:
    with Connection(source) as connection:
        facts = read_server(connection)
        return [*user_findings(Role.CAPTURE, facts.user, facts.grants, facts, source)]


@pytest.mark.parametrize("server", ["mariadb", "mysql", "mysql57"], indirect=True)
def test_a_move_under_exactly_the_printed_grants_comes_out_equal(
    server: SQLServer, schema: str, tmp_path: Path
) -> None:
    grants = printed(source_of(server, schema), Role.CAPTURE)
    with account(server, *grants) as mover:
        assert not findings(source_of(mover, schema))
        with Pipeline(mover, schema, tmp_path) as pipeline:
            pipeline.until(lambda now: now.captured_through is not None)
            for number in range(1, WRITES):
                run(
                    server,
                    f"UPDATE {schema}.note SET text = 'second' WHERE id = {number}",
                    f"DELETE FROM {schema}.note WHERE id = {1_000 + number}",
                    f"INSERT INTO {schema}.note VALUES ({5_000 + number}, 'third')",
                )
            pipeline.until(lambda now: now.is_import_applied)
            pipeline.drain()
            compared = pipeline.compare("note")
    assert (compared.difference_count, compared.rows_source["note"]) == (0, 2_000)


def test_a_capture_with_the_printed_grants_goes_on_under_the_fences_read_only_also_when_it_is_started_there(
    server: SQLServer, schema: str, tmp_path: Path
) -> None:
    grants = printed(source_of(server, schema), Role.CAPTURE)
    with (
        account(server, *grants) as mover,
        account(server, f"GRANT INSERT ON {schema}.* TO other@{HOST}", user="other") as other,
        Pipeline(mover, schema, tmp_path) as pipeline,
    ):
        pipeline.until(lambda now: now.is_import_applied)
        try:
            run(server, "SET GLOBAL read_only = ON")
            with pytest.raises(pymysql.Error, match=r"read[-_]only"):
                run(other, f"INSERT INTO {schema}.note VALUES (9000, 'late')")
            pipeline.drain()  # commits a heartbeat of its own, and waits for capture to come behind it
            process = pipeline.supervisor.part("capture").process
            assert process is not None
            process.send_signal(signal.SIGKILL)
            process.wait()
            pipeline.drain()
        finally:
            run(server, "SET GLOBAL read_only = OFF")
        assert pipeline.compare("note").difference_count == 0


def test_each_grant_that_is_revoked_is_named_with_the_statement_that_gives_it_back(
    server: SQLServer, schema: str
) -> None:
    source = source_of(server, schema)
    with Connection(source) as connection:
        needs = needs_of(Role.CAPTURE, read_server(connection), source)
    with account(server, *statements(needs, NAMED)) as mover:
        for scope, privilege in [(scope, one) for scope, wanted in needs.items() for one in wanted]:
            run(server, f"REVOKE {privilege} ON {scope.text} FROM {USER}@{HOST}")
            (finding,) = findings(source_of(mover, schema))
            assert finding.what.endswith(f"capture user {NAMED} lacks {privilege} on {scope.text}")
            with Connection(source_of(mover, schema)) as connection:
                if privilege in FOR_THE_FENCE:
                    check_source(connection)
                else:
                    with pytest.raises(SourceUnfit) as caught:
                        check_source(connection)
                    assert finding.mend.rstrip(";") in str(caught.value)
            run(server, finding.mend)
        assert not findings(source_of(mover, schema))


@pytest.mark.parametrize(
    "too_much",
    [
        "GRANT DELETE, SELECT (id) ON {schema}.note TO {user}",
        "GRANT ALL PRIVILEGES ON `{schema}`.* TO {user}",
        "GRANT SELECT, PROCESS ON *.* TO {user}",
        "GRANT ALL PRIVILEGES ON *.* TO {user}",
        "GRANT INSERT ON mysql.* TO {user} WITH GRANT OPTION",
    ],
)
def test_what_is_in_excess_is_gone_after_the_statements_that_are_named(
    server: SQLServer, schema: str, too_much: str
) -> None:
    source = source_of(server, schema)
    grants = printed(source, Role.CAPTURE)
    more = too_much.format(schema=schema, user=f"{USER}@{HOST}")
    with account(server, *grants, more) as mover:
        found = findings(source_of(mover, schema))
        assert found
        assert not refusals(found)
        for finding in found:
            assert "more than it needs" in finding.what
            run(server, *filter(None, finding.mend.replace("; ", ";\n").split("\n")))
        assert not findings(source_of(mover, schema))


def test_rights_through_a_role_count(server: SQLServer, schema: str) -> None:
    source = source_of(server, schema)
    with Connection(source) as connection:
        needs = needs_of(Role.CAPTURE, read_server(connection), source)
    to_role = [f"GRANT {', '.join(wanted)} ON {scope.text} TO carrier" for scope, wanted in needs.items()]
    default = "SET DEFAULT ROLE carrier {} {}@{}".format(
        "FOR" if type(server) is PrivateMariaDB else "TO", USER, HOST
    )
    with account(
        server, "CREATE ROLE carrier", *to_role, f"GRANT carrier TO {USER}@{HOST}", default
    ) as mover:
        try:
            assert not findings(source_of(mover, schema))
            with Connection(source_of(mover, schema)) as connection:
                check_source(connection)
        finally:
            run(server, "DROP ROLE carrier")


def test_an_application_with_the_printed_grants_can_lock_the_phase_and_change_nothing(
    server: SQLServer, schema: str
) -> None:
    control = f"{schema}_control"
    run(
        server,
        f"CREATE DATABASE {control}",
        f"CREATE TABLE {control}.phase (id INT PRIMARY KEY)",
        f"INSERT INTO {control}.phase VALUES (1)",
        *(f"CREATE TABLE {control}.{table} (id INT PRIMARY KEY)" for table in ("process", "heartbeat")),
    )
    locking = f"SELECT id FROM {control}.phase LOCK IN SHARE MODE"
    with account(server, *printed(source_of(server, schema), Role.APPLICATION)) as application:
        assert run(application, locking) == ((1,),)
        with pytest.raises(pymysql.Error, match="denied"):
            run(application, f"UPDATE {control}.phase SET id = 2")
        for table in ("process", "heartbeat"):
            run(application, f"INSERT INTO {control}.{table} VALUES (1) ON DUPLICATE KEY UPDATE id = 1")
        if isinstance(server, PrivateMySQL):  # of before 8.0.22: this is why LOCK TABLES is asked for
            run(server, rf"REVOKE LOCK TABLES ON `enough\_1\_control`.* FROM {NAMED}")
            assert run(application, f"SELECT id FROM {control}.phase") == ((1,),)
            with pytest.raises(pymysql.Error, match="denied"):
                run(application, locking)


def test_an_operator_with_the_printed_grants_can_fence_and_still_write_the_control_schema(
    server: SQLServer, schema: str
) -> None:
    control = f"{schema}_control"
    grants = printed(source_of(server, schema), Role.OPERATOR)
    with account(server, *grants) as operator, account(server, user="other") as other:
        held = other.connect()
        try:
            run(operator, "SET GLOBAL read_only = ON", f"CREATE DATABASE {control}")
            run(operator, f"CREATE TABLE {control}.phase (id INT PRIMARY KEY)")
            run(operator, f"INSERT INTO {control}.phase VALUES (1)")
            run(operator, f"KILL {held.thread_id()}")  # type: ignore[no-untyped-call] # has no annotations
        finally:
            run(server, "SET GLOBAL read_only = OFF")
            held.close()


def test_with_select_on_one_table_only_the_hidden_ones_are_not_passed_over(
    server: SQLServer, schema: str
) -> None:
    run(server, f"CREATE TABLE {schema}.hidden (id INT PRIMARY KEY)")
    needs = needs_of_capture(server, schema)
    others = {scope: wanted for scope, wanted in needs.items() if wanted != ("SELECT",)}
    grants = [*statements(others, NAMED), f"GRANT SELECT ON {schema}.note TO {USER}@{HOST}"]
    with account(server, *grants) as mover:
        (finding,) = refusals(findings(source_of(mover, schema)))
        assert "lacks SELECT on `enough\\_1`.*" in finding.what
        assert not refusals(findings(source_of(mover, schema, include=(f"{schema}.note",))))


def needs_of_capture(server: SQLServer, schema: str) -> dict[Scope, tuple[str, ...]]:
    source = source_of(server, schema)
    with Connection(source) as connection:
        return dict(needs_of(Role.CAPTURE, read_server(connection), source))


def test_the_account_fixture_is_what_it_says(server: SQLServer) -> None:
    with account(server) as nobody:
        assert isinstance(nobody, Account)
        assert run(nobody, "SELECT CURRENT_USER()") == ((NAMED,),)
