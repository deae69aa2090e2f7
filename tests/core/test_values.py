import math
import struct

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from changeover.charsets import NotInCharset
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


@given(four_bytes)
def test_the_shortest_float_stands_for_the_same_four_bytes(four: bytes) -> None:
    assume(math.isfinite(float32(four)))
    assert struct.pack("<f", shortest_float32(float32(four))) == four


@given(four_bytes.map(float32).filter(math.isfinite))
def test_a_float_read_as_text_and_read_from_its_four_bytes_are_one_value(number: float) -> None:
    """The server prints a float in the fewest digits, 6 at least, that give the same four bytes."""
    column = Column(name="c", kind=Kind.FLOAT, sql_type="float", nullable=False)
    text = repr(shortest_float32(number)).encode()
    assert repr(reader_of_text(column)(text)) == repr(shortest_float32(number))


@given(st.integers(1, 999_999), st.integers(-35, 30))
@example(97_683, -17)  # one that 7 digits would lengthen
def test_a_decimal_of_six_digits_survives_four_bytes(digits: int, exponent: int) -> None:
    number = float(f"{digits}e{exponent}")
    assert shortest_float32(float32(struct.pack("<f", number))) == number


@given(four_bytes.map(float32).filter(math.isfinite))
def test_more_digits_than_needed_are_taken_away(number: float) -> None:
    assert len(repr(shortest_float32(number)).replace(".0", "")) <= len(repr(number).replace(".0", ""))


def test_what_is_too_large_for_four_bytes_is_refused() -> None:
    with pytest.raises((ValueError, OverflowError)):
        shortest_float32(1e39)


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
        (Kind.TIME, b"-838:59:59.999999", "-838:59:59.999999"),
        (Kind.YEAR, b"0000", 0),
        (Kind.BIT, b"\xff" * 8, 2**64 - 1),
        (Kind.BINARY, b"a\0", b"a\0"),
        (Kind.GEOMETRY, b"\0\0\0\0\1", b"\0\0\0\0\1"),
        (Kind.JSON, '{"ž": "💾"}'.encode(), '{"ž": "💾"}'),
        (Kind.UUID, b"123e4567-e89b-12d3-a456-426655440000", "123e4567-e89b-12d3-a456-426655440000"),
    ],
)
def test_the_servers_text_becomes_the_canonical_value(kind: Kind, text: bytes, value: object) -> None:
    charset = "utf8mb4" if kind is Kind.TEXT else ""
    column = Column(name="c", kind=kind, sql_type=kind.value, nullable=False, charset=charset)
    read = reader_of_text(column)(text)
    assert (type(read), repr(read)) == (type(value), repr(value))


@pytest.mark.parametrize("kind", [Kind.TEXT, Kind.ENUM, Kind.SET])
def test_a_text_is_read_in_its_columns_character_set(kind: Kind) -> None:
    column = Column(name="c", kind=kind, sql_type=kind.value, nullable=False, charset="latin1")
    assert reader_of_text(column)(b"Z\xfcrich \x80") == "Zürich €"


def test_text_that_is_not_utf8_is_refused_and_never_replaced_or_shown() -> None:
    column = Column(name="c", kind=Kind.TEXT, sql_type="text", nullable=False, charset="utf8mb4")
    with pytest.raises(NotInCharset) as refused:
        reader_of_text(column)(b"Z\xfcrich")
    assert "fc" not in str(refused.value)


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


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1e39])
def test_what_is_no_number_of_mysql_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="not a"):
        shortest_float32(number)


@pytest.mark.parametrize("text", [b"nan", b"inf"])
def test_a_double_that_json_cannot_carry_is_refused(text: bytes) -> None:
    column = Column(name="x", kind=Kind.DOUBLE, sql_type="double", nullable=False)
    with pytest.raises(ValueError, match="not a number"):
        reader_of_text(column)(text)


def test_the_shortest_float_depends_on_the_four_bytes_alone() -> None:
    number = 4.27599515e-19
    (same_bytes,) = struct.unpack("<f", struct.pack("<f", number))
    assert shortest_float32(number) == shortest_float32(same_bytes)
