"""Wording: figures as people read them."""

SECONDS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
CALM_S = 10


def count(number: int) -> str:
    """A number with its thousands apart.

    >>> count(1234567)
    '1,234,567'
    """
    return f"{number:,}"


def percent(part: int, whole: int) -> str:
    """A share, which is 100 % only where nothing is missing.

    >>> [percent(*pair) for pair in ((1, 3), (1999, 2000), (2000, 2000), (0, 0))]
    ['33 %', '99 %', '100 %', '100 %']
    """
    return f"{100 * part // whole if whole else 100} %"


def duration(seconds: float) -> str:
    """A time in its two largest units.

    >>> [duration(time) for time in (0.148, 2.34, 59.6, 60, 3_725, 200_000)]
    ['148 ms', '2.3 s', '60 s', '1 min', '1 h 2 min', '2 d 7 h']
    """
    if seconds < 1:
        return f"{max(0, seconds) * 1000:.0f} ms"
    if seconds < CALM_S:
        return f"{seconds:.1f} s"
    if seconds < SECONDS[2][0]:
        return f"{seconds:.0f} s"
    left = int(seconds)
    parts: list[tuple[int, str]] = []
    for size, unit in SECONDS:
        number, left = divmod(left, size)
        if number or parts:
            parts.append((number, unit))
    return " ".join(f"{number} {unit}" for number, unit in parts[:2] if number)
