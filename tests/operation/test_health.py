"""Health as probes and systemd see it: ready, getting on with the work or not, stopped loudly and why."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from changeover.demo.server import PrivateMariaDB
from changeover.exits import OK, REFUSED, STOPPED
from changeover.mysql.connection import Connection
from changeover.settings import Settings
from tests.operation.daemon import Daemon, running
from tests.operation.scraping import Scrape, asked
from tests.support.pipeline import schema_of, write_settings
from tests.support.processes import environment
from tests.support.processes import wait_until as waited

STEP_S_MAX = 60.0
"""Of a step that takes a second or two: machines are busy now and then."""

METRICS = """
[metrics]
listen = "127.0.0.1:0"
stalled_s = 1.5
behind_s = 5
"""


@pytest.fixture
def config(mariadb: PrivateMariaDB, tmp_path: Path) -> Iterator[Path]:
    with schema_of(mariadb, "healthy", "CREATE TABLE item (id INT PRIMARY KEY)") as schema:
        yield write_settings(mariadb, schema, tmp_path, extra=METRICS)


def wait_until(condition: Callable[[], bool]) -> bool:
    """Whether the condition came to hold in time."""
    return waited(condition, STEP_S_MAX)


def execute(config: Path, *statements: str) -> None:
    """As the application."""
    with Connection(Settings.load(config).source) as connection:
        for statement in statements:
            connection.execute(statement)


def test_capture_tells_systemd_and_probes_that_it_is_ready_and_then_why_it_stopped(config: Path) -> None:
    with running("capture", config) as daemon:
        daemon.until_ready()
        assert wait_until(lambda: daemon.page("/healthz") == (200, "healthy\n"))
        assert wait_until(lambda: Scrape(daemon.address).value("changeover_ready") == 1)
        assert wait_until(lambda: daemon.told.count("READY=1") == 1)
        assert wait_until(lambda: daemon.has_told("STATUS=ready"))

        execute(config, "ALTER TABLE healthy.item ADD born INT")
        assert wait_until(lambda: daemon.page("/readyz")[1].startswith("stopped: in transaction "))
        status, reason = daemon.page("/readyz")
        assert status == 503
        assert "ALTER TABLE" in reason
        assert wait_until(lambda: daemon.has_told("STATUS=stopped: in transaction "))
        scrape = Scrape(daemon.address)
        assert (scrape.value("changeover_stopped"), scrape.value("changeover_ready")) == (1, 0)
        # Started anew it would stop there again: so it is not ill, and its watchdog is kept from killing it.
        assert daemon.page("/healthz") == (200, "healthy\n")
        signs = daemon.signs_of_progress()
        assert wait_until(lambda: daemon.signs_of_progress() > signs + 2)

        assert '"place": "in transaction 0-1-' in daemon.words()
        assert daemon.process.poll() is None  # held, for a scrape
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(STEP_S_MAX) == STOPPED
        assert daemon.told[-1] == "STOPPING=1"


def test_a_loop_that_stands_still_is_ill_though_a_thread_still_answers(config: Path) -> None:
    with running("capture", config) as capture, running("apply", config) as apply:
        apply.until_ready()
        signs = apply.signs_of_progress()
        assert wait_until(lambda: apply.signs_of_progress() > signs + 1)
        with locked(config.parent / "target.db"):  # apply's next write waits for as long as this takes
            execute(config, "INSERT INTO healthy.item VALUES (1)")
            assert wait_until(lambda: apply.page("/healthz")[0] == 503), apply.words() + capture.words()
            assert apply.page("/healthz")[1].startswith("no progress for ")
            signs = apply.signs_of_progress()
            assert wait_until(
                lambda: (Scrape(apply.address).value("changeover_progress_age_seconds") or 0) > 3
            )
            assert apply.signs_of_progress() == signs  # systemd's watchdog hears nothing
        assert wait_until(lambda: apply.page("/healthz")[0] == 200)
        assert wait_until(lambda: apply.signs_of_progress() > signs)
        with locked(config.parent / "log.db"):  # so capture has not, and apply need not wait for it
            halt(capture)
        # No heartbeat any more: apply cannot tell that it is in step.
        assert wait_until(lambda: apply.page("/readyz")[1].startswith("behind the source by "))
        assert apply.page("/readyz")[0] == 503
        assert wait_until(lambda: apply.page("/healthz")[0] == 200)
        capture.process.send_signal(signal.SIGCONT)
        apply.process.send_signal(signal.SIGTERM)
        assert apply.process.wait(STEP_S_MAX) == OK


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Nobody else writes to the database, or is in the middle of it."""
    with closing(sqlite3.connect(file, timeout=STEP_S_MAX, isolation_level=None)) as held:
        held.execute("BEGIN IMMEDIATE")
        yield
        held.execute("ROLLBACK")


def halt(daemon: Daemon) -> None:
    """Return once it stands still."""
    daemon.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, daemon.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)


OVER_AT_ONCE = """
import sys
from pathlib import Path
from changeover.daemon import run_daemon
sys.exit(run_daemon("snapshot", Path(sys.argv[1]), lambda duty: None))
"""


def test_what_is_over_at_once_was_ready_or_systemd_would_call_it_a_failure(config: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(config.with_name("notify")))
        told.setblocking(False)  # noqa: FBT003 - the socket's own interface
        where = {"NOTIFY_SOCKET": told.getsockname()}
        subprocess.run(
            [sys.executable, "-P", "-c", OVER_AT_ONCE, config], env=environment() | where, check=True
        )
        lines: list[str] = []
        with suppress(BlockingIOError):
            while True:
                lines += told.recv(10_000).decode().splitlines()
    assert "READY=1" in lines
    assert lines[-1] == "STOPPING=1"


def test_pages_that_there_are_not_are_not_found_and_nothing_but_asking_is_answered(config: Path) -> None:
    with running("capture", config) as daemon:
        assert daemon.page("/")[0] == 404
        host, _, port = daemon.address.partition(":")
        with socket.create_connection((host, int(port)), timeout=STEP_S_MAX) as raw:
            raw.sendall(b"DELETE /metrics HTTP/1.0\r\n\r\n")
            assert raw.recv(100).startswith(b"HTTP/1.0 501")
        stalled = [socket.create_connection((host, int(port)), timeout=STEP_S_MAX) for _ in range(20)]
        try:  # they ask nothing, and are hung up on in time
            assert wait_until(lambda: can_ask(daemon))
        finally:
            for connection in stalled:
                connection.close()


def can_ask(daemon: Daemon) -> bool:
    """Whether somebody is answered."""
    try:
        return asked(daemon.address, "/healthz")[0] == 200
    except OSError:
        return False


@pytest.mark.parametrize(
    "listen", ["0.0.0.0:9470", "localhost", "[::]:9470", "127.0.0.1:65500", "example.org:9470"]
)
def test_an_address_that_cannot_be_meant_is_refused_in_one_line(config: Path, listen: str) -> None:
    said = refused(config.read_text().replace("127.0.0.1:0", listen), config)
    assert "metrics" in said
    assert not (config.parent / "log.db").exists()


def test_a_port_in_use_is_refused_before_anything_is_touched(config: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        said = refused(config.read_text().replace("127.0.0.1:0", address), config)
    assert f"{address} (metrics.listen) cannot be listened at" in said
    assert not (config.parent / "log.db").exists()


def refused(settings: str, config: Path) -> str:
    """What capture says when it refuses these settings."""
    config.write_text(settings)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "cdc", "capture", "--config", str(config)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    (line,) = done.stderr.splitlines()
    assert done.returncode == REFUSED
    return line
