"""Keeps what a release leaves behind when it is stopped in the middle, made by that release's own code:

    git worktree add --detach /tmp/release COMMIT
    PYTHONPATH=/tmp/release:. PYTHON tests/upgrade/keep.py tests/upgrade/FOLDER files

or `servers` for Kafka and Riak. The import is half done with a chunk in work, the consumer lags behind the
log, and there are delete markers.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from changeover.demo.broker import PrivateKafka
from changeover.demo.server import PrivateMariaDB
from changeover.doctor.riak import riak_findings
from changeover.finding import refusals
from changeover.log.kafka.client import Cluster
from changeover.mysql.catalog import captured_tables
from changeover.riak.request import Bucket
from changeover.wiring import create_topics
from tests.riak.double.running import running
from tests.support.pipeline import Pipeline, schema_of
from tests.upgrade import stores

SCHEMA = "kept"
TABLES = (
    "CREATE TABLE item (id INT PRIMARY KEY, name VARCHAR(40), price DECIMAL(10,2), body BLOB)",
    "INSERT INTO item SELECT seq, CONCAT('žluť ', seq), seq / 7, UNHEX(SHA1(seq)) FROM seq_1_to_150",
    "CREATE TABLE word (word VARCHAR(20) COLLATE utf8mb4_general_ci PRIMARY KEY, at DATETIME(3))",
    "INSERT INTO word SELECT CONCAT('w', seq), '2026-01-01' + INTERVAL seq SECOND FROM seq_1_to_40",
)
APPLIED = (
    "UPDATE item SET name = 'applied' WHERE id <= 20",
    "DELETE FROM item WHERE id BETWEEN 21 AND 30",
    "UPDATE word SET word = 'renamed' WHERE word = 'w7'",
)
LOGGED_ONLY = (
    "UPDATE item SET price = -1.5 WHERE id BETWEEN 10 AND 25 OR id > 145",
    "DELETE FROM word WHERE word IN ('renamed', 'w8')",
    "INSERT INTO item VALUES (1000, NULL, 0, '')",
)
CHUNKS = "[snapshot]\nchunk_rows = 20\nworkers = 1\n"


BUCKETS = ("changeover", "item", "word")
BUCKET_TYPE = "plain3"


class Stores(NamedTuple):
    """Where log and target are, what is done to them before the start, and after the end."""

    log: str
    target: str
    begin: Callable[[Pipeline], None] = lambda _: None
    end: Callable[[], None] = lambda: None


@contextmanager
def files(_: Path) -> Iterator[Stores]:
    """log.db and target.db."""
    yield Stores("sqlite:log.db", 'url = "sqlite:target.db"')


@contextmanager
def servers(folder: Path) -> Iterator[Stores]:
    """kafka.gz and riak.gz."""
    with PrivateKafka() as kafka, running() as riak:

        def begin(pipeline: Pipeline) -> None:
            with pipeline.connection() as connection:
                tables = captured_tables(connection)
            create_topics(pipeline.settings, tables)
            assert not refusals(riak_findings(pipeline.settings, tables))

        def end() -> None:
            log = stores.of_kafka(Cluster(servers=kafka.bootstrap), "test", "apply")
            stores.write(folder / "kafka.gz", log)
            buckets = [Bucket(name.encode(), BUCKET_TYPE.encode()) for name in BUCKETS]
            stores.write(folder / "riak.gz", stores.of_riak(riak.access, buckets))

        yield Stores(f"kafka://{kafka.bootstrap}", riak_target(str(riak.nodes[0].address)), begin, end)


def riak_target(address: str) -> str:
    """The section [target]."""
    return f'url = "riak://{address}"\nbucket_type = "{BUCKET_TYPE}"\nallow_plain_text = true'


def keep(folder: Path, kind: str) -> None:
    """Write log and target, and source.sql, with the place that the source begins at again."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        {"files": files, "servers": servers}[kind](folder) as kept,
        PrivateMariaDB() as server,
        schema_of(server, SCHEMA, *TABLES),
    ):

        def running_parts(*parts: str) -> Pipeline:
            return Pipeline(
                server, SCHEMA, folder, parts=parts, log=kept.log, target=kept.target, extra=CHUNKS
            )

        kept.begin(running_parts())
        with running_parts("capture", "apply") as pipeline:
            pipeline.until(lambda now: now.applied_through is not None)
            _import_half(pipeline)
            _run(server, *APPLIED)
            pipeline.drain()
        with running_parts("capture") as pipeline:
            before = pipeline.until(lambda now: now.captured_through is not None).changes_captured
            _run(server, *LOGGED_ONLY)
            pipeline.until(lambda now: now.changes_captured >= before + 15)
        with pipeline.open_log() as log:
            checkpoint = log.checkpoint()
        assert checkpoint is not None
        _dump(server, checkpoint.position, folder / "source.sql")
        kept.end()
    for file in ("changeover.toml", "daemons.log"):
        (folder / file).unlink()


def _import_half(pipeline: Pipeline) -> None:
    """Let a worker die after four chunks, with a fifth in its hands."""
    command = [
        sys.executable,
        "-P",
        "-m",
        "cdc",
        "snapshot",
        "--config",
        str(pipeline.config),
        "--worker",
        "1",
    ]
    died = subprocess.run(
        command, env=os.environ | {"CHANGEOVER_CRASH": "snapshot.chunk_cut:5:kill"}, check=False
    )
    assert died.returncode != 0


def _run(server: PrivateMariaDB, *statements: str) -> None:
    with server.connect(database=SCHEMA) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def _dump(server: PrivateMariaDB, position: str, file: Path) -> None:
    """Both schemas as SQL, behind the place that the server is to count on from."""
    dumped = subprocess.run(
        [
            *("mariadb-dump", "--no-defaults", "--host=127.0.0.1", f"--port={server.port}", "--user=root"),
            *(
                "--compact",
                "--hex-blob",
                "--skip-extended-insert",
                "--databases",
                SCHEMA,
                f"{SCHEMA}_control",
            ),
        ],
        env=os.environ | {"MYSQL_PWD": server.password},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    head = f"RESET MASTER;\nSET GLOBAL gtid_binlog_state = '{position}';\nSET SESSION sql_log_bin = 0;\n"
    file.write_text(head + dumped)


if __name__ == "__main__":
    keep(Path(sys.argv[1]).absolute(), sys.argv[2])
