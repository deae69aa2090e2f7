"""What the doctor says of a server, each thing provoked by its real cause where a server at hand has it.

By hand only were seen to be named: on MySQL 9.7.4 (Debian sid) group replication with a running member,
compressed transactions, tagged GTIDs and cascades that are logged; a MariaDB 10.2.11 for its age. Here they
are told of invented facts, as is `max_binlog_total_size` (MariaDB 11.4). No registry has TiDB or its like.
"""

import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace

import pymysql
import pytest

from changeover.demo.mysql8 import PrivateMySQL
from changeover.demo.server import PrivateMariaDB
from changeover.demo.sql import SQLServer
from changeover.doctor.estimate import estimate_of, retention_findings
from changeover.errors import SourceUnavailable, SourceUnfit
from changeover.finding import Finding, Severity
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.mysql.facts import ServerFacts, read_server
from changeover.mysql.phases import make_row, write_phase
from changeover.mysql.preflight import check_source, server_findings
from changeover.mysql.tables import Size
from changeover.phase import Phase, PhaseState
from changeover.settings import SourceSettings
from tests.support.accounts import account, run, source_of
from tests.support.odd_servers import PrivateMySQL57, galera_node
from tests.support.pipeline import schema_of
from tests.support.processes import wait_until

SCHEMA = "sick"
SMALL = estimate_of(Size(rows=0, data_bytes=0))

Said = Sequence[tuple[Severity, str]]

REFUSE, WARN, NOTE = Severity.REFUSE, Severity.WARN, Severity.NOTE


def facts_of(server: SQLServer) -> ServerFacts:
    with Connection(source_of(server, SCHEMA)) as connection:
        return read_server(connection)


def findings_of(server: SQLServer, source: SourceSettings | None = None) -> list[Finding]:
    facts = facts_of(server)
    return [*server_findings(facts, source or source_of(server, SCHEMA)), *retention_findings(facts, SMALL)]


def judged(facts: ServerFacts, **variables: str) -> list[Finding]:
    """What is said of a server with other variables than it has."""
    changed = replace(facts, variables={**facts.variables, **variables})
    source = SourceSettings(url="mysql://u@h", include=("sick.*",))
    return [*server_findings(changed, source), *retention_findings(changed, SMALL)]


def said(findings: Sequence[Finding], word: str) -> Finding:
    """The one finding that says so."""
    (found,) = [finding for finding in findings if word in finding.what]
    return found


@contextmanager
def set_globally(server: SQLServer, values: Mapping[str, str]) -> Iterator[None]:
    before = {name: run(server, f"SELECT @@global.{name}")[0][0] for name in values}
    try:
        run(server, *(f"SET GLOBAL {name} = {value}" for name, value in values.items()))
        yield
    finally:
        quoted = {name: f"'{value}'" if isinstance(value, str) else value for name, value in before.items()}
        run(server, *(f"SET GLOBAL {name} = {value}" for name, value in reversed(quoted.items())))


def test_a_healthy_server_gets_notes_at_most(server: SQLServer) -> None:
    found = findings_of(server)
    assert {finding.severity for finding in found} <= {Severity.NOTE}
    assert [finding.what.partition(" (")[0] for finding in found] == ["replication is not lossless"]


MARIADB_CAUSES = {
    ("rpl_semi_sync_master_wait_point", "AFTER_COMMIT"): (NOTE, "not lossless"),
}
MYSQL_CAUSES = {
    ("binlog_row_value_options", "'PARTIAL_JSON'"): (
        REFUSE,
        "binlog_row_value_options is PARTIAL_JSON, not empty",
    ),
    ("binlog_order_commits", "OFF"): (REFUSE, "binlog_order_commits is OFF, not ON"),
    ("gtid_mode", "ON_PERMISSIVE"): (REFUSE, "gtid_mode is ON_PERMISSIVE"),
    ("super_read_only", "ON"): (REFUSE, "the source is read-only for everybody"),
}
CAUSES = {
    ("binlog_format", "'MIXED'"): (REFUSE, "binlog_format is MIXED, not ROW"),
    ("binlog_format", "'STATEMENT'"): (REFUSE, "binlog_format is STATEMENT, not ROW"),
    ("binlog_row_image", "'NOBLOB'"): (REFUSE, "binlog_row_image is NOBLOB, not FULL"),
    ("binlog_row_metadata", "'MINIMAL'"): (REFUSE, "binlog_row_metadata is MINIMAL, not FULL"),
    ("sync_binlog", "0"): (WARN, "sync_binlog is 0"),
    ("innodb_flush_log_at_trx_commit", "2"): (WARN, "innodb_flush_log_at_trx_commit is 2"),
    ("time_zone", "'+02:00'"): (NOTE, "the server's time zone is +02:00"),
    ("binlog_expire_logs_seconds", "7200"): (WARN, "the binlog is kept for 2 h only"),
    ("read_only", "ON"): (WARN, "read_only, which this user may write under"),
}


def check_cause(server: SQLServer, cause: tuple[str, str], found: tuple[Severity, str]) -> None:
    severity, words = found
    with set_globally(server, {cause[0]: cause[1]}):
        finding = said(findings_of(server), words)
        assert finding.severity is severity
        with Connection(source_of(server, SCHEMA)) as connection:
            facts = read_server(connection)
        if finding.mend.startswith("SET GLOBAL"):
            run(server, finding.mend.partition(";")[0])
            assert not [one for one in findings_of(server) if words in one.what]
    assert facts.variables


@pytest.mark.parametrize(("cause", "found"), CAUSES.items(), ids=str)
def test_a_setting_that_matters_is_named(
    server: SQLServer, cause: tuple[str, str], found: tuple[Severity, str]
) -> None:
    check_cause(server, cause, found)


@pytest.mark.parametrize(("cause", "found"), MARIADB_CAUSES.items(), ids=str)
def test_a_setting_of_mariadbs_that_matters_is_named(
    sick_mariadb: PrivateMariaDB, cause: tuple[str, str], found: tuple[Severity, str]
) -> None:
    check_cause(sick_mariadb, cause, found)


@pytest.mark.parametrize(("cause", "found"), MYSQL_CAUSES.items(), ids=str)
def test_a_setting_of_mysqls_that_matters_is_named(
    sick_mysql: PrivateMySQL, cause: tuple[str, str], found: tuple[Severity, str]
) -> None:
    try:
        check_cause(sick_mysql, cause, found)
    finally:
        run(sick_mysql, "SET GLOBAL read_only = OFF")  # comes with super_read_only, and does not go with it


def test_lossless_semi_sync_leaves_nothing_to_say(sick_mariadb: PrivateMariaDB) -> None:
    with set_globally(
        sick_mariadb, {"rpl_semi_sync_master_enabled": "ON", "rpl_semi_sync_master_wait_point": "AFTER_SYNC"}
    ):
        assert not [finding for finding in findings_of(sick_mariadb) if "lossless" in finding.what]


def test_gtid_mode_off_is_fine(sick_mysql: PrivateMySQL) -> None:
    steps = ("ON_PERMISSIVE", "OFF_PERMISSIVE", "OFF")
    try:
        run(sick_mysql, *(f"SET GLOBAL gtid_mode = {step}" for step in steps))
        assert not [finding for finding in findings_of(sick_mysql) if finding.severity is REFUSE]
    finally:
        run(sick_mysql, *(f"SET GLOBAL gtid_mode = {step}" for step in (*steps[1::-1], "ON")))


def test_a_lasting_gap_of_the_own_gtids_is_refused_and_its_mend_mends(sick_mysql: PrivateMySQL) -> None:
    uuid = run(sick_mysql, "SELECT @@server_uuid")[0][0]
    end = int(
        run(sick_mysql, "SELECT @@global.gtid_executed")[0][0].rpartition("-")[2].rpartition(":")[2] or 0
    )

    def fill(number: int) -> None:
        run(sick_mysql, f"SET gtid_next = '{uuid}:{number}'", "BEGIN", "COMMIT", "SET gtid_next = AUTOMATIC")

    fill(end + 2)
    finding = said(findings_of(sick_mysql), "the source's own GTIDs have a lasting gap")
    assert finding.severity is REFUSE
    with Connection(source_of(sick_mysql, SCHEMA)) as connection, pytest.raises(SourceUnfit, match="lasting"):
        check_source(connection)
    fill(end + 1)
    assert not [one for one in findings_of(sick_mysql) if "gap" in one.what]


def test_a_gap_that_closes_while_we_look_is_none(sick_mysql: PrivateMySQL) -> None:
    uuid = run(sick_mysql, "SELECT @@server_uuid")[0][0]
    end = int(
        run(sick_mysql, "SELECT @@global.gtid_executed")[0][0].rpartition("-")[2].rpartition(":")[2] or 0
    )
    run(sick_mysql, f"SET gtid_next = '{uuid}:{end + 2}'", "BEGIN", "COMMIT", "SET gtid_next = AUTOMATIC")

    def commit(_: float) -> None:
        run(sick_mysql, f"SET gtid_next = '{uuid}:{end + 1}'", "BEGIN", "COMMIT", "SET gtid_next = AUTOMATIC")

    with Connection(source_of(sick_mysql, SCHEMA)) as connection:
        facts = read_server(connection, sleep=commit)
    assert not [finding for finding in judged(facts) if "gap" in finding.what]


def test_several_gtid_domains_are_refused_and_the_mend_mends() -> None:
    with PrivateMariaDB() as server:
        run(server, "CREATE DATABASE a", "SET gtid_domain_id = 7", "CREATE DATABASE b")
        finding = said(findings_of(server), "several GTID domains")
        assert finding.severity is REFUSE
        purge = "PURGE BINARY LOGS BEFORE NOW() + INTERVAL 1 DAY"
        eventually(server, "FLUSH BINARY LOGS", purge, "FLUSH BINARY LOGS DELETE_DOMAIN_ID = (7)")
        assert not [one for one in findings_of(server) if "domains" in one.what]


def eventually(server: SQLServer, *statements: str) -> None:
    """Run the statements again until none is refused: MariaDB lets go of a file late."""
    deadline = time.monotonic() + 60
    while True:
        try:
            run(server, *statements)
        except pymysql.Error:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        else:
            return


@pytest.mark.parametrize("kind", [PrivateMariaDB, PrivateMySQL])
@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"binlog_ignore_db": "sick"}, "the binlog does not hold every database: all but sick"),
        ({"binlog_do_db": "other"}, "the binlog does not hold every database: only other"),
    ],
)
def test_a_binlog_that_leaves_databases_out_is_refused(
    kind: type[SQLServer], option: Mapping[str, str], words: str
) -> None:
    with kind(options=option) as server:
        assert said(findings_of(server), words).severity is REFUSE


def test_a_mysql_without_a_binlog_is_refused() -> None:
    options = {"log_bin": None, "skip_log_bin": "ON", "gtid_mode": None, "enforce_gtid_consistency": None}
    with PrivateMySQL(options=options) as server:
        assert said(findings_of(server), "log_bin is OFF, not ON").severity is REFUSE


def test_a_mariadb_without_a_binlog_is_refused() -> None:
    with PrivateMariaDB(options={"log_bin": None, "gtid_strict_mode": None}) as server:
        assert said(findings_of(server), "log_bin is OFF, not ON").severity is REFUSE


@pytest.fixture(scope="module")
def replicating() -> Iterator[tuple[PrivateMySQL, PrivateMySQL]]:
    """A primary, and a replica with parallel workers, on which the last write of the primary has arrived."""
    options = {"server_id": "2", "slave_parallel_workers": "4", "slave_parallel_type": "LOGICAL_CLOCK"}
    with PrivateMySQL() as primary, PrivateMySQL(options=options) as replica:
        run(
            replica,
            f"CHANGE MASTER TO MASTER_HOST = '{primary.host}', MASTER_PORT = {primary.port}, "
            f"MASTER_USER = 'root', MASTER_PASSWORD = '{primary.password}', MASTER_AUTO_POSITION = 1",
            "START SLAVE",
        )
        run(primary, "CREATE DATABASE arrived")
        arrived = wait_until(lambda: bool(run(replica, "SHOW DATABASES LIKE 'arrived'")))
        assert arrived, run(replica, "SHOW SLAVE STATUS")
        yield primary, replica


def test_a_replica_that_commits_out_of_order_is_refused(
    replicating: tuple[PrivateMySQL, PrivateMySQL],
) -> None:
    _, replica = replicating
    finding = said(findings_of(replica), "a replica with 4 workers that commit out of order")
    assert finding.severity is REFUSE
    try:
        run(replica, "STOP SLAVE", finding.mend.partition(" (")[0], "START SLAVE")
        assert not [one for one in findings_of(replica) if "out of order" in one.what]
    finally:
        run(replica, "STOP SLAVE", "SET GLOBAL slave_preserve_commit_order = OFF", "START SLAVE")


def test_two_servers_that_write_are_refused(replicating: tuple[PrivateMySQL, PrivateMySQL]) -> None:
    primary, replica = replicating
    uuid = run(primary, "SELECT @@server_uuid")[0][0]
    finding = said(findings_of(replica), "two servers write")
    assert finding.severity is REFUSE
    assert uuid in finding.what
    assert not [one for one in findings_of(primary) if "two servers" in one.what]


def test_a_read_only_replica_is_refused_also_to_who_may_write_there(
    replicating: tuple[PrivateMySQL, PrivateMySQL],
) -> None:
    _, replica = replicating
    for standing in ("START SLAVE", "STOP SLAVE"):  # halfway through a failover it is no primary yet
        run(replica, standing)
        with set_globally(replica, {"read_only": "ON"}):
            found = said(findings_of(replica), "the source is a replica, and read_only")
        assert (found.severity, found.passes) == (REFUSE, True)
    run(replica, "START SLAVE")


def test_a_server_id_that_is_taken_is_refused(replicating: tuple[PrivateMySQL, PrivateMySQL]) -> None:
    primary, replica = replicating
    # The tests before have begun its replication anew, and it makes itself known once it is connected.
    assert wait_until(lambda: run(replica, "SHOW SLAVE STATUS")[0][0].startswith("Waiting for master"))

    def with_id(server_id: int | None) -> list[Finding]:
        findings = findings_of(primary, source_of(primary, SCHEMA, server_id=server_id))
        return [finding for finding in findings if "server_id" in finding.what]

    assert [finding.what for finding in with_id(1)] == ["source.server_id 1 is the source's own"]
    assert "is that of a replica" in with_id(2)[0].what
    assert {finding.severity for finding in (*with_id(1), *with_id(2))} == {REFUSE}
    assert not with_id(3)
    assert not with_id(None)


def test_a_mariadb_that_replicates_is_warned_of_the_other_writer() -> None:
    with PrivateMariaDB() as primary, PrivateMariaDB(options={"server_id": "2"}) as replica:
        run(
            replica,
            f"CHANGE MASTER TO MASTER_HOST = '{primary.host}', MASTER_PORT = {primary.port}, "
            f"MASTER_USER = 'root', MASTER_PASSWORD = '{primary.password}', MASTER_USE_GTID = slave_pos",
            "START SLAVE",
        )
        assert wait_until(
            lambda: run(replica, "SHOW STATUS LIKE 'Slaves_running'") == (("Slaves_running", "1"),)
        )
        with account(replica) as nobody:  # seen without any privilege
            assert said(findings_of(nobody), "replicates from another server").severity is WARN
        run(primary, "CREATE DATABASE arrived")
        eventually(replica, "USE arrived", "STOP SLAVE")
        with set_globally(replica, {"read_only": "ON"}):
            assert said(findings_of(replica), "a replica, and read_only").severity is REFUSE
            # Promoted, it keeps its place in what it followed. Where the fence is ours, it is the primary.
            with Connection(source_of(replica, SCHEMA)) as connection:
                control = ControlSchema(connection, "test")
                control.make()
                make_row(control)
                assert said(findings_of(replica), "a replica, and read_only").severity is REFUSE
                write_phase(control, PhaseState(phase=Phase.FENCED, attempt=1, since_ms=0))
            assert said(findings_of(replica), "read_only, which this user may write under").severity is WARN
        assert not [one for one in findings_of(primary) if "replicates" in one.what]


def test_a_read_only_source_is_waited_for_by_daemons_and_refused_by_the_doctor(
    server: SQLServer,
) -> None:
    with (
        schema_of(server, SCHEMA, "CREATE TABLE note (id INT PRIMARY KEY)"),
        account(
            server,
            "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO mover@127.0.0.1",
            "GRANT SELECT ON sick.* TO mover@127.0.0.1",
            r"GRANT SELECT, INSERT, UPDATE, CREATE ON `sick\_control`.* TO mover@127.0.0.1",
        ) as mover,
    ):
        with set_globally(server, {"read_only": "ON"}):
            assert said(findings_of(mover), "the source is read_only").severity is REFUSE
            with Connection(source_of(mover, SCHEMA)) as connection, pytest.raises(SourceUnavailable):
                check_source(connection)
        with Connection(source_of(mover, SCHEMA)) as connection:
            check_source(connection)


def test_without_any_privilege_the_report_says_what_was_not_looked_at(server: SQLServer) -> None:
    with account(server) as nobody:
        found = findings_of(nobody, source_of(nobody, SCHEMA, server_id=77))
    assert said(found, "replication and binlog filters were not looked at").severity is NOTE
    assert said(found, "whether source.server_id 77 is free was not looked at").severity is NOTE
    assert not [finding for finding in found if finding.severity is REFUSE]


def test_the_servers_clock_is_compared_with_ours(sick_mariadb: PrivateMariaDB) -> None:
    with Connection(source_of(sick_mariadb, SCHEMA)) as connection:
        ours = read_server(connection)
        behind = read_server(connection, clock=lambda: time.time() + 60)
    assert abs(ours.clock_ahead_ms) < 2_000
    assert not [one for one in judged(ours) if "clock" in one.what]
    assert abs(behind.clock_ahead_ms + 60_000) < 2_000
    assert "-60.0 s" in said(judged(replace(behind, clock_ahead_ms=-60_000)), "clock").what


def test_a_proxy_before_the_source_is_refused(sick_mysql: PrivateMySQL) -> None:
    with relabelled(sick_mysql.port) as port:
        source = source_of(sick_mysql, SCHEMA, url=f"mysql://root@127.0.0.1:{port}")
        with Connection(source) as connection:
            facts = read_server(connection)
    assert said(judged(facts), "a proxy stands before the source").severity is REFUSE


@contextmanager
def relabelled(port: int) -> Iterator[int]:
    """A proxy that does what all do: it says a session number of its own at the login."""

    def pump(one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):  # as soon as either side has hung up
            while data := one.recv(65_536):
                other.sendall(data)
        with suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        client, _ = listener.accept()
        with client, socket.create_connection(("127.0.0.1", port)) as behind:
            hello = bytearray(behind.recv(65_536))
            number = hello.index(b"\0", 5) + 1  # behind the packet's header, the protocol and the version
            hello[number] ^= 0x7F
            client.sendall(bytes(hello))
            back = threading.Thread(target=pump, args=(behind, client))
            back.start()
            pump(client, behind)
            back.join()

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        serving = threading.Thread(target=serve)
        serving.start()
        yield listener.getsockname()[1]
        serving.join()


# -- other kinds of server ---------------------------------------------------------------------------------


def test_a_real_mysql_5_7_is_told_that_its_schema_is_read_at_the_start(mysql57: PrivateMySQL57) -> None:
    schema, other = findings_of(mysql57)
    assert schema.severity is other.severity is NOTE
    assert schema.what.startswith(
        "the binlog of MySQL 5.7 does not describe tables: the schema is read at the"
    )
    assert other.what.startswith("replication is not lossless")


def test_a_mysql_5_7_with_another_setting_that_would_lose_is_refused_like_any(
    mysql57: PrivateMySQL57,
) -> None:
    found = judged(facts_of(mysql57), binlog_row_image="MINIMAL", binlog_format="MIXED")
    assert {one.what for one in found if one.severity is REFUSE} == {
        "binlog_format is MIXED, not ROW",
        "binlog_row_image is MINIMAL, not FULL",
    }


def test_a_real_node_of_galera_is_refused() -> None:
    with galera_node() as server:
        assert run(server, "SHOW STATUS LIKE 'wsrep_ready'")[0][1] == "ON"
        (found,) = [finding for finding in findings_of(server) if finding.severity is REFUSE]
    assert found.what.startswith("the source is a Galera node (wsrep_on)")


# -- what no server of the tests has -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"version": (10, 4, 34), "version_text": "10.4.34-MariaDB"},
            "is MariaDB 10.4.34-MariaDB, older than 10.5",
        ),
        (
            {"version": (8, 0, 13), "version_text": "8.0.13", "is_mariadb": False},
            "is MySQL 8.0.13, older than",
        ),
        (
            {"version": (8, 0, 0), "version_text": "8.0.0-dmr", "is_mariadb": False},
            "is MySQL 8.0.0-dmr, older than 8.0.14",
        ),
        (
            {"version": (5, 7, 8), "version_text": "5.7.8-rc", "is_mariadb": False},
            "is MySQL 5.7.8-rc, older than 5.7.9",
        ),
        (
            {"version": (5, 6, 51), "version_text": "5.6.51", "is_mariadb": False},
            "is MySQL 5.6.51, older than 5.7.9",
        ),
        ({"version_text": "8.0.11-TiDB-v7.5.0"}, "is TiDB"),
    ],
)
def test_a_server_that_is_too_old_or_only_a_relative_is_refused(
    sick_mariadb: PrivateMariaDB, changes: dict[str, object], words: str
) -> None:
    facts = replace(facts_of(sick_mariadb), **changes)  # type: ignore[arg-type]
    assert said(judged(facts), words).severity is REFUSE


@pytest.mark.parametrize(
    ("variables", "severity", "words"),
    [
        ({"group_replication_group_name": "aaaa-bbbb"}, REFUSE, "group replication"),
        ({"max_binlog_total_size": "1000000"}, WARN, "dropped beyond 1,000,000 bytes"),
    ],
)
def test_a_setting_of_another_version_that_matters_is_named(
    sick_mysql: PrivateMySQL, variables: dict[str, str], severity: Severity, words: str
) -> None:
    assert said(judged(facts_of(sick_mysql), **variables), words).severity is severity


def test_tagged_gtids_are_refused(sick_mysql: PrivateMySQL) -> None:
    uuids = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:tag:1", "4e11fa47-71ca-11e1-9e33-c80aa9429562:1"
    found = said(judged(replace(facts_of(sick_mysql), gtids=",\n".join(uuids))), "tagged GTIDs")
    assert found.severity is REFUSE
    assert found.what.endswith(",".join(uuids))


def test_an_old_mariadb_keeps_its_binlog_by_days(sick_mariadb: PrivateMariaDB) -> None:
    facts = facts_of(sick_mariadb)
    others = {name: value for name, value in facts.variables.items() if "expire_logs" not in name}
    old = replace(facts, variables={**others, "expire_logs_days": "0.500000"})
    (finding,) = retention_findings(old, estimate_of(Size(rows=0, data_bytes=0)))
    assert finding.mend == "SET GLOBAL expire_logs_days = 1"
    assert not [*retention_findings(replace(old, variables={**others, "expire_logs_days": "0"}), SMALL)]


def test_the_binlog_must_reach_back_longer_for_a_longer_import(sick_mysql: PrivateMySQL) -> None:
    facts = facts_of(sick_mysql)
    kept = replace(facts, variables={**facts.variables, "binlog_expire_logs_seconds": "259200"})
    assert not [*retention_findings(kept, SMALL)]
    (finding,) = retention_findings(kept, estimate_of(Size(rows=1_000_000_000, data_bytes=0)))
    assert "kept for 3 days only, where the import takes about 2 days" in finding.what
    assert finding.mend == "SET GLOBAL binlog_expire_logs_seconds = 600000"
