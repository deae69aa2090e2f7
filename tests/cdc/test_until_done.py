"""Where 0 is taken for done, an import that was asked to stop and is not done must not end with 0."""

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from cdc.wiring import capture
from changeover.daemon import Duty
from changeover.demo.server import PrivateMariaDB
from changeover.exits import OK, UNAVAILABLE
from changeover.settings import Settings
from tests.support.pipeline import schema_of, write_settings
from tests.support.processes import environment, wait_until

TABLE = (
    "CREATE TABLE item (id INT PRIMARY KEY)",
    "INSERT INTO item SELECT seq FROM seq_1_to_200",
)
CHUNKS = "[snapshot]\nchunk_rows = 20\n"
HALTED = {"CHANGEOVER_CRASH": "snapshot.chunk_cut:2:pause"}


@pytest.mark.parametrize(("option", "status"), [((), OK), (("--until-done",), UNAVAILABLE)])
def test_an_import_that_was_asked_to_stop_says_whether_it_is_done_where_it_is_asked_for(
    mariadb: PrivateMariaDB, tmp_path: Path, option: Sequence[str], status: int
) -> None:
    with schema_of(mariadb, "until_done", *TABLE) as schema:
        config = write_settings(mariadb, schema, tmp_path, extra=CHUNKS)
        capture(Duty(Settings.load(config), "capture", lambda: True))  # begins, and ends at once
        command = [sys.executable, "-P", "-m", "cdc", "snapshot", "--config", str(config), *option]
        with subprocess.Popen(command, env=environment() | HALTED) as halted:
            assert wait_until(lambda: _state(halted.pid) == "T")
            halted.send_signal(signal.SIGTERM)
            halted.send_signal(signal.SIGCONT)
            assert halted.wait(60) == status
        assert subprocess.run(command, env=environment(), check=False).returncode == OK


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
