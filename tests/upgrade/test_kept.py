"""State that the release before left behind: this one reads it and goes on; newer state is refused."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from confluent_kafka import Producer

from changeover.demo import oracle
from changeover.demo.broker import PrivateKafka
from changeover.demo.oracle_riak import RiakSide
from changeover.demo.server import PrivateMariaDB
from changeover.dualwrite import DualStore
from changeover.errors import StateNewer
from changeover.exits import DIFFERENT, OK, REFUSED
from changeover.log.kafka.client import Cluster
from changeover.mysql.control import TABLES
from changeover.riak.client import Client
from changeover.riak.objects import Delete, Get
from changeover.riak.request import Bucket
from changeover.settings import Settings
from changeover.targets import CLOSED, Note
from changeover.version import Version
from changeover.wiring import open_target, riak_access
from tests.riak.double.running import running
from tests.support.pipeline import Pipeline, write_settings
from tests.support.processes import environment, wait_until
from tests.upgrade import stores
from tests.upgrade.keep import BUCKET_TYPE, SCHEMA, riak_target

HERE = Path(__file__).parent
FILES = HERE / "cf20970"
SERVERS = HERE / "cf58081"
"""Log and target in files, and in Kafka and Riak, as those commits wrote them; keep.py tells what it is."""

CONTROL = f"{SCHEMA}_control"
CHUNKS_COPIED = 4
CHUNKS = "[snapshot]\nchunk_rows = 20\n"


@contextmanager
def source_of(kept: Path) -> Iterator[PrivateMariaDB]:
    """A server with the kept schemas, which counts on from their place."""
    with PrivateMariaDB() as server:
        load = ["mariadb", "--no-defaults", "--host=127.0.0.1", f"--port={server.port}", "--user=root"]
        secret = os.environ | {"MYSQL_PWD": server.password}
        subprocess.run(load, input=(kept / "source.sql").read_bytes(), env=secret, check=True)
        yield server


@pytest.fixture(scope="module")
def server() -> Iterator[PrivateMariaDB]:
    with source_of(FILES) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for file in ("log.db", "target.db"):
        shutil.copy(FILES / file, tmp_path)
    return tmp_path


class Away(NamedTuple):
    """Log and target on servers."""

    kafka: str
    riak: str

    @property
    def settings(self) -> Mapping[str, str]:
        return {"log": f"kafka://{self.kafka}", "target": riak_target(self.riak)}


@pytest.fixture(scope="module")
def away() -> Iterator[Away]:
    with PrivateKafka() as kafka, running() as riak:
        cluster = Cluster(servers=kafka.bootstrap)
        stores.into_kafka(stores.read(SERVERS / "kafka.gz"), cluster, "test", "apply")
        stores.into_riak(stores.read(SERVERS / "riak.gz"), riak.access)
        yield Away(kafka.bootstrap, str(riak.nodes[0].address))


def command(config: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    module = words if words[0] in {"cdc", "consumers"} else ("changeover", *words)
    asked = [sys.executable, "-P", "-m", *module, "--config", str(config)]
    return subprocess.run(asked, capture_output=True, text=True, env=environment(), check=False, timeout=90)


def test_tables_of_the_control_schema_that_were_released_keep_their_columns(server: PrivateMariaDB) -> None:
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = %s", (CONTROL,))
        released = {name for (name,) in cursor.fetchall()} & set(TABLES)
        assert len(released) > 5
        for name in sorted(released):
            like = "DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"
            cursor.execute(f"CREATE TEMPORARY TABLE {CONTROL}.now_{name} ({TABLES[name]}) {like}")
            columns = [f"SHOW COLUMNS FROM {CONTROL}.{table}" for table in (name, f"now_{name}")]
            kept, made = (cursor.execute(sql) and cursor.fetchall() for sql in columns)
            assert kept == made, name


# -- newer state is refused


class Newer(NamedTuple):
    """State that a newer release has written, and what is said of it."""

    said: str
    back: Callable[[], object]
    """Takes it back."""


def newer_log(folder: Path, _: PrivateMariaDB) -> Newer:
    return raised(folder / "log.db", "changeover_log")


def newer_target(folder: Path, _: PrivateMariaDB) -> Newer:
    return raised(folder / "target.db", "changeover_target")


def raised(file: Path, table: str) -> Newer:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(f"UPDATE {table} SET format = 99")
    return Newer(f"{file} is of format 99; this release knows 1", lambda: None)


def newer_control(_: Path, server: PrivateMariaDB) -> Newer:
    def ask(sql: str) -> None:
        with server.connect() as connection, connection.cursor() as cursor:
            cursor.execute(sql)

    ask(f"CREATE TABLE IF NOT EXISTS {CONTROL}.format ({TABLES['format']})")
    ask(f"INSERT INTO {CONTROL}.format VALUES (99)")
    return Newer(
        f"the control schema '{CONTROL}' is of format 99; this release knows 1",
        lambda: ask(f"DELETE FROM {CONTROL}.format WHERE number = 99"),
    )


CAPTURE, SNAPSHOT, APPLY = ("cdc", "capture"), ("cdc", "snapshot", "--worker", "1"), ("consumers", "apply")
STATUS, VERIFY, PLAN = ("status",), ("verify",), ("phase", "plan")
REPLAY = ("replay", "--from", "offset:0")
OF_LOG = (CAPTURE, SNAPSHOT, APPLY, STATUS, VERIFY, REPLAY)
OF_TARGET = (APPLY, VERIFY, REPLAY)
OF_CONTROL = (CAPTURE, SNAPSHOT, APPLY, STATUS, VERIFY, PLAN)
"""What reads which, wherever it is. `replay` asks nothing of the source, `status` nothing of a cluster."""


@pytest.mark.parametrize(
    ("newer", "words"),
    [
        *((newer_log, words) for words in (*OF_LOG, ("run",), PLAN, ("repair", "--dry-run"))),
        *((newer_target, words) for words in (*OF_TARGET, STATUS)),
        *((newer_control, words) for words in (*OF_CONTROL, ("pause", "apply"), ("finish",))),
        *((newer_control, words) for words in (("phase", "show"), ("findings", "list"))),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, tuple) else given.__name__,
)
def test_what_a_newer_release_wrote_is_refused_by_name_and_stays_as_it_is(
    server: PrivateMariaDB,
    folder: Path,
    newer: Callable[[Path, PrivateMariaDB], Newer],
    words: Sequence[str],
) -> None:
    found = newer(folder, server)
    try:
        before = {file: file.read_bytes() for file in folder.iterdir()}
        done = command(write_settings(server, SCHEMA, folder, extra=CHUNKS), *words)
        require_refused(done, found.said)
        if newer is not newer_control:
            assert {file: file.read_bytes() for file in before} == before
    finally:
        found.back()


def require_refused(done: "subprocess.CompletedProcess[str]", said: str) -> None:
    assert done.returncode == REFUSED, done.stderr
    reasons = [line for line in done.stderr.splitlines() if said in line]
    assert reasons, done.stderr
    assert "Run that release, or one that is newer" in reasons[-1]
    assert "Traceback" not in done.stderr


def test_a_finish_that_was_cut_off_does_not_take_away_what_a_newer_release_keeps(
    server: PrivateMariaDB, folder: Path
) -> None:
    config = write_settings(server, SCHEMA, folder, extra=CHUNKS)
    with open_target(Settings.load(config)) as target:
        target.remember(CLOSED, Note(Version(0, 1, 0), "{}"))
    found = newer_control(folder, server)
    try:
        require_refused(command(config, "finish"), found.said)
        assert chunks_of(server)
    finally:
        found.back()


@pytest.mark.parametrize("newer", [newer_log, newer_target, newer_control])
def test_doctor_finds_newer_state(
    server: PrivateMariaDB, folder: Path, newer: Callable[[Path, PrivateMariaDB], Newer]
) -> None:
    config = write_settings(server, SCHEMA, folder, extra=CHUNKS)
    assert command(config, "doctor").returncode == OK
    found = newer(folder, server)
    try:
        done = command(config, "doctor", "--json")
    finally:
        found.back()
    assert done.returncode == DIFFERENT
    (finding,) = [one for one in json.loads(done.stdout)["findings"] if one["severity"] == "refuse"]
    assert found.said in finding["what"]
    assert finding["mend"].startswith("Run that release")


@pytest.mark.parametrize("newer", [newer_target, newer_control])
def test_an_application_does_not_begin_on_newer_state(
    server: PrivateMariaDB, folder: Path, newer: Callable[[Path, PrivateMariaDB], Newer]
) -> None:
    settings = Settings.load(write_settings(server, SCHEMA, folder, extra=CHUNKS))
    found = newer(folder, server)
    try:
        with pytest.raises(StateNewer) as refused:
            DualStore(settings)
    finally:
        found.back()
    assert found.said in str(refused.value)


def newer_kafka(away: Away) -> Newer:
    def write(number: bytes) -> None:
        producer = Producer({"bootstrap.servers": away.kafka})
        producer.produce("test.control", number, b"format", partition=0)
        producer.flush(60)

    write(b"99")
    said = f"the topic test.control in Kafka at {away.kafka} is of format 99; this release knows 1"
    return Newer(said, lambda: write(b"1"))


def newer_riak(settings: Settings) -> Newer:
    bucket, key = Bucket(b"changeover", BUCKET_TYPE.encode()), b"note.test.format"
    with open_target(settings) as target:
        target.remember("format", Note(Version(0, 99, 0), ""))

    def back() -> None:
        with Client(riak_access(settings.target)) as client:
            client.call(Delete(bucket, key, client.call(Get(bucket, key)).clock))

    said = f"what pipeline 'test' keeps in Riak, in the bucket type '{BUCKET_TYPE}', is of format 99"
    return Newer(said, back)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("store", ["Kafka", "Riak"])
def test_what_a_newer_release_wrote_into_a_server_is_refused_too(
    server: PrivateMariaDB, tmp_path: Path, away: Away, store: str
) -> None:
    config = write_settings(server, SCHEMA, tmp_path, extra=CHUNKS, **away.settings)
    settings = Settings.load(config)
    found = newer_kafka(away) if store == "Kafka" else newer_riak(settings)
    try:
        for words in OF_LOG if store == "Kafka" else OF_TARGET:
            require_refused(command(config, *words), found.said)
        done = command(config, "doctor", "--json")
        assert found.said in done.stdout
    finally:
        found.back()


# -- kept state is gone on with; at the end, for it is used up


def test_the_import_the_changes_and_what_waited_in_the_log_go_on_to_the_same_end(
    server: PrivateMariaDB, folder: Path
) -> None:
    pipeline = Pipeline(server, SCHEMA, folder, extra=CHUNKS)
    go_on(server, pipeline, folder / "target.db")


@pytest.mark.timeout(300)
def test_they_go_on_over_kafka_and_into_riak_too(tmp_path: Path, away: Away) -> None:
    with source_of(SERVERS) as server:
        host, _, port = away.riak.rpartition(":")
        pipeline = Pipeline(server, SCHEMA, tmp_path, extra=CHUNKS, **away.settings)
        go_on(server, pipeline, RiakSide(host, int(port), BUCKET_TYPE))


def go_on(server: PrivateMariaDB, pipeline: Pipeline, target: Path | RiakSide) -> None:
    copied = chunks_of(server)
    assert len([version for version in copied if version]) == CHUNKS_COPIED < len(copied)
    with pipeline:
        with server.connect(database=SCHEMA) as writer, writer.cursor() as cursor:
            cursor.execute("UPDATE item SET name = 'by this release' WHERE id % 3 = 0")
            cursor.execute("DELETE FROM word WHERE word = 'w9'")
        pipeline.until(lambda now: now.is_import_applied)
        assert chunks_of(server)[:CHUNKS_COPIED] == copied[:CHUNKS_COPIED]  # those were not copied again
        pipeline.drain()
        with closing(server.connect()) as connection:
            found = oracle.compare(connection, SCHEMA, ("item", "word"), target)
        assert (found.differences, found.rows_source) == ((), {"item": 141, "word": 37})
        for words in (("status",), ("phase", "show"), ("verify",)):
            said = command(pipeline.config, *words)
            assert said.returncode == OK, (words, said.stderr)


def chunks_of(server: PrivateMariaDB) -> Sequence[str | None]:
    """The version at which each chunk of the first table was copied, None for one in work."""
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(
            f"SELECT copied_version FROM {CONTROL}.import_chunk WHERE table_name = 'item' ORDER BY chunk"
        )
        return [version for (version,) in cursor.fetchall()]


def test_parts_that_run_end_once_a_newer_release_takes_the_control_schema_over(
    server: PrivateMariaDB, folder: Path
) -> None:
    with Pipeline(server, SCHEMA, folder, parts=["capture", "apply"], extra=CHUNKS) as pipeline:
        pipeline.drain()
        found = newer_control(folder, server)
        try:

            def have_ended() -> bool:
                pipeline.supervisor.poll()
                return len(pipeline.supervisor.failed()) == len(pipeline.supervisor.parts)

            assert wait_until(have_ended, 60), pipeline.words()
        finally:
            found.back()
        assert [part.exit_status for part in pipeline.supervisor.parts] == [REFUSED, REFUSED]
        assert pipeline.words().count(found.said) >= 2
