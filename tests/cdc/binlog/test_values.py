"""Values out of their bytes, one type at a time, as the server prints them."""

import datetime as dt
import json
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cdc.binlog.addresses import inet6_text
from cdc.binlog.decimals import decimal_bytes, decimal_reader
from cdc.binlog.integers import packed, serialized
from cdc.binlog.json_text import DEPTH_MAX, double_text, json_text
from cdc.binlog.temporal import (
    TEXTS_MAX,
    Memo,
    datetime_reader,
    hires_datetime_reader,
    hires_time_reader,
    time_reader,
    timestamp_reader,
)
from changeover.mysql.framing import Undecodable

DIGIT_BYTES = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)


def stored_decimal(sign: str, whole: str, fraction: str) -> bytes:
    """As the manual describes it: digits in groups of nine from the point on, the first bit inverted."""
    head = len(whole) % 9
    groups = [whole[:head], *(whole[at : at + 9] for at in range(head, len(whole), 9))]
    groups += [fraction[at : at + 9] for at in range(0, len(fraction), 9)]
    stored = b"".join(int(group).to_bytes(DIGIT_BYTES[len(group)]) for group in groups if group)
    if sign:
        stored = bytes(byte ^ 0xFF for byte in stored)
    return bytes([stored[0] ^ 0x80]) + stored[1:]


@given(st.data())
def test_a_decimal_of_any_precision_is_read_with_all_digits_of_its_scale(data: st.DataObject) -> None:
    precision = data.draw(st.integers(1, 65))
    scale = data.draw(st.integers(0, min(30, precision)))
    number = data.draw(st.integers(-(10**precision) + 1, 10**precision - 1))
    sign, digits = "-" if number < 0 else "", f"{abs(number):0{precision}}"
    whole, fraction = digits[: precision - scale], digits[precision - scale :]
    stored = stored_decimal(sign, whole, fraction)
    assert len(stored) == decimal_bytes(precision, scale)
    text = f"{sign}{int(whole or '0')}.{fraction}" if scale else f"{sign}{int(whole)}"
    assert decimal_reader(precision, scale)(stored) == text


def test_a_decimal_whose_nine_digits_are_more_than_nine_is_an_error() -> None:
    with pytest.raises(Undecodable):
        decimal_reader(18, 0)(b"\xff\xff\xff\xff" + b"\0" * 4)


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(1e15)
@example(1e-14)
@example(1e-15)
@example(5e-324)
@example(3333333333333333.5)
def test_a_double_in_json_means_the_same_number_and_has_a_point_or_an_exponent(number: float) -> None:
    text = double_text(number)
    assert struct.pack("<d", float(text)) == struct.pack("<d", number)
    assert "." in text or "e" in text
    assert not text.endswith(".")
    json.loads(text)


@pytest.mark.parametrize(
    ("number", "text"),
    [  # as MySQL 8.0.15 and 9.7 print them
        (1.0, "1.0"),
        (-0.0, "-0.0"),
        (1e14, "100000000000000.0"),
        (1e15, "1e15"),
        (1234567890123456.0, "1.234567890123456e15"),
        (3333333333333333.5, "3333333333333333.5"),
        (1e20, "1e20"),
        (1e-05, "0.00001"),
        (2.5e-10, "0.00000000025"),
        (1e-16, "1e-16"),
        (5e-324, "5e-324"),
    ],
)
def test_a_double_in_json_is_printed_as_mysql_does(number: float, text: str) -> None:
    assert double_text(number) == text


def test_json_is_read_only_down_to_the_depth_that_mysql_allows() -> None:
    """An array that holds itself: what a damaged offset can make of one."""
    loop = b"\x02" + struct.pack("<HH", 1, 7) + b"\x02" + struct.pack("<H", 0)
    with pytest.raises(Undecodable, match=f"deeper than {DEPTH_MAX}"):
        json_text(loop + bytes(2 * DEPTH_MAX))


def test_json_whose_values_are_reached_from_many_places_does_not_grow_without_end() -> None:
    """Forty arrays, each with the next one twice: a text of 2^40 values, of some hundred bytes."""
    head, entry = struct.Struct("<HH"), struct.Struct("<BH")
    size = head.size + 2 * entry.size
    levels = 40
    document = b"".join(
        head.pack(2, (levels - level) * size) + entry.pack(2, size) * 2 for level in range(levels)
    )
    with pytest.raises(Undecodable, match="more values than it has bytes"):
        json_text(b"\x02" + document + head.pack(0, 4) + bytes(size))


@pytest.mark.parametrize("cut", range(1, 16))
def test_json_that_is_cut_off_is_an_error(cut: int) -> None:
    whole = b"\x00\x01\x00\x0c\x00\x0b\x00\x01\x00\x05\x07\x00a"
    assert json_text(whole) == '{"a": 7}'
    if cut < len(whole):
        with pytest.raises(Undecodable):
            json_text(whole[:-cut])


def test_a_string_in_json_is_escaped_as_mysql_does() -> None:
    text = 'a"b\\c/\b\f\n\r\t\x01\x1f\x7f\u2028ž💾'
    stored = text.encode()
    written = json_text(b"\x0c" + bytes([len(stored)]) + stored)
    assert written == '"a\\"b\\\\c/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\u2028ž💾"'
    assert json.loads(written) == text


@pytest.mark.parametrize("digits", range(7))
@given(at=st.datetimes(dt.datetime(1970, 1, 1, 0, 0, 1), dt.datetime(2106, 1, 1)))  # noqa: DTZ001
def test_a_timestamp_is_read_in_utc_up_to_the_end_of_its_four_bytes(digits: int, at: dt.datetime) -> None:
    seconds = (at.replace(microsecond=0) - dt.datetime(1970, 1, 1)) // dt.timedelta(seconds=1)  # noqa: DTZ001
    units = at.microsecond // 10 ** (6 - digits) * 10 ** (digits % 2)
    stored = seconds.to_bytes(4) + units.to_bytes((digits + 1) // 2)
    wanted = at.isoformat(" ", "microseconds")
    assert timestamp_reader(digits)(stored) == (wanted[: 20 + digits] if digits else wanted[:19])


@pytest.mark.parametrize("digits", range(7))
def test_the_zero_timestamp_is_the_zero_date_and_no_moment_of_1970(digits: int) -> None:
    size = 4 + (digits + 1) // 2
    fraction = f".{'0' * digits}" if digits else ""
    assert timestamp_reader(digits)(bytes(size)) == f"0000-00-00 00:00:00{fraction}"
    if digits == 6:
        assert timestamp_reader(digits)(bytes(size - 1) + b"\x01") == "1970-01-01 00:00:00.000001"


def test_a_negative_datetime_does_not_exist() -> None:
    with pytest.raises(Undecodable):
        datetime_reader(0)(bytes(5))


@pytest.mark.parametrize(
    ("stored", "digits", "text"),
    [
        ("800000", 0, "00:00:00"),
        ("7fffff", 0, "-00:00:01"),
        ("4b9105", 0, "-838:59:59"),
        ("7ffffea6", 1, "-00:00:01.9"),
        ("7fffffff", 2, "-00:00:00.01"),
        ("7ffffffffff0", 6, "-00:00:00.000016"),
    ],
)
def test_a_time_is_negative_where_its_number_is(stored: str, digits: int, text: str) -> None:
    assert time_reader(digits)(bytes.fromhex(stored)) == text


def test_mariadbs_old_times_with_a_fraction() -> None:
    assert hires_time_reader(3)((839 * 3600 * 1000 - 1).to_bytes(5)) == "-00:00:00.001"
    number = ((((2024 * 13 + 2) * 32 + 29) * 24 + 12) * 60 + 34) * 60 + 56
    assert hires_datetime_reader(1)((number * 10 + 7).to_bytes(6)) == "2024-02-29 12:34:56.7"


def test_texts_that_are_kept_are_forgotten_when_there_are_too_many() -> None:
    memo = Memo(str)
    for number in range(TEXTS_MAX + 2):
        assert memo[number] == str(number)
    assert len(memo) <= TEXTS_MAX


@pytest.mark.parametrize(
    ("words", "text"),
    [  # as MariaDB 10.11 prints them
        ("0000000000000000" * 2, "::"),
        ("0001000000020003" + "0004000500060007", "1::2:3:4:5:6:7"),
        ("0000000100000914" + "0f93000000010000", "::1:0:914:f93:0:1:0"),
        ("0" * 20 + "ffff01020304", "::ffff:1.2.3.4"),
        ("0" * 24 + "01020304", "::1.2.3.4"),
        ("0001" + "0" * 28, "1::"),
    ],
)
def test_an_inet6_is_printed_as_mariadb_does(words: str, text: str) -> None:
    assert inet6_text(bytes.fromhex(words)) == text


@given(st.integers(0, 2**64 - 1))
def test_integers_of_mysqls_serialization_come_back(number: int) -> None:
    more = next(more for more in range(9) if number < 1 << (7 * (more + 1)) or more == 8)
    if more == 8:
        stored = b"\xff" + number.to_bytes(8, "little")
    else:
        stored = (number << (more + 1) | (1 << more) - 1).to_bytes(more + 1, "little")
    assert serialized(stored, 0) == (number, len(stored))
    with pytest.raises(Undecodable):
        serialized(stored[:-1], 0)


@pytest.mark.parametrize("stored", [b"", b"\xfb", b"\xfc\x01", b"\xfd\x01\x02", b"\xfe" + bytes(7), b"\xff"])
def test_a_length_that_is_cut_off_is_an_error(stored: bytes) -> None:
    with pytest.raises(Undecodable):
        packed(stored, 0)
