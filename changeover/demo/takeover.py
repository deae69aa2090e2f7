"""The second half of the demo: the application takes over, phase by phase, and never fails a request."""

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from changeover.demo import clinic, oracle, records
from changeover.demo.practice import Practice
from changeover.demo.show import Show
from changeover.errors import ChangeoverError
from changeover.log import Log
from changeover.mysql.catalog import captured_tables
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.mysql.processes import processes
from changeover.phase import Phase
from changeover.phases.finish import Finisher
from changeover.phases.gates import failing
from changeover.phases.operator import Answer, Operator
from changeover.settings import Settings
from changeover.targets.wiring import open_target
from changeover.verify.verdicts import State, whole
from changeover.verify.verifier import verifying

if TYPE_CHECKING:
    from pymysql.connections import Connection as PlainConnection

SETTINGS = """
[application]
url = "mysql://clinic@127.0.0.1:{port}/{schema}"
report_s = 0.5
compared_share = 0.5
# A machine that does much else takes its time, and nobody is sent away for that.
fence_wait_s_max = 90

[phases]
lease_s = 0.5
fence_s = 60
compared_min = 20
processes_min = 2
# A process counts as silent sooner than by default, since `finish` waits until all are.
process_age_s_max = 5
# For some seconds of a run of one minute there is no new database, and the binlog alone delivers.
direct_success_percent_min = 50
"""
"""What the demo sets beside the pipeline's own: limits that a run of a minute can hold."""

ACCOUNT = (
    "CREATE USER clinic@127.0.0.1 IDENTIFIED BY '{password}'",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.* TO clinic@127.0.0.1",
    "GRANT SELECT ON changeover.* TO clinic@127.0.0.1",
)
REPORTS = (
    "GRANT INSERT, UPDATE, DELETE ON changeover.process TO clinic@127.0.0.1",
    "GRANT INSERT, UPDATE, DELETE ON changeover.heartbeat TO clinic@127.0.0.1",
)

LAST_YEAR = tuple((key, key % 100, f"sidste år: {key}") for key in range(1_000, 2_000))
"""Visits that nobody writes any more, so that NEW leaves them to what was moved."""

PHASE_S = 4.0
"""How long the application works in a phase before the next move."""

OUTAGE_S = 3.0
GATES_S_MAX = 45.0
FINISH_S_MAX = 30.0
ASK_S = 0.5


class TakeoverFailed(ChangeoverError):
    """The application could not take over."""


@dataclass(frozen=True, slots=True)
class Move:
    """A transition as it was made."""

    before: Phase
    after: Phase
    ms: float


@dataclass(slots=True)
class Took:
    """What the way over has shown; moments are UNIX time."""

    moves: list[Move] = field(default_factory=list)
    both_since: float = 0.0
    both_until: float = 0.0
    files: Sequence[Path] = ()


class Takeover:
    """Leads the clinic from phase to phase. `tend` looks after the pipeline, and raises if it has failed."""

    def __init__(  # noqa: PLR0913 - what a way over works with
        self,
        settings: Settings,
        log: Log,
        control: ControlSchema,
        *,
        practice: Practice,
        show: Show,
        tend: Callable[[], None],
    ) -> None:
        self.took = Took()
        self._settings = settings
        self._log = log
        self._control = control
        self._practice = practice
        self._show = show
        self._tend = tend

    def into_new(self, target: Path) -> None:
        """From OLD to NEW, with the new database gone for a while, and once back and forward again."""
        self._verify("verified while it is written to")
        self._advance()
        self.took.both_since = time.time()
        self._work(PHASE_S)
        self.took.both_until = time.time()
        self._outage(target)
        self._verify("verified again, behind the outage")
        self._advance()
        self._practice.replace_old_code()
        self._show.event("both processes of old code are replaced by new code")
        self._work(PHASE_S)
        self._back()
        self._work(PHASE_S / 2)
        self._advance()
        self._work(PHASE_S)
        self._advance()
        self._work(PHASE_S)
        self._verify("what NEW has not rewritten is verified behind the fence")

    def finish(self, folder: Path) -> None:
        """Take away what served the move alone; the clinic and the pipeline have stopped."""
        with (
            Connection(self._settings.source) as connection,
            open_target(self._settings) as target,
        ):
            control = ControlSchema(connection, self._settings.pipeline)
            tables = captured_tables(connection)
            finisher = Finisher(self._settings, control, self._log, target, tables)
            self._show.doing("what served the move alone is being taken away")
            for _ in _until(FINISH_S_MAX):
                if not (reasons := finisher.why_not()):
                    done = finisher.finish(folder)
                    self._show.event(f"finished: {done.markers:,} delete markers and all our books are gone")
                    self.took.files = done.files
                    return
        raise TakeoverFailed(f"finish is refused: {'; '.join(reasons)}")

    def _verify(self, what: str) -> None:
        self._show.doing("every row of both sides is being verified")
        with verifying(self._settings) as verifier:
            verdict = whole(verifier.scan(verifier.chosen(()), tell=lambda _: self._tend()))
        if verdict.state is not State.CLEAN:
            raise TakeoverFailed(f"verification: {verdict.state.value} {verdict.why}")
        self._show.event(f"{what}: {verdict.rows:,} rows are clean")

    def _advance(self) -> None:
        for _ in _until(GATES_S_MAX):
            self._look()
            began = time.monotonic()
            answer = self._operator().advance()
            if answer.is_made:
                self._made(answer, time.monotonic() - began)
                return
            if answer.why:
                break
        why = answer.why or "; ".join(f"{gate.name}: {gate.reason}" for gate in failing(answer.gates))
        raise TakeoverFailed(f"{answer.before.value} stays: {why}")

    def _back(self) -> None:
        began = time.monotonic()
        self._made(self._operator().back(), time.monotonic() - began)

    def _made(self, answer: Answer, took_s: float) -> None:
        move = Move(answer.before, answer.state.phase, took_s * 1_000)
        self.took.moves.append(move)
        gates = f", {len(answer.gates)} gates held" if answer.gates else ", no gate is in the way"
        self._show.event(f"{move.before.value} -> {move.after.value} in {move.ms:,.0f} ms{gates}")

    def _operator(self) -> Operator:
        return Operator(self._settings, self._control, self._log)

    def _outage(self, target: Path) -> None:
        """Hold the file's write lock: whoever wants to write to the new database gets no answer."""
        before = self._left_to_the_binlog()
        with closing(sqlite3.connect(target, isolation_level=None, timeout=30)) as holder:
            holder.execute("BEGIN EXCLUSIVE")
            self._show.event(f"the new database takes no writes for {OUTAGE_S:g} s: its file is locked")
            self._work(OUTAGE_S)
            for _ in _until(GATES_S_MAX):  # a process that stood still meanwhile has not met it yet
                self._look()
                if self._left_to_the_binlog() > before:
                    break
            else:
                raise TakeoverFailed("the new database was locked, and no direct write noticed")
            holder.execute("ROLLBACK")
        self._work(PHASE_S / 2)
        left = self._left_to_the_binlog() - before
        self._show.event(f"the new database is back: {left:,} writes were left to the binlog")

    def _left_to_the_binlog(self) -> int:
        return sum(int(one.report.get("direct_failed", 0)) for one in processes(self._control))

    def _work(self, seconds: float) -> None:
        self._show.doing("the application works")
        for _ in _until(seconds):
            self._look()

    def _look(self) -> None:
        self._tend()
        self._practice.check()


def _until(seconds: float) -> Iterator[None]:
    """Once at least, then every `ASK_S` until the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        yield
        if time.monotonic() >= deadline:
            return
        time.sleep(ASK_S)


def prepare(connection: "PlainConnection[Any]", password: str) -> None:
    """Make the clinic's table, with the visits of last year, and its account."""
    _run(connection, clinic.DEFINITION)
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {records.SCHEMA}.{clinic.TABLE} VALUES (%s, %s, %s)", LAST_YEAR)
    for statement in ACCOUNT:
        _run(connection, statement.format(password=password, schema=records.SCHEMA))


def let_report(connection: "PlainConnection[Any]") -> None:
    """Let the clinic's processes report; capture has made the control schema."""
    for statement in REPORTS:
        _run(connection, statement)


def unlike(compared: oracle.Comparison, acknowledged: Mapping[int, str | None]) -> list[oracle.Difference]:
    """What differs from the frozen source, but for visits that the clinic may have rewritten in NEW."""
    if compared.difference_count > len(compared.differences):
        return list(compared.differences)
    return [
        one for one in compared.differences if one.table != clinic.TABLE or one.key[0] not in acknowledged
    ]


def not_kept(target: Path, acknowledged: Mapping[int, str | None]) -> list[int]:
    """The visits of which the target does not hold what was last acknowledged."""
    with closing(sqlite3.connect(f"file:{target}?mode=ro", uri=True)) as file:
        held = dict(file.execute(f"SELECT id, note FROM {clinic.TABLE}"))
    return [key for key, note in acknowledged.items() if held.get(key) != note]


def _run(connection: "PlainConnection[Any]", sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)
