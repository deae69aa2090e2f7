"""Two captures of one pipeline that are started again and again, killed, halted and woken, under load.

Never are two live, no checkpoint goes back, and nothing is lost. `make test` does it for seconds;
`make test-full` for CHANGEOVER_RIVALS_MINUTES, 10 unless said otherwise.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from changeover.demo import oracle, records
from changeover.demo.broker import PrivateKafka
from changeover.demo.mysql8 import PrivateMySQL
from changeover.demo.server import PrivateMariaDB
from changeover.envelope import decode
from changeover.exits import OK, STOPPED, UNAVAILABLE
from changeover.mysql.catalog import captured_tables
from changeover.version import Version
from changeover.wiring import create_topics
from tests.support.accounts import run
from tests.support.moving import writing
from tests.support.pipeline import POLL_S, Pipeline
from tests.support.turns import check_turns, turns_in_file, turns_on_kafka, watch

ROOT = Path(__file__).parents[2]
SHORT_S = 15.0
LONG_S = 60 * float(os.environ.get("CHANGEOVER_RIVALS_MINUTES", "10"))
SEED = 20_261_124

ROWS = 3_000
LEDGER_ROWS = 6_000
"""More than capture appends at once: a transaction that changes all of them can be cut off in its middle."""
LEDGER_EVERY_S = 7.0

REST_S_MAX = 1.5
UNHARMED_S = (0.2, 3.0)
HALT_S = (0.2, 4.0)
"""Long enough for the other one to take over and append: a start takes about a second."""

HARMS = (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP, signal.SIGSTOP)

EXPECTED_ENDS = {OK, STOPPED, UNAVAILABLE, -signal.SIGKILL, -signal.SIGTERM}
EXPECTED_STOPS = {"EpochTaken", "Fenced", "LogUnavailable", "SourceUnavailable"}

TO_BE_SEEN = {"SIGKILL", "SIGTERM", "SIGSTOP", f"exit {STOPPED}"}
LONGER_S_MAX = 90.0


class Rival:
    """A capture that somebody starts again each time that it has ended, and harms while it runs."""

    def __init__(
        self, name: str, pipeline: Pipeline, chance: random.Random, harms: Iterator[signal.Signals]
    ) -> None:
        self._command = [sys.executable, "-P", "-m", "tests.support.named_capture", "capture"]
        self._command += ["--config", str(pipeline.config.resolve())]
        self._chance = chance
        self._harms = harms
        self._words = pipeline.folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._start_at_s = 0.0
        self._harm_at_s = 0.0
        self._wake_at_s: float | None = None
        self.did: Counter[str] = Counter()

    def tend(self) -> None:
        """Do what is due: start it, harm it, wake it."""
        now_s = time.monotonic()
        if self._process is None:
            if now_s >= self._start_at_s:
                self.start()
        elif self._process.poll() is not None:
            self._ended(self._process.returncode)
        elif self._wake_at_s is not None:
            if now_s >= self._wake_at_s:
                self._wake()
        elif now_s >= self._harm_at_s:
            self._harm(self._process, now_s)

    def start(self) -> None:
        with self._words.open("ab") as output:
            self._process = subprocess.Popen(
                self._command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=output
            )
        self.did["start"] += 1
        self._draw_harm()

    def stop(self) -> None:
        if self._process is not None:
            self._wake()
            self._process.terminate()
            self._process.wait(60)
            self._process = None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stops(self) -> set[str]:
        """The kinds of error for which it ended by itself."""
        lines = [json.loads(line) for line in self._words.read_text().splitlines() if line.startswith("{")]
        return {line["kind"] for line in lines if line["event"] == "stopped"}

    def _harm(self, process: subprocess.Popen[bytes], now_s: float) -> None:
        number = next(self._harms)
        process.send_signal(number)
        self.did[number.name] += 1
        self._draw_harm()
        if number is signal.SIGSTOP:
            self._wake_at_s = now_s + self._chance.uniform(*HALT_S)

    def _wake(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
        self._wake_at_s = None
        self._draw_harm()

    def _draw_harm(self) -> None:
        self._harm_at_s = time.monotonic() + self._chance.uniform(*UNHARMED_S)

    def _ended(self, status: int) -> None:
        assert status in EXPECTED_ENDS, (status, self._words.read_text()[-4_000:])
        self.did[f"exit {status}"] += 1
        self._process = None
        self._wake_at_s = None
        self._start_at_s = time.monotonic() + self._chance.uniform(0, REST_S_MAX)


def harms_of(chance: random.Random) -> Iterator[signal.Signals]:
    """Harms at random, each kind as often as it is in HARMS: a short fight sees all of them."""
    while True:
        yield from chance.sample(HARMS, len(HARMS))


@contextmanager
def rivals_of(pipeline: Pipeline) -> Iterator[list[Rival]]:
    chance = random.Random(SEED)
    harms = harms_of(chance)
    rivals = [Rival(name, pipeline, chance, harms) for name in ("one", "two")]
    try:
        yield rivals
    finally:
        for rival in rivals:
            rival.kill()


def fight(pipeline: Pipeline, rivals: Sequence[Rival], seconds: float) -> None:
    """Have the rivals started and harmed for so long, while all else goes on.

    And longer on a slow machine, until all has happened that a fight is to show.
    """
    ledger_at_s = time.monotonic()
    over_at_s = ledger_at_s + seconds
    while (now_s := time.monotonic()) < over_at_s + LONGER_S_MAX:
        if now_s >= over_at_s and set(rivals[0].did + rivals[1].did) >= TO_BE_SEEN:
            break
        for rival in rivals:
            rival.tend()
        pipeline.supervisor.poll()
        assert not pipeline.supervisor.failed(), pipeline.words()
        if time.monotonic() >= ledger_at_s:
            run(pipeline.server, "UPDATE records.ledger SET value = value + 1")
            ledger_at_s += LEDGER_EVERY_S
        time.sleep(POLL_S)


def check_order(pipeline: Pipeline) -> int:
    """The number of records in the log. Fails if those of a key do not lie in the order of their versions."""
    newest: dict[tuple[str, bytes], Version] = {}
    count = 0
    with pipeline.open_log() as log:
        history = log.history()
        for records_ in history.read(history.firsts(), 5_000):
            for record in records_:
                key = (record.table.full_name, record.key)
                version = decode(record.table, record.value).version
                assert version >= newest.get(key, version), (record, newest[key])
                newest[key] = version
            count += len(records_)
    return count


@pytest.mark.parametrize(
    ("log", "seconds"),
    [
        ("sqlite", SHORT_S),
        ("kafka", SHORT_S),
        pytest.param("sqlite", LONG_S, marks=[pytest.mark.full, pytest.mark.timeout(LONG_S + 600)]),
        pytest.param("kafka", LONG_S, marks=[pytest.mark.full, pytest.mark.timeout(LONG_S + 600)]),
    ],
)
def test_of_two_captures_that_are_started_again_and_again_never_two_are_live_and_nothing_is_lost(
    log: str, seconds: float, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        broker = stack.enter_context(PrivateKafka()) if log == "kafka" else None
        server = stack.enter_context(PrivateMySQL() if broker else PrivateMariaDB())
        records.create(server.connect(), json_type="JSON" if type(server) is PrivateMariaDB else "LONGTEXT")
        run(server, "CREATE TABLE records.ledger (id INT PRIMARY KEY, value INT NOT NULL)")
        pipeline = Pipeline(
            server,
            records.SCHEMA,
            tmp_path,
            parts=["apply"],
            log=f"kafka://{broker.bootstrap}" if broker else "sqlite:log.db",
            extra="[snapshot]\nworkers = 0\n",
        )
        if broker:
            with pipeline.connection() as connected:
                create_topics(pipeline.settings, captured_tables(connected))
        else:
            pipeline.open_log().close()
            watch(tmp_path / "log.db")
        stack.enter_context(pipeline)
        rivals = stack.enter_context(rivals_of(pipeline))
        for rival in rivals:  # at once: the very first start is fought for too
            rival.start()
        pipeline.until(lambda now: now.captured_through is not None)
        # There is no import: all rows come by the binlog.
        records.fill(server.connect(), ROWS, SEED)
        ledger = ", ".join(f"({number}, 0)" for number in range(LEDGER_ROWS))
        run(server, f"INSERT INTO records.ledger VALUES {ledger}")
        stop_writing = stack.enter_context(writing(server))
        fight(pipeline, rivals, seconds)
        totals = stop_writing()
        for rival in rivals:
            rival.stop()
        rivals[0].start()
        pipeline.drain(300)
        rivals[0].stop()
        tables = (*records.TABLES, "ledger")
        compared = oracle.compare(server.connect(), records.SCHEMA, tables, tmp_path / "target.db")
        turns = turns_on_kafka(broker.bootstrap, "test") if broker else turns_in_file(tmp_path / "log.db")
        takeovers, count = check_turns(turns), check_order(pipeline)
    did = rivals[0].did + rivals[1].did
    print(  # noqa: T201 - the figures of the run, for who asks with -rP
        f"{log}, {seconds:.0f} s: {takeovers} captures took over, {len(turns)} appends, {count} records, "
        f"{totals['transactions']} transactions, {dict(did)}, {compared.difference_count} differences"
    )
    assert compared.difference_count == 0, compared.differences[:3]
    assert sum(compared.rows_source.values()) == sum(compared.rows_target.values()) > LEDGER_ROWS
    assert rivals[0].stops() | rivals[1].stops() <= EXPECTED_STOPS
    # Or it would have shown nothing.
    assert set(did) >= TO_BE_SEEN
    assert seconds / 10 < takeovers < len(turns)
