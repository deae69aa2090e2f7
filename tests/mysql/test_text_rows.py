"""Rows from the bytes of a result: the same however the bytes come, and as PyMySQL reads them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymysql.protocol import MysqlPacket

from changeover.demo.sql import SQLServer
from changeover.errors import SourceRefused, SourceUnavailable, ValueUnreadable
from changeover.mysql.connection import Connection
from changeover.mysql.text_rows import PACKET_FULL, ResultFailed, rows_of_result
from changeover.settings import Settings, SourceSettings
from changeover.table import Column, Kind
from changeover.values import Row
from tests.support.pipeline import schema_of, write_settings

COLUMNS = (
    Column(name="id", kind=Kind.INTEGER, sql_type="bigint(20)", nullable=False),
    Column(name="it's {a} name", kind=Kind.TEXT, sql_type="text", nullable=True, charset="utf8mb4"),
    Column(name="latin", kind=Kind.TEXT, sql_type="text", nullable=True, charset="latin1"),
    Column(name="body", kind=Kind.BYTES, sql_type="longblob", nullable=True),
    Column(name="price", kind=Kind.DECIMAL, sql_type="decimal(9,2)", nullable=True),
    Column(name="share", kind=Kind.FLOAT, sql_type="float", nullable=True),
)
END_OF_ROWS = b"\xfe\0\0\2\0"

Fields = Sequence[bytes | None]

fields = st.tuples(
    st.integers(-(2**63), 2**63).map(lambda number: str(number).encode()),
    st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=400).map(str.encode),
    st.none() | st.binary(max_size=300),
    st.none()
    | st.binary(max_size=300)
    | st.sampled_from([b"x" * size for size in (250, 251, 65_535, 65_536)]),
    st.none() | st.just(b"-1.10"),
    st.none() | st.just(b"0.10000000149011612"),
)


def written(value: bytes | None) -> bytes:
    """The value behind its length."""
    if value is None:
        return b"\xfb"
    size = len(value)
    if size <= 250:
        return bytes([size]) + value
    for mark, width in ((252, 2), (253, 3), (254, 8)):
        if size < 256**width:
            return bytes([mark]) + size.to_bytes(width, "little") + value
    raise AssertionError(size)


def packets(payload: bytes) -> bytes:
    """The payload in as many packets as it takes."""
    head, rest = payload[:PACKET_FULL], payload[PACKET_FULL:]
    packet = len(head).to_bytes(3, "little") + b"\1" + head
    return packet + packets(rest) if len(head) == PACKET_FULL else packet


def result(rows: Sequence[Fields], end: bytes = END_OF_ROWS) -> bytes:
    return b"".join(packets(b"".join(map(written, row))) for row in rows) + packets(end)


def receiver(data: bytes, sizes: Sequence[int]) -> Callable[[], bytes]:
    """Gives the data in pieces of these sizes, over and over."""
    place, turn = 0, 0

    def receive() -> bytes:
        nonlocal place, turn
        begin, place = place, place + sizes[turn % len(sizes)]
        turn += 1
        assert begin < len(data), "it reads beyond the end of the result"
        return data[begin:place]

    return receive


def as_pymysql_reads(row: Fields) -> list[bytes | None]:
    packet = MysqlPacket(b"".join(map(written, row)), "utf-8")
    return [packet.read_length_coded_string() for _ in COLUMNS]  # type: ignore[no-untyped-call]


def canonical(row: Fields) -> Row:
    number, text, latin, body, price, share = as_pymysql_reads(row)
    return {
        "id": int(number or b""),
        "it's {a} name": None if text is None else text.decode(),
        "latin": None if latin is None else "".join(LATIN1[code] for code in latin),
        "body": body,
        "price": None if price is None else price.decode(),
        "share": None if share is None else 0.1,
    }


LATIN1 = {
    code: bytes([code]).decode("cp1252" if code not in b"\x81\x8d\x8f\x90\x9d" else "latin-1")
    for code in range(256)
}


@given(st.lists(fields, max_size=8), st.lists(st.integers(1, 700), min_size=1, max_size=9))
def test_rows_are_the_same_however_their_bytes_come(rows: list[Fields], sizes: list[int]) -> None:
    found = rows_of_result(receiver(result(rows), sizes), "shop.t", COLUMNS)
    assert found == [canonical(row) for row in rows]
    assert [list(row) for row in found] == [[column.name for column in COLUMNS]] * len(rows)


@pytest.mark.parametrize("size", [PACKET_FULL - 6, PACKET_FULL - 5, PACKET_FULL, 2 * PACKET_FULL + 3])
def test_a_row_larger_than_a_packet_is_one_row(size: int) -> None:
    large: Fields = (b"7", None, None, b"\xfe" * size, None, None)
    found = rows_of_result(receiver(result([large, (b"8", *[None] * 5)]), [1 << 18]), "shop.t", COLUMNS)
    assert [row["id"] for row in found] == [7, 8]
    assert found[0]["body"] == large[3]


def test_a_row_that_begins_with_a_value_of_16_mb_is_not_the_end() -> None:
    column = Column(name="body", kind=Kind.BYTES, sql_type="longblob", nullable=False)
    body = b"a" * (1 << 24)
    assert rows_of_result(receiver(result([[body]]), [1 << 20]), "shop.t", (column,)) == [{"body": body}]


@pytest.mark.parametrize("before", [0, 3])
def test_the_servers_error_ends_the_result(before: int) -> None:
    rows = [(b"7", *[None] * 5)] * before
    with pytest.raises(ResultFailed) as failed:
        rows_of_result(receiver(result(rows, b"\xff\x15\x04#HY000killed"), [50]), "shop.t", COLUMNS)
    assert failed.value.packet.endswith(b"killed")


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (0, b"secret7", "shop.t.id (bigint(20)) has a value that it cannot have"),
        (
            1,
            b"secret\xff",
            "shop.t.it's {a} name (text) has bytes that the character set utf8mb4 does not have",
        ),
        (
            4,
            b"secret\xff",
            "shop.t.price (decimal(9,2)) has bytes that the character set ascii does not have",
        ),
        (5, b"secret7", "shop.t.share (float) has a value that it cannot have"),
    ],
)
@pytest.mark.parametrize("before", [0, 2])
def test_a_value_that_cannot_be_read_is_named_by_its_column_and_never_shown(
    place: int, value: bytes, said: str, before: int
) -> None:
    good: Fields = (b"7", *[None] * 5)
    bad = [*good[:place], value, *good[place + 1 :]]
    with pytest.raises(ValueUnreadable) as stopped:
        rows_of_result(receiver(result([*[good] * before, bad]), [9_000]), "shop.t", COLUMNS)
    assert str(stopped.value).startswith(said)
    assert "secret" not in str(stopped.value)


@pytest.mark.parametrize("values", [1, 5, 7])
def test_a_row_with_another_number_of_values_is_an_error(values: int) -> None:
    row = (b"7", *[None] * (values - 1))
    with pytest.raises(ValueUnreadable, match=r"shop\.t was sent in rows that have other columns"):
        rows_of_result(receiver(result([row]), [100]), "shop.t", COLUMNS)


# -- on real servers ---------------------------------------------------------------------------------------

NUMBER = (Column(name="n", kind=Kind.INTEGER, sql_type="int(11)", nullable=False),)
"""What a few SELECTs below give."""


@pytest.fixture
def source(either: SQLServer, tmp_path: Path) -> SourceSettings:
    return Settings.load(write_settings(either, "nothing", tmp_path)).source


def test_a_connection_serves_on_after_a_result(source: SourceSettings) -> None:
    with Connection(source) as connection:
        assert connection.rows("SELECT %s AS n UNION ALL SELECT 2", [1], "t", NUMBER) == [{"n": 1}, {"n": 2}]
        assert connection.rows("SELECT 1 AS n FROM DUAL WHERE FALSE", [], "t", NUMBER) == []
        assert connection.value("SELECT 3") == "3"


def test_an_error_in_the_middle_of_a_result_is_the_servers_own(source: SourceSettings) -> None:
    sql = (
        "SELECT n FROM (SELECT 1 AS n UNION ALL SELECT 2) t WHERE (SELECT n UNION SELECT IF(n = 2, 3, n)) = n"
    )
    with Connection(source) as connection:
        with pytest.raises(SourceRefused, match="1242"):
            connection.rows(sql, [], "t", NUMBER)
        assert connection.value("SELECT 3") == "3"


def test_a_refused_statement_is_named_as_ever(source: SourceSettings) -> None:
    with Connection(source) as connection, pytest.raises(SourceRefused, match="1146"):
        connection.rows("SELECT n FROM mysql.not_there", [], "t", NUMBER)


def test_a_connection_that_is_killed_in_a_result_is_a_lost_source(source: SourceSettings) -> None:
    with Connection(source) as connection, Connection(source) as other:
        other.execute(f"KILL {connection.thread_id}")
        with pytest.raises(SourceUnavailable):
            connection.rows("SELECT 1 AS n", [], "t", NUMBER)


def test_bytes_that_a_column_cannot_have_stop_the_read_and_end_the_connection(
    either: SQLServer, source: SourceSettings
) -> None:
    statements = (
        "CREATE TABLE t (n VARCHAR(20) CHARACTER SET greek)",
        r"INSERT INTO t VALUES ('fine'), (_greek x'736563726574AA')",
    )
    column = Column(name="n", kind=Kind.TEXT, sql_type="varchar(20)", nullable=True, charset="greek")
    with schema_of(either, "unreadable", *statements), Connection(source) as connection:
        # As a chunk's end is read: what is rolled back behind it must not hide it.
        with pytest.raises(ValueUnreadable) as stopped, connection.transaction():
            connection.rows("SELECT n FROM unreadable.t", [], "unreadable.t", (column,))
        assert str(stopped.value).startswith(
            "unreadable.t.n (varchar(20)) has bytes that the character set greek does not have, "
            "at or behind byte 6. Mend the value"
        )
        with pytest.raises(SourceUnavailable):
            connection.value("SELECT 1")
