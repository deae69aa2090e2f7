import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.change import Change, Op, Origin
from changeover.envelope import decode, decode_key, encode, encode_key
from changeover.errors import ChangeUnreadable
from changeover.table import Table
from changeover.version import Version
from tests.support.tables import CITIZEN, EVERY_KIND, changes, citizen, exactly, named, rows, tables

anything = st.data()
update = Change(
    CITIZEN,
    Op.UPDATE,
    citizen(7, "Ada"),
    citizen(7, "Grace"),
    Version.of_change(1, 42),
    Origin(1_700_000_000_000, "0-1-42"),
)


@given(anything)
def test_a_change_of_any_table_survives_its_envelope(data: st.DataObject) -> None:
    table = data.draw(tables())
    change = data.draw(changes(table))
    read = decode(table, encode(change, "moving"))
    assert read == change
    assert (exactly(read.before), exactly(read.after)) == (exactly(change.before), exactly(change.after))


@given(changes(EVERY_KIND))
def test_a_change_of_every_kind_survives_its_envelope(change: Change) -> None:
    read = decode(EVERY_KIND, encode(change, "moving"))
    assert (exactly(read.before), exactly(read.after)) == (exactly(change.before), exactly(change.after))


@given(anything)
def test_a_key_of_any_table_survives_its_json(data: st.DataObject) -> None:
    table = data.draw(tables())
    row = data.draw(rows(table))
    assert exactly(decode_key(table, encode_key(table, row))) == exactly({key: row[key] for key in table.key})


@given(changes(EVERY_KIND))
def test_a_change_that_is_read_twice_is_written_the_same_twice(change: Change) -> None:
    value = encode(change, "moving")
    assert encode(decode(EVERY_KIND, value), "moving") == value


@given(anything)
def test_the_order_of_a_rows_columns_does_not_name_another_row(data: st.DataObject) -> None:
    table = data.draw(tables())
    row = data.draw(rows(table))
    assert encode_key(table, dict(reversed(row.items()))) == encode_key(table, row)


def test_the_envelope_is_the_one_that_readers_of_debezium_know() -> None:
    source = {
        "connector": "changeover",
        "name": "moving",
        "ts_ms": 1_700_000_000_000,
        "snapshot": "false",
        "db": "records",
        "table": "citizen",
        "sequence": "00000001000000000000002a00000001",
        "gtid": "0-1-42",
    }
    assert orjson.loads(encode(update, "moving")) == {
        "before": {"id": 7, "name": "Ada"},
        "after": {"id": 7, "name": "Grace"},
        "op": "u",
        "ts_ms": 1_700_000_000_000,
        "source": source,
        "transaction": {"id": "0-1-42"},
    }


@given(st.binary())
def test_bytes_that_are_no_envelope_are_unreadable(value: bytes) -> None:
    with pytest.raises(ChangeUnreadable):
        decode(CITIZEN, value)


json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=3),
)
PLACES = [(), ("op",), ("before",), ("after",), ("source",), ("source", "db"), ("source", "sequence")]


@given(changes(EVERY_KIND), st.sampled_from(PLACES), json)
def test_a_damaged_envelope_is_unreadable_or_a_change_and_never_another_error(
    change: Change, place: tuple[str, ...], damage: object
) -> None:
    envelope = orjson.loads(encode(change, "moving"))
    part = {"whole": envelope}
    *path, last = ("whole", *place)
    for name in path:
        part = part[name]
    part[last] = damage
    try:
        read = decode(EVERY_KIND, orjson.dumps(envelope if place else damage))
    except ChangeUnreadable:
        return
    assert read.table == EVERY_KIND


@given(changes(EVERY_KIND), anything)
def test_a_torn_envelope_is_unreadable(change: Change, data: st.DataObject) -> None:
    value = encode(change, "moving")
    with pytest.raises(ChangeUnreadable):
        decode(EVERY_KIND, value[: data.draw(st.integers(0, len(value) - 1))])


@pytest.mark.parametrize("other", [named("Citizen"), named("citizen", schema="archive")])
def test_a_change_of_another_table_is_unreadable(other: Table) -> None:
    with pytest.raises(ChangeUnreadable, match=r"a change of records\.citizen"):
        decode(other, encode(update, "moving"))


@pytest.mark.parametrize("missing", ["before", "after", "op", "source"])
def test_an_envelope_without_one_of_its_parts_is_unreadable(missing: str) -> None:
    envelope = orjson.loads(encode(update, "moving"))
    del envelope[missing]
    with pytest.raises(ChangeUnreadable):
        decode(CITIZEN, orjson.dumps(envelope))


def test_a_delete_with_a_row_behind_it_is_unreadable() -> None:
    value = encode(update, "moving").replace(b'"op":"u"', b'"op":"d"')
    with pytest.raises(ChangeUnreadable, match="wrong images"):
        decode(CITIZEN, value)
