"""Character sets: what a server reads from a sequence of bytes, the decoder reads too, or refuses as it does.

Every sequence of one byte and of two is tried, of three where a set has such characters, and many of four, on
both servers: each has a table of its own for every set.
"""

import random
from collections.abc import Iterator, Mapping, Sequence

import pytest
from pymysql.cursors import Cursor

from changeover.charsets import (
    CODECS,
    CODECS_OF_BMP,
    IRREVERSIBLE,
    NotInCharset,
    charset_of_collation,
    decoder_of,
)
from changeover.charsets.collations import CHARSETS
from changeover.charsets.exceptions import EXCEPTIONS
from changeover.demo.mysql8 import PrivateMySQL
from changeover.demo.sql import SQLServer
from tests.support.pipeline import schema_of

ALL_SETS = sorted({*CODECS, *CODECS_OF_BMP, *EXCEPTIONS} - {"utf8"})
WIDE = ("ucs2", "utf16", "utf16le", "utf32")
"""Sets without characters of one byte."""

UNICODE = (*WIDE, "utf8mb3", "utf8mb4", "gb18030")
"""Sets that have U+FFFD as a character like any other."""

ONLY_MYSQL = "gb18030"
RANDOM_SEQUENCES = 20_000

Answers = Mapping[bytes, str | None]
"""What the server reads from each sequence, None where it knows no such text."""


@pytest.fixture(scope="module")
def cursor(either: SQLServer) -> Iterator[Cursor]:
    numbers = ", ".join(f"({number})" for number in range(256))
    statements = ("CREATE TABLE b (n INT PRIMARY KEY)", f"INSERT INTO b VALUES {numbers}")
    with (
        schema_of(either, "charsets", *statements) as schema,
        either.connect(database=schema) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SET SESSION sql_mode = '', SESSION group_concat_max_len = 64 << 20")
        yield cursor


def asked(cursor: Cursor, charset: str, code: str, source: str) -> Answers:
    """How the server reads the bytes that the SQL expression gives for each row of a source.

    For what it does not know it puts '?' or U+FFFD, and MySQL cuts off what is malformed.
    """
    text = f"CONVERT({code} USING {charset})"
    in_utf8 = f"CONVERT({text} USING utf8mb4)"
    is_whole = f"LENGTH({text}) = LENGTH({code}) AND CHAR_LENGTH({text}) = CHAR_LENGTH({in_utf8})"
    of_row = f"CONCAT(HEX({code}), '=', {is_whole}, HEX({in_utf8}))"
    cursor.execute(f"SELECT GROUP_CONCAT({of_row}) FROM {source}")
    answers = cursor.fetchall()[0][0].split(",")
    return dict(_answer(charset, *answer.split("=")) for answer in answers)


def _answer(charset: str, code_hex: str, answer: str) -> tuple[bytes, str | None]:
    code = bytes.fromhex(code_hex)
    text = bytes.fromhex(answer[1:]).decode("utf-8", "surrogatepass")
    is_known = (
        answer[0] == "1"
        and text.count("?") == _questions(charset, code)
        and ("\ufffd" not in text or charset in UNICODE)
        # A lone half of a surrogate pair is a text to MariaDB, and to nobody else.
        and not any("\ud800" <= character <= "\udfff" for character in text)
    )
    return code, text if is_known else None


def _questions(charset: str, code: bytes) -> int:
    """How many question marks are in the sequence itself."""
    if charset not in WIDE:
        return code.count(b"?")
    mark = "?".encode({**CODECS, **CODECS_OF_BMP}[charset])
    return [code[place : place + len(mark)] for place in range(0, len(code), len(mark))].count(mark)


def sequences_asked(cursor: Cursor, charset: str, codes: Sequence[bytes]) -> Answers:
    """How the server reads each of the sequences."""
    union = " UNION ALL ".join(f"SELECT x'{code.hex()}' AS v" for code in codes[:1_000])
    answers = asked(cursor, charset, "v", f"({union}) codes")
    return {**answers, **sequences_asked(cursor, charset, codes[1_000:])} if codes[1_000:] else answers


def read(charset: str, code: bytes) -> str | None:
    """How we read it."""
    try:
        return decoder_of(charset)(code)
    except NotInCharset:
        return None


def differences(charset: str, answers: Answers) -> list[tuple[str, str | None, str | None]]:
    """Sequences that we read otherwise, what the server makes of them, and we."""
    return [
        (code.hex(), text, read(charset, code))
        for code, text in answers.items()
        if read(charset, code) != text
    ]


def lacks(cursor: Cursor, charset: str) -> bool:
    return charset == ONLY_MYSQL and charset not in sets_of(cursor)


def sets_of(cursor: Cursor) -> set[str]:
    """The server's character sets, under the names of today."""
    cursor.execute("SHOW CHARACTER SET")
    return {{"utf8": "utf8mb3"}.get(name, name) for name, *_ in cursor.fetchall()} - {"binary"}


def test_every_character_set_of_the_server_is_known(cursor: Cursor, either: SQLServer) -> None:
    mysqls = {ONLY_MYSQL} if isinstance(either, PrivateMySQL) else set()
    assert sets_of(cursor) == {*ALL_SETS} - {ONLY_MYSQL} | mysqls


@pytest.mark.parametrize("charset", sorted({*ALL_SETS} - {*WIDE}))
def test_every_byte_is_read_as_the_server_reads_it(cursor: Cursor, charset: str) -> None:
    if not lacks(cursor, charset):
        answers = asked(cursor, charset, "CHAR(n)", "b")
        assert len(answers) == 256
        assert differences(charset, answers) == []


@pytest.mark.parametrize("charset", ALL_SETS)
def test_every_pair_of_bytes_is_read_as_the_server_reads_it(cursor: Cursor, charset: str) -> None:
    if not lacks(cursor, charset) and charset != "utf32":
        answers = asked(cursor, charset, "CHAR(x.n, y.n)", "b x JOIN b y")
        assert len(answers) == 256 * 256
        assert differences(charset, answers) == []


@pytest.mark.parametrize("charset", ["ujis", "eucjpms"])
def test_every_character_of_the_third_plane_is_read_as_the_server_reads_it(
    cursor: Cursor, charset: str
) -> None:
    answers = asked(cursor, charset, "CHAR(0x8F, x.n, y.n)", "b x JOIN b y")
    assert sum(text is not None for text in answers.values()) > 6_000
    assert differences(charset, answers) == []


def _four_bytes(random_: random.Random, charset: str) -> bytes:
    """A sequence that has a fair chance to be text."""
    match charset:
        case "gb18030":
            leads = random_.choices(range(0x80, 0x100), k=2)
            return bytes([leads[0], random_.randrange(0x2F, 0x3B), leads[1], random_.randrange(0x2F, 0x3B)])
        case "utf32":
            return random_.randrange(0x11_2000).to_bytes(4)
        case "utf16" | "utf16le":
            halves = [
                random_.choice([0xD8, 0xDB, 0xDC, 0xDF, 0x20]),
                random_.choice([0xDC, 0xDF, 0xD8, 0x20]),
            ]
            lows = [random_.randrange(256) for _ in halves]
            pairs = zip(halves, lows, strict=True) if charset == "utf16" else zip(lows, halves, strict=True)
            return bytes(byte for pair in pairs for byte in pair)
        case _:
            size = random_.randrange(3, 5)
            lead = random_.randrange(0xE0, 0xF8)
            return bytes([lead, *random_.choices(range(0x7E, 0xC2), k=size - 1)])


@pytest.mark.parametrize("charset", ["gb18030", "utf16", "utf16le", "utf32", "utf8mb3", "utf8mb4"])
def test_many_longer_sequences_are_read_as_the_server_reads_them(cursor: Cursor, charset: str) -> None:
    if lacks(cursor, charset):
        return
    random_ = random.Random(charset)
    answers = sequences_asked(
        cursor, charset, sorted({_four_bytes(random_, charset) for _ in range(RANDOM_SEQUENCES)})
    )
    assert sum(text is not None for text in answers.values()) > RANDOM_SEQUENCES / 20
    assert differences(charset, answers) == []


@pytest.mark.full
def test_every_character_of_four_bytes_in_gb18030_is_read_as_mysql_reads_it(cursor: Cursor) -> None:
    if lacks(cursor, "gb18030"):
        return
    digits = "(SELECT n FROM b WHERE n BETWEEN 48 AND 57)"
    for lead in range(0x81, 0xFF):
        source = f"{digits} x JOIN (SELECT n FROM b WHERE n BETWEEN 129 AND 254) y JOIN {digits} z"
        answers = asked(cursor, "gb18030", f"CHAR({lead}, x.n, y.n, z.n)", source)
        assert len(answers) == 10 * 126 * 10
        assert differences("gb18030", answers) == []


@pytest.mark.parametrize("charset", sorted({*ALL_SETS} - {*WIDE} - {"utf8mb3", "utf8mb4"}))
def test_only_the_sets_that_are_named_so_write_one_text_in_two_ways(charset: str) -> None:
    codes = [bytes([a]) for a in range(256)]
    codes += [bytes([a, b]) for a in range(128, 256) for b in range(256) if read(charset, bytes([a])) is None]
    codes += [bytes([0x8F, a, b]) for a in range(128, 256) for b in range(128, 256) if charset in THREE_BYTES]
    texts = [text for code in codes if (text := read(charset, code)) is not None]
    assert (len(texts) > len(set(texts))) is (charset in IRREVERSIBLE)


THREE_BYTES = ("eucjpms", "ujis")


def test_a_collations_number_gives_its_character_set(cursor: Cursor, either: SQLServer) -> None:
    named = "id, character_set_name FROM information_schema"
    cursor.execute(
        f"SELECT {named}.collations"
        if isinstance(either, PrivateMySQL)
        else f"SELECT {named}.collation_character_set_applicability"
    )
    found = {number: {"utf8": "utf8mb3"}.get(name, name) for number, name in cursor.fetchall() if number}
    assert len(found) > 250
    assert {number: CHARSETS.get(number) for number in found} == found


def test_an_unknown_collation_or_set_is_an_error() -> None:
    with pytest.raises(ValueError, match="collation 60000 is not known"):
        charset_of_collation(60_000)
    with pytest.raises(ValueError, match="character set klingon is not known"):
        decoder_of("klingon")
    with pytest.raises(ValueError, match=r"character set \(none\) is not known"):
        decoder_of("")


@pytest.mark.parametrize(
    ("charset", "stored", "place"),
    [
        ("utf8mb4", b"abc\xff", 3),
        ("utf8mb3", "ab💾".encode(), 3),
        ("ascii", b"secret\x80", 6),
        ("greek", b"a\xaa", 1),
        ("sjis", b"ab\x81\x21", 2),
        ("cp932", b"ab\xa0", 2),
        ("big5", b"ab\xa1\x5acd", 2),
        ("ucs2", b"\0a\xd8\x3d\xdc\xbe", 4),
        ("utf16", b"\0a\xd8\x3d\0a", 2),
        ("gb18030", b"ab\x81", 2),
    ],
)
def test_bytes_that_a_set_does_not_have_are_named_by_their_place_and_never_shown(
    charset: str, stored: bytes, place: int
) -> None:
    with pytest.raises(NotInCharset) as refused:
        decoder_of(charset)(stored)
    words = f"bytes that the character set {charset} does not have, at or behind byte {place}"
    assert str(refused.value) == words


@pytest.mark.parametrize("charset", ALL_SETS)
def test_nothing_is_read_from_nothing(charset: str) -> None:
    assert decoder_of(charset)(b"") == ""
