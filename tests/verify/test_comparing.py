"""The rule by which a pair is equal, to be looked at again, or different."""

from typing import Any

import pytest
from hypothesis import given

from changeover.mapping import Body
from changeover.targets import UNVERSIONED, Held
from changeover.values import Row
from changeover.verify.comparing import Answer, Pair, answer_of, canonical, differing, digest_of, kind_of
from changeover.verify.findings import Kind
from changeover.version import Version
from tests.support.tables import EVERY_KIND, exactly, rows

BOUND = Version.of_read(1, 10)
AT = Version.of_change(1, 10)
BEHIND = Version.of_change(1, 11)
ADA, EVE = {"id": 1, "name": "Ada"}, {"id": 1, "name": "Eve"}


def pair(source: object, held: Held[Any] | None) -> Pair[Any]:
    return Pair(source=source, bound=BOUND, held=held)


@pytest.mark.parametrize(
    ("source", "held", "answer"),
    [
        (ADA, Held(AT, ADA), Answer.EQUAL),
        (ADA, Held(BOUND, ADA), Answer.EQUAL),
        (None, None, Answer.EQUAL),
        (None, Held(AT, None), Answer.EQUAL),
        (ADA, Held(AT, EVE), Answer.DIFFERS),
        (ADA, Held(AT, None), Answer.DIFFERS),
        (ADA, None, Answer.DIFFERS),
        (None, Held(AT, ADA), Answer.DIFFERS),
        (ADA, Held(BEHIND, EVE), Answer.LOOK_AGAIN),
        # Equal, but the target's state is a later one: at the bound the row may have been another.
        (ADA, Held(BEHIND, ADA), Answer.LOOK_AGAIN),
        (None, Held(BEHIND, None), Answer.LOOK_AGAIN),
        (ADA, Held(UNVERSIONED, ADA), Answer.DIFFERS),
    ],
)
def test_a_pair_is_judged_by_value_and_version_together(
    source: Row | None, held: Held[Row] | None, answer: Answer
) -> None:
    assert answer_of(pair(source, held)) is answer


def test_rows_of_another_tool_are_judged_by_their_values_where_they_are_taken_over() -> None:
    assert answer_of(pair(ADA, Held(UNVERSIONED, ADA)), adopts=True) is Answer.EQUAL
    assert answer_of(pair(ADA, Held(UNVERSIONED, EVE)), adopts=True) is Answer.DIFFERS
    assert kind_of(pair(ADA, Held(UNVERSIONED, EVE)), adopts=True) is Kind.DIFFERENT
    assert kind_of(pair(ADA, Held(UNVERSIONED, EVE))) is Kind.NO_PROVENANCE


@given(rows(EVERY_KIND), rows(EVERY_KIND))
def test_two_rows_are_alike_if_and_only_if_they_are_exactly(one: Row, other: Row) -> None:
    names = {name for name in one if exactly(one)[name] != exactly(other)[name]}  # type: ignore[index]
    assert set(differing(one, other)) == names
    assert (canonical(one) == canonical(other)) == (not names)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (0.0, -0.0),
        (1, 1.0),
        ("", None),
        (b"", ""),
        (b"a", "a"),
        (b"", None),
        ("1.000000000000000000000000000001", "1.000000000000000000000000000002"),
        (b"x" * 16_000_000, b"x" * 15_999_999),
        ("\ud800", "?"),
        (2**64, float(2**64)),
        (float("inf"), None),
        (float("inf"), float("-inf")),
    ],
)
def test_what_looks_alike_is_told_apart(one: object, other: object) -> None:
    assert canonical(one) != canonical(other)
    assert differing({"id": 1, "c": one}, {"id": 1, "c": other}) == ("c",)
    assert digest_of({"c": one}) != digest_of({"c": other})


def test_of_two_objects_the_members_that_differ_are_named() -> None:
    body = Body(b'{"id":1,"name":"Ada"}', indexes=(("name_bin", "Ada"),))
    assert differing(body, body) == ()
    assert differing(body, body._replace(value=b'{"id":1,"name":"Eve"}')) == ("name",)
    assert differing(body, body._replace(value=b'{"id": 1,"name":"Ada"}')) == ("value",)  # but for spaces
    assert differing(body, body._replace(value=b"no JSON")) == ("value",)
    assert differing(body, body._replace(content_type="text/plain")) == ("content type",)
    assert differing(body, body._replace(indexes=())) == ("indexes",)
