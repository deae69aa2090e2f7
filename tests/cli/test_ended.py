"""A command that is told to end while it waits."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

CONFIG = """
pipeline = "test"
[source]
url = "mysql://root@127.0.0.1:{port}"
include = ["records.*"]
[log]
url = "sqlite:log.db"
[target]
url = "sqlite:target.db"
"""


def test_a_command_ends_on_sigterm_as_on_ctrl_c(tmp_path: Path) -> None:
    config = tmp_path / "changeover.toml"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        config.write_text(CONFIG.format(port=silent.getsockname()[1]))
        with subprocess.Popen(
            [sys.executable, "-P", "-m", "changeover", "doctor", "--config", str(config)],
            env=os.environ | {"CHANGEOVER_SOURCE__PASSWORD": "secret"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        ) as doctor:
            link, _ = silent.accept()
            with link:
                doctor.send_signal(signal.SIGTERM)
                _, said = doctor.communicate(timeout=60)
            assert (doctor.returncode, said) == (128 + signal.SIGINT, b"")
