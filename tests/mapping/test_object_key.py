"""Keys of objects: total, reversible, and safe in a URL, for every key that a table can have."""

import string
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.envelope import decode_key, encode_key
from changeover.mapping import object_key
from changeover.table import Column, Kind, Table
from changeover.values import Row, Value
from tests.support.tables import exactly, rows, tables

OF_TWO = Table(
    schema="s",
    name="t",
    columns=(
        Column(name="a", kind=Kind.TEXT, sql_type="text", nullable=False),
        Column(name="b", kind=Kind.BYTES, sql_type="varbinary(50)", nullable=False),
    ),
    key=("a", "b"),
)


def key_of(table: Table, row: Row) -> Row:
    return {name: row[name] for name in table.key}


@given(st.data())
def test_a_key_is_read_back_as_it_was_and_of_the_same_type(data: st.DataObject) -> None:
    table = data.draw(tables())
    row = data.draw(rows(table))
    back = object_key.decode(table, object_key.encode(table, row))
    assert exactly(back) == exactly(key_of(table, row))


@given(st.data())
def test_rows_have_one_key_here_exactly_if_they_have_one_in_the_log(data: st.DataObject) -> None:
    table = data.draw(tables())
    one, other = data.draw(rows(table)), data.draw(rows(table))
    same = encode_key(table, one) == encode_key(table, other)
    assert (object_key.encode(table, one) == object_key.encode(table, other)) == same


texts = st.text("ab.~-_/0 é", max_size=4)
blobs = st.binary(max_size=3)


@given(st.tuples(texts, blobs), st.tuples(texts, blobs))
def test_nothing_in_one_column_can_pass_for_the_border_to_the_next(
    one: tuple[str, bytes], other: tuple[str, bytes]
) -> None:
    keys = [object_key.encode(OF_TWO, {"a": a, "b": b}) for a, b in (one, other)]
    assert (keys[0] == keys[1]) == (one == other)


@given(st.data())
def test_a_key_can_stand_in_a_url_as_it_is(data: st.DataObject) -> None:
    table = data.draw(tables())
    key = object_key.encode(table, data.draw(rows(table)))
    assert key not in {"", ".", ".."}
    assert set(key) <= set(string.ascii_letters + string.digits + "-_.~")
    assert quote(key, safe="") == key


@given(st.data())
def test_it_does_not_matter_whether_the_key_comes_from_the_row_or_from_the_log(data: st.DataObject) -> None:
    table = data.draw(tables())
    row = data.draw(rows(table))
    assert object_key.encode(table, decode_key(table, encode_key(table, row))) == object_key.encode(
        table, row
    )


@pytest.mark.parametrize(
    ("a", "b", "key"),
    [
        ("Ada", b"\x00\xff", "Ada.00ff"),
        ("", b"", "~.~"),
        ("~", b"~", "~7E.7e"),
        ("a.b", b"", "a~2Eb.~"),
        ("Zürich 💾", b"1", "Z~C3~BCrich~20~F0~9F~92~BE.31"),
    ],
)
def test_the_form_is_the_one_that_is_written_down(a: Value, b: Value, key: str) -> None:
    assert object_key.encode(OF_TWO, {"a": a, "b": b}) == key


@pytest.mark.parametrize(
    "key", ["", "a", "a.b.c", ".", "a.", ".00", "a.0", "a.F0", "a b.00", "~61.00", "~zz.00", "~C3.00"]
)
def test_what_no_row_has_as_its_key_is_no_key(key: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - several, by what is wrong
        object_key.decode(OF_TWO, key)
