"""Bad input: whatever is wrong, one line says what, where and what to do, and nothing was touched."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest

from changeover.demo.server import PrivateMariaDB
from changeover.exits import REFUSED, UNAVAILABLE
from changeover.log.sqlite import SQLiteLog
from tests.support.pipeline import schema_of

WRONG_PASSWORD = "correcthorse"
WAIT_S_MAX = 60

CHANGEOVER = (str(Path(sys.executable).with_name("changeover")),)
CDC = (sys.executable, "-P", "-m", "cdc")
PARTS = {
    "run": (*CHANGEOVER, "run", "--config"),
    "status": (*CHANGEOVER, "status", "--config"),
    "capture": (*CDC, "capture", "--config"),
}
ALL = tuple(PARTS)
ONE = ("capture",)
"""For what is read by the same few lines in all of them."""
BEFORE_CAPTURE = ("run", "capture")
"""Those that look at the source's options and tables."""

GOOD_OPTIONS = {"binlog_format": "ROW", "binlog_row_image": "FULL", "binlog_row_metadata": "FULL"}

SETTINGS = """
pipeline = {pipeline!r}
[source]
url = {url!r}
include = [{include!r}]
control_schema = "spoilt_control"
{source}
[log]
url = {log!r}
[target]
url = {target!r}
{more}
"""


class Result(NamedTuple):
    """What a program did."""

    part: str
    status: int
    output: str
    errors: str

    @property
    def said(self) -> str:
        """The one line, without the frame that a log line has."""
        line = self.errors.strip()
        return str(json.loads(line)["reason"]) if self.part == "capture" else line


@dataclass(frozen=True, kw_only=True)
class Bad:
    """What is wrong, which programs must say so, with which status and in which words."""

    said: Sequence[str]
    status: int = REFUSED
    parts: Sequence[str] = ALL
    settings: Mapping[str, str] = field(default_factory=dict)
    text: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    password: str | None = None
    prepare: Callable[[Path], object] = lambda _: None


def of_another_pipeline(folder: Path) -> None:
    """The log of another pipeline, where ours should be."""
    SQLiteLog(folder / "log.db", "another").close()


BAD: dict[str, Bad] = {
    # -- the settings file
    "missing settings file": Bad(text="", said=["changeover.toml cannot be read: No such file"]),
    "broken TOML": Bad(text="pipeline = \n[source", said=["changeover.toml is not valid TOML", "line 1"]),
    "not text": Bad(parts=ONE, text="\udcff\udcfe", said=["changeover.toml is not valid TOML"]),
    "unknown setting": Bad(
        settings={"source": "pasword_file = 'x'"},
        said=["changeover.toml: source.pasword_file: there is no such setting"],
    ),
    "unknown section": Bad(
        parts=ONE, settings={"more": "[sink]\nx = 1"}, said=["sink: there is no such setting"]
    ),
    "missing required setting": Bad(
        text="pipeline = 'spoilt'\n[source]\nurl = 'mysql://root@127.0.0.1'\n[log]\nurl = 'sqlite:log.db'\n",
        said=["source.include: this setting is required", "target: this setting is required"],
    ),
    "several mistakes at once": Bad(
        parts=ONE,
        settings={"pipeline": "Bad Name", "more": "[snapshot]\nchunk_rows = -1"},
        said=["pipeline: ", "snapshot.chunk_rows: "],
    ),
    "another kind of source": Bad(
        settings={"url": "postgres://root@127.0.0.1:5432"},
        said=["source.url: it must look like mysql://user@host:3306"],
    ),
    "a database in the URL": Bad(
        parts=ONE,
        settings={"url": "mysql://root@127.0.0.1:3306/shop"},
        said=["source.url: it must look like mysql://user@host:3306 (no database behind the host)"],
    ),
    "a port that is none": Bad(
        parts=ONE, settings={"url": "mysql://root@127.0.0.1:99999"}, said=["source.url: the port"]
    ),
    "a pattern without a schema": Bad(
        parts=ONE,
        settings={"include": "orders"},
        said=["toml: source.include.0: it must look like schema.table, with * for any text. Mend"],
    ),
    "a text in place of a list, and of a section": Bad(
        parts=ONE,
        text="pipeline = 'spoilt'\nlog = 'x'\n[source]\ninclude = 'a.b'\n[target]\nurl = 'sqlite:t'\n",
        said=["source.include: it must be a list: [", "log: it must be a section, whose name stands in [ ]"],
    ),
    "a password file that is not there": Bad(
        parts=ONE,
        settings={"source": "password_file = 'secret'"},
        said=["the password file", "secret cannot be read: ", "No such file or directory"],
    ),
    # -- log and target
    "another kind of log": Bad(
        settings={"log": "redis:log"}, said=["log.url is 'redis:log'", "This release has"]
    ),
    "another kind of target": Bad(
        settings={"target": "mongo:db"},
        parts=("run", "status"),
        said=["target.url is 'mongo:db'", "This release has"],
    ),
    "log folder missing": Bad(
        settings={"log": "sqlite:nowhere/log.db"},
        said=["nowhere/log.db cannot be opened for writing: there is no folder", "Set log.url"],
    ),
    "log is a folder": Bad(
        parts=ONE,
        prepare=lambda folder: (folder / "log.db").mkdir(),
        said=["log.db cannot be opened for writing: it is a folder", "Set log.url"],
    ),
    "log is not a database": Bad(
        parts=ONE,
        prepare=lambda folder: (folder / "log.db").write_text("dear diary, " * 100),
        said=["log.db cannot be opened for writing: file is not a database", "Set log.url"],
    ),
    "log of another pipeline": Bad(
        prepare=of_another_pipeline,
        said=[
            "log.db is of pipeline 'another'",
            "not of 'spoilt'",
            "Give each pipeline a log file of its own",
        ],
    ),
    "target folder missing": Bad(
        settings={"target": "sqlite:nowhere/target.db"},
        parts=("run", "status"),
        said=["nowhere/target.db cannot be opened for writing: there is no folder", "Set target.url"],
    ),
    "target is a folder": Bad(
        prepare=lambda folder: (folder / "target.db").mkdir(),
        parts=("run", "status"),
        said=["target.db cannot be opened for writing: it is a folder", "Set target.url"],
    ),
    "target is not a database": Bad(
        prepare=lambda folder: (folder / "target.db").write_text("dear diary, " * 100),
        parts=("run", "status"),
        said=["target.db cannot be opened for writing: file is not a database", "Set target.url"],
    ),
    # -- Riak
    "a Riak URL without a node": Bad(
        parts=ONE, settings={"target": "riak://"}, said=["target.url: it must look like riak://host:8087"]
    ),
    "a Riak URL with a login": Bad(
        parts=ONE, settings={"target": "riak://u:p@h:1"}, said=["target.url: it must look like riak://host"]
    ),
    "a Riak port that is none": Bad(
        parts=ONE,
        settings={"target": "riak://h:1,i:99999"},
        said=["target.url: it must look like riak://host"],
    ),
    "a Riak that does not answer": Bad(
        settings={"target": "riak://127.0.0.1:CLOSED"},
        parts=("run",),
        status=UNAVAILABLE,
        said=["Riak at 127.0.0.1:", "cannot be reached", "Check target.url"],
    ),
    "an authority without a user": Bad(
        settings={"target": "riak://127.0.0.1:CLOSED", "more": "ca_file = 'ca.pem'"},
        parts=("run",),
        said=["target.ca_file is set, and no target.user", "Name the user"],
    ),
    "an order that there is not": Bad(
        parts=ONE,
        settings={"target": "riak://h:1", "more": "ordering = 'luck'"},
        said=["target.ordering: ", "'merge' or 'siblings'"],
    ),
    "a mapping for a file": Bad(
        settings={"more": "[mapping.tables.'spoilt.good']\nbucket = 'x'"},
        parts=("run", "status"),
        said=["mapping.tables has rules, and the target is a SQLite file", "Take the rules out"],
    ),
    "a mapping of a table that is not captured": Bad(
        settings={
            "target": "riak://127.0.0.1:CLOSED",
            "more": "[mapping.tables.'spoilt.god']\nbucket = 'x'",
        },
        parts=("run",),
        said=["mapping.tables has rules for spoilt.god, which is not among", "Mend the name"],
    ),
    "a mapping of a column that is not there": Bad(
        settings={
            "target": "riak://127.0.0.1:CLOSED",
            "more": "[mapping.tables.'spoilt.good']\nleave_out = ['id', 'nme']",
        },
        parts=("run",),
        said=["the mapping of spoilt.good does not fit: it has no column nme", "mapping.tables"],
    ),
    "a mapping function that is not there": Bad(
        settings={
            "target": "riak://127.0.0.1:CLOSED",
            "more": "[mapping.tables.'spoilt.good']\nfunction = 'nowhere.at:all'",
        },
        parts=("run",),
        said=["the mapping function nowhere.at:all cannot be used: there is no module nowhere"],
    ),
    # -- links that leave this machine
    "Kafka in plain text on another machine": Bad(
        settings={"log": "kafka://127.0.0.1:9092,kafka.internal:9092"},
        said=[
            'log.options must set "security.protocol" to "ssl" or "sasl_ssl"',
            "kafka.internal is not this machine",
            "log.allow_plain_text = true",
        ],
    ),
    "Kafka without a look at its certificate": Bad(
        parts=ONE,
        settings={
            "log": "kafka://kafka.internal:9092",
            "more": "[log.options]\n'security.protocol' = 'SSL'\n"
            "'enable.ssl.certificate.verification' = 'false'",
        },
        said=['log.options must leave "enable.ssl.certificate.verification" on'],
    ),
    "Kafka whose certificate may name another": Bad(
        parts=ONE,
        settings={
            "log": "kafka://[2001:db8::1]:9092",
            "more": "[log.options]\n'security.protocol' = 'sasl_ssl'\n"
            "'ssl.endpoint.identification.algorithm' = 'none'",
        },
        said=['"ssl.endpoint.identification.algorithm" at "https", and 2001:db8::1 is not this machine'],
    ),
    "Riak in plain text on another machine": Bad(
        settings={"target": "riak://127.0.0.1:8087,riak.internal"},
        said=["target.user must be set", "riak.internal is not this", "target.allow_plain_text = true"],
    ),
    # -- the source
    "wrong password": Bad(
        password=WRONG_PASSWORD, said=["refused the login", "root@127.0.0.1:", "source.password_file"]
    ),
    "wrong password in the URL": Bad(
        parts=ONE,
        settings={"url": f"mysql://root:{WRONG_PASSWORD}@127.0.0.1:PORT"},
        password="",
        said=["refused the login", "root@127.0.0.1:", "source.password_file"],
    ),
    "closed port": Bad(
        settings={"url": "mysql://root@127.0.0.1:CLOSED"},
        status=UNAVAILABLE,
        said=[
            "the source at root@127.0.0.1:",
            "did not answer",
            "refused",
            "Check source.url, and that the server runs",
        ],
    ),
    "unknown host": Bad(
        settings={"url": "mysql://root@no-such-host.invalid"},
        status=UNAVAILABLE,
        said=["no-such-host.invalid:3306 did not answer", "Check source.url, and that the server runs"],
    ),
    "binlog in statements": Bad(
        options={"binlog_format": "STATEMENT"},
        parts=BEFORE_CAPTURE,
        said=["binlog_format is STATEMENT, not ROW: SET GLOBAL binlog_format = 'ROW'", "reconnect"],
    ),
    "rows not full": Bad(
        options={"binlog_row_image": "MINIMAL"},
        parts=BEFORE_CAPTURE,
        said=["binlog_row_image is MINIMAL, not FULL: SET GLOBAL binlog_row_image = 'FULL'"],
    ),
    "metadata not full": Bad(
        options={"binlog_row_metadata": "NO_LOG"},
        parts=BEFORE_CAPTURE,
        said=["binlog_row_metadata is NO_LOG, not FULL: SET GLOBAL binlog_row_metadata = 'FULL'"],
    ),
    "table without primary key": Bad(
        settings={"include": "spoilt.*"},
        parts=BEFORE_CAPTURE,
        said=["spoilt.keyless has no primary key", "put it in source.exclude"],
    ),
    "include that matches nothing": Bad(
        settings={"include": "spoilt.nothing*"},
        parts=BEFORE_CAPTURE,
        said=["source.include names no table: nothing matches spoilt.nothing*", "SHOW TABLES"],
    ),
}


@pytest.fixture(scope="module")
def server(mariadb: PrivateMariaDB) -> Iterator[PrivateMariaDB]:
    with schema_of(
        mariadb,
        "spoilt",
        "CREATE TABLE good (id INT PRIMARY KEY)",
        "INSERT INTO good VALUES (1)",
        "CREATE TABLE keyless (id INT)",
    ):
        yield mariadb


@contextmanager
def set_globally(server: PrivateMariaDB, options: Mapping[str, str]) -> Iterator[None]:
    """The server with other options for new sessions, put right at the end."""
    with server.connect() as root, root.cursor() as cursor:
        try:
            for name, value in options.items():
                cursor.execute(f"SET GLOBAL {name} = {value}")
            yield
        finally:
            for name in options:
                cursor.execute(f"SET GLOBAL {name} = {GOOD_OPTIONS[name]}")


@contextmanager
def closed_port() -> Iterator[int]:
    """A port on which nobody listens, and nobody else can begin to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield probe.getsockname()[1]


def prepared(server: PrivateMariaDB, folder: Path, bad: Bad, part: str, closed: int) -> Path:
    """A folder with the bad settings; the settings file."""
    config = folder / "changeover.toml"
    good = {
        "pipeline": "spoilt",
        "url": f"mysql://root@127.0.0.1:{server.port}",
        "include": "spoilt.good",
        "source": "",
        "log": "sqlite:log.db",
        "target": "sqlite:target.db",
        "more": "",
    }
    values = {name: str(value) for name, value in {**good, **bad.settings}.items()}
    values["url"] = values["url"].replace("PORT", str(server.port)).replace("CLOSED", str(closed))
    values["target"] = values["target"].replace("CLOSED", str(closed))
    text = SETTINGS.format(**values) if bad.text is None else bad.text
    if text:
        config.write_bytes(text.encode(errors="surrogateescape"))
    bad.prepare(folder)
    if part == "status" and not (folder / "log.db").exists():
        SQLiteLog(folder / "log.db", "spoilt").close()  # without one there would be nothing to look at
    return config


def programs(server: PrivateMariaDB, bad: Bad, configs: Mapping[str, Path]) -> list[Result]:
    """Run the programs side by side, each with its settings file, from a folder of no meaning."""
    password = server.password if bad.password is None else bad.password
    processes = {
        part: subprocess.Popen(
            [*PARTS[part], str(config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            env={**os.environ, "CHANGEOVER_SOURCE__PASSWORD": password, "PYTHONPATH": str(Path.cwd())},
        )
        for part, config in configs.items()
    }
    results = []
    for part, process in processes.items():
        output, errors = process.communicate(timeout=WAIT_S_MAX)
        results.append(Result(part, process.returncode, output, errors))
    return results


def contents(folder: Path) -> dict[str, int]:
    """All files in the folder, with their sizes; those that SQLite keeps beside one while it reads aside."""
    return {
        str(path.relative_to(folder)): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if not path.name.endswith(("-wal", "-shm"))
    }


def schemas(server: PrivateMariaDB) -> set[str]:
    """What is on the server."""
    with server.connect() as root, root.cursor() as cursor:
        cursor.execute("SHOW DATABASES")
        return {str(name) for (name,) in cursor.fetchall()}


def check(result: Result, bad: Bad, server: PrivateMariaDB) -> None:
    """One line, the right words and status, no secret, no traceback."""
    assert result.status == bad.status, result
    assert result.output == ""
    assert len(result.errors.strip().splitlines()) == 1, result.errors
    assert all(words in result.said for words in bad.said), result.said
    assert ";;" not in result.said
    assert ".;" not in result.said
    assert "Traceback" not in result.errors
    for secret in (server.password, WRONG_PASSWORD):
        assert secret not in result.errors


def run_bad(server: PrivateMariaDB, tmp_path: Path, bad: Bad, parts: Sequence[str]) -> None:
    """Run the programs on the bad input, and check what they say and leave behind."""
    with ExitStack() as stack:
        closed = stack.enter_context(closed_port())
        configs = {}
        for part in parts:
            (tmp_path / part).mkdir()
            configs[part] = prepared(server, tmp_path / part, bad, part, closed)
        before = contents(tmp_path), schemas(server)
        stack.enter_context(set_globally(server, bad.options))
        for result in programs(server, bad, configs):
            check(result, bad, server)
        assert (contents(tmp_path), schemas(server)) == before


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_one_line_with_its_mend_and_touches_nothing(
    server: PrivateMariaDB, tmp_path: Path, name: str
) -> None:
    bad = BAD[name]
    run_bad(server, tmp_path, bad, bad.parts)


def test_a_source_without_a_binlog_is_refused_before_anything_is_touched(tmp_path: Path) -> None:
    bad = Bad(parts=("run",), said=["log_bin is OFF, not ON: write log_bin into the server's configuration"])
    with (
        PrivateMariaDB(options={"log_bin": None, "gtid_strict_mode": None}) as server,
        schema_of(server, "spoilt", "CREATE TABLE good (id INT PRIMARY KEY)"),
    ):
        run_bad(server, tmp_path, bad, bad.parts)


def test_a_mend_is_named_for_every_mistake_in_a_password_file(server: PrivateMariaDB, tmp_path: Path) -> None:
    bad = BAD["a password file that is not there"]
    (tmp_path / "status").mkdir()
    config = prepared(server, tmp_path / "status", bad, "status", 1)
    (tmp_path / "status" / "secret").write_text(server.password + "\n")
    (result,) = programs(server, bad, {"status": config})
    assert result.status == 0
    assert "unknown" in result.output
    assert server.password not in result.output + result.errors


@pytest.mark.parametrize("arguments", [["run", "--confg", "x"], ["nonsense"], ["status", "--json", "yes"]])
def test_a_wrong_command_line_is_refused_by_its_own_status(arguments: list[str]) -> None:
    done = subprocess.run([*CHANGEOVER, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()
