"""What holds for every private server."""

import shutil
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from changeover.demo.broker import PrivateKafka
from changeover.demo.mysql8 import PrivateMySQL
from changeover.demo.private import PORTS, PrivateServer, ServerFailed, free_ports
from changeover.demo.server import PrivateMariaDB
from tests.support.processes import WAIT_S_MAX, is_running, parent_of, wait_until

SERVERS: list[type[PrivateServer]] = [PrivateMariaDB, PrivateMySQL, PrivateKafka]

each_server = pytest.mark.parametrize("kind", SERVERS)


@each_server
def test_nothing_is_left_after_the_block_even_if_it_fails(tmp_path: Path, kind: type[PrivateServer]) -> None:
    server = kind(tmp_path)
    with suppress(ZeroDivisionError), server:
        pid = server.pid
        raise ZeroDivisionError
    assert pid is not None
    assert not is_running(pid)
    assert list(tmp_path.iterdir()) == []


@each_server
def test_the_server_dies_with_a_parent_that_is_killed(tmp_path: Path, kind: type[PrivateServer]) -> None:
    parent, pid = parent_of(kind, tmp_path)
    assert is_running(pid)
    parent.kill()
    parent.wait()
    assert wait_until(lambda: not is_running(pid))
    shutil.rmtree(tmp_path)  # its files stay: a killed parent cannot remove them


@each_server
def test_an_interrupted_parent_takes_server_and_files_with_it(
    tmp_path: Path, kind: type[PrivateServer]
) -> None:
    parent, pid = parent_of(kind, tmp_path)
    parent.send_signal(signal.SIGINT)
    parent.wait(WAIT_S_MAX)
    assert not is_running(pid)
    assert list(tmp_path.iterdir()) == []


@each_server
def test_a_paused_server_can_be_stopped(kind: type[PrivateServer]) -> None:
    with kind() as server:
        server.pause()
        server.stop()
        assert server.pid is None


def test_half_an_installation_is_not_taken_for_a_whole_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object) -> None:
        raise ServerFailed("no room")

    server = PrivateMariaDB(tmp_path)
    with monkeypatch.context() as broken:
        broken.setattr(PrivateMariaDB, "_make_data", fail)
        with pytest.raises(ServerFailed, match="no room"):
            server.start()
    assert list(tmp_path.iterdir()) == []
    with server:
        assert server.pid is not None


def test_no_two_ports_are_alike() -> None:
    ports = free_ports(100)
    assert len(set(ports)) == 100
    assert set(ports) <= set(PORTS)
