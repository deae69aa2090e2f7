"""Keys as people write them."""

from pathlib import Path

import pytest

from changeover.errors import KeyUnreadable
from changeover.table import Column, Kind, Table
from changeover.verify.keys import is_key, parse_key, read_keys
from tests.support.tables import CITIZEN

ID = CITIZEN.columns[0]
NAME = Column(name="name", kind=Kind.TEXT, sql_type="varchar(10)", nullable=False, charset="utf8mb4")
HASH = Column(name="hash", kind=Kind.BINARY, sql_type="binary(2)", nullable=False)
NAMED = Table(schema="s", name="named", columns=(NAME,), key=("name",))
HASHED = Table(schema="s", name="hashed", columns=(HASH,), key=("hash",))
BOTH = Table(schema="s", name="both", columns=(ID, NAME), key=("name", "id"))


@pytest.mark.parametrize(
    ("table", "text", "key"),
    [
        (CITIZEN, "7", b'{"id":7}'),
        (CITIZEN, ' {"id": 7}', b'{"id":7}'),
        (NAMED, "7", b'{"name":"7"}'),
        (NAMED, '"a b"', b'{"name":"a b"}'),
        (NAMED, "a b", b'{"name":"a b"}'),
        (HASHED, "AAE=", b'{"hash":"AAE="}'),
        (BOTH, '{"id": 1, "name": "x"}', b'{"name":"x","id":1}'),
    ],
)
def test_a_key_is_an_object_or_a_value_alone(table: Table, text: str, key: bytes) -> None:
    assert parse_key(table, text) == key
    assert is_key(table, key)


@pytest.mark.parametrize(
    ("table", "text"),
    [
        (CITIZEN, "seven"),
        (CITIZEN, '"7"'),
        (CITIZEN, "7.0"),
        (CITIZEN, "true"),
        (CITIZEN, "null"),
        (CITIZEN, '{"ID": 7}'),
        (CITIZEN, '{"id": 7, "name": "x"}'),
        (HASHED, "no base64!"),
        (BOTH, "7"),
        (BOTH, '{"id": 1}'),
        (NAMED, '{"name": 1}'),
    ],
)
def test_what_is_no_key_is_refused_with_its_table_and_what_a_key_looks_like(table: Table, text: str) -> None:
    with pytest.raises(KeyUnreadable, match=rf"is no key of {table.full_name}.* Write "):
        parse_key(table, text)


def test_keys_come_as_a_list_or_one_by_one_or_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text('1\n\n{"id": 2}\n')
    assert read_keys(CITIZEN, '[1, {"id": 2}]') == [b'{"id":1}', b'{"id":2}']
    assert read_keys(CITIZEN, '{"id": 2}') == [b'{"id":2}']
    assert read_keys(CITIZEN, str(file)) == [b'{"id":1}', b'{"id":2}']
    with pytest.raises(KeyUnreadable, match="cannot be read: No such file"):
        read_keys(CITIZEN, str(tmp_path / "none"))
    with pytest.raises(KeyUnreadable, match="no JSON"):
        read_keys(CITIZEN, "[1")
