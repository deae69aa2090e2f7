"""What the doctor says of the captured tables, each thing provoked by a table that is so."""

from collections.abc import Iterator

import pytest

from changeover.demo.mysql8 import PrivateMySQL
from changeover.demo.sql import SQLServer
from changeover.errors import SourceUnfit
from changeover.finding import Finding, Severity
from changeover.mysql.connection import Connection
from changeover.mysql.preflight import check_source
from changeover.mysql.tables import ForeignKey, Size, TableFacts, judge_tables, read_tables
from tests.support.accounts import account, run, source_of
from tests.support.pipeline import schema_of

REFUSE, WARN, NOTE = Severity.REFUSE, Severity.WARN, Severity.NOTE

TABLES = {
    "keyless": "(id INT)",
    "float_key": "(id FLOAT PRIMARY KEY)",
    "sjis_key": "(id VARCHAR(9) CHARACTER SET sjis COLLATE sjis_bin PRIMARY KEY)",
    "raw_label": "(id INT PRIMARY KEY, c ENUM('a') CHARACTER SET binary)",
    "loose": "(id VARCHAR(9) COLLATE utf8mb4_unicode_ci PRIMARY KEY)",
    "strict": "(id VARCHAR(9) COLLATE utf8mb4_bin PRIMARY KEY)",
    "isam": "(id INT PRIMARY KEY) ENGINE = MyISAM",
    "parent": "(id INT PRIMARY KEY)",
    "child": "(id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE)",
    "setter": "(id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parent (id) ON UPDATE SET NULL)",
    "held_back": "(id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parent (id) ON DELETE RESTRICT)",
    "sprung": "(id INT PRIMARY KEY)",
}

FOUND = [
    (REFUSE, "sick.keyless has no primary key"),
    (REFUSE, "sick.float_key.id is a FLOAT in the primary key"),
    (REFUSE, "sick.sjis_key.id is in the primary key in sjis, which can store one text in two ways"),
    (REFUSE, "sick.raw_label.c has character set binary"),
    (REFUSE, "sick.child has a foreign key to sick.parent with ON DELETE CASCADE: the binlog does not hold"),
    (
        REFUSE,
        "sick.setter has a foreign key to sick.parent with ON UPDATE SET NULL: the binlog does not hold",
    ),
    (WARN, "sick_not.child has a foreign key to sick.parent with ON DELETE SET NULL, and is not captured"),
    (WARN, "sick.isam is kept by MyISAM, which has no transactions"),
    (NOTE, "sick.loose.id is a key with collation utf8mb4_unicode_ci"),
    (NOTE, "sick.sprung has a trigger spring"),
]


@pytest.fixture
def schema(server: SQLServer) -> Iterator[str]:
    made = (f"CREATE TABLE {name} {columns}" for name, columns in TABLES.items())
    outside = (
        "CREATE DATABASE sick_not",
        (
            "CREATE TABLE sick_not.child (id INT PRIMARY KEY, p INT, "
            "FOREIGN KEY (p) REFERENCES sick.parent (id) ON DELETE SET NULL)"
        ),
        "CREATE TRIGGER spring AFTER INSERT ON sprung FOR EACH ROW SET @sprung = 1",
    )
    with schema_of(server, "sick", "DROP DATABASE IF EXISTS sick_not", *made, *outside) as name:
        yield name
        run(server, "DROP DATABASE sick_not")


def facts_of(server: SQLServer, **more: object) -> TableFacts:
    with Connection(source_of(server, "sick", **more)) as connection:
        return read_tables(connection)


def told(findings: list[Finding]) -> set[tuple[Severity, str]]:
    return {(finding.severity, finding.what) for finding in findings}


@pytest.mark.parametrize("few_rights", [False, True])
def test_each_thing_about_a_table_is_named(server: SQLServer, schema: str, *, few_rights: bool) -> None:
    assert schema == "sick"
    rights = ("GRANT SELECT ON sick.* TO mover@127.0.0.1", "GRANT SELECT ON sick_not.* TO mover@127.0.0.1")
    with account(server, *rights) as mover:
        findings = judge_tables(facts_of(mover if few_rights else server))
    words = [
        (severity, wanted)
        for severity, wanted in FOUND
        if not (few_rights and "trigger" in wanted)  # which SELECT does not let one see
    ]
    assert len(findings) == len(words), "\n".join(finding.text for finding in findings)
    for severity, wanted in words:
        (finding,) = [one for one in findings if wanted in one.what]
        assert finding.severity is severity
        assert finding.mend


def test_what_is_excluded_is_not_spoken_of(server: SQLServer, schema: str) -> None:
    exclude = [
        f"{schema}.{name}" for name in TABLES if name not in {"strict", "held_back", "parent", "sprung"}
    ]
    found = told(judge_tables(facts_of(server, exclude=exclude)))
    assert {severity for severity, _ in found} == {WARN, NOTE}
    outside = {what for severity, what in found if severity is WARN}
    assert len(outside) == 3  # the children that are left out, whose parent is moved
    assert all("is not captured" in what for what in outside)


def test_the_start_goes_by_the_same_refusals(server: SQLServer, schema: str) -> None:
    with Connection(source_of(server, schema)) as connection, pytest.raises(SourceUnfit) as caught:
        check_source(connection)
    assert [
        words
        for severity, words in FOUND
        if severity is REFUSE and "year" not in words and words not in str(caught.value)
    ] == []
    exclude = [f"{schema}.{name}" for name in TABLES if name not in {"strict", "parent"}]
    with Connection(source_of(server, schema, exclude=exclude)) as connection:
        check_source(connection)


def test_two_tables_that_would_be_one_in_the_target_are_refused(server: SQLServer) -> None:
    twin = ("CREATE DATABASE sick_not", "CREATE TABLE sick_not.Note (id INT PRIMARY KEY)")
    with schema_of(
        server, "sick", "DROP DATABASE IF EXISTS sick_not", "CREATE TABLE note (id INT PRIMARY KEY)", *twin
    ):
        (finding,) = judge_tables(facts_of(server, include=("sick*.*",)))
        run(server, "DROP DATABASE sick_not")
    assert (finding.severity, finding.what) == (
        REFUSE,
        "sick.note and sick_not.Note would be one table in the target",
    )


def test_a_pattern_that_names_no_table_is_refused(server: SQLServer) -> None:
    (finding,) = judge_tables(facts_of(server, include=("nowhere.*",)))
    assert finding.severity is REFUSE
    assert "source.include names no table: nothing matches nowhere.*" in finding.what


def test_the_size_is_the_servers_guess(server: SQLServer) -> None:
    with schema_of(
        server,
        "sick",
        "CREATE TABLE note (id INT PRIMARY KEY)",
        f"INSERT INTO note VALUES {', '.join(f'({number})' for number in range(3_000))}",
        "ANALYZE TABLE note",
    ):
        run(server, "DO 1")
        size = facts_of(server).size
    assert 2_000 < size.rows < 4_000
    assert size.data_bytes > 30_000


def test_names_with_odd_characters_are_read_right(server: SQLServer) -> None:
    with schema_of(
        server,
        "sick",
        "CREATE TABLE `a``b.c (d)` (id INT PRIMARY KEY)",
        "CREATE TABLE child (id INT PRIMARY KEY, `p ,)` INT COMMENT '\n  CONSTRAINT `x` FOREIGN KEY (`p`) "
        "REFERENCES `q` (`id`) ON DELETE CASCADE', CONSTRAINT `x``(y)` FOREIGN KEY (`p ,)`) "
        "REFERENCES `a``b.c (d)` (id) ON DELETE CASCADE ON UPDATE SET NULL)",
    ):
        (key,) = facts_of(server).foreign_keys
    assert key == ForeignKey(
        child=("sick", "child"),
        parent=("sick", "a`b.c (d)"),
        rules=("ON DELETE CASCADE", "ON UPDATE SET NULL"),
    )


def test_mysql_9_6_logs_its_cascades() -> None:
    key = ForeignKey(child=("a", "c"), parent=("a", "p"), rules=("ON DELETE CASCADE",))
    facts = TableFacts(
        names=[("a", "c"), ("a", "p")],
        tables=(),
        complaints=(),
        size=Size(rows=0, data_bytes=0),
        engines=(),
        foreign_keys=[key],
        are_cascades_logged=True,
        triggers=(),
        loose_keys=(),
    )
    (finding,) = judge_tables(facts)
    assert finding.severity is NOTE


def test_mysqls_own_schema_is_not_captured(sick_mysql: PrivateMySQL) -> None:
    assert not [name for name in facts_of(sick_mysql, include=("*.*",)).names if name[0] == "mysql"]


def test_a_child_whose_definition_is_hidden_from_us_does_not_end_the_report(
    server: SQLServer, schema: str
) -> None:
    rights = (
        f"GRANT SELECT ON {schema}.* TO mover@127.0.0.1",
        "GRANT INSERT ON sick_not.child TO mover@127.0.0.1",
    )
    with account(server, *rights) as mover:
        keys = facts_of(mover).foreign_keys
    assert {key.child[1] for key in keys} >= {"child", "setter"}
