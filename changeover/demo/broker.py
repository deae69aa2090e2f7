"""A private Kafka broker for demonstrations and tests: one node, its own folder and ports, gone at exit.

It is broker and controller in one (KRaft).
"""

import base64
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from changeover.demo.private import (
    POLL_S,
    START_S_MAX,
    PrivateServer,
    ServerNotFound,
    ask_to_end,
    cached,
    free_ports,
    run,
    spawn,
)

VERSION = "4.4.0"
"""The one that `scripts/need kafka` puts into the cache."""

REQUEST_TIMEOUT_S = 1.0

IMPATIENT: Mapping[str, str | int] = {
    "reconnect.backoff.ms": 20,
    "reconnect.backoff.max.ms": 100,
    "log_level": 0,  # that nobody answers yet is no news
}

OPTIONS: Mapping[str, str] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    # `NAME:PROTOCOL`: all that can be asked for as `listeners` are there, under the protocol's own name.
    "listener.security.protocol.map": (
        "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL"
    ),
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    # There is one node, and the default is three copies.
    "default.replication.factor": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # By default 50 each, and every partition is a folder with five files.
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "1",
    # By default 128 MB of the heap, taken at the start.
    "log.cleaner.dedupe.buffer.size": "16777216",
}

FENCED = b"Fencing broker"
"""What the controller writes into the log when it finds a broker dead."""

FENCED_S_MAX = 10.0
"""How long we wait for that. A broker that was killed before it served was never alive to the controller."""

JVM = (
    "-Xms128m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",  # compile fast rather than well: most of these live for seconds
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",  # its file in the system's temporary folder would outlive a kill
    "-Dlog4j2.configurationFile=log4j2.properties",
)

LOGGING = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %m (%c{1})%n
logger.settings.name = org.apache.kafka.common.config
logger.settings.level = WARN
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = console
"""


class BrokerNotFound(ServerNotFound):
    """There is no Kafka here that could be started."""

    hint = (
        "Get it with `scripts/need kafka`, or name a folder with Kafka's jars in libs/ as CHANGEOVER_KAFKA."
    )


class PrivateKafka(PrivateServer):
    """A Kafka broker of one's own, up inside the `with` block, gone with all its data after it.

    `options` are entries of server.properties. Beside PLAINTEXT it listens for each security protocol of
    `listeners` ("SSL", "SASL_PLAINTEXT", "SASL_SSL"), at `address(listener)`.
    """

    program = "kafka"
    defaults = OPTIONS

    def __init__(
        self,
        parent: Path | None = None,
        *,
        options: Mapping[str, str | None] | None = None,
        listeners: Sequence[str] = (),
        start_s_max: float = START_S_MAX,
    ) -> None:
        names = ("PLAINTEXT", *listeners, "CONTROLLER")
        self._ports = dict(zip(names, free_ports(len(names)), strict=True))
        self._was_killed = False
        super().__init__(parent, options={**self._places(), **(options or {})}, start_s_max=start_s_max)

    @property
    def bootstrap(self) -> str:
        """What a client without password or certificate takes as bootstrap.servers."""
        return self.address("PLAINTEXT")

    def address(self, listener: str) -> str:
        """`host:port` of one of the listeners."""
        return f"{self.host}:{self._ports[listener]}"

    @property
    def port(self) -> int:
        """The port of `bootstrap`."""
        return self._ports["PLAINTEXT"]

    def start(self) -> None:
        """Return once the broker answers, with the data it had; or raise as every private server does."""
        if self._was_killed:
            self._fence()
        super().start()
        self._was_killed = False

    def kill(self) -> None:
        """End the broker with SIGKILL, as a crash would, and keep its data."""
        self._was_killed |= self._process is not None and self._process.poll() is None
        super().kill()

    def _fence(self) -> None:
        """Have the controller know that its broker is gone, before the broker comes back.

        Broker and controller died together, so nobody has noted it. The new one would take itself for the
        leader of all partitions, begin to end the transactions that were being committed, find itself
        fenced when the session of the killed one runs out, take the partitions for deleted then, and forget
        these transactions: they would stay open for ever. (Kafka 4.4: TransactionMarkerChannelManager,
        "likely deleted already and hence can be skipped".) Where the controller lives on, it notes it.
        """
        alone = {
            "process.roles": "controller",
            "listeners": f"CONTROLLER://{self.address('CONTROLLER')}",
            "broker.session.timeout.ms": "200",
        }
        before = self._log.stat().st_size
        controller = spawn(self._run({**self.options, **alone}, "controller.properties"), self._log)
        try:
            deadline_s = time.monotonic() + FENCED_S_MAX
            while FENCED not in self._log.read_bytes()[before:] and time.monotonic() < deadline_s:
                time.sleep(POLL_S)
            ask_to_end(controller)
        finally:
            controller.kill()
            controller.wait()

    def _places(self) -> dict[str, str]:
        return {
            "listeners": ",".join(f"{name}://{self.address(name)}" for name in self._ports),
            "controller.quorum.voters": f"1@{self.address('CONTROLLER')}",
            "log.dirs": "data",  # relative to our folder, where the broker is started
        }

    def _install(self) -> None:
        (self.folder / "log4j2.properties").write_text(LOGGING, encoding="utf-8")
        self._write_properties(self.options, "server.properties")
        arguments = ("--ignore-formatted", "-c", "server.properties", "-t", _cluster_id())
        command = self._java("kafka.tools.StorageTool", "format", *arguments)
        run(command, self._log, to="format Kafka's storage")

    def _command(self) -> list[str]:
        return self._run(self.options, "server.properties")  # written anew, since `options` may have changed

    def _run(self, options: Mapping[str, str], name: str) -> list[str]:
        self._write_properties(options, name)
        return self._java("kafka.Kafka", name)

    def _java(self, *arguments: str) -> list[str]:
        return [_java(), *JVM, f"-Djava.io.tmpdir={self.folder}", "-cp", f"{_libraries()}/*", *arguments]

    def _write_properties(self, options: Mapping[str, str], name: str) -> None:
        # Our folder has mode 0700: passwords in it stay with us.
        lines = [f"{option}={_escaped(value)}\n" for option, value in options.items()]
        (self.folder / name).write_text("".join(lines), encoding="ascii")

    def _probe(self) -> Callable[[], bool]:
        return partial(_serves, AdminClient({"bootstrap.servers": self.bootstrap, **IMPATIENT}))


def _java() -> str:
    found = shutil.which("java")
    if found is None:
        raise BrokerNotFound("java was not found on PATH")
    return found


def _libraries() -> Path:
    """The folder with Kafka's jars."""
    folder = Path(os.environ.get("CHANGEOVER_KAFKA") or cached(f"kafka-{VERSION}")) / "libs"
    if not any(folder.glob("kafka_2.13-*.jar")):
        raise BrokerNotFound(f"there is no Kafka in {folder}")
    return folder


def _cluster_id() -> str:
    """A random one: 16 bytes, the first of them fixed, or the text could begin with `-` as options do."""
    return base64.urlsafe_b64encode(b"c" + secrets.token_bytes(15)).decode().rstrip("=")


def _escaped(value: str) -> str:
    r"""The value as a properties file takes it, which knows JSON's escapes.

    >>> print(_escaped("line\nü"))
    line\n\u00fc
    """
    return json.dumps(value)[1:-1]


def _serves(client: AdminClient) -> bool:
    """Whether the broker answers, and counts itself among those that clients may use."""
    try:
        return bool(client.list_topics(timeout=REQUEST_TIMEOUT_S).brokers)
    except KafkaException:
        return False
