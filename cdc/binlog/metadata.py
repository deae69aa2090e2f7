"""What a table map says of its table beyond types: signs, character sets, names and labels.

All of it stands there with `binlog_row_metadata = FULL`; without, names and labels do not.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from cdc.binlog.integers import cut, packed
from changeover.charsets import charset_of_collation, decoder_of
from changeover.mysql.framing import Undecodable

SIGNEDNESS, DEFAULT_CHARSET, COLUMN_CHARSET, COLUMN_NAME, SET_LABELS, ENUM_LABELS = 1, 2, 3, 4, 5, 6
LABELS_DEFAULT_CHARSET, LABELS_COLUMN_CHARSET = 10, 11
NO_MATTER = frozenset({7, 8, 9, 12, 13})
"""Types of geometry, the primary key without and with prefixes, visibility, dimensions of vectors."""

Defaults = tuple[int, dict[int, int]]
"""The collation of most columns, and of those by their place that have another."""


@dataclass(slots=True)
class Metadata:
    """The fields as they stand there, each for the columns of its own kind alone, in their order.

    Signs are one bit a number, charsets one collation a text, labels one list an ENUM or SET.
    """

    unsigned: bytes | None = None
    names: list[str] = field(default_factory=list)
    text_collations: Sequence[int] | Defaults | None = None
    label_collations: Sequence[int] | Defaults | None = None
    enums: list[list[bytes]] = field(default_factory=list)
    sets: list[list[bytes]] = field(default_factory=list)


def parse_metadata(data: bytes) -> Metadata:
    """The metadata at the end of a table map."""
    found = Metadata()
    at = 0
    while at < len(data):
        kind = data[at]
        length, at = packed(data, at + 1)
        value, at = cut(data, at, length)
        parse = FIELDS.get(kind)
        if parse is not None:
            parse(found, value)
        elif kind not in NO_MATTER:
            message = f"a table is described by a field of type {kind}, which is not known"
            raise Undecodable(message)
    return found


def is_unsigned(metadata: Metadata, number: int) -> bool:
    """Whether the so-manieth column of those that are numbers has no sign."""
    bits = metadata.unsigned
    if bits is None or number // 8 >= len(bits):
        raise Undecodable("a table is described without the signs of its numbers")
    return bool(bits[number // 8] >> (7 - number % 8) & 1)


def charset(collations: Sequence[int] | Defaults | None, place: int) -> str:
    """The character set of the so-manieth column of those that have one."""
    if isinstance(collations, tuple):
        most, others = collations
        return charset_of_collation(others.get(place, most))
    if collations is None or place >= len(collations):
        raise Undecodable("a table is described without the character sets of its texts")
    return charset_of_collation(collations[place])


def labels(found: Sequence[Sequence[bytes]], place: int, charset: str) -> list[str]:
    """The labels of the so-manieth ENUM or SET."""
    if place >= len(found):
        raise Undecodable("a table is described without the labels of its ENUMs and SETs")
    decode = decoder_of(charset)
    return [decode(label) for label in found[place]]


def _unsigned(found: Metadata, value: bytes) -> None:
    found.unsigned = value


def _names(found: Metadata, value: bytes) -> None:
    found.names = [name.decode() for name in _strings(value)]


def _default_text(found: Metadata, value: bytes) -> None:
    found.text_collations = _defaults(value)


def _text(found: Metadata, value: bytes) -> None:
    found.text_collations = list(_integers(value))


def _default_labels(found: Metadata, value: bytes) -> None:
    found.label_collations = _defaults(value)


def _label_charsets(found: Metadata, value: bytes) -> None:
    found.label_collations = list(_integers(value))


def _enums(found: Metadata, value: bytes) -> None:
    found.enums = list(_lists(value))


def _sets(found: Metadata, value: bytes) -> None:
    found.sets = list(_lists(value))


FIELDS: dict[int, Callable[[Metadata, bytes], None]] = {
    SIGNEDNESS: _unsigned,
    DEFAULT_CHARSET: _default_text,
    COLUMN_CHARSET: _text,
    COLUMN_NAME: _names,
    SET_LABELS: _sets,
    ENUM_LABELS: _enums,
    LABELS_DEFAULT_CHARSET: _default_labels,
    LABELS_COLUMN_CHARSET: _label_charsets,
}


def _integers(value: bytes) -> Iterator[int]:
    at = 0
    while at < len(value):
        number, at = packed(value, at)
        yield number


def _defaults(value: bytes) -> Defaults:
    most, *others = _integers(value)
    return most, dict(zip(others[::2], others[1::2], strict=True))


def _strings(value: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(value):
        length, at = packed(value, at)
        text, at = cut(value, at, length)
        yield text


def _lists(value: bytes) -> Iterator[list[bytes]]:
    at = 0
    while at < len(value):
        count, at = packed(value, at)
        found = []
        for _ in range(count):
            length, at = packed(value, at)
            label, at = cut(value, at, length)
            found.append(label)
        yield found
