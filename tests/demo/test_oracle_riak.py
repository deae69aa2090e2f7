"""The oracle on Riak: every kind of damage to an object is found, and none is imagined."""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from changeover.demo import oracle
from changeover.demo.oracle import DifferenceKind
from changeover.demo.oracle_riak import RiakSide
from changeover.demo.server import PrivateMariaDB
from changeover.riak.client import Client
from changeover.riak.objects import Content, Delete, Get, Put
from changeover.riak.request import Bucket
from tests.riak.double.running import Running, running
from tests.support.pipeline import schema_of

TABLE = """
CREATE TABLE thing (
    name VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, part VARBINARY(8) NOT NULL,
    big BIGINT UNSIGNED NULL, small FLOAT NULL, price DECIMAL(8, 2) NULL, picture BLOB NULL,
    made DATETIME(3) NULL,
    PRIMARY KEY (name, part)
)
"""
ROWS = """
INSERT INTO thing VALUES
    ('Ø/1', X'00FF', 18446744073709551615, 1, 1.10, X'', '2026-11-24 10:00:00.500'),
    ('', X'', NULL, 0.1, NULL, NULL, NULL)
"""
OBJECTS: dict[bytes, dict[str, Any]] = {
    b"~C3~98~2F1.00ff": {
        "name": "Ø/1",
        "part": base64.b64encode(b"\x00\xff").decode(),
        "big": 18446744073709551615,
        "small": 1.0,
        "price": "1.10",
        "picture": "",
        "made": "2026-11-24 10:00:00.500",
    },
    b"~.~": {"name": "", "part": "", "big": None, "small": 0.1, "price": None, "picture": None, "made": None},
}
FIRST, SECOND = OBJECTS
VERSIONS = ((b"changeover-version", b"5" * 32),)
BUCKET = Bucket(b"thing", b"mult")


@pytest.fixture(scope="module")
def schema(mariadb: PrivateMariaDB) -> Iterator[str]:
    with schema_of(mariadb, "oracle_riak", TABLE, ROWS) as schema:
        yield schema


@pytest.fixture
def riak() -> Iterator[Running]:
    with running() as riak:
        put(riak, *OBJECTS.items())
        yield riak


def put(riak: Running, *objects: tuple[bytes, object]) -> None:
    """Over what is there."""
    with Client(riak.access) as client:
        for key, members in objects:
            seen = client.call(Get(BUCKET, key)).clock
            content = Content(json.dumps(members).encode(), b"application/json", VERSIONS)
            client.call(Put(BUCKET, key, content, seen))


def compare(mariadb: PrivateMariaDB, schema: str, riak: Running, prefix: str = "") -> oracle.Comparison:
    connection = mariadb.connect()
    try:
        address = riak.nodes[0].address
        side = RiakSide(address.host, address.port, "mult", prefix=prefix)
        return oracle.compare(connection, schema, ["thing"], side)
    finally:
        connection.close()


def test_what_is_equal_is_found_equal(mariadb: PrivateMariaDB, schema: str, riak: Running) -> None:
    compared = compare(mariadb, schema, riak)
    assert compared.differences == ()
    assert compared.rows_source == compared.rows_target == {"thing": 2}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("big", 18446744073709551614),
        ("big", "18446744073709551615 "),
        ("big", 1.8446744073709551615e19),
        ("big", True),
        ("small", 1.0000002),
        ("small", 1),
        ("small", "1.0"),
        ("price", "1.1"),
        ("price", 1.1),
        ("price", None),
        ("picture", None),
        ("picture", "AA=="),
        ("made", "2026-11-24 10:00:00.5"),
        ("made", ["2026-11-24 10:00:00.500"]),
    ],
)
def test_another_value_or_another_kind_of_value_is_a_difference(
    mariadb: PrivateMariaDB, schema: str, riak: Running, column: str, value: object
) -> None:
    put(riak, (FIRST, OBJECTS[FIRST] | {column: value}))
    (difference,) = compare(mariadb, schema, riak).differences
    assert difference.kind is DifferenceKind.DIFFERENT
    assert difference.columns == (column,)


def test_a_member_that_lacks_is_a_difference(mariadb: PrivateMariaDB, schema: str, riak: Running) -> None:
    put(riak, (SECOND, {name: value for name, value in OBJECTS[SECOND].items() if name != "price"}))
    (difference,) = compare(mariadb, schema, riak).differences
    assert difference.columns == ("price",)


@pytest.mark.parametrize(
    "damage",
    [b"", b"[]", b"{", b'{"name":"\xc3\x98/1"}', b'{"name":"\xc3\x98/1","part":"*"}', b"\xff"],
)
def test_an_object_that_is_no_row_is_one_too_many_and_its_row_is_missing(
    mariadb: PrivateMariaDB, schema: str, riak: Running, damage: bytes
) -> None:
    with Client(riak.access) as client:
        seen = client.call(Get(BUCKET, FIRST)).clock
        client.call(Put(BUCKET, FIRST, Content(damage, metadata=VERSIONS), seen))
    kinds = {difference.kind for difference in compare(mariadb, schema, riak).differences}
    assert kinds == {DifferenceKind.EXTRA, DifferenceKind.MISSING}


def test_a_row_under_another_key_than_its_own_is_found(
    mariadb: PrivateMariaDB, schema: str, riak: Running
) -> None:
    put(riak, (b"~C3~98~2F1.00FF", OBJECTS[FIRST]))
    (difference,) = compare(mariadb, schema, riak).differences
    assert difference.kind is DifferenceKind.EXTRA
    deleted(riak)
    kinds = {difference.kind for difference in compare(mariadb, schema, riak).differences}
    assert kinds == {DifferenceKind.EXTRA, DifferenceKind.MISSING}


def marked(riak: Running) -> None:
    with Client(riak.access) as client:
        seen = client.call(Get(BUCKET, FIRST)).clock
        metadata = (*VERSIONS, (b"changeover-deleted", b"true"))
        client.call(Put(BUCKET, FIRST, Content(b"", metadata=metadata), seen))


def deleted(riak: Running) -> None:
    with Client(riak.access) as client:
        client.call(Delete(BUCKET, FIRST, client.call(Get(BUCKET, FIRST)).clock))


@pytest.mark.parametrize("remove", [marked, deleted])
def test_a_deleted_object_is_no_row(
    mariadb: PrivateMariaDB, schema: str, riak: Running, remove: Callable[[Running], None]
) -> None:
    remove(riak)
    compared = compare(mariadb, schema, riak)
    assert [difference.kind for difference in compared.differences] == [DifferenceKind.MISSING]
    assert compared.rows_target == {"thing": 1}


@pytest.mark.parametrize(("version", "differences"), [(b"4" * 32, 0), (b"6" * 32, 1)])
def test_of_siblings_the_one_with_the_highest_version_counts(
    mariadb: PrivateMariaDB, schema: str, riak: Running, version: bytes, differences: int
) -> None:
    wrong = json.dumps(OBJECTS[FIRST] | {"price": "9.99"}).encode()
    with Client(riak.access) as client:
        client.call(Put(BUCKET, FIRST, Content(wrong, metadata=((b"changeover-version", version),))))
        assert len(client.call(Get(BUCKET, FIRST)).contents) == 2
    assert compare(mariadb, schema, riak).difference_count == differences


def test_the_buckets_may_have_a_prefix(mariadb: PrivateMariaDB, schema: str, riak: Running) -> None:
    assert compare(mariadb, schema, riak, "other-").rows_target == {"thing": 0}
