"""The decoder as a whole: nothing is skipped that could carry a change, and any damage is an error."""

import random
import struct
import time
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc.binlog import kinds
from cdc.binlog.decoder import Decoder
from cdc.binlog.happenings import Rows
from cdc.binlog.rows import PATTERNS_MAX, RowsReader
from cdc.binlog.table_map import TableMap, WireColumn
from changeover.errors import BinlogUnreadable
from changeover.mysql.framing import BODY, Framing, RawEvent, Undecodable
from changeover.table import Column, Kind, Table
from tests.fuzz.decoder import CORPUS, PARTS_SEPARATOR, kind_of, run, seeds
from tests.support.recorded import Recording

LONG, VARCHAR = 3, 15
SECONDS_MAX = 5.0
"""What the mutations take at most on a machine that is not busy; a hang takes longer than ten times that."""
MUTATIONS = 1_500
"""Of recorded events, a second's work; `tests/fuzz` has no end."""

KNOWN = Table(
    schema="s",
    name="t",
    columns=(
        Column(name="id", kind=Kind.INTEGER, sql_type="int(11)", nullable=False),
        Column(name="name", kind=Kind.TEXT, sql_type="varchar(20)", nullable=True, charset="utf8mb4"),
    ),
    key=("id",),
)
METADATA = (
    b"\x01\x01\x00"  # signs
    b"\x02\x01\x2d"  # the collation of most texts: 45, of utf8mb4
    b"\x04\x08\x02id\x04name"
)
DESCRIPTION = b"\x01s\x00\x01t\x00\x02\x03\x0f\x02\x50\x00\x02" + METADATA
TABLE_ID = b"\x07\0\0\0\0\0"


def raw(kind: int, body: bytes) -> RawEvent:
    """An event without a sum."""
    data = struct.pack("<IBIIIH", 1, kind, 1, BODY + len(body), 0, 0) + body
    return RawEvent(1, kind, 0, data, len(data))


def table_map(description: bytes = DESCRIPTION) -> RawEvent:
    return raw(kinds.TABLE_MAP, TABLE_ID + b"\1\0" + description)


def inserted(rows: bytes, present: bytes = b"\xff", count: int = 2) -> RawEvent:
    """A rows event of version 1."""
    return raw(23, TABLE_ID + b"\1\0" + bytes([count]) + present + rows)


ADA = b"\xfc\x01\0\0\0\x03Ada"


def decoded(*events: RawEvent, known: Table | None = KNOWN) -> list[object]:
    decoder = Decoder({("s", "t"): known})
    return [happening for event in events for happening in decoder.happenings(event)]


# -- nothing is skipped ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", range(256))
def test_an_event_is_decoded_or_on_the_list_of_those_that_carry_no_change_or_an_error(kind: int) -> None:
    decoder = Decoder({})
    if kind in kinds.IGNORED:
        assert list(decoder.happenings(raw(kind, b""))) == []
    elif kind not in decoder._decoders:
        with pytest.raises(Undecodable, match=f"event type {kind} is not understood"):
            list(decoder.happenings(raw(kind, b"")))


def test_the_list_of_events_that_carry_no_change_is_this_one() -> None:
    assert sorted(kinds.IGNORED) == [3, 5, 13, 14, 27, 29, 35, 41, 160, 161, 163, 164]


def test_the_mark_of_an_event_as_ignorable_counts_for_nothing() -> None:
    body = b"anything"
    data = struct.pack("<IBIIIH", 1, 200, 1, BODY + len(body), 0, 0x80) + body
    with pytest.raises(Undecodable):
        decoded(RawEvent(1, 200, 0, data, len(data)))


def test_an_incident_is_an_error() -> None:
    with pytest.raises(Undecodable, match="INCIDENT"):
        decoded(raw(kinds.INCIDENT, b"\1\0"))


def test_rows_of_a_table_that_was_not_described_are_an_error() -> None:
    with pytest.raises(Undecodable, match="not described before"):
        decoded(inserted(ADA))


def test_a_table_is_described_anew_in_each_file() -> None:
    rotate = raw(kinds.ROTATE, struct.pack("<Q", 4) + b"binlog.000002")
    with pytest.raises(Undecodable, match="not described before"):
        decoded(table_map(), rotate, inserted(ADA))


# -- what fits ---------------------------------------------------------------------------------------------


def test_a_row_is_read_by_the_description_of_its_table() -> None:
    assert decoded(table_map(), inserted(ADA)) == [Rows("s", "t", [(None, {"id": 1, "name": "Ada"})])]


def test_rows_of_another_table_are_not_looked_at() -> None:
    decoder = Decoder({("s", "other"): KNOWN})
    nonsense = raw(kinds.TABLE_MAP, TABLE_ID + b"\1\0\x01s\0\x01t\0" + b"\xff" * 9)
    assert [*decoder.happenings(nonsense), *decoder.happenings(inserted(b"\xff" * 40))] == []


ID, NAME = KNOWN.columns


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ((ID,), "s.t has the columns id, name, not id"),
        ((ID, replace(NAME, name="nom")), "s.t has the columns id, name, not id, nom"),
        ((replace(ID, sql_type="bigint(20)"), NAME), r"s.t.id comes as type 3, not as bigint\(20\)"),
        (
            (replace(ID, sql_type="int(10) unsigned"), NAME),
            r"s.t.id comes as type 3, not as int\(10\) unsigned",
        ),
        (
            (ID, replace(NAME, charset="latin1")),
            r"name comes as type 15 utf8mb4, not as varchar\(20\) latin1",
        ),
        (
            (ID, replace(NAME, sql_type="varbinary(20)", charset="")),
            r"name comes as .* not as varbinary\(20\)",
        ),
    ],
)
def test_a_table_that_is_not_as_it_was_known_is_an_error(columns: tuple[Column, ...], words: str) -> None:
    with pytest.raises(Undecodable, match=words):
        decoded(table_map(), known=replace(KNOWN, columns=columns))


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (inserted(ADA, present=b"\x01"), "lacks columns"),
        (inserted(ADA, count=3), "has 3 columns, where 2 were described"),
        (inserted(b"\xfd\x03Ada"), r"s.t.id \(int\(11\)\) is NULL"),
        (inserted(ADA[:-1]), "do not end where their event does"),
        (inserted(ADA + b"\xfc"), "id .* has a value that it cannot have"),
        (inserted(b"\xfc\x01\0\0\0\x03A\xffa"), r"s.t.name \(varchar\(20\)\) has bytes"),
    ],
)
def test_a_row_that_does_not_fit_is_an_error_that_names_it_and_shows_no_value(
    event: RawEvent, words: str
) -> None:
    with pytest.raises(Undecodable, match=words) as error:
        decoded(table_map(), event)
    assert "Ada" not in str(error.value)


def test_a_collation_that_nobody_knows_is_an_error_that_names_the_table() -> None:
    with pytest.raises(Undecodable, match=r"columns of s\.t cannot be read: collation 250000 is not known"):
        decoded(table_map(DESCRIPTION.replace(b"\x02\x01\x2d", b"\x02\x04\xfd\x90\xd0\x03")))


# -- a year may have a sign --------------------------------------------------------------------------------


@pytest.mark.parametrize("signs", [0b01000000, 0b00100000, 0b10100000], ids=["8.0.15", "newer", "9.7"])
def test_signs_behind_a_year_are_told_by_what_the_table_is_known_to_have(signs: int) -> None:
    """A YEAR has a bit of its own on some servers only: taken wrong, the next column's sign is wrong."""
    types = {"y": "year(4)", "b": "int(11)", "c": "int(10) unsigned"}
    columns = tuple(
        Column(name=name, kind=Kind.INTEGER, sql_type=sql_type, nullable=False)
        for name, sql_type in types.items()
    )
    known = Table(schema="s", name="t", columns=columns, key=("y",))
    metadata = b"\x01\x01" + bytes([signs]) + b"\x04\x06\x01y\x01b\x01c"
    described = table_map(b"\x01s\0\x01t\0\x03\x0d\x03\x03\0\0" + metadata)
    (rows,) = decoded(described, inserted(b"\xf8\x7c" + b"\xff" * 8, count=3), known=known)
    assert isinstance(rows, Rows)
    assert rows.images == [(None, {"y": 2024, "b": -1, "c": 2**32 - 1})]


# -- patterns ----------------------------------------------------------------------------------------------


@given(st.lists(st.lists(st.none() | st.integers(-(2**31), 2**31 - 1), min_size=9, max_size=9), max_size=99))
def test_rows_with_any_pattern_of_nulls_are_read_alike(table: list[list[int | None]]) -> None:
    """Beyond some patterns no more functions are written: the slow way must give the same."""
    columns = tuple(WireColumn(LONG, 0, name=f"c{place}") for place in range(9))
    reader = RowsReader(TableMap("s", "t", columns), None)
    stored = b""
    for row in table:
        nulls = sum(1 << place for place, value in enumerate(row) if value is None)
        stored += (nulls | 0xFE00).to_bytes(2, "little")
        stored += b"".join(struct.pack("<i", value) for value in row if value is not None)
    found = reader.images(stored, 0, len(stored), kinds.INSERT)
    assert [list(after.values()) for _, after in found if after] == table
    assert len(reader._readers) <= PATTERNS_MAX


# -- any damage --------------------------------------------------------------------------------------------


def consumed(packets: Sequence[bytes], recording: Recording) -> None:
    """Read them all as capture does; only what it knows how to report may come out."""
    recording.packets = list(packets)
    try:
        for _ in recording.events():
            pass
    except (Undecodable, BinlogUnreadable):
        pass


def with_sum(data: bytes) -> bytes:
    """The event with its size and its sum put right, so that the damage gets behind them."""
    data = data[:9] + struct.pack("<I", len(data) + 4) + data[13:]
    return data + struct.pack("<I", zlib.crc32(data))


@pytest.mark.parametrize("name", ["rows", "tagged", "partial_json"])
def test_damage_behind_a_right_sum_ends_in_values_or_in_an_error_that_capture_reports(name: str) -> None:
    random_ = random.Random(name)
    recording = Recording(name)
    small = [packet for packet in recording.packets if len(packet) < 2_000]
    began = time.process_time()
    for _ in range(MUTATIONS):
        place = random_.randrange(2, len(small))
        event = bytearray(small[place][:-4])
        for _ in range(random_.choice([1, 1, 2, 8])):
            match random_.randrange(3):
                case 0:
                    event[random_.randrange(4, len(event))] = random_.randrange(256)
                case 1:
                    del event[random_.randrange(BODY, len(event) + 1) :]
                case _:
                    at = random_.randrange(BODY, len(event) + 1)
                    event[at:at] = random_.randbytes(random_.randrange(1, 9))
        consumed([*small[:place], with_sum(bytes(event)), *small[place + 1 :]], recording)
    assert time.process_time() - began < SECONDS_MAX * 10


@settings(max_examples=200)
@given(st.binary(max_size=400))
def test_bytes_of_any_kind_are_no_event_or_an_error(data: bytes) -> None:
    for has_checksums in (False, True):
        with pytest.raises(Undecodable):
            Framing(has_checksums=has_checksums).event(data)


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_what_the_fuzzer_kept_ends_in_values_or_in_an_error(path: Path) -> None:
    run(path.read_bytes())


def test_the_seeds_of_the_fuzzer_are_events_that_are_read() -> None:
    assert {path.read_bytes() for path in CORPUS.glob("seed-*")} == set(seeds())
    assert any(gives_rows(seed) for seed in seeds())


def gives_rows(seed: bytes) -> bool:
    """Whether rows come out of it, undamaged."""
    described, _, body = seed[1:].partition(PARTS_SEPARATOR)
    kind = kind_of(seed[0])
    if kind not in kinds.ROWS or kind == kinds.PARTIAL_UPDATE_ROWS:
        return False
    decoder = Decoder({("recorded", "mixed"): None})
    list(decoder.happenings(raw(kinds.TABLE_MAP, described)))
    return bool(list(decoder.happenings(raw(kind, body))))
