"""The connection that carries the binlog: whole events however they arrive, and no damaged one."""

import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pymysql
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.frames import frames_at
from changeover.demo.mysql8 import PrivateMySQL
from changeover.demo.server import PrivateMariaDB
from changeover.demo.sql import SQLServer
from changeover.errors import SourceUnavailable
from changeover.gtid import GtidSet
from changeover.mysql import dump
from changeover.mysql.catalog import captured_tables
from changeover.mysql.connection import Connection, parameters
from changeover.mysql.dump import BinlogDump, NotGiven, Packets, Request
from changeover.mysql.framing import FORMAT_DESCRIPTION, ROTATE, Framing, Undecodable
from changeover.settings import Settings, SourceSettings
from tests.support.pipeline import schema_of, write_settings
from tests.support.proxy import proxied
from tests.support.streamed import end_of_binlog, images_behind

WRITE_ROWS = 23
"""Of MariaDB."""
MARK = "the mark that is looked for"
SERVER_ID = 4_000_002
LARGE_BYTES = 2 * 0xFFFFFF


@pytest.fixture(scope="module")
def mysql() -> Iterator[PrivateMySQL]:
    # Without TLS, which would show the proxy nothing to damage, and catch any damage by itself.
    with PrivateMySQL(options={"ssl": "OFF"}) as server:
        yield server


@pytest.fixture(params=["mariadb", "mysql"])
def server(request: pytest.FixtureRequest, mariadb: PrivateMariaDB) -> SQLServer:
    return mariadb if request.param == "mariadb" else request.getfixturevalue("mysql")


@pytest.fixture
def source(server: SQLServer, tmp_path: Path) -> Iterator[SourceSettings]:
    table = "CREATE TABLE t (id INT PRIMARY KEY, body LONGTEXT)"
    with schema_of(server, "dumped", table) as schema:
        yield Settings.load(write_settings(server, schema, tmp_path)).source


def written(source: SourceSettings, *bodies: str) -> str:
    """The place before rows with these bodies, written in a transaction each."""
    with Connection(source) as connection:
        place = end_of_binlog(connection)
        for number, body in enumerate(bodies):
            connection.execute("INSERT INTO dumped.t VALUES (%s, %s)", (number, body))
    return place


def through(source: SourceSettings, port: int) -> SourceSettings:
    return source.model_copy(update={"url": f"mysql://{source.user}@127.0.0.1:{port}"})


def bodies_behind(source: SourceSettings, place: str) -> list[object]:
    with Connection(source) as connection:
        tables = captured_tables(connection)
    return [after and after["body"] for _, after in images_behind(source, tables, place)["t"]]


# -- what PyMySQL has below its face -----------------------------------------------------------------------


def test_pymysql_has_what_the_dump_stands_on(source: SourceSettings) -> None:
    connection: Any = pymysql.connect(**parameters(source))
    connection._execute_command(0x0E, b"")  # COM_PING
    assert connection._read_packet().is_ok_packet()
    assert connection._sock.fileno() > 0
    connection._force_close()
    assert connection._sock is None


def test_nothing_of_an_answer_is_left_in_pymysqls_buffer_when_the_dump_begins(source: SourceSettings) -> None:
    with closing(BinlogDump(source, Request())) as dumped:
        first = Framing(has_checksums=dumped.has_checksums).event(dumped.read() or b"")
    assert first.kind == ROTATE


# -- events, whole -----------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=50)), st.randoms(use_true_random=False))
def test_packets_come_whole_however_their_bytes_are_cut(bodies: list[bytes], random: Any) -> None:  # noqa: ANN401
    sent = b"".join(struct.pack("<I", len(body)) + body for body in bodies)
    packets, found = Packets(), []
    while sent:
        cut = random.randint(1, len(sent))
        packets.add(sent[:cut])
        sent = sent[cut:]
        while (packet := packets.next()) is not None:
            found.append(packet)
    assert found == bodies
    assert packets.next() is None


def test_an_event_beyond_the_largest_packet_comes_whole(source: SourceSettings) -> None:
    with Connection(source) as connection:
        connection.execute("SET GLOBAL max_allowed_packet = 67108864")
        connection.execute("DELETE FROM dumped.t")
    with Connection(source) as connection:
        place = end_of_binlog(connection)
        for number, length in enumerate((LARGE_BYTES, 0xFFFFFF - 1, 1)):
            connection.execute("INSERT INTO dumped.t VALUES (%s, REPEAT('x', %s))", (number, length))
    found = bodies_behind(source, place)
    assert [len(str(body)) for body in found] == [LARGE_BYTES, 0xFFFFFF - 1, 1]


def test_an_event_that_ends_with_a_full_packet_comes_whole(source: SourceSettings) -> None:
    """The length of the row is found by trying: the event then has exactly as many bytes as a packet can."""
    place = written(source, "y" * (0xFFFFFF - 200))
    with closing(BinlogDump(source, request_at(place))) as dumped:
        longest = max(len(data) for data in dumped.all())
    with Connection(source) as connection:
        connection.execute("DELETE FROM dumped.t")
    wanted = 0xFFFFFF - 200 + (0xFFFFFF - 1 - longest)  # the packet has one byte more than the event
    place = written(source, "y" * wanted)
    assert bodies_behind(source, place) == ["y" * wanted]


def request_at(place: str) -> Request:
    return frames_at(place, "0-1").request()


def test_bytes_that_come_one_by_one_make_the_same_events(server: SQLServer, source: SourceSettings) -> None:
    place = written(source, "a", "b")
    with proxied(server.port, lambda chunk: chunk, piece_bytes=1) as port:
        assert bodies_behind(through(source, port), place) == ["a", "b"]


# -- damage ------------------------------------------------------------------------------------------------


def test_one_flipped_bit_on_the_way_is_caught(server: SQLServer, source: SourceSettings) -> None:
    place = written(source, MARK)

    def flip(chunk: bytes) -> bytes:
        at = chunk.find(MARK.encode())
        return chunk if at < 0 else chunk[:at] + bytes([chunk[at] ^ 1]) + chunk[at + 1 :]

    with proxied(server.port, flip) as port, pytest.raises(Undecodable, match="checksum is wrong"):
        bodies_behind(through(source, port), place)


def test_the_same_bit_passes_where_the_server_writes_no_checksums(
    server: SQLServer, source: SourceSettings
) -> None:
    """The control: it is the checksum that catches it."""
    with Connection(source) as connection:
        connection.execute("SET GLOBAL binlog_checksum = NONE")
    try:
        place = written(source, MARK)
        with proxied(server.port, lambda chunk: chunk.replace(b"the mark", b"The mark")) as port:
            assert bodies_behind(through(source, port), place) == [MARK.replace("the", "The", 1)]
    finally:
        with Connection(source) as connection:
            connection.execute("SET GLOBAL binlog_checksum = CRC32")


def test_checksums_may_be_switched_while_the_binlog_is_read(source: SourceSettings) -> None:
    place = written(source, "with")
    with Connection(source) as connection:
        for number, kind in enumerate(("NONE", "CRC32"), 10):
            connection.execute(f"SET GLOBAL binlog_checksum = {kind}")
            connection.execute("INSERT INTO dumped.t VALUES (%s, %s)", (number, kind))
    assert bodies_behind(source, place) == ["with", "NONE", "CRC32"]


def test_every_byte_of_a_rows_event_is_covered_by_its_sum(source: SourceSettings) -> None:
    place = written(source, "a")
    with closing(BinlogDump(source, request_at(place))) as dumped:
        framing = Framing(has_checksums=dumped.has_checksums)
        events = [framing.event(data).data for data in dumped.all()]
    assert any(data[4] == FORMAT_DESCRIPTION for data in events)
    for data in events:
        for at in range(len(data)):
            damaged = data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]
            with pytest.raises(Undecodable):
                Framing(has_checksums=True).event(damaged)


# -- the connection ----------------------------------------------------------------------------------------


def test_whoever_follows_the_binlog_is_listed_as_a_replica_and_who_only_looks_is_not(
    source: SourceSettings,
) -> None:
    with Connection(source) as connection:

        def replicas() -> list[str]:
            return [row["server_id"] for row in lowered(connection.records("SHOW SLAVE HOSTS"))]

        with closing(BinlogDump(source, Request(), SERVER_ID)) as dumped:
            assert dumped.read()
            assert str(SERVER_ID) in replicas()
        with closing(BinlogDump(source, Request())) as dumped:
            assert dumped.read()
            assert "0" not in replicas()


def lowered(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{name.lower(): value for name, value in row.items()} for row in rows]


def test_an_idle_server_beats_so_that_silence_means_a_dead_connection(
    server: SQLServer, source: SourceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dump, "SILENCE_S_MAX", 2)
    place = written(source)
    silent = False
    with (
        proxied(server.port, lambda chunk: b"" if silent else chunk) as port,
        closing(BinlogDump(through(source, port), request_at(place), SERVER_ID)) as dumped,
    ):
        with monkeypatch.context() as patient:  # the server may be late with its beats of every second
            patient.setattr(dump, "SILENCE_S_MAX", 60)
            seen = 0
            while seen < 4:  # a rotate, a format description, perhaps more, and then beats
                seen += dumped.read(5) is not None
        silent = True
        with pytest.raises(SourceUnavailable, match="silent for 2 s"):
            read_all(dumped)


def read_all(dumped: BinlogDump) -> None:
    while True:
        dumped.read(0.5)


def test_a_place_that_is_not_there_is_said_in_the_servers_words(source: SourceSettings) -> None:
    with closing(BinlogDump(source, Request("nowhere.000001"))) as dumped, pytest.raises(NotGiven):
        dumped.read()


def test_a_place_beyond_what_can_be_asked_for_is_refused(source: SourceSettings) -> None:
    with pytest.raises(NotGiven, match="4 bytes"):
        BinlogDump(source, Request("binlog.000001", 2**32))


def test_a_set_of_gtids_is_written_as_the_server_reads_it() -> None:
    uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
    encoded = GtidSet.parse(f"{uuid}:1-5:7").encoded
    assert encoded[:8] == struct.pack("<Q", 1)
    assert encoded[8:24].hex() == uuid.replace("-", "")
    assert struct.unpack("<QQQQQ", encoded[24:]) == (2, 1, 6, 7, 8)
