from dataclasses import replace

import pytest
from hypothesis import given

from changeover.table import Column, Kind, Table
from tests.support.tables import CITIZEN, EVERY_KIND, named, tables, widened


@given(tables())
def test_a_table_survives_its_definition(table: Table) -> None:
    assert Table.parse(table.definition) == table
    assert Table.parse(table.definition).fingerprint == table.fingerprint


@given(tables(), tables())
def test_two_tables_share_a_fingerprint_only_if_they_are_the_same(one: Table, other: Table) -> None:
    assert (one == other) == (one.fingerprint == other.fingerprint)


@pytest.mark.parametrize(
    "changed",
    [
        named("citizens"),
        named("citizen", schema="record"),
        widened(CITIZEN),
        replace(CITIZEN, columns=CITIZEN.columns[::-1]),
        replace(CITIZEN, key=("id", "name")),
        *(
            replace(CITIZEN, columns=(first, *CITIZEN.columns[1:]))
            for first in (
                replace(CITIZEN.columns[0], kind=Kind.DECIMAL),
                replace(CITIZEN.columns[0], sql_type="bigint(20)"),
                replace(CITIZEN.columns[0], nullable=True),
                replace(CITIZEN.columns[0], fraction_digits=1),
            )
        ),
    ],
)
def test_any_change_of_the_definition_changes_the_fingerprint(changed: Table) -> None:
    assert changed.fingerprint != CITIZEN.fingerprint


@pytest.mark.parametrize("key", [(), ("passport",), ("id", "passport")])
def test_a_table_without_a_key_of_its_own_columns_is_refused(key: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="needs a key"):
        replace(CITIZEN, key=key)


def test_the_columns_of_the_key_come_in_the_keys_order() -> None:
    table = replace(CITIZEN, key=("name", "id"))
    assert [column.name for column in table.key_columns] == ["name", "id"]


def test_the_bytes_columns_are_those_whose_values_are_bytes() -> None:
    assert CITIZEN.bytes_columns == ()
    kinds = [column.kind for column in EVERY_KIND.columns if column.name in EVERY_KIND.bytes_columns]
    assert kinds == [Kind.BYTES, Kind.BINARY, Kind.GEOMETRY]
    assert {column.kind for column in EVERY_KIND.columns} == {*Kind}


@pytest.mark.parametrize(
    ("kind", "sql_type", "exceeds"),
    [
        (Kind.INTEGER, "bigint(20) unsigned", True),
        (Kind.INTEGER, "bigint unsigned zerofill", True),
        (Kind.INTEGER, "bigint(20)", False),
        (Kind.INTEGER, "int unsigned", False),
        (Kind.BIT, "bit(64)", True),
        (Kind.BIT, "bit(63)", False),
    ],
)
def test_only_an_unsigned_bigint_and_64_bits_exceed_a_signed_integer(
    kind: Kind, sql_type: str, exceeds: object
) -> None:
    column = Column(name="c", kind=kind, sql_type=sql_type, nullable=False)
    assert column.exceeds_int64 is exceeds


@pytest.mark.parametrize(
    ("sql_type", "members"),
    [
        ("enum('a')", ("a",)),
        ("set('a','b c','ž')", ("a", "b c", "ž")),
        (
            r"enum('it''s','','''','b\\c','d\ne','f\rg','h\0i','x,y','\\','(9)')",
            ("it's", "", "'", "b\\c", "d\ne", "f\rg", "h\0i", "x,y", "\\", "(9)"),
        ),
    ],
)
def test_members_are_read_from_the_servers_words(sql_type: str, members: tuple[str, ...]) -> None:
    column = Column(name="c", kind=Kind.ENUM, sql_type=sql_type, nullable=False)
    assert column.members == members


def test_a_label_that_says_unsigned_makes_no_number() -> None:
    column = Column(name="c", kind=Kind.ENUM, sql_type="enum('unsigned')", nullable=False)
    assert not column.is_unsigned
