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


def test_the_bytes_columns_are_those_of_kind_bytes() -> None:
    assert [table.bytes_columns for table in (CITIZEN, EVERY_KIND)] == [(), ("c7",)]


@pytest.mark.parametrize(
    ("sql_type", "is_unsigned"),
    [
        ("bigint(20) unsigned", True),
        ("bigint unsigned zerofill", True),
        ("bigint(20)", False),
        ("int unsigned", False),
    ],
)
def test_only_an_unsigned_bigint_is_one(sql_type: str, is_unsigned: object) -> None:
    column = Column(name="c", kind=Kind.INTEGER, sql_type=sql_type, nullable=False)
    assert column.is_unsigned_bigint is is_unsigned
