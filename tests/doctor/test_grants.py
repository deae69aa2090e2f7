"""Grants, from text to text: what is needed, what is missing, what is in excess."""

import pytest

from changeover.finding import Severity
from changeover.mysql.grants import (
    Held,
    Kind,
    Role,
    Scope,
    account,
    excess,
    missing,
    needs_of,
    parse,
    statements,
)

MARIADB = Kind(is_mariadb=True, version=(10, 11, 6))
MYSQL = Kind(is_mariadb=False, version=(8, 0, 15))
MYSQL_57 = Kind(is_mariadb=False, version=(5, 7, 22))
NEWER_MYSQL = Kind(is_mariadb=False, version=(8, 0, 22))

CAPTURE = [
    "GRANT REPLICATION SLAVE, REPLICATION CLIENT, CONNECTION_ADMIN ON *.* TO `u`@`%`",
    r"GRANT SELECT ON `the\_shop`.* TO `u`@`%`",
    "GRANT SELECT, INSERT, UPDATE, CREATE ON `changeover`.* TO `u`@`%`",
]


def mysql(*lines: str) -> Held:
    return parse(lines, is_mariadb=False)


def lacking(*lines: str, include: tuple[str, ...] = ("the_shop.*",), kind: Kind = MYSQL) -> list[str]:
    held = parse(lines, is_mariadb=kind.is_mariadb)
    found = missing(Role.CAPTURE, "u@%", held, needs_of(Role.CAPTURE, kind, include, "changeover"))
    return [finding.what.partition(" lacks ")[2] for finding in found]


def in_excess(role: Role, *lines: str, kind: Kind = MYSQL) -> list[tuple[str, str]]:
    held = parse(lines, is_mariadb=kind.is_mariadb)
    needs = needs_of(role, kind, ("the_shop.*",), "changeover")
    found = excess(role, "u@%", held, needs, "changeover")
    return [(finding.what.partition("needs: ")[2], finding.mend) for finding in found]


def test_the_statements_are_for_this_user_database_and_server() -> None:
    needs = needs_of(Role.CAPTURE, MARIADB, ("the_shop.*",), "changeover")
    assert statements(needs, "cdc@10.0.0.%") == [
        "GRANT REPLICATION SLAVE, BINLOG MONITOR, READ_ONLY ADMIN ON *.* TO 'cdc'@'10.0.0.%';",
        r"GRANT SELECT ON `the\_shop`.* TO 'cdc'@'10.0.0.%';",
        "GRANT SELECT, INSERT, UPDATE, CREATE ON `changeover`.* TO 'cdc'@'10.0.0.%';",
    ]


def test_an_application_needs_more_than_select_for_a_locking_read_before_mysql_8_0_22() -> None:
    wanted = [
        needs_of(Role.APPLICATION, kind, ("a.*",), "changeover") for kind in (MARIADB, MYSQL, NEWER_MYSQL)
    ]
    control = Scope("changeover")
    assert [needs[control] for needs in wanted] == [("SELECT",), ("SELECT", "LOCK TABLES"), ("SELECT",)]
    assert all(
        needs[Scope("changeover", table)] == ("INSERT", "UPDATE")
        for needs in wanted
        for table in ("process", "heartbeat")
    )


def test_a_mysql_that_has_super_alone_needs_it_for_the_fence_and_for_nothing_else() -> None:
    at_once = [CAPTURE[0].replace(", CONNECTION_ADMIN", ""), *CAPTURE[1:]]
    held = mysql(*at_once)
    (finding,) = missing(
        Role.CAPTURE, "u@%", held, needs_of(Role.CAPTURE, MYSQL_57, ("the_shop.*",), "changeover")
    )
    assert finding.severity is Severity.WARN
    assert finding.what == "for the way into the last phase, capture user u@% lacks SUPER on *.*"
    everywhere = needs_of(Role.OPERATOR, MYSQL_57, ("the_shop.*",), "changeover")[Scope()]
    assert everywhere == ("REPLICATION CLIENT", "PROCESS", "SUPER")


@pytest.mark.parametrize(
    ("pattern", "scope"),
    [
        ("shop.*", "`shop`.*"),
        ("the_shop.ord*", r"`the\_shop`.*"),
        ("the_shop.orders", "`the_shop`.`orders`"),
        ("shop_*.*", r"`shop\_%`.*"),
        ("shop?.orders", "`shop_`.*"),
        ("[ab].x", "*.*"),
        ("*.*", "*.*"),
    ],
)
def test_select_is_asked_for_wherever_a_pattern_could_find_a_table(pattern: str, scope: str) -> None:
    needs = needs_of(Role.CAPTURE, MYSQL, (pattern,), "changeover")
    assert "SELECT" in {place.text: wanted for place, wanted in needs.items()}[scope]
    assert "REPLICATION SLAVE" in needs[Scope()]


def test_where_partial_revokes_are_on_a_schema_is_taken_literally() -> None:
    kind = Kind(is_mariadb=False, version=(8, 0, 30), has_literal_schemas=True)
    needs = needs_of(Role.CAPTURE, kind, ("the_shop.*", "b_*.*"), "changeover")
    assert set(needs) == {Scope(), Scope("the_shop"), Scope("changeover")}
    assert "SELECT" in needs[Scope()]


def test_exactly_what_is_needed_is_enough_and_not_too_much() -> None:
    assert not lacking(*CAPTURE)
    assert not in_excess(Role.CAPTURE, *CAPTURE)


@pytest.mark.parametrize("left_out", range(3))
def test_a_statement_that_was_not_run_is_named(left_out: int) -> None:
    said = lacking(*CAPTURE[:left_out], *CAPTURE[left_out + 1 :])
    privileges, places = zip(*(one.split(" on ") for one in said), strict=True)
    assert f"GRANT {', '.join(privileges)} ON {places[0]} TO" in CAPTURE[left_out]


@pytest.mark.parametrize(
    "line",
    [
        "GRANT ALL PRIVILEGES ON *.* TO `u`@`%` IDENTIFIED BY PASSWORD '*00' WITH GRANT OPTION",
        "GRANT SELECT, INSERT, UPDATE, CREATE, REPLICATION SLAVE, SUPER ON *.* TO `u`@`%`",
    ],
)
def test_what_is_granted_on_everything_covers_each_place(line: str) -> None:
    assert not lacking(line)


@pytest.mark.parametrize("schema", ["the_shop", "the%", "%", r"the\_shop", "the_%"])
def test_a_pattern_covers_the_schemas_that_it_fits(schema: str) -> None:
    assert mysql(f"GRANT SELECT ON `{schema}`.* TO `u`@`%`").has("SELECT", Scope(r"the\_shop"))


def test_a_pattern_does_not_cover_another_schema() -> None:
    held = mysql(r"GRANT SELECT ON `the\_shop`.* TO `u`@`%`")
    assert not held.has("SELECT", Scope("theXshop"))
    assert not held.has("SELECT", Scope())


def test_the_server_goes_by_the_most_specific_schema_and_adds_nothing_up() -> None:
    held = mysql("GRANT SELECT ON `shop%`.* TO `u`@`%`", "GRANT INSERT ON `shop1`.* TO `u`@`%`")
    assert not held.has("SELECT", Scope("shop1"))
    assert held.has("SELECT", Scope("shop2"))


def test_a_table_is_covered_by_its_schema_and_by_itself() -> None:
    wanted = Scope("the_shop", "orders")
    for place in (r"`the\_shop`.*", "`the_shop`.`orders`"):
        assert mysql(f"GRANT SELECT ON {place} TO `u`@`%`").has("SELECT", wanted)
    assert not mysql("GRANT SELECT (`id`) ON `the_shop`.`orders` TO `u`@`%`").has("SELECT", wanted)
    assert not mysql("GRANT SELECT ON `the_shop`.`others` TO `u`@`%`").has("SELECT", wanted)


def test_what_is_revoked_from_one_schema_is_not_held_there() -> None:
    held = mysql("GRANT SELECT ON *.* TO `u`@`%`", "REVOKE SELECT ON `shop`.* FROM `u`@`%`")
    assert not held.has("SELECT", Scope("shop"))
    assert held.has("SELECT", Scope("other"))


def test_roles_give_rights_that_are_not_the_users_own_to_revoke() -> None:
    lines = [
        "GRANT `reader` TO `u`@`%`",
        "GRANT USAGE ON *.* TO `u`@`%`",
        "GRANT SELECT ON `x`.* TO `reader`",
    ]
    held = parse(lines, is_mariadb=True)
    assert held.has("SELECT", Scope("x"))
    assert set(held.own) == {Scope()}


def test_proxies_and_routines_are_passed_over() -> None:
    held = mysql("GRANT PROXY ON ''@'' TO `u`@`%`", "GRANT EXECUTE ON PROCEDURE `a`.`p` TO `u`@`%`")
    assert not held.all


def test_mariadb_says_one_privilege_by_two_names() -> None:
    lines = [line.replace("CONNECTION_ADMIN", "READ_ONLY ADMIN") for line in CAPTURE]
    assert not lacking(*lines, kind=MARIADB)
    lines = [line.replace("REPLICATION CLIENT", "BINLOG MONITOR") for line in lines]
    assert not lacking(*lines, kind=MARIADB)


def test_what_is_spare_is_revoked() -> None:
    assert in_excess(Role.CAPTURE, *CAPTURE, r"GRANT DELETE, SELECT ON `the\_shop`.* TO `u`@`%`") == [
        (r"DELETE on `the\_shop`.*", r"REVOKE DELETE ON `the\_shop`.* FROM 'u'@'%';")
    ]


def test_what_is_held_by_too_wide_a_grant_is_granted_first_where_it_is_needed() -> None:
    ((_, mend),) = in_excess(Role.CAPTURE, CAPTURE[0], CAPTURE[2], "GRANT SELECT ON *.* TO `u`@`%`")
    assert mend == r"GRANT SELECT ON `the\_shop`.* TO 'u'@'%'; REVOKE SELECT ON *.* FROM 'u'@'%';"


def test_after_everything_is_revoked_what_is_needed_there_is_granted_again() -> None:
    ((what, mend),) = in_excess(Role.CAPTURE, "GRANT ALL PRIVILEGES ON *.* TO `u`@`%`", kind=MARIADB)
    assert what == "ALL PRIVILEGES on *.*"
    first, *_, revoke, last = mend.split("; ")
    assert first == r"GRANT SELECT ON `the\_shop`.* TO 'u'@'%'"
    assert revoke == "REVOKE ALL PRIVILEGES ON *.* FROM 'u'@'%'"
    assert last == "GRANT REPLICATION SLAVE, BINLOG MONITOR, READ_ONLY ADMIN ON *.* TO 'u'@'%';"


def test_an_administrator_is_not_cut_down_but_told_to_make_a_user_for_capture() -> None:
    ((_, mend),) = in_excess(Role.CAPTURE, "GRANT ALL PRIVILEGES ON *.* TO `root`@`%` WITH GRANT OPTION")
    assert "REVOKE" not in mend
    assert "a user of its own" in mend


def test_an_applications_own_rights_are_its_own_affair_unless_they_get_past_us() -> None:
    fine = [
        "GRANT SELECT, DELETE, DROP ON `the_shop`.* TO `u`@`%`",
        "GRANT SELECT ON `changeover`.* TO `u`@`%`",
    ]
    assert not in_excess(Role.APPLICATION, *fine)
    assert [what for what, _ in in_excess(Role.APPLICATION, "GRANT SUPER, PROCESS ON *.* TO `u`@`%`")] == [
        "SUPER on *.*"
    ]
    assert [what for what, _ in in_excess(Role.APPLICATION, "GRANT INSERT ON `change%`.* TO `u`@`%`")] == [
        "INSERT on `change%`.*"
    ]


@pytest.mark.parametrize(
    ("kind", "privilege"),
    [(MARIADB, "READ_ONLY ADMIN"), (MYSQL, "CONNECTION_ADMIN")],
    ids=["mariadb", "mysql"],
)
def test_what_capture_lacks_for_the_fence_alone_is_apart_and_does_not_forbid_the_move(
    kind: Kind, privilege: str
) -> None:
    needs = needs_of(Role.CAPTURE, kind, ("a.*",), "changeover")
    found = [
        one
        for one in missing(Role.CAPTURE, "u@%", parse([], is_mariadb=kind.is_mariadb), needs)
        if "*.*" in one.what
    ]
    assert [one.severity for one in found] == [Severity.REFUSE, Severity.WARN]
    assert privilege not in found[0].what
    assert found[1].what == f"for the way into the last phase, capture user u@% lacks {privilege} on *.*"
    assert found[1].mend == f"GRANT {privilege} ON *.* TO 'u'@'%';"


def test_what_an_application_lacks_does_not_forbid_the_move() -> None:
    needs = needs_of(Role.APPLICATION, MYSQL, ("a.*",), "changeover")
    found = list(missing(Role.APPLICATION, "app@%", mysql(), needs))
    assert {finding.severity for finding in found} == {Severity.WARN}
    assert [finding.mend for finding in found] == [
        "GRANT SELECT, LOCK TABLES ON `changeover`.* TO 'app'@'%';",
        "GRANT INSERT, UPDATE ON `changeover`.`heartbeat` TO 'app'@'%';",
        "GRANT INSERT, UPDATE ON `changeover`.`process` TO 'app'@'%';",
    ]


def test_no_password_hash_goes_any_further() -> None:
    line = "GRANT USAGE, FILE ON *.* TO `u`@`%` IDENTIFIED BY PASSWORD '*B69027D44F6E5EDC07F1AEAD14779'"
    assert "B69027" not in str(in_excess(Role.CAPTURE, line))
    assert "B69027" not in str(parse([line], is_mariadb=True))


def test_a_user_with_odd_characters_is_quoted() -> None:
    assert account("o'brien@%") == "'o''brien'@'%'"
    assert account("me@home@%") == "'me@home'@'%'"


@pytest.mark.parametrize(
    ("kind", "privilege", "can"),
    [
        (MYSQL, "SUPER", True),
        (MYSQL, "CONNECTION_ADMIN", True),
        (MYSQL, "INSERT", False),
        (MARIADB, "READ_ONLY ADMIN", True),
        (MARIADB, "SUPER", False),
        (Kind(is_mariadb=True, version=(10, 6)), "SUPER", True),
    ],
)
def test_who_may_write_under_read_only(kind: Kind, privilege: str, *, can: bool) -> None:
    held = parse([f"GRANT {privilege} ON *.* TO `u`@`%`"], is_mariadb=kind.is_mariadb)
    assert held.can_write_under_read_only(kind) is can
