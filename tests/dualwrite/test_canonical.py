"""Python's values in the form that the server gives back, or refused where that is not certain."""

import datetime as dt
import ipaddress
import uuid
from decimal import Decimal
from typing import Any

import pytest

from changeover.dualwrite.canonical import canonical
from changeover.errors import ValueRefused
from changeover.table import Column, Kind, Table
from changeover.values import Value

HERE = dt.timezone(dt.timedelta(hours=2))


def column(kind: Kind, sql_type: str = "", digits: int = 0) -> Column:
    return Column(name="it", kind=kind, sql_type=sql_type, nullable=True, fraction_digits=digits)


def table_of(one: Column) -> Table:
    return Table(schema="s", name="t", columns=(one,), key=("it",))


@pytest.mark.parametrize(
    ("one", "given", "expected"),
    [
        (column(Kind.INTEGER), 5, 5),
        (column(Kind.INTEGER), True, 1),
        (column(Kind.DOUBLE), Decimal("0.5"), 0.5),
        (column(Kind.DECIMAL, "decimal(8,3)"), Decimal("2.5"), "2.500"),
        (column(Kind.DECIMAL, "decimal(8,3)"), "-0.25", "-0.250"),
        (column(Kind.DECIMAL, "decimal(8)"), 7, "7"),
        (column(Kind.TEXT), "ø", "ø"),
        (column(Kind.BYTES), bytearray(b"\0\1"), b"\0\1"),
        (column(Kind.BINARY, "binary(4)"), b"ab", b"ab\0\0"),
        (column(Kind.DATE), dt.date(2026, 2, 3), "2026-02-03"),
        (column(Kind.DATE), "2026-02-31", "2026-02-31"),
        (column(Kind.DATETIME), dt.datetime(2026, 2, 3, 4, 5, 6), "2026-02-03 04:05:06"),  # noqa: DTZ001
        (
            column(Kind.TIMESTAMP, digits=3),
            dt.datetime(2026, 2, 3, 4, 5, 6, 7000, HERE),
            "2026-02-03 02:05:06.007",
        ),
        (column(Kind.TIME), dt.timedelta(hours=-30, minutes=-5), "-30:05:00"),
        (column(Kind.TIME, digits=6), dt.time(1, 2, 3, 4), "01:02:03.000004"),
        (column(Kind.UUID), uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (column(Kind.INET6), ipaddress.IPv6Address("::1"), "::1"),
        (column(Kind.TEXT), None, None),
    ],
)
def test_what_is_certain_is_taken(one: Column, given: Any, expected: Value) -> None:  # noqa: ANN401
    found = canonical(table_of(one), one, given)
    assert (type(found), found) == (type(expected), expected)


@pytest.mark.parametrize(
    ("one", "given"),
    [
        (column(Kind.INTEGER), "5"),
        (column(Kind.DECIMAL, "decimal(8,3)"), Decimal("0.0001")),
        (column(Kind.DECIMAL, "decimal(8,3)"), 0.5),
        (column(Kind.DECIMAL, "decimal(8,3)"), "much"),
        (column(Kind.TEXT), b"bytes"),
        (column(Kind.BYTES), "text"),
        (column(Kind.TIMESTAMP), dt.datetime(2026, 2, 3)),  # noqa: DTZ001
        (column(Kind.DATETIME), dt.datetime(2026, 2, 3, tzinfo=dt.UTC)),
        (column(Kind.DATETIME), dt.datetime(2026, 2, 3, 4, 5, 6, 7)),  # noqa: DTZ001
        (column(Kind.UUID), "no uuid"),
    ],
)
def test_what_the_server_would_convert_in_its_own_way_is_refused_and_not_shown(
    one: Column,
    given: Any,  # noqa: ANN401
) -> None:
    with pytest.raises(ValueRefused) as refused:
        canonical(table_of(one), one, given)
    assert "s.t.it" in str(refused.value)
    assert str(given) not in str(refused.value)
