"""The mapping: bodies by rules, places that no two rows share, and fingerprints that tell mappings apart."""

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.envelope import encode_key
from changeover.errors import KeysCollide, MappingFailed, MappingUnfit
from changeover.mapping import Body, ObjectMapping, Place, Rules
from changeover.mapping.mapping import CALLED_TWICE
from changeover.mapping.rules import Own
from changeover.table import Column, Kind, Table
from changeover.values import Value, row_from_json
from tests.support.tables import CITIZEN, EVERY_KIND, citizen, exactly, named, rows, tables, widened

DEFAULT = ObjectMapping()
PERSON = Table(
    schema="records",
    name="person",
    columns=(
        Column(name="id", kind=Kind.INTEGER, sql_type="int(11)", nullable=False),
        Column(name="name", kind=Kind.TEXT, sql_type="varchar(100)", nullable=True),
        Column(name="print", kind=Kind.BYTES, sql_type="varbinary(50)", nullable=True),
        Column(name="town", kind=Kind.INTEGER, sql_type="int(11)", nullable=True),
    ),
    key=("id",),
)
ADA: dict[str, Value] = {"id": 1, "name": "Ada", "print": b"\xff", "town": 7}


def mapping(rules: Rules, table: Table = PERSON) -> ObjectMapping:
    return ObjectMapping({table.full_name: rules})


def value_of(rules: Rules) -> object:
    return orjson.loads(mapping(rules).body(PERSON, ADA).value)


# -- bodies


@given(rows(EVERY_KIND))
def test_without_rules_a_row_becomes_json_from_which_it_can_be_had_again(row: dict[str, Value]) -> None:
    body = DEFAULT.body(EVERY_KIND, row)
    assert body.content_type == "application/json"
    assert exactly(row_from_json(EVERY_KIND, orjson.loads(body.value))) == exactly(row)


@given(rows(EVERY_KIND), st.randoms(use_true_random=False))
def test_the_bytes_do_not_depend_on_the_order_in_which_the_columns_came(
    row: dict[str, Value], chance: random.Random
) -> None:
    shuffled = dict(chance.sample(list(row.items()), len(row)))
    assert DEFAULT.body(EVERY_KIND, shuffled) == ObjectMapping().body(EVERY_KIND, row)


def test_columns_are_renamed_left_out_and_added_by_rule() -> None:
    rules = Rules(rename={"name": "full_name"}, leave_out=("print",), constants={"origin": "old", "v": 2})
    assert value_of(rules) == {"id": 1, "full_name": "Ada", "town": 7, "origin": "old", "v": 2}


def test_two_columns_may_change_names() -> None:
    assert value_of(Rules(rename={"id": "town", "town": "id"}, leave_out=("print", "name"))) == {
        "town": 1,
        "id": 7,
    }


def test_indexes_are_named_for_the_member_and_by_its_kind_and_null_has_none() -> None:
    made = mapping(Rules(rename={"town": "city"}, index=("town", "name", "print")))
    assert made.body(PERSON, ADA).indexes == (("city_int", "7"), ("name_bin", "Ada"), ("print_bin", "ff"))
    assert made.body(PERSON, ADA | {"town": None, "print": None}).indexes == (("name_bin", "Ada"),)


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (Rules(rename={"nme": "x"}), "no column nme"),
        (Rules(leave_out=("x", "y")), "no column x, y"),
        (Rules(index=("x",)), "no column x"),
        (Rules(rename={"name": "id"}), "two values would be called id"),
        (Rules(constants={"id": 1}), "two values would be called id"),
        (Rules(rename={"name": "x"}, leave_out=("name",)), "both renamed and left out"),
        (Rules(key_prefix="a.b"), "key_prefix"),
        (Rules(key_prefix="a/"), "key_prefix"),
        (Rules(bucket="changeover"), "keeps for itself"),
        (
            Rules(index=("name",), own=Own("m:f", lambda _: Body(b""), "")),
            "index does not go with a function",
        ),
    ],
)
def test_rules_that_do_not_fit_the_table_are_refused(rules: Rules, said: str) -> None:
    with pytest.raises(MappingUnfit, match=said):
        mapping(rules).check([PERSON])


def test_rules_for_a_table_that_is_not_captured_are_refused() -> None:
    with pytest.raises(MappingUnfit, match=r"records\.persons"):
        ObjectMapping({"records.persons": Rules()}).check([PERSON])


# -- functions


Made = Callable[[dict[str, Value]], Any]


def by(function: Made, digest: str = "1") -> ObjectMapping:
    return mapping(Rules(rename={"name": "full"}, leave_out=("town",), own=Own("m:f", function, digest)))


def test_a_function_gets_what_the_rules_leave_of_the_row_and_makes_the_whole_body() -> None:
    made = Body(b"<ada/>", "text/xml", (("age_int", "36"),))
    seen: list[dict[str, Value]] = []

    def function(row: dict[str, Value]) -> Body:
        seen.append(dict(row))
        row.clear()  # it is the function's own
        return made

    assert by(function).body(PERSON, ADA) == made
    assert seen[0] == seen[1] == {"id": 1, "full": "Ada", "print": b"\xff"}


def raises(row: dict[str, Value]) -> Body:
    raise KeyError(row["full"])


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (raises, "raises KeyError"),
        (lambda _: b"bytes", "gives a bytes"),
        (lambda _: (b"a", "b", ()), "gives a tuple"),
        (lambda _: Body("text"), "must be bytes"),  # type: ignore[arg-type]
        (lambda _: Body(b"", ""), "content_type"),
        (lambda _: Body(b"", indexes=[("a_bin", "b")]), "must be a tuple"),  # type: ignore[arg-type]
        (lambda _: Body(b"", indexes=(("a_int", 1),)), "both texts"),  # type: ignore[arg-type]
        (lambda _: Body(b"", indexes=(("a", "1"),)), "neither in _int nor in _bin"),
    ],
)
def test_a_function_that_fails_or_gives_no_body_stops_with_the_key_and_without_the_values(
    function: Made, said: str
) -> None:
    with pytest.raises(MappingFailed, match=said) as stop:
        by(function).body(PERSON, ADA)
    assert "records.person fails at the key 1" in str(stop.value)
    assert "Ada" not in str(stop.value)


def test_a_function_that_is_not_deterministic_is_found_out() -> None:
    numbers = iter(range(10))
    with pytest.raises(MappingFailed, match="another body"):
        by(lambda _: Body(str(next(numbers)).encode())).body(PERSON, ADA)


def test_a_function_is_called_once_for_each_row_after_the_first_ones() -> None:
    calls: list[object] = []

    def function(row: dict[str, Value]) -> Body:
        calls.append(row)
        return Body(b"")

    made = by(function)
    for _ in range(CALLED_TWICE + 10):
        made.body(PERSON, ADA)
    assert len(calls) == 2 * CALLED_TWICE + 10


# -- places


def place(made: ObjectMapping, table: Table, number: int) -> Place:
    return made.place(table, encode_key(table, citizen(number)))


def test_by_default_the_bucket_is_the_table() -> None:
    assert place(DEFAULT, CITIZEN, -5) == Place("citizen", "-5")


def test_bucket_and_prefix_come_from_the_rules() -> None:
    made = mapping(Rules(bucket="people", key_prefix="dk-"), CITIZEN)
    assert place(made, CITIZEN, 5) == Place("people", "dk-5")


def test_the_key_is_found_again_from_the_place() -> None:
    made = mapping(Rules(bucket="people", key_prefix="dk-"), CITIZEN)
    assert made.key_at(CITIZEN, Place("people", "dk-5")) == {"id": 5}
    for other in (
        Place("people", "5"),
        Place("citizen", "dk-5"),
        Place("people", "dk-x"),
        Place("people", "dk-05"),
    ):
        assert made.key_at(CITIZEN, other) is None


@pytest.mark.parametrize(
    "rules",
    [
        [Rules(), Rules(bucket="citizen")],
        [Rules(bucket="all"), Rules(bucket="all")],
        [Rules(bucket="all", key_prefix="a"), Rules(bucket="all")],
        [Rules(bucket="all", key_prefix="a"), Rules(bucket="all", key_prefix="a")],
        [Rules(bucket="all", key_prefix="a"), Rules(bucket="all", key_prefix="ab")],
    ],
)
def test_tables_whose_rows_could_meet_in_one_object_are_refused_before_and_at_the_write(
    rules: Sequence[Rules],
) -> None:
    both = [CITIZEN, named("passport")]
    by_name = {table.full_name: one for table, one in zip(both, rules, strict=True)}
    with pytest.raises(KeysCollide, match=r"records\.citizen and of records\.passport"):
        ObjectMapping(by_name).check(both)
    at_work = ObjectMapping(by_name)
    place(at_work, both[0], 1)
    with pytest.raises(KeysCollide):
        place(at_work, both[1], 2)


def test_tables_of_one_name_in_two_schemas_are_refused_until_one_has_another_bucket() -> None:
    both = [CITIZEN, named("citizen", "archive")]
    with pytest.raises(KeysCollide):
        ObjectMapping().check(both)
    ObjectMapping({"archive.citizen": Rules(bucket="old")}).check(both)


prefixes = st.text("ab-", max_size=2)


@given(prefixes, prefixes, st.data())
def test_two_rows_never_have_one_place_whatever_the_rules_that_are_not_refused(
    one: str, other: str, data: st.DataObject
) -> None:
    table = data.draw(tables())
    twin = replace(table, name=table.name + "2")
    made = ObjectMapping(
        {
            table.full_name: Rules(bucket="b", key_prefix=one),
            twin.full_name: Rules(bucket="b", key_prefix=other),
        }
    )
    with suppress(KeysCollide):
        made.check([table, twin])
        assert_places_differ(made, table, twin, data)


def assert_places_differ(made: ObjectMapping, table: Table, twin: Table, data: st.DataObject) -> None:
    keys = [encode_key(table, row) for row in data.draw(st.lists(rows(table), min_size=1, max_size=5))]
    places = {made.place(which, key) for which in (table, twin) for key in keys}
    assert len(places) == 2 * len(set(keys))


def test_a_table_that_got_a_column_does_not_collide_with_itself() -> None:
    made = ObjectMapping()
    wide = widened(CITIZEN)
    made.check([CITIZEN, wide])
    assert place(made, CITIZEN, 1) == place(made, wide, 1)


# -- fingerprints

ALL = Rules(
    bucket="b",
    key_prefix="p",
    rename={"name": "n"},
    leave_out=("town",),
    constants={"a": 1, "b": 2},
    index=("id",),
)


@pytest.mark.parametrize(
    "changed",
    [
        {"bucket": "c"},
        {"key_prefix": "q"},
        {"rename": {"name": "m"}},
        {"leave_out": ()},
        {"constants": {"a": 1, "b": 3}},
        {"constants": {"b": 2, "a": 1}},
        {"index": ("name",)},
        {"index": (), "own": Own("m:f", lambda _: Body(b""), "1")},
    ],
)
def test_another_mapping_has_another_fingerprint(changed: dict[str, object]) -> None:
    other = replace(ALL, **changed)  # type: ignore[arg-type]
    assert mapping(ALL).fingerprint(PERSON) != mapping(other).fingerprint(PERSON)


def test_another_source_of_the_function_has_another_fingerprint() -> None:
    assert by(raises, "1").fingerprint(PERSON) != by(raises, "2").fingerprint(PERSON)
    assert by(raises, "1").fingerprint(PERSON) == by(lambda _: Body(b""), "1").fingerprint(PERSON)


def test_another_encoder_or_form_of_keys_has_another_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {DEFAULT.fingerprint(PERSON)}
    monkeypatch.setattr("changeover.mapping.mapping.ENCODER", 99)
    before.add(DEFAULT.fingerprint(PERSON))
    monkeypatch.setattr("changeover.mapping.object_key.FORM", 99)
    assert len(before | {DEFAULT.fingerprint(PERSON)}) == 3


def test_the_same_mapping_said_in_other_words_has_the_same_fingerprint() -> None:
    assert mapping(Rules(bucket="person")).fingerprint(PERSON) == DEFAULT.fingerprint(PERSON)
    assert mapping(Rules(index=("id", "name"))).fingerprint(PERSON) == mapping(
        Rules(index=("name", "id"))
    ).fingerprint(PERSON)


def test_another_column_of_the_table_is_no_other_mapping() -> None:
    assert DEFAULT.fingerprint(CITIZEN) == DEFAULT.fingerprint(widened(CITIZEN))
