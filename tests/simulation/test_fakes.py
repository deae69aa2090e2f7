"""The fakes keep the promises of the real adapters: the same contract suites run on them."""

import itertools
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Client, Connection, Listener
from typing import Self, TypeVar

import pytest

from cdc.events import Event
from changeover.errors import ChangeoverError
from changeover.log import Entry
from changeover.mysql.connection import Connection as MySQLConnection
from tests.contracts.log import TABLES as LOG_TABLES
from tests.contracts.log import LogContract
from tests.contracts.source import SourceContract
from tests.contracts.target import TargetContract
from tests.simulation.chance import Seeded
from tests.simulation.daemons import TABLES, Step, images
from tests.simulation.history import History
from tests.simulation.log import SimLog, Store
from tests.simulation.schedule import IDENTITIES
from tests.simulation.server import Cluster, Kind, Server, Transaction
from tests.simulation.sql import SimConnection
from tests.simulation.stream import SimStream
from tests.simulation.target import COPIES, Copies, SimTarget
from tests.simulation.world import Free

PIPELINE = "moving"
T = TypeVar("T")


class Opener:
    """Opens the log here; in a process of its own, where it comes pickled, by a line to the one here."""

    def __init__(self, store: Store) -> None:
        self._store: Store | None = store
        self._key = secrets.token_bytes(16)
        self._listener = Listener(authkey=self._key)
        self._address = self._listener.address
        threading.Thread(target=self._serve, args=(store,), daemon=True).start()

    def __call__(self) -> "SimLog | Line":
        return (
            Line(Client(self._address, authkey=self._key))
            if self._store is None
            else SimLog(self._store, Free())
        )

    def __getstate__(self) -> dict[str, object]:
        return {"_store": None, "_key": self._key, "_address": self._address}

    def close(self) -> None:
        self._listener.close()

    def _serve(self, store: Store) -> None:
        while True:
            try:
                line = self._listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._answer, args=(line, store), daemon=True).start()

    @staticmethod
    def _answer(line: Connection, store: Store) -> None:
        while True:
            try:
                entries = line.recv()
            except EOFError:
                return
            line.send(SimLog(store, Free()).append(entries))


class Line:
    """A log in another process, as far as a mere writer uses it."""

    def __init__(self, line: Connection) -> None:
        self._line = line

    def append(self, entries: Sequence[Entry]) -> object:
        self._line.send(entries)
        return self._line.recv()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.close()


class TestSimLog(LogContract):
    @pytest.fixture(params=[1, 2], ids=["one partition", "two partitions"])
    def open_log(self, request: pytest.FixtureRequest) -> Iterator[Opener]:
        topics = [f"{PIPELINE}.{table.full_name}" for table in LOG_TABLES]
        opener = Opener(Store(PIPELINE, topics, request.param, History()))
        yield opener
        opener.close()


class TestSimTarget(TargetContract):
    @pytest.fixture(params=[1, COPIES], ids=["one copy", "three copies"])
    def open_target(self, request: pytest.FixtureRequest) -> Callable[[], SimTarget]:
        copies = Copies(request.param, Seeded(1), History())
        return lambda: SimTarget(copies, Free())


class Alone:
    """The only process: what it waits for happens at once."""

    is_halted = False

    def __init__(self, server: Server) -> None:
        self._server = server
        self._at_death: list[Callable[[], None]] = []

    def step(self, what: str, act: Callable[[], T], failure: Callable[[str], ChangeoverError]) -> T:
        del what, failure
        return act()

    def wait(self, ready: Callable[[], bool], s_max: float | None = None) -> None:
        self._server.settle()
        assert s_max is not None or ready()

    def at_death(self, act: Callable[[], None]) -> None:
        self._at_death.append(act)

    def die(self) -> None:
        for act in self._at_death:
            act()


class PlayedServer:
    """A server of the simulation with the table that is played with."""

    table = TABLES["records.citizen"]

    def __init__(self, kind: Kind) -> None:
        clock = itertools.count(1_000)
        self._server = Server(kind, IDENTITIES[kind][0], Seeded(1), History(), lambda: next(clock))
        self._cluster = Cluster(self._server)
        self._alone: dict[int, Alone] = {}

    def connect(self) -> SimConnection:
        alone = Alone(self._server)
        connection = SimConnection(alone, self._cluster)
        self._alone[id(connection)] = alone
        return connection

    def end(self, connection: MySQLConnection) -> None:
        self._alone[id(connection)].die()

    def commit(self, *steps: tuple[str, int, int], said: str = "Ada") -> None:
        named: list[Step] = [(what, self.table.full_name, key, other) for what, key, other in steps]
        transaction = Transaction(fill=lambda rows: images(named, rows, name=lambda _: said))
        self.connect().commit_changes(transaction)

    def events(self, connection: MySQLConnection, position: str) -> list[Event]:
        del connection
        self._server.settle()
        stream = SimStream(Alone(self._server), self._server, position, {self.table.full_name: self.table})
        return list(iter(lambda: stream.next(0), None))


class TestSimSource(SourceContract):
    @pytest.fixture(params=Kind, ids=[kind.value for kind in Kind])
    def source(self, request: pytest.FixtureRequest) -> PlayedServer:
        return PlayedServer(request.param)
