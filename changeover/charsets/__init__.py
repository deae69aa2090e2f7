"""Character sets: text from the bytes that a server stores, exact as the server itself reads them.

One definition for what SELECT reads and what the binlog holds: both give a text's bytes as they are stored.
Most sets are Python's codecs; where a server's differs, the difference is data (`exceptions.py`).
"""

import codecs
import re
from collections.abc import Callable, Mapping
from functools import cache

from changeover.charsets.collations import charset_of_collation
from changeover.charsets.exceptions import EXCEPTIONS, NONE, Runs

__all__ = ["CODECS", "IRREVERSIBLE", "NotInCharset", "charset_of_collation", "decoder_of", "is_known"]

Decoder = Callable[[bytes], str]

CODECS: Mapping[str, str] = {
    "ascii": "ascii",
    "cp1250": "cp1250",
    "cp1251": "cp1251",
    "cp1257": "cp1257",
    "cp850": "cp850",
    "cp852": "cp852",
    "euckr": "cp949",
    "gb2312": "gb2312",
    "gbk": "gbk",
    "hp8": "hp-roman8",
    "koi8r": "koi8-r",
    "latin2": "iso8859-2",
    "latin5": "iso8859-9",
    "latin7": "iso8859-13",
    "macce": "mac-latin2",
    "macroman": "mac-roman",
    "tis620": "tis-620",
    "utf16": "utf-16-be",
    "utf16le": "utf-16-le",
    "utf32": "utf-32-be",
    "utf8mb4": "utf-8",
}
"""Sets that are exactly one of Python's codecs."""

CODECS_OF_BMP: Mapping[str, str] = {"ucs2": "utf-16-be", "utf8mb3": "utf-8", "utf8": "utf-8"}
"""Sets that are one of Python's codecs without characters of four bytes. MySQL called utf8mb3 utf8 once."""

IRREVERSIBLE = frozenset({"armscii8", "cp932", "eucjpms", "sjis", "ujis"})
"""Sets in which some texts can be stored in two ways: what they hold is exact, but is no name for a row."""


def is_known(charset: str) -> bool:
    """Whether `decoder_of` has it."""
    return charset in CODECS or charset in CODECS_OF_BMP or charset in EXCEPTIONS


TWO_BYTES = r"[\x80-\xff]."
CHARACTERS: Mapping[str, re.Pattern[bytes]] = {
    charset: re.compile(pattern.encode("latin-1") + rb"|.", re.DOTALL)
    for charset, pattern in {
        "big5": TWO_BYTES,
        "cp932": r"[\x81-\x9f\xe0-\xfc].",
        "eucjpms": r"\x8f..|[\x8e\xa1-\xfe].",
        "gb18030": r"[\x81-\xfe][0-9]..|[\x81-\xfe].",
        "sjis": r"[\x81-\x9f\xe0-\xfc].",
        "ujis": r"\x8f..|[\x8e\xa1-\xfe].",
    }.items()
}
"""What one character is, in the sets of more than one byte that have exceptions."""


class NotInCharset(ValueError):
    """Bytes that their character set does not have. The words never show them: they may be a secret."""


@cache
def decoder_of(charset: str) -> Decoder:
    r"""A function from stored bytes to text; it raises `NotInCharset`. `ValueError` for an unknown set.

    >>> decoder_of("latin1")(b"\x80\x81")
    '€\x81'
    """
    if charset in CODECS:
        return _decoder_by_codec(charset, CODECS[charset])
    if charset in CODECS_OF_BMP:
        return _decoder_of_bmp(charset, CODECS_OF_BMP[charset])
    if charset in CHARACTERS:
        return _decoder_with_exceptions(charset, *EXCEPTIONS[charset])
    if charset in EXCEPTIONS:
        return _decoder_by_table(charset, *EXCEPTIONS[charset])
    message = f"character set {charset or '(none)'} is not known"
    raise ValueError(message)


def _decoder_by_codec(charset: str, codec: str) -> Decoder:
    def decode(stored: bytes) -> str:
        try:
            return str(stored, codec)
        except UnicodeDecodeError as error:
            raise _not_in(charset, error.start) from None

    return decode


def _decoder_of_bmp(charset: str, codec: str) -> Decoder:
    decode_all = _decoder_by_codec(charset, codec)

    def decode(stored: bytes) -> str:
        text = decode_all(stored)
        if not text.isascii() and max(text) > "\uffff":
            raise _not_in(charset, len(stored) - len(text))
        return text

    return decode


def _decoder_by_table(charset: str, codec: str, runs: Runs) -> Decoder:
    """One byte a character. U+FFFE is charmap's own sign for "there is none"."""
    exceptions = _characters(runs)
    codes = (bytes([code]) for code in range(256))
    table = "".join(exceptions.get(code, code.decode(codec, "replace")) for code in codes)
    table = table.replace(NONE, "\ufffe")

    def decode(stored: bytes) -> str:
        try:
            return codecs.charmap_decode(stored, "strict", table)[0]
        except UnicodeDecodeError as error:
            raise _not_in(charset, error.start) from None

    return decode


def _decoder_with_exceptions(charset: str, codec: str, runs: Runs) -> Decoder:
    """By the codec where that is exact for certain, else one character after another."""
    exceptions = _characters(runs)
    doubtful = frozenset(code.decode(codec, "replace") for code in exceptions) - {NONE}
    split = CHARACTERS[charset].findall

    def decode(stored: bytes) -> str:
        try:
            text = str(stored, codec)
        except UnicodeDecodeError:
            return one_by_one(stored)
        return text if doubtful.isdisjoint(text) else one_by_one(stored)

    def one_by_one(stored: bytes) -> str:
        text = ""
        place = 0
        for code in split(stored):
            try:
                character = exceptions.get(code) or str(code, codec)
            except UnicodeDecodeError:
                character = NONE
            if character == NONE:
                raise _not_in(charset, place)
            text += character
            place += len(code)
        return text

    return decode


def _characters(runs: Runs) -> dict[bytes, str]:
    return {
        (int(first, 16) + place).to_bytes(len(first) // 2): character
        for first, characters in runs.items()
        for place, character in enumerate(characters)
    }


def _not_in(charset: str, place: int) -> NotInCharset:
    return NotInCharset(f"bytes that the character set {charset} does not have, at or behind byte {place}")
