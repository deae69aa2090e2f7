"""What a command loads before it works: who only looks at a pipeline does not wait for what others need."""

import subprocess
import sys
from pathlib import Path

from changeover.demo.server import PrivateMariaDB
from changeover.exits import OK, REFUSED
from changeover.log.sqlite import SQLiteLog
from tests.support.pipeline import schema_of, write_settings
from tests.support.processes import environment

HEAVY = {
    "anyio": "serve",
    "changeover.demo.story": "demo",
    "changeover.dualwrite": "demo, and applications",
    "changeover.page.server": "serve",
    "confluent_kafka": "those who have their log in Kafka",
    "prometheus_client": "daemons",
    "starlette": "serve",
    "uvicorn": "serve",
}
"""Modules that take long to load, and who needs them."""


def loaded(config: Path, *words: str) -> tuple[int, set[str]]:
    """A command's exit status, and the modules that it has loaded."""
    asked = [sys.executable, "-P", "-X", "importtime", "-m", "changeover", *words, "--config", str(config)]
    done = subprocess.run(asked, capture_output=True, text=True, env=environment(), check=False, timeout=90)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return done.returncode, {line.rpartition("|")[2].strip() for line in lines}


def test_status_loads_neither_web_server_nor_demo_nor_the_client_of_a_log_that_it_has_not(
    mariadb: PrivateMariaDB, tmp_path: Path
) -> None:
    with schema_of(mariadb, "started", "CREATE TABLE item (id INT PRIMARY KEY)") as schema:
        config = write_settings(mariadb, schema, tmp_path)
        SQLiteLog(tmp_path / "log.db", "test").close()
        status, modules = loaded(config, "status")
    assert status == OK
    assert {"changeover.log.sqlite", "changeover.status", "pymysql"} <= modules
    assert HEAVY.keys() & modules == set()


def test_serve_loads_its_web_server(mariadb: PrivateMariaDB, tmp_path: Path) -> None:
    """So what is looked for above is seen where it is loaded."""
    config = write_settings(mariadb, "started", tmp_path, extra='[page]\nlisten = "192.0.2.1:1"\n')
    status, modules = loaded(config, "serve")
    assert status == REFUSED
    assert {name for name, who in HEAVY.items() if who == "serve"} | {"prometheus_client"} <= modules
