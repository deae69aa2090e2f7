"""One input of the fuzzer: a table map's bytes and a rows event's, or any other event.

python -m tests.fuzz.decoder -max_total_time=600 tests/fuzz/corpus
"""

from contextlib import suppress
from pathlib import Path

from cdc.binlog import kinds
from cdc.binlog.decoder import Decoder
from cdc.binlog.json_text import json_text
from cdc.binlog.table_map import names_of
from changeover.mysql.framing import BODY, HEADER, RawEvent, Undecodable
from tests.support.recorded import Recording

CORPUS = Path(__file__).parent / "corpus"
PARTS_SEPARATOR = b"\xffNEXT\xff"
MARIADB = 0x80
"""In an input's first byte: read as MariaDB's. The rest of it is the type of the second event."""


def run(data: bytes) -> None:
    """Read what the input says; anything but `Undecodable` is a finding.

    The first byte is the second event's type. Behind it is a table map's body, the separator, that event's.
    """
    if len(data) < 2:
        return
    described, _, body = data[1:].partition(PARTS_SEPARATOR)
    try:
        schema, name, _ = names_of(described)
        decoder = Decoder({(schema, name): None})
        if data[0] & MARIADB:
            list(
                decoder.happenings(
                    event(kinds.FORMAT_DESCRIPTION, b"\4\0" + b"10.11-MariaDB".ljust(54, b"\0"))
                )
            )
        list(decoder.happenings(event(kinds.TABLE_MAP, described)))
        list(decoder.happenings(event(kind_of(data[0]), body)))
    except (Undecodable, UnicodeDecodeError):  # of the names, which a decoder translates itself
        pass
    with suppress(Undecodable):
        json_text(body)


def kind_of(first: int) -> int:
    """Any type that is decoded."""
    decoded = sorted(
        {*kinds.ROWS, kinds.TRANSACTION_PAYLOAD, kinds.GTID_TAGGED, kinds.GTID, kinds.QUERY, 162, 165}
    )
    return decoded[(first & ~MARIADB) % len(decoded)]


def event(kind: int, body: bytes) -> RawEvent:
    """An event without a sum."""
    data = HEADER.pack(1, kind, 1, BODY + len(body), 0, 0) + body
    return RawEvent(1, kind, 0, data, len(data))


def seeds() -> list[bytes]:
    """Inputs from the recorded events: rows events behind their table maps, and others that are decoded."""
    found = []
    decoded = [kind_of(first) for first in range(MARIADB)]
    for name in ("rows", "tagged", "partial_json"):
        described = b""
        for packet in Recording(name).packets:
            kind, body = packet[4], packet[BODY:-4]
            if kind == kinds.TABLE_MAP:
                described = body
            elif kind in decoded and len(body) < 2_000:
                found.append(bytes([decoded.index(kind)]) + described + PARTS_SEPARATOR + body)
    return found


def main() -> None:
    """Write the seeds."""
    CORPUS.mkdir(exist_ok=True)
    for number, seed in enumerate(seeds()):
        (CORPUS / f"seed-{number:02}").write_bytes(seed)


if __name__ == "__main__":
    main()
