"""A private Kafka broker for demonstrations and tests: one node, its own folder and ports, gone at exit.

It is broker and controller in one (KRaft), listens on 127.0.0.1 only, and keeps everything that it writes in
its own folder, so that it can neither meet nor disturb a Kafka that the machine runs already.
"""

import atexit
import base64
import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from changeover.demo.server import PrivateServerError, _die_with_parent, _free_port, _tail

VERSION = "4.4.0"
"""The one that `scripts/need kafka` puts into the cache."""

START_S_MAX = 60.0
"""A start takes one or two seconds, four after a kill; a machine busy beyond reason may need much longer."""

STOP_S_MAX = 30.0
"""A clean shutdown takes half a second. Whoever is not done by then is killed."""

POLL_S = 0.1
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
    # After a kill, the broker may come back only when the killed one's session has run out: 9 s by default.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "200",
    # By default 128 MB of the heap, taken at the start.
    "log.cleaner.dedupe.buffer.size": "16777216",
}

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


class BrokerNotFound(PrivateServerError):
    """There is no Kafka here that could be started."""

    hint = (
        "Get it with `scripts/need kafka`, or name a folder with Kafka's jars in libs/ as CHANGEOVER_KAFKA."
    )


class BrokerFailed(PrivateServerError):
    """The broker was started and did not come up; the message ends with the tail of its log."""

    hint = "Read the log above; free memory and disk, or set `options`, then start again."


class PrivateKafka:
    """A Kafka broker of one's own, up inside the `with` block, gone with all its data after it.

    Its data lie in a new folder inside `parent` (the system's temporary folder if None). `options` are
    entries of server.properties that replace or extend `OPTIONS`; one that is None is left out. Beside
    PLAINTEXT it listens for each security protocol of `listeners` ("SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    at `address(listener)`.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        parent: Path | None = None,
        *,
        options: Mapping[str, str | None] | None = None,
        listeners: Sequence[str] = (),
        start_s_max: float = START_S_MAX,
    ) -> None:
        names = ("PLAINTEXT", *listeners, "CONTROLLER")
        self._ports = dict(zip(names, _free_ports(len(names)), strict=True))
        merged = {**OPTIONS, **self._places(), **(options or {})}
        self.options = {name: value for name, value in merged.items() if value is not None}
        self._parent = parent
        self._start_s_max = start_s_max
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start the broker; leave nothing behind if that fails or is interrupted."""
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        """Remove the broker and its data."""
        self.close()

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

    @property
    def folder(self) -> Path:
        """The folder that holds all the broker's files, made at the first start."""
        if self._folder is None:
            message = "the broker was never started, or is closed"
            raise RuntimeError(message)
        return self._folder

    @property
    def pid(self) -> int | None:
        """The process id of the running broker, None while it is down."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Return once the broker serves clients, with the data it had.

        Raises `BrokerNotFound` or `BrokerFailed`.
        """
        if self._process is not None:
            return
        java, libraries = _java(), _libraries()
        if self._folder is None:
            self._install()
        self._write_properties()
        command = [java, *JVM, f"-Djava.io.tmpdir={self.folder}", "-cp", f"{libraries}/*"]
        if not (self.folder / "data" / "meta.properties").exists():
            self._format(command)
        self._process = _spawn([*command, "kafka.Kafka", "server.properties"], self.folder, self._log)
        self._await_answer(self._process)

    def stop(self) -> None:
        """Shut the broker down cleanly and keep its data; kill it if it does not go within `STOP_S_MAX`."""
        if self._process is None:
            return
        self._process.terminate()
        self.resume()  # who is paused does not hear it
        try:
            self._process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reap()

    def kill(self) -> None:
        """End the broker with SIGKILL, as a crash would, and keep its data."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    def restart(self) -> None:
        """Stop the broker cleanly and start it again: same ports and data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Halt the broker where it is: connections stay open and nobody answers."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused broker go on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Remove the broker and its folder; the data are not wanted any more, so it need not end cleanly."""
        atexit.unregister(self.close)
        self.kill()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    @property
    def _log(self) -> Path:
        return self.folder / "broker.log"

    def _places(self) -> dict[str, str]:
        return {
            "listeners": ",".join(f"{name}://{self.address(name)}" for name in self._ports),
            "controller.quorum.voters": f"1@{self.address('CONTROLLER')}",
            "log.dirs": "data",  # relative to our folder, where the broker is started
        }

    def _install(self) -> None:
        # Registered first: an interrupt between here and the `with` block must not leave a folder behind.
        atexit.register(self.close)
        self._folder = Path(tempfile.mkdtemp(prefix="changeover-kafka-", dir=self._parent)).absolute()
        (self._folder / "log4j2.properties").write_text(LOGGING, encoding="utf-8")

    def _write_properties(self) -> None:
        # Each time, since `options` may have changed. Our folder has mode 0700: passwords in it stay with us.
        lines = [f"{name}={_escaped(value)}\n" for name, value in self.options.items()]
        (self.folder / "server.properties").write_text("".join(lines), encoding="ascii")

    def _format(self, command: list[str]) -> None:
        arguments = ["--ignore-formatted", "-c", "server.properties", "-t", _cluster_id()]
        command = [*command, "kafka.tools.StorageTool", "format", *arguments]
        if not _run(command, self.folder, self._log):
            raise BrokerFailed(
                f"Kafka could not format its storage; its log ends with:\n{_tail(self._log)}\n"
            )

    def _await_answer(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self._start_s_max
        client = AdminClient({"bootstrap.servers": self.bootstrap, **IMPATIENT})
        while process.poll() is None and time.monotonic() < deadline:
            if _serves(client):
                return
            time.sleep(POLL_S)
        self.kill()
        raise BrokerFailed(f"Kafka did not come up; its log ends with:\n{_tail(self._log)}\n")

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait()
            self._process = None


def _java() -> str:
    found = shutil.which("java")
    if found is None:
        raise BrokerNotFound("java was not found on PATH")
    return found


def _libraries() -> Path:
    """The folder with Kafka's jars."""
    folder = Path(os.environ.get("CHANGEOVER_KAFKA") or _cached(f"kafka-{VERSION}")) / "libs"
    if not any(folder.glob("kafka_2.13-*.jar")):
        raise BrokerNotFound(f"there is no Kafka in {folder}")
    return folder


def _cached(name: str) -> Path:
    """Where `scripts/need` keeps what it got."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "changeover" / name


def _free_ports(count: int) -> Iterator[int]:
    """As many ports, no two of them alike."""
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(_free_port())
    return iter(ports)


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


def _run(command: list[str], folder: Path, log: Path, environment: Mapping[str, str] | None = None) -> bool:
    """Whether the command did its work, within `START_S_MAX`."""
    process = _spawn(command, folder, log, environment)
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(START_S_MAX)
    finally:
        process.kill()
        process.wait()
    return process.returncode == 0


def _spawn(
    command: list[str], folder: Path, log: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C on the terminal is for us; we then end the broker
            preexec_fn=_die_with_parent(),  # noqa: PLW1509 - see there
        )
