"""An application over a real server, with a pipeline that can be moved from phase to phase."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from changeover.decide import Write
from changeover.demo.server import PrivateMariaDB
from changeover.demo.sql import SQLServer
from changeover.dualwrite import DualStore
from changeover.envelope import encode_key
from changeover.epoch import Epoch
from changeover.mysql.catalog import captured_tables
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.mysql.numbering import numbering_of
from changeover.mysql.phases import EXCLUSIVE, make_row, phase_now, write_phase
from changeover.phase import Phase
from changeover.phases.takeover import settle
from changeover.settings import Settings
from changeover.targets import Held
from changeover.targets.applied import note_applied
from changeover.targets.wiring import open_target
from changeover.values import Row
from changeover.version import Version
from tests.support.pipeline import write_settings

TABLE = (
    "CREATE TABLE prescription (id INT PRIMARY KEY, dose DECIMAL(8, 3) NOT NULL, note VARCHAR(50) NULL) "
    "ENGINE = InnoDB"
)


NEW_EPOCH = 9
LEASE_S = 0.05
"""So short that a test can wait for its end."""

PATIENCE_S = 30.0
"""What a busy disk may take for a write or a read, where a test is not about the time that it takes."""


class Ward:
    """A source with one table of prescriptions, its control schema, and an application's stores over it."""

    def __init__(self, server: SQLServer, schema: str, folder: Path) -> None:
        self.server = server
        self.schema = schema
        self.folder = folder
        self._open: list[DualStore] = []

    def settings(
        self,
        *,
        target: str = 'url = "sqlite:target.db"',
        extra: str = "",
        lease_s: float = LEASE_S,
        **own: Any,  # noqa: ANN401
    ) -> Settings:
        """The settings, with those of the application."""
        user, host, port = self.server.user, self.server.host, self.server.port
        given = {
            "url": f"mysql://{user}@{host}:{port}/{self.schema}",
            "password": self.server.password,
            "report_s": 60.0,
            "write_timeout_s": PATIENCE_S,
            "read_timeout_s": PATIENCE_S,
            "new_timeout_s": PATIENCE_S,
            **own,
        }
        application = [f"{name} = {_toml(value)}" for name, value in given.items()]
        phases = f"[phases]\nlease_s = {lease_s}\nfence_s = {PATIENCE_S}"
        lines = "\n".join([phases, "[application]", *application, extra])
        return Settings.load(
            write_settings(self.server, self.schema, self.folder, target=target, extra=lines)
        )

    def begin(self) -> None:
        """Make the control schema as capture does at its start, with the epoch of this server."""
        with Connection(self.settings().source) as connection:
            control = ControlSchema(connection, "test")
            control.make()
            place = numbering_of(connection).here(lambda: control.beat("capture"))
            control.open_epoch(Epoch(1, place.identity, place.sequence, None))

    def move(self, phase: Phase, **own: Any) -> None:  # noqa: ANN401
        """Move to the phase, and wait until no process goes by an earlier one."""
        with Connection(self.settings().source) as connection:
            control = ControlSchema(connection, "test")
            make_row(control)
            with connection.transaction():
                state = phase_now(control, lock=EXCLUSIVE)
                epoch = NEW_EPOCH if phase is Phase.NEW else None
                state = replace(state, phase=phase, attempt=state.attempt + 1, new_epoch=epoch)
                write_phase(control, state)
        if phase is Phase.NEW:
            with open_target(self.settings(**own)) as target:
                settle(state, target)
        self.after_lease()

    def after_lease(self) -> None:
        """Wait until no process goes by an earlier phase."""
        time.sleep(LEASE_S)

    def store(self, **own: Any) -> DualStore:  # noqa: ANN401
        """A store of these settings, as a process of its own has it; closed at the end."""
        store = DualStore(self.settings(**own))
        self._open.append(store)
        return store

    def run(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """What somebody else does in the old database."""
        connection = self.server.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"USE {self.schema}")
                cursor.execute(sql, values or None)
                connection.commit()
                return list(cursor.fetchall())
        finally:
            connection.close()

    @contextmanager
    def meanwhile(self, work: Callable[[], object]) -> Iterator[threading.Thread]:
        """Somebody else works in a thread beside the block; he is done, without an error, at its end."""
        errors: list[BaseException] = []

        def run() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - told below
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield thread
        finally:
            thread.join(4 * PATIENCE_S)
        assert not thread.is_alive()
        assert errors == []

    @property
    def newest_gtid(self) -> str:
        """The GTID of the server's newest commit, whoever made it."""
        with Connection(self.settings().source) as connection:
            if isinstance(self.server, PrivateMariaDB):
                return connection.value("SELECT @@gtid_binlog_pos")
            uuid, _, runs = connection.value("SELECT @@gtid_executed").rpartition(":")
            return f"{uuid}:{runs.rpartition('-')[2]}"

    @property
    def newest_sequence(self) -> int:
        """Its number."""
        return int(self.newest_gtid.replace(":", "-").rpartition("-")[2])

    def deliver(self, sequence: int, row: Row) -> None:
        """Write what the binlog brings of transaction `sequence`."""
        with Connection(self.settings().source) as connection, open_target(self.settings()) as target:
            (table,) = captured_tables(connection)
            target.write([Write(table, encode_key(table, row), Version.of_change(1, sequence), row)])

    def applied(self, **own: Any) -> None:  # noqa: ANN401
        """Note in the target that all that is committed now is applied, as the consumers do."""
        with open_target(self.settings(**own)) as target:
            note_applied(target, Version.of_change(1, self.newest_sequence))

    def body(self, number: int) -> Any:  # noqa: ANN401
        """What the new database holds for the prescription, None for nothing or a marker."""
        held = self.held(number)
        return held.body if held else None

    def held(self, number: int) -> Held[Any] | None:
        """What the new database holds for the prescription."""
        settings = self.settings()
        with Connection(settings.source) as connection, open_target(settings) as target:
            (table,) = captured_tables(connection)
            return target.read(table, encode_key(table, {"id": number}))

    def close(self) -> None:
        """Close every store."""
        for store in self._open:
            store.close()


def _toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')
