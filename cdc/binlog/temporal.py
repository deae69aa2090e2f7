"""Dates and times as the server prints them, from the numbers that the binlog has.

Zero, partial and impossible dates are printed like any other: they are what the row holds. Since few
different dates and times of day occur, their texts are kept: a look-up is five times as fast as printing.
"""

import datetime as dt
from collections.abc import Callable

from changeover.mysql.framing import Undecodable

TEXTS_MAX = 100_000
"""Of each kind, about 7 MB: 270 years of days, or all times of a day."""

ZERO_TIMESTAMP = "0000-00-00 00:00:00"

SIGN_OF_DATETIME = 1 << 22
"""Of the date's bits of a DATETIME: it is set in all that are not negative, and none is."""


class Memo(dict[int, str]):
    """Texts by what they are made of; made on first use, forgotten when there are too many."""

    def __init__(self, text_of: Callable[[int], str]) -> None:
        super().__init__()
        self._text_of = text_of

    def __missing__(self, key: int) -> str:
        """Make the text."""
        if len(self) >= TEXTS_MAX:
            self.clear()
        text = self[key] = self._text_of(key)
        return text


def date_text(bits: int) -> str:
    """A DATE of 3 bytes.

    >>> date_text(2023 << 9 | 2 << 5 | 31)
    '2023-02-31'
    """
    return f"{bits >> 9:04}-{bits >> 5 & 15:02}-{bits & 31:02}"


def datetime_date_text(bits: int) -> str:
    """The date of a DATETIME, its sign before it: 17 bits of year and month, 5 of the day."""
    if not bits & SIGN_OF_DATETIME:
        raise Undecodable("a negative date")
    months, day = divmod(bits ^ SIGN_OF_DATETIME, 32)
    return f"{months // 13:04}-{months % 13:02}-{day:02}"


def clock_text(bits: int) -> str:
    """A time of day: 5 bits of the hour, 6 of the minute, 6 of the second."""
    return f"{bits >> 12:02}:{bits >> 6 & 63:02}:{bits & 63:02}"


def day_text(days: int) -> str:
    """A day since 1970 of a TIMESTAMP."""
    return (dt.date(1970, 1, 1) + dt.timedelta(days)).isoformat()


def second_text(seconds: int) -> str:
    """A second of a day."""
    minutes, second = divmod(seconds, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{second:02}"


DATES = Memo(date_text)
DATETIME_DATES = Memo(datetime_date_text)
CLOCKS = Memo(clock_text)
DAYS = Memo(day_text)
SECONDS = Memo(second_text)


def fraction_bytes(digits: int) -> int:
    """How many bytes a fraction of so many digits has."""
    return (digits + 1) // 2


def fraction_text(number: int, digits: int) -> str:
    """The fraction, with its point: bytes count hundredths, ten-thousandths or millionths.

    >>> fraction_text(50, 1), fraction_text(123400, 5)
    ('.5', '.12340')
    """
    return f".{number // 10 if digits % 2 else number:0{digits}}" if digits else ""


def datetime_reader(digits: int) -> Callable[[bytes], str]:
    """A function from the bytes of a DATETIME to its text."""
    bits = 8 * fraction_bytes(digits)
    mask = (1 << bits) - 1

    def read(value: bytes) -> str:
        whole = int.from_bytes(value)
        number = whole >> bits
        text = f"{DATETIME_DATES[number >> 17]} {CLOCKS[number & 0x1FFFF]}"
        return f"{text}{fraction_text(whole & mask, digits)}" if digits else text

    return read


def timestamp_reader(digits: int) -> Callable[[bytes], str]:
    """A function from the bytes of a TIMESTAMP to its text, in UTC."""
    bits = 8 * fraction_bytes(digits)
    mask = (1 << bits) - 1
    zero = ZERO_TIMESTAMP + fraction_text(0, digits)

    def read(value: bytes) -> str:
        whole = int.from_bytes(value)
        if not whole:
            return zero
        days, second = divmod(whole >> bits, 86_400)
        text = f"{DAYS[days]} {SECONDS[second]}"
        return f"{text}{fraction_text(whole & mask, digits)}" if digits else text

    return read


def time_reader(digits: int) -> Callable[[bytes], str]:
    """A function from the bytes of a TIME to its text. Half of the range of its number is negative."""
    size = 3 + fraction_bytes(digits)
    zero = 1 << (8 * size - 1)
    bits = 8 * fraction_bytes(digits)
    mask = (1 << bits) - 1

    def read(value: bytes) -> str:
        whole = int.from_bytes(value) - zero
        return time_text(whole < 0, abs(whole) >> bits) + fraction_text(abs(whole) & mask, digits)

    return read


def time_text(is_negative: bool, bits: int) -> str:  # noqa: FBT001 - of a sign there are two
    """A TIME: 10 bits of hours, 6 of minutes, 6 of seconds."""
    return f"{'-' if is_negative else ''}{bits >> 12:02}:{bits >> 6 & 63:02}:{bits & 63:02}"


# -- as MySQL had them before 5.6, and MariaDB has them with mysql56_temporal_format=OFF ---------------------


def old_datetime_text(number: int) -> str:
    """A DATETIME of 8 bytes, whose decimal digits are those of its text.

    >>> old_datetime_text(20240229120000)
    '2024-02-29 12:00:00'
    """
    date, clock = divmod(number, 1_000_000)
    return (
        f"{date // 10_000:04}-{date // 100 % 100:02}-{date % 100:02} "
        f"{clock // 10_000:02}:{clock // 100 % 100:02}:{clock % 100:02}"
    )


def old_timestamp_text(seconds: int) -> str:
    """A TIMESTAMP of 4 bytes."""
    return f"{DAYS[seconds // 86_400]} {SECONDS[seconds % 86_400]}" if seconds else ZERO_TIMESTAMP


def old_time_text(number: int) -> str:
    """A TIME of 3 bytes, whose decimal digits are those of its text.

    >>> old_time_text(-8385959)
    '-838:59:59'
    """
    clock = abs(number)
    return f"{'-' if number < 0 else ''}{clock // 10_000:02}:{clock // 100 % 100:02}:{clock % 100:02}"


# -- as MariaDB had them from 5.3 to 10.0 with digits behind the second --------------------------------------

TIME_SECONDS_END = 839 * 3600
"""The first TIME that is too long: so much is added to make all of them positive."""

HIRES_DATETIME_BYTES = {1: 6, 2: 6, 3: 7, 4: 7, 5: 7, 6: 8}
HIRES_TIME_BYTES = {1: 4, 2: 4, 3: 5, 4: 5, 5: 5, 6: 6}
HIRES_FRACTION_BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 3, 6: 3}
"""By the number of digits. The binlog does not tell it, so it must be known from elsewhere."""


def hires_datetime_reader(digits: int) -> Callable[[bytes], str]:
    """A function from the bytes of such a DATETIME to its text: one number of mixed radix."""
    unit = 10**digits

    def read(value: bytes) -> str:
        seconds, fraction = divmod(int.from_bytes(value), unit)
        days, second = divmod(seconds, 86_400)
        months, day = divmod(days, 32)
        date = f"{months // 13:04}-{months % 13:02}-{day:02}"
        return f"{date} {SECONDS[second]}.{fraction:0{digits}}"

    return read


def hires_timestamp_reader(digits: int) -> Callable[[bytes], str]:
    """A function from the bytes of such a TIMESTAMP to its text: seconds, and units of its last digit."""
    bits = 8 * HIRES_FRACTION_BYTES[digits]

    def read(value: bytes) -> str:
        whole = int.from_bytes(value)
        fraction = f".{whole & ((1 << bits) - 1):0{digits}}"
        if not whole:
            return ZERO_TIMESTAMP + fraction
        days, second = divmod(whole >> bits, 86_400)
        return f"{DAYS[days]} {SECONDS[second]}{fraction}"

    return read


def hires_time_reader(digits: int) -> Callable[[bytes], str]:
    """A function from the bytes of such a TIME to its text: units of its last digit, above the least."""
    unit = 10**digits

    def read(value: bytes) -> str:
        number = int.from_bytes(value) - TIME_SECONDS_END * unit
        seconds, fraction = divmod(abs(number), unit)
        minutes, second = divmod(seconds, 60)
        sign = "-" if number < 0 else ""
        return f"{sign}{minutes // 60:02}:{minutes % 60:02}:{second:02}.{fraction:0{digits}}"

    return read
