"""Secrets and masked values are planted in a pipeline, and looked for in all that it gives out."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from changeover.demo.server import PrivateMariaDB
from changeover.exits import OK, REFUSED, STOPPED, UNAVAILABLE
from tests.operation.scraping import addresses, asked
from tests.support.accounts import HOST, run
from tests.support.pipeline import schema_of
from tests.support.processes import children_of, environment, wait_until

CHANGEOVER = str(Path(sys.executable).with_name("changeover"))

PASSWORD = "canary-password-5b1f"
MASK_SECRET = "canary-mask-secret-90c2"
HASHED, LEFT_OUT, REPLACED = "canary-hashed-77e0", "canary-left-out-31aa", "canary-replaced-c4d9"
OPEN = "open-value-8d3e"
"""Moves as it is: where it is found, a canary would have been found too."""

CANARIES = (PASSWORD, MASK_SECRET, HASHED, LEFT_OUT, REPLACED)

TABLES = (
    (
        "CREATE TABLE person "
        "(email VARCHAR(60) PRIMARY KEY, cpr VARCHAR(60), born VARCHAR(60), name VARCHAR(60))"
    ),
    f"INSERT INTO person VALUES ('{HASHED}', '{LEFT_OUT}', '{REPLACED}', '{OPEN}')",
)

SETTINGS = """
pipeline = "test"
[source]
url = "mysql://canary@127.0.0.1:{port}"
include = ["secret.*"]
control_schema = "secret_control"
password_file = "source-password"
heartbeat_s = 0.1
[log]
url = "sqlite:log.db"
[target]
url = "sqlite:target.db"
[masks]
hash = ["secret.person.email"]
leave_out = ["secret.person.cpr"]
secret_file = "masks-secret"
[masks.constants]
"secret.person.born" = "1900"
[metrics]
listen = "127.0.0.1:0"
hold_stop_s = 600
[logs]
debug = true
[snapshot]
workers = 1
"""


@dataclass(slots=True)
class Given:
    """All that a pipeline has given out, by where."""

    folder: Path
    outputs: dict[str, bytes] = field(default_factory=dict)

    def command(self, *words: str, status: int = OK, **variables: str) -> str:
        """What a command says, which is kept."""
        config = str(self.folder / "changeover.toml")
        done = subprocess.run(
            [CHANGEOVER, *words, "--config", config],
            capture_output=True,
            check=False,
            env=environment() | variables,
            timeout=90,
        )
        self.outputs[f"changeover {' '.join(words)} {variables}"] = done.stdout + done.stderr
        assert done.returncode == status, done
        return done.stdout.decode()

    def files(self) -> None:
        """Keep what lies in the folder by now, but for the settings and the secrets themselves."""
        for file in self.folder.iterdir():
            if file.suffix != ".toml" and file.name not in {"source-password", "masks-secret"}:
                self.outputs[file.name] = file.read_bytes()

    def arguments(self, process: "subprocess.Popen[bytes]") -> None:
        """Keep the command lines of the process and of its children, which everybody can read."""
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for pid in (str(process.pid), *children):
            self.outputs[f"arguments of {pid}"] = Path(f"/proc/{pid}/cmdline").read_bytes()

    def pages(self) -> None:
        """Keep what each daemon answers."""
        for part, address in addresses(self.folder / "run.log").items():
            for page in ("/metrics", "/readyz", "/healthz", "/nothing"):
                try:
                    self.outputs[part + page] = asked(address, page)[1].encode()
                except OSError:
                    assert part == "snapshot", part  # its work is done

    def where(self, secret: str) -> list[str]:
        """Where the secret can be found."""
        return [name for name, output in self.outputs.items() if secret.encode() in output]


@contextmanager
def moving(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """`changeover run`, and its output in run.log."""
    with (folder / "run.log").open("ab") as output:
        process = subprocess.Popen(
            [CHANGEOVER, "run", "--config", str(folder / "changeover.toml")], stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(60)


@pytest.fixture(scope="module")
def given(mariadb: PrivateMariaDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Given]:
    """A pipeline that has moved, was asked everything, refused a login, and has stopped at a statement."""
    folder = tmp_path_factory.mktemp("secret")
    (folder / "source-password").write_text(PASSWORD)
    (folder / "masks-secret").write_text(MASK_SECRET)
    (folder / "changeover.toml").write_text(SETTINGS.format(port=mariadb.port))
    given = Given(folder)
    run(
        mariadb, f"CREATE USER canary@{HOST} IDENTIFIED BY '{PASSWORD}'", f"GRANT ALL ON *.* TO canary@{HOST}"
    )
    try:
        with schema_of(mariadb, "secret", *TABLES), moving(folder) as process:
            assert wait_until(lambda: has_moved(folder), 60), (folder / "run.log").read_text()
            run(
                mariadb,
                f"UPDATE secret.person SET cpr = '{LEFT_OUT}2', born = '{REPLACED}2', name = '{OPEN}2'",
                f"INSERT INTO secret.person VALUES ('{HASHED}2', '{LEFT_OUT}', '{REPLACED}', 'Eva')",
                f"DELETE FROM secret.person WHERE email = '{HASHED}2'",
            )
            for words in (
                "status",
                "status --json",
                "config show",
                "config show --json",
                "phase plan --json",
            ):
                given.command(*words.split(), status=1 if words.startswith("phase") else OK)
            given.command("verify", "--json")
            given.command("doctor", "--json", status=json_status(given))
            as_root = f"mysql://root@127.0.0.1:{mariadb.port}"  # whose password is another one
            given.command("status", status=REFUSED, CHANGEOVER_SOURCE__URL=as_root)
            given.command("status", status=UNAVAILABLE, CHANGEOVER_SOURCE__URL="mysql://canary@127.0.0.1:1")
            given.arguments(process)
            given.pages()
            run(mariadb, f"ALTER TABLE secret.person COMMENT '{HASHED}', ALTER born SET DEFAULT '{REPLACED}'")
            where = addresses(folder / "run.log")["capture"]
            assert wait_until(lambda: asked(where, "/readyz")[1].startswith("stopped: "))
            given.pages()
            (capture,) = [pid for pid, command in children_of(process.pid).items() if " capture " in command]
            os.kill(capture, signal.SIGTERM)  # it has been seen, and need not be held any longer
            assert process.wait(60) == STOPPED
            given.files()
            yield given
    finally:
        run(mariadb, f"DROP USER canary@{HOST}")


def has_moved(folder: Path) -> bool:
    """Whether the first row is in the target."""
    try:
        return any(OPEN.encode() in file.read_bytes() for file in folder.glob("target.db*"))
    except FileNotFoundError:  # what SQLite keeps beside its file for a moment
        return False


def json_status(given: Given) -> int:
    """What doctor ends with: it judges, and finds what it finds."""
    config = str(given.folder / "changeover.toml")
    done = subprocess.run(
        [CHANGEOVER, "doctor", "--json", "--config", config], capture_output=True, check=False
    )
    json.loads(done.stdout)
    return done.returncode


def test_nothing_gives_a_secret_or_a_masked_value_away(given: Given) -> None:
    assert {secret: found for secret in CANARIES if (found := given.where(secret))} == {}


def test_what_is_looked_through_is_what_was_given_out(given: Given) -> None:
    found = given.where(OPEN)
    assert {name for name in found if "log.db" in name}
    assert {name for name in found if "target.db" in name}
    assert given.where("secret.person")  # a table's name, in metrics and commands
    assert {"run.log", "capture/metrics", "apply/metrics", "capture/readyz"} <= set(given.outputs)
    assert "ALTER TABLE" in given.outputs["capture/readyz"].decode()
    assert sum(name.startswith("arguments of") for name in given.outputs) >= 3
