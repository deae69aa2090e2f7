import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.table import Column, Kind, Table
from changeover.values import reader_of_text, row_from_json, row_to_json, shortest_float32

four_bytes = st.binary(min_size=4, max_size=4)
BLOB = Table(
    schema="records",
    name="blob",
    columns=(
        Column(name="id", kind=Kind.INTEGER, sql_type="int", nullable=False),
        Column(name="body", kind=Kind.BYTES, sql_type="blob", nullable=True),
    ),
    key=("id",),
)


def float32(four: bytes) -> float:
    (number,) = struct.unpack("<f", four)
    return float(number)


@given(four_bytes.filter(lambda four: math.isfinite(float32(four))))
def test_the_shortest_float_stands_for_the_same_four_bytes(four: bytes) -> None:
    assert struct.pack("<f", shortest_float32(float32(four))) == four


@given(four_bytes.filter(lambda four: math.isfinite(float32(four))))
def test_no_shorter_text_than_the_shortest_stands_for_the_same_four_bytes(four: bytes) -> None:
    digits = len(
        f"{shortest_float32(float32(four)):e}".partition("e")[0].strip("-").replace(".", "").rstrip("0")
    )
    for fewer in range(6, digits):
        assert struct.pack("<f", float(f"{float32(four):.{fewer}g}")) != four


@pytest.mark.parametrize(
    ("text", "number"),
    [(b"0.1", 0.1), (b"-0", -0.0), (b"3.40282e38", 3.40282e38), (b"16777216", 16777216.0), (b"1e-45", 1e-45)],
)
def test_a_float_from_text_and_from_its_four_bytes_are_one_value(text: bytes, number: float) -> None:
    column = Column(name="c", kind=Kind.FLOAT, sql_type="float", nullable=False)
    from_text = reader_of_text(column)(text)
    from_bytes = shortest_float32(float32(struct.pack("<f", number)))
    assert repr(from_text) == repr(from_bytes)


def test_what_is_no_four_byte_float_is_refused() -> None:
    with pytest.raises(ValueError, match="not a 4-byte float"):
        shortest_float32(0.1234567890123)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Kind.INTEGER, b"18446744073709551615", 2**64 - 1),
        (Kind.DECIMAL, b"-0001.10", "-0001.10"),
        (Kind.DOUBLE, b"1.7976931348623157e308", 1.7976931348623157e308),
        (Kind.DOUBLE, b"-0", -0.0),
        (Kind.TEXT, "Zürich 💾".encode(), "Zürich 💾"),
        (Kind.BYTES, b"\xff\x00", b"\xff\x00"),
        (Kind.DATE, b"0000-00-00", "0000-00-00"),
        (Kind.DATETIME, b"2024-02-29 23:59:59.000001", "2024-02-29 23:59:59.000001"),
        (Kind.TIMESTAMP, b"1970-01-01 00:00:01", "1970-01-01 00:00:01"),
    ],
)
def test_the_servers_text_becomes_the_canonical_value(kind: Kind, text: bytes, value: object) -> None:
    read = reader_of_text(Column(name="c", kind=kind, sql_type=kind.value, nullable=False))(text)
    assert (type(read), repr(read)) == (type(value), repr(value))


def test_text_that_is_not_utf8_is_refused_and_never_replaced() -> None:
    column = Column(name="c", kind=Kind.TEXT, sql_type="text", nullable=False)
    with pytest.raises(UnicodeDecodeError):
        reader_of_text(column)(b"Z\xfcrich")


@given(st.none() | st.binary())
def test_bytes_survive_json(body: bytes | None) -> None:
    row = {"id": 1, "body": body}
    assert row_from_json(BLOB, row_to_json(BLOB, row)) == row


def test_the_columns_of_the_key_alone_survive_json() -> None:
    assert row_from_json(BLOB, row_to_json(BLOB, {"id": 1})) == {"id": 1}


@pytest.mark.parametrize("damaged", ["!", "YQ", "YQ==\n", "é", 5, 1.5])
def test_what_is_no_base64_is_refused(damaged: str | float) -> None:
    with pytest.raises((ValueError, TypeError)):
        row_from_json(BLOB, {"id": 1, "body": damaged})
