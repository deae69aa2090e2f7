"""An application that imports the library gets nothing of what the programs need."""

import subprocess
import sys

from changeover.phase import Phase
from tests.support.processes import environment
from tests.support.ward import Ward

WITHOUT = """
import sys
refused = {"confluent_kafka", "typer", "rich", "cdc", "consumers", "starlette", "uvicorn", "sqlalchemy"}
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in refused or name in {"changeover.log", "changeover.wiring",
        "changeover.cli"}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
from pathlib import Path
from changeover.dualwrite import DualStore
with DualStore.from_settings(Path(sys.argv[1])) as store:
    with store.transaction() as tx:
        tx.execute("INSERT INTO prescription VALUES (1, 2.5, NULL)")
        tx.changed("prescription", id=1)
    print(store.get("prescription", id=1).value, store.counts.now()["direct_writes"])
"""


def test_it_works_where_there_is_no_kafka_no_daemon_no_command_line_and_no_web(ward: Ward) -> None:
    ward.move(Phase.BOTH_READ_OLD)
    ward.settings()
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(ward.folder / "changeover.toml")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment(),
    )
    assert done.stdout.split(" ", 1)[0] == "{'id':", done.stderr
    assert done.stdout.strip() == "{'id': 1, 'dose': '2.500', 'note': None} 1"
