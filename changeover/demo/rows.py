"""Rows of `records` that look like those of people, drawn from a source of chance."""

import json
import random
from collections.abc import Sequence
from datetime import date, timedelta
from typing import TypeVar

from changeover.demo.words import (
    BLOOD_GROUPS,
    DRUGS,
    FIRST_NAMES,
    FORMS,
    INSTRUCTIONS,
    LANGUAGES,
    LAST_NAMES,
    NOTES,
    SEXES,
    STATUSES,
    STREETS,
    TOWNS,
)

DAY_FIRST = date(1925, 1, 1)
DAYS = 36_525
"""From 1925 to 2024: a hundred years, so that the two digits of a CPR number's year are never ambiguous."""

SERIALS = 10_000
CITIZENS_MAX = DAYS * SERIALS

SMS_SHARE = 0.2

POOL = 5_000
"""Texts and moments are drawn from this many prepared ones: making each anew would take half of the fill."""

Value = None | int | float | str | bytes
Row = tuple[Value, ...]
T = TypeVar("T")


def citizen_number(index: int) -> str:
    """The CPR-like number of a citizen: another one for each index below `CITIZENS_MAX`.

    >>> citizen_number(0), citizen_number(1), citizen_number(36_525)
    ('010125-0000', '070946-2947', '010125-4001')
    """
    day = index * 7_919 % DAYS  # 7,919 and 4,001 have no factor in common with what they run through
    serial = (index // DAYS * 4_001 + day * 13) % SERIALS
    return f"{DAY_FIRST + timedelta(day):%d%m%y}-{serial:04}"


class Records:
    """Rows that look real, drawn from a source of chance: the same source gives the same rows."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance.random
        self._randbytes = chance.randbytes
        days = [DAY_FIRST + timedelta(chance.randrange(DAYS)) for _ in range(POOL)]
        self._days = [f"{day:%Y-%m-%d}" for day in days]
        # From 1995 on, so that all of them are moments that a TIMESTAMP can hold.
        self._seconds = [_moment(chance) for _ in range(POOL)]
        self._names = [f"{chance.choice(FIRST_NAMES)} {chance.choice(LAST_NAMES)}" for _ in range(POOL)]
        self._addresses = [_address(chance) for _ in range(POOL)] + [None] * (POOL // 20)
        self._details = [_details(chance) for _ in range(POOL // 10)] + [None] * (POOL // 100)
        self._notes = [*NOTES, *NOTES, "".join(f"{note} " for note in NOTES) * 3, None, None]
        self._fingerprints = [chance.randbytes(32) for _ in range(POOL)] + [None] * (POOL // 20)
        self._blobs = [chance.randbytes(size % 49) for size in range(POOL)] + [None] * (POOL // 20)

    def pick(self, among: Sequence[T]) -> T:
        """One of them. `Random.choice` takes three times as long, and a row picks ten times."""
        return among[int(self._chance() * len(among))]

    def below(self, end: int) -> int:
        """A number from 0 to `end - 1`; not quite even above 2^53, which does not matter here."""
        return int(self._chance() * end)

    def moment(self, digits: int) -> str:
        """A moment of the last decades with that many digits of a second's fraction (at least one)."""
        return f"{self.pick(self._seconds)}.{self.below(10**digits):0{digits}}"

    def citizen(self, cpr: str) -> Row:
        """A row of `citizen`."""
        return (
            cpr,
            self.pick(self._names),
            self.pick(self._addresses),
            101 + self.below(760),
            self.pick(SEXES),
            self.pick(BLOOD_GROUPS),
            self.pick(self._days),
            45 + self.below(160),
            3 + self.below(1_200) / 10,
            self.pick(self._notes),
            self.pick(self._fingerprints),
            self.pick(self._details),
            self.pick(self._seconds),
            self.moment(6),
        )

    def medicine(self, number: int) -> Row:
        """A row of `medicine`."""
        name, atc = self.pick(DRUGS)
        form = self.pick(FORMS)
        strength = (5, 10, 20, 50, 250, 500)[self.below(6)]
        return (
            number,
            f"{name} {strength} mg {form}",
            atc,
            form,
            f"{strength}.{self.below(10_000):04}",
            f"{self.below(5_000)}.{self.below(10**15):015}{self.below(10**15):015}",
            self.below(45) - 20,
            self.below(2_000) - 1_000,
            self.below(2**64 - 2**12),
            self._chance() * 10 ** (self.below(20) - 10),
            self.pick(self._notes),
            self._randbytes(self.below(400)),
            self.pick(self._days),
            self.pick(self._seconds),
        )

    def prescription(self, cpr: str, number: int, medicines: int) -> Row:
        """A row of `prescription`, of one of the medicines below `medicines`."""
        return (
            cpr,
            number,
            1 + self.below(medicines),
            self.pick(STATUSES),
            f"{self.below(2_000)}.{self.below(1_000):03}",
            self.pick((1, 2, 3, 4, 6, 8, None)),
            self.pick(INSTRUCTIONS),
            self.below(2**53) - 2**52,
            self.pick(self._blobs),
            self.pick(self._days),
            self.moment(3),
            self.moment(3),
        )

    def dispensing(self, number: int, cpr: str) -> Row:
        """A row of `dispensing`."""
        return (
            number,
            cpr,
            1 + self.below(2),
            self.below(600) - 100,
            self.below(200) - 20,
            f"{self.below(4_000) - 200}.{self.below(100):02}",
            self.below(2**53) - 2**52,
            self.pick((None, 2.5, 4.1, 5.3, 7.9)),
            self._chance() * 100,
            self.pick(self._blobs),
            self.pick(self._details),
            self.moment(6),
            self.moment(6),
        )


def _moment(chance: random.Random) -> str:
    """A moment of 1995 to 2024."""
    day = date(1995, 1, 1) + timedelta(chance.randrange(10_950))
    return f"{day:%Y-%m-%d} {chance.randrange(24):02}:{chance.randrange(60):02}:{chance.randrange(60):02}"


def _address(chance: random.Random) -> str:
    return f"{chance.choice(STREETS)} {1 + chance.randrange(200)}, {chance.choice(TOWNS)}"


def _details(chance: random.Random) -> str:
    """A JSON text; the server keeps it as it is written, spaces, order of names and escapes included."""
    value = {
        "sprog": chance.choice(LANGUAGES),
        "sms": chance.random() < SMS_SHARE,
        "kontakt": {"navn": chance.choice(FIRST_NAMES), "tlf": [chance.randrange(20_000_000, 99_999_999)]},
        "score": chance.choice((None, 1, 2.50, 1e300, "½ 🦉")),
    }
    return json.dumps(value, ensure_ascii=chance.random() < 1 / 2)
