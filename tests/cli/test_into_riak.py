"""The command line with a Riak target: doctor first, then run, status and replay."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from changeover.demo.oracle import compare
from changeover.demo.oracle_riak import RiakSide
from changeover.demo.server import PrivateMariaDB
from changeover.exits import OK, REFUSED, UNAVAILABLE
from tests.riak.double.running import Running, running
from tests.support.pipeline import Pipeline, schema_of

CHANGEOVER = Path(sys.executable).with_name("changeover")
ROWS = 3_000


@pytest.fixture
def schema(mariadb: PrivateMariaDB) -> Iterator[str]:
    with schema_of(
        mariadb,
        "into_riak",
        "CREATE TABLE item (id INT PRIMARY KEY, name VARCHAR(50), weight DECIMAL(10, 3))",
        f"INSERT INTO item SELECT seq, CONCAT('item ', seq), seq / 7 FROM seq_1_to_{ROWS}",
    ) as schema:
        yield schema


@pytest.fixture
def riak() -> Iterator[Running]:
    with running(3) as riak:
        yield riak


@pytest.fixture
def pipeline(mariadb: PrivateMariaDB, schema: str, riak: Running, tmp_path: Path) -> Pipeline:
    nodes = ",".join(str(node.address) for node in riak.nodes)
    return Pipeline(
        mariadb,
        schema,
        tmp_path,
        target=f'allow_plain_text = true\nurl = "riak://{nodes}"\nbucket_type = "plain3"',
        extra=f'[mapping.tables."{schema}.item"]\nindex = ["name"]\n[snapshot]\nchunk_rows = 500\n',
    )


def changeover(pipeline: Pipeline, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(CHANGEOVER), *words, "--config", str(pipeline.config)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_doctor_proves_and_the_pipeline_runs_and_a_replay_changes_nothing(
    pipeline: Pipeline, riak: Running
) -> None:
    before = changeover(pipeline, "run")
    assert before.returncode == REFUSED
    assert "changeover doctor" in before.stderr
    report = json.loads(changeover(pipeline, "doctor", "--json").stdout)
    assert [one for one in report["findings"] if one["subject"] == "target"] == []
    with pipeline:
        pipeline.until(lambda now: now.is_import_applied)
        pipeline.drain()
    for sequence in range(2):
        assert differences(pipeline, riak) == 0, sequence
        replayed = changeover(pipeline, "replay", "--from", "offset:0")
        assert replayed.returncode == OK, replayed.stderr
        assert f"{ROWS:,} records read" in replayed.stdout
    for node in riak.nodes:
        node.kill()
    assert changeover(pipeline, "status").returncode == OK
    assert changeover(pipeline, "run").returncode == UNAVAILABLE


def differences(pipeline: Pipeline, riak: Running) -> int:
    connection = pipeline.server.connect()
    try:
        address = riak.nodes[0].address
        side = RiakSide(address.host, address.port, "plain3")
        compared = compare(connection, pipeline.schema, ["item"], side)
        assert compared.rows_target == {"item": ROWS}
        return compared.difference_count
    finally:
        connection.close()
