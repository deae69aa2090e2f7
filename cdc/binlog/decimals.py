"""DECIMAL values as the server prints them, from its packed form.

Nine digits take four bytes; the digits that are left over on each side of the point take fewer. The number
is big-endian, its first bit is inverted, and of a negative one all other bits too.
"""

from collections.abc import Callable
from functools import cache

from changeover.mysql.framing import Undecodable

BYTES_OF_DIGITS = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)
GROUP = 9


def decimal_bytes(precision: int, scale: int) -> int:
    """How many bytes a DECIMAL takes.

    >>> decimal_bytes(14, 4)
    7
    """
    whole = precision - scale
    if not 0 <= scale <= precision:
        message = f"a DECIMAL({precision},{scale})"
        raise Undecodable(message)
    groups = whole // GROUP + scale // GROUP
    return 4 * groups + BYTES_OF_DIGITS[whole % GROUP] + BYTES_OF_DIGITS[scale % GROUP]


@cache
def decimal_reader(precision: int, scale: int) -> Callable[[bytes], str]:
    r"""A function from a DECIMAL's bytes to its text, with all digits of the scale.

    >>> decimal_reader(4, 2)(b"\x81\x05"), decimal_reader(4, 2)(b"\x7e\xfa")
    ('1.05', '-1.05')
    """
    size = decimal_bytes(precision, scale)
    sign = 1 << (8 * size - 1)
    all_but_sign = sign - 1
    fraction_bits = 8 * decimal_bytes(scale, scale)
    fraction_mask = (1 << fraction_bits) - 1
    is_one_group = precision - scale <= GROUP, scale <= GROUP  # on each side of the point, as most have
    digits_max = 10**GROUP - 1

    def read(value: bytes) -> str:
        number = int.from_bytes(value) ^ sign
        if number & sign:
            number ^= sign | all_but_sign
            minus = "-"
        else:
            minus = ""
        whole, fraction = number >> fraction_bits, number & fraction_mask
        if not is_one_group[0]:
            whole = joined(whole, 0)
        if not is_one_group[1]:
            fraction = joined(fraction, scale % GROUP)
        if not scale:
            return f"{minus}{whole}"
        return f"{minus}{whole}.{fraction:0{scale}}"

    def joined(number: int, last: int) -> int:
        """The number whose groups of nine digits these are, the lowest with so many, if not nine."""
        result, factor = 0, 1
        if last:
            bits = 8 * BYTES_OF_DIGITS[last]
            result, number, factor = number & ((1 << bits) - 1), number >> bits, 10**last
        while number:
            group = number & 0xFFFFFFFF
            if group > digits_max:
                raise Undecodable("nine digits that are more than nine")
            result += group * factor
            factor *= 10**GROUP
            number >>= 32
        return result

    return read
