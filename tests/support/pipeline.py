"""A pipeline under test: the real daemons as processes, against a schema of the private MariaDB."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from changeover.demo import oracle
from changeover.demo.sql import SQLServer
from changeover.errors import LogUnavailable
from changeover.log import Log
from changeover.mysql.bounded import BoundedReader
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.settings import Settings
from changeover.status import Status, Statuses
from changeover.supervisor import Supervisor, parts_of
from changeover.wiring import open_log

POLL_S = 0.05


class Pipeline:
    """The parts of one pipeline, of which some or all run; in a `with` block."""

    def __init__(  # noqa: PLR0913 - what tests vary
        self,
        server: SQLServer,
        schema: str,
        folder: Path,
        *,
        parts: Sequence[str] = (),
        log: str = "sqlite:log.db",
        target: str = 'url = "sqlite:target.db"',
        extra: str = "",
    ) -> None:
        self.server = server
        self.schema = schema
        self.folder = folder
        self.config = write_settings(server, schema, folder, log=log, target=target, extra=extra)
        self.settings = Settings.load(self.config)
        wanted = [part for part in parts_of(self.settings, self.config) if not parts or part.name in parts]
        self._output = (folder / "daemons.log").open("a")
        self.supervisor = Supervisor(wanted, self._output)

    def __enter__(self) -> Self:
        self.supervisor.poll()
        return self

    def __exit__(self, *_: object) -> None:
        self.supervisor.stop()
        self._output.close()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        with Connection(self.settings.source) as connection:
            yield connection

    def open_log(self) -> Log:
        return open_log(self.settings)

    def until(self, condition: Callable[[Status], bool], s_max: float = 120) -> Status:
        """Keep the parts running until the condition holds; fail with the daemons' words if it never does."""
        deadline = time.monotonic() + s_max
        now: Status | None = None
        with self.connection() as connection, self.open_log() as log:
            statuses = Statuses(ControlSchema(connection, "test"), log, self.settings.consumer.group)
            while time.monotonic() < deadline:
                self.supervisor.poll()
                assert not self.supervisor.failed(), self.words()
                with suppress(LogUnavailable):  # a broker may be down for a while, by the test's own will
                    now = statuses.now()
                    if condition(now):
                        return now
                time.sleep(POLL_S)
        message = f"not within {s_max} s; last seen {now}; the daemons said:\n{self.words()}"
        raise AssertionError(message)

    def drain(self, s_max: float = 120) -> Status:
        """Wait until the target has applied through all that is committed now."""
        with self.connection() as connection:
            bound = BoundedReader(connection, "test", "test").bound()
        return self.until(
            lambda now: now.applied_through is not None and now.applied_through[:2] >= bound[:2], s_max
        )

    def compare(self, *tables: str) -> oracle.Comparison:
        """Every row of the tables, both ways, by the oracle."""
        connection = self.server.connect()
        try:
            return oracle.compare(connection, self.schema, tables, self.folder / "target.db")
        finally:
            connection.close()

    def words(self) -> str:
        """The last of what the daemons said."""
        return (self.folder / "daemons.log").read_text()[-4_000:]


def write_settings(  # noqa: PLR0913 - what tests vary
    server: SQLServer,
    schema: str,
    folder: Path,
    *,
    pipeline: str = "test",
    log: str = "sqlite:log.db",
    target: str = 'url = "sqlite:target.db"',
    extra: str = "",
) -> Path:
    """A settings file for the schema; the password goes by the environment, as it should."""
    os.environ["CHANGEOVER_SOURCE__PASSWORD"] = server.password
    config = folder / "changeover.toml"
    config.write_text(
        f"""
pipeline = "{pipeline}"
[source]
url = "mysql://{server.user}@{server.host}:{server.port}"
include = ["{schema}.*"]
control_schema = "{schema}_control"
heartbeat_s = 0.1
[log]
url = "{log}"
partitions = 2
replication = 1
min_insync = 1
[target]
{target}
{extra}
"""
    )
    return config


@contextmanager
def schema_of(server: SQLServer, name: str, *statements: str) -> Iterator[str]:
    """A schema with these tables, gone at the end with its control schema."""
    connection = server.connect()
    try:
        with connection.cursor() as cursor:
            for statement in (
                f"DROP DATABASE IF EXISTS {name}",
                f"DROP DATABASE IF EXISTS {name}_control",
                f"CREATE DATABASE {name} CHARACTER SET utf8mb4",
                f"USE {name}",
                *statements,
            ):
                cursor.execute(statement)
            yield name
            cursor.execute(f"DROP DATABASE {name}")
            cursor.execute(f"DROP DATABASE IF EXISTS {name}_control")
    finally:
        connection.close()
