"""Capture over a binlog that is written down here, and into the real log in a file."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

import cdc.capture
from cdc.capture import IDLE_WAIT_S, LINGER_S, Capture
from cdc.events import Began, Event, RolledBack, RowsChanged, Stated
from changeover.change import Change, Op
from changeover.envelope import decode
from changeover.epoch import Epoch
from changeover.errors import (
    BinlogUnreadable,
    Fenced,
    LogUnavailable,
    OrderBroken,
    SourceUnavailable,
)
from changeover.log import Beat, CaptureLog, Checkpoint, Entry, Record
from changeover.log.sqlite import SQLiteLog
from changeover.version import Version
from tests.support.binlog import (
    A,
    B,
    Clock,
    MemoryEpochs,
    ScriptedStream,
    beating,
    rows,
    statement,
    transaction,
)
from tests.support.tables import citizen, named

PIPELINE = "moving"
PASSPORT = named("passport")
CAPTURED = frozenset({("records", "citizen"), ("records", "passport")})
START = Checkpoint(Version.of_change(1, 10), f"{A}-10")


def created(number: int, name: str = "Ada") -> RowsChanged:
    return rows((None, citizen(number, name)))


HISTORY = [
    *transaction(11, created(1), created(2)),
    *beating(12),
    *transaction(13, rows((citizen(1), citizen(1, "Grace"))), rows((None, citizen(1)), table=PASSPORT)),
    *statement(14, "CREATE TABLE note (id INT)"),
    *transaction(15, rows((citizen(2), citizen(3)))),
    *transaction(16, created(4), identity=B),
    *beating(17, identity=B),
    *transaction(18, rows((citizen(4), None)), rows((None, citizen(4, "again"))), identity=B),
    *transaction(19, *(created(number) for number in range(20, 27)), identity=B),
    *transaction(20, rows((citizen(3), None)), identity=A),
    *beating(21),
]


class Captures:
    """Capture as it is started again and again over one binlog, one log and one list of epochs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.epochs = MemoryEpochs()
        with SQLiteLog(path, PIPELINE) as log:
            log.capture().append([], START, None)

    def run(
        self,
        binlog: Sequence[Event],
        *,
        breaks_at: int | None = None,
        event_s: float = 0.0,
        into: Callable[[CaptureLog], CaptureLog] = lambda log: log,
    ) -> Clock:
        """Read the binlog from the checkpoint to its end, or to where the stream or the log breaks."""
        with SQLiteLog(self.path, PIPELINE) as log:
            capture_log = log.capture()
            checkpoint = capture_log.checkpoint
            assert checkpoint
            stream = ScriptedStream(binlog, checkpoint.position, breaks_at=breaks_at, event_s=event_s)
            capture = self.capture(stream, into(capture_log), checkpoint)
            capture.run(lambda: breaks_at is None and stream.is_at_end)
        return stream.clock

    def capture(self, stream: ScriptedStream, log: CaptureLog, checkpoint: Checkpoint = START) -> Capture:
        return Capture(
            stream,
            log,
            self.epochs,
            checkpoint=checkpoint,
            pipeline=PIPELINE,
            captured=CAPTURED,
            clock=stream.clock,
        )

    def records(self) -> list[Record]:
        with SQLiteLog(self.path, PIPELINE) as log:
            return list(log.reader("test").poll(1_000))

    def changes(self) -> list[Change]:
        return [decode(record.table, record.value) for record in self.records()]

    def once(self) -> dict[str, list[tuple[bytes, bytes]]]:
        """What each topic holds, without repetitions: what a crash may change is only how often."""
        topics: dict[str, list[tuple[bytes, bytes]]] = {}
        for record in self.records():
            topics.setdefault(record.partition.topic, []).append((record.key, record.value))
        return {topic: list(dict.fromkeys(held)) for topic, held in topics.items()}

    @property
    def position(self) -> str | None:
        with SQLiteLog(self.path, PIPELINE) as log:
            checkpoint = log.checkpoint()
        return checkpoint.position if checkpoint else None

    @property
    def through(self) -> Version | None:
        """What a consumer that read everything has applied through."""
        with SQLiteLog(self.path, PIPELINE) as log:
            watermark = log.reader("all").commit(log.ends())
        return watermark.version if watermark else None


@pytest.fixture
def captures(tmp_path: Path) -> Captures:
    return Captures(tmp_path / "log.db")


# -- transactions


def test_a_change_enters_the_log_with_its_version_and_origin(captures: Captures) -> None:
    captures.run(transaction(11, rows((citizen(1), citizen(1, "Grace")))))
    (change,) = captures.changes()
    assert (change.op, change.before, change.after) == (Op.UPDATE, citizen(1), citizen(1, "Grace"))
    assert change.version == Version.of_change(1, 11)
    assert (change.origin.at_ms, change.origin.transaction) == (11_000, "0-1-11")


def test_nothing_of_a_transaction_enters_the_log_before_its_commit(captures: Captures) -> None:
    started = transaction(11, created(1), created(2))[:-1]
    captures.run(started)
    assert (captures.changes(), captures.position) == ([], START.position)


def test_a_transactions_changes_enter_the_log_with_its_checkpoint(captures: Captures) -> None:
    captures.run(transaction(11, created(1), created(2)))
    assert [change.after for change in captures.changes()] == [citizen(1), citizen(2)]
    assert captures.position == "0-1-11"


def test_a_transaction_of_other_tables_moves_the_checkpoint_alone(captures: Captures) -> None:
    captures.run(transaction(11))
    assert (captures.changes(), captures.position) == ([], "0-1-11")


def test_a_heartbeat_is_a_watermark_behind_all_changes_before_it(captures: Captures) -> None:
    captures.run([*transaction(11, created(1)), *beating(12), *transaction(13, created(2))])
    assert captures.through == Version.of_change(1, 12)


def test_the_changes_of_one_key_are_one_change(captures: Captures) -> None:
    captures.run(transaction(11, rows((citizen(1), None)), rows((None, citizen(1, "again")))))
    assert [(change.op, change.after) for change in captures.changes()] == [(Op.UPDATE, citizen(1, "again"))]


# -- crashes


@pytest.mark.parametrize("event_s", [0.0, 2 * LINGER_S], ids=["all at once", "each alone"])
@pytest.mark.parametrize("breaks_at", range(len(HISTORY) + 1))
def test_after_a_crash_at_any_event_the_log_holds_the_same(
    captures: Captures, tmp_path: Path, breaks_at: int, event_s: float
) -> None:
    with pytest.raises(SourceUnavailable):
        captures.run(HISTORY, breaks_at=breaks_at, event_s=event_s)
    captures.run(HISTORY)
    whole = Captures(tmp_path / "whole.db")
    whole.run(HISTORY)
    assert captures.once() == whole.once()
    assert (captures.position, captures.through) == (whole.position, whole.through)
    assert captures.epochs.listed == whole.epochs.listed


class BreakingLog:
    """The log's capture side, whose n-th append fails before or after it is durable."""

    def __init__(self, log: CaptureLog, breaks_at: int, *, is_written: bool) -> None:
        self._log = log
        self._left = breaks_at
        self._is_written = is_written

    @property
    def checkpoint(self) -> Checkpoint | None:
        return self._log.checkpoint

    def append(self, entries: Sequence[Entry], checkpoint: Checkpoint | None, beat: Beat | None) -> None:
        self._left -= 1
        if self._left >= 0 or self._is_written:
            self._log.append(entries, checkpoint, beat)
        if self._left < 0:
            message = "the log did not answer"
            raise LogUnavailable(message)


@pytest.mark.parametrize("is_written", [False, True], ids=["lost", "written"])
@pytest.mark.parametrize("breaks_at", range(12))
def test_after_an_append_of_unknown_outcome_the_log_holds_the_same(
    captures: Captures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, breaks_at: int, is_written: object
) -> None:
    monkeypatch.setattr(cdc.capture, "ENTRIES_AT_ONCE_MAX", 2)
    with pytest.raises(LogUnavailable):
        captures.run(
            HISTORY,
            event_s=2 * LINGER_S,
            into=lambda log: BreakingLog(log, breaks_at, is_written=bool(is_written)),
        )
    captures.run(HISTORY)
    whole = Captures(tmp_path / "whole.db")
    whole.run(HISTORY)
    assert captures.once() == whole.once()
    assert (captures.position, captures.epochs.listed) == (whole.position, whole.epochs.listed)


def test_a_capture_that_was_fenced_stops_and_leaves_nothing_behind(captures: Captures) -> None:
    with SQLiteLog(captures.path, PIPELINE) as log, SQLiteLog(captures.path, PIPELINE) as other:
        stream = ScriptedStream(transaction(11, created(1)), START.position)
        older = captures.capture(stream, log.capture())
        other.capture()
        with pytest.raises(Fenced):
            older.run(lambda: stream.is_at_end)
    assert (captures.changes(), captures.position) == ([], START.position)


# -- large transactions


class Appends:
    """The log's capture side, with a note of what each append brought."""

    def __init__(self, log: CaptureLog) -> None:
        self._log = log
        self.made: list[tuple[int, str | None]] = []

    @property
    def checkpoint(self) -> Checkpoint | None:
        return self._log.checkpoint

    def append(self, entries: Sequence[Entry], checkpoint: Checkpoint | None, beat: Beat | None) -> None:
        self._log.append(entries, checkpoint, beat)
        self.made.append((len(entries), checkpoint.position if checkpoint else None))


def appends(
    captures: Captures, binlog: Sequence[Event], *, event_s: float = 0.0
) -> list[tuple[int, str | None]]:
    """How many entries each append brought, and to which checkpoint."""
    noted: list[Appends] = []

    def into(log: CaptureLog) -> CaptureLog:
        noted.append(Appends(log))
        return noted[0]

    captures.run(binlog, event_s=event_s, into=into)
    return noted[0].made


@pytest.mark.parametrize(
    ("count", "made"),
    [
        (3, [(3, None), (0, "0-1-11")]),
        (4, [(3, None), (1, "0-1-11")]),
        (7, [(3, None), (3, None), (1, "0-1-11")]),
    ],
)
def test_a_large_transaction_takes_several_appends_and_the_checkpoint_comes_with_the_last(
    captures: Captures, monkeypatch: pytest.MonkeyPatch, count: int, made: list[tuple[int, str | None]]
) -> None:
    monkeypatch.setattr(cdc.capture, "ENTRIES_AT_ONCE_MAX", 3)
    assert appends(captures, transaction(11, *(created(number) for number in range(count)))) == made
    assert len(captures.changes()) == count


def test_a_large_transaction_behind_a_small_one_does_not_take_its_checkpoint_for_its_own(
    captures: Captures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cdc.capture, "ENTRIES_AT_ONCE_MAX", 3)
    large = transaction(12, *(created(number) for number in range(2, 6)))
    assert appends(captures, [*transaction(11, created(1)), *large]) == [(3, "0-1-11"), (2, "0-1-12")]


# -- time


def test_transactions_that_come_close_together_share_an_append(captures: Captures) -> None:
    binlog = [event for sequence in range(11, 15) for event in transaction(sequence, created(sequence))]
    assert appends(captures, binlog) == [(4, "0-1-14")]


def test_a_transaction_waits_for_others_no_longer_than_the_linger(captures: Captures) -> None:
    binlog = [event for sequence in range(11, 15) for event in transaction(sequence, created(sequence))]
    made = appends(captures, binlog, event_s=LINGER_S / 3)
    # Three events to a transaction, so a linger passes from each commit to the next.
    assert made == [(2, "0-1-12"), (2, "0-1-14")]


def test_a_transaction_that_nothing_follows_is_written_after_the_linger(captures: Captures) -> None:
    with SQLiteLog(captures.path, PIPELINE) as log:
        stream = ScriptedStream(transaction(11, created(1)), START.position)
        capture = captures.capture(stream, log.capture())
        for _ in range(3):
            capture.step()
        assert log.ends() == {}
        before_s = stream.clock.now_s
        capture.step()
        assert stream.clock.now_s - before_s == pytest.approx(LINGER_S)
        capture.step()
        assert len(log.ends()) == 1


def test_a_step_waits_no_longer_than_the_bound_where_nothing_happens(captures: Captures) -> None:
    with SQLiteLog(captures.path, PIPELINE) as log:
        stream = ScriptedStream([], START.position)
        before_s = stream.clock.now_s
        captures.capture(stream, log.capture()).step()
        assert stream.clock.now_s - before_s == IDLE_WAIT_S


# -- epochs


def test_another_server_opens_an_epoch_before_its_first_record(captures: Captures) -> None:
    class Watched(MemoryEpochs):
        def open_epoch(self, epoch: Epoch) -> None:
            assert captures.position == "0-1-11"
            assert [change.version.epoch for change in captures.changes()] == [1]
            super().open_epoch(epoch)

    captures.epochs = Watched()
    captures.run([*transaction(11, created(1)), *transaction(12, created(2), identity=B)])
    assert captures.epochs.listed[1:] == [Epoch(2, B, 12, Version.of_change(1, 11))]
    assert [change.version for change in captures.changes()] == [
        Version.of_change(1, 11),
        Version.of_change(2, 12),
    ]


def test_r4_from_a_to_b_and_back_to_a_versions_only_rise(captures: Captures) -> None:
    captures.run(
        [
            *transaction(11, created(1)),
            *transaction(12, rows((citizen(1), citizen(1, "B"))), identity=B),
            *transaction(13, rows((citizen(1, "B"), citizen(1, "A again")))),
        ]
    )
    assert [change.version.epoch for change in captures.changes()] == [1, 2, 3]


def test_a_sequence_that_goes_backwards_stops_capture_and_what_came_before_is_in_the_log(
    captures: Captures,
) -> None:
    with pytest.raises(OrderBroken, match="went back"):
        captures.run([*transaction(11, created(1)), *transaction(5, created(2))])
    assert ([change.after for change in captures.changes()], captures.position) == ([citizen(1)], "0-1-11")


def test_a_second_domain_stops_capture(captures: Captures) -> None:
    with pytest.raises(OrderBroken, match="several GTID domains"):
        captures.run(transaction(11, created(1), identity="1-1"))
    assert captures.changes() == []


# -- what capture does not follow


def prepared_xa(sequence: int, *events: Event) -> list[Event]:
    began, *rest = transaction(sequence, *events)
    return [replace(began, is_prepared_xa=True), *rest] if isinstance(began, Began) else []


COMMITTED = transaction(12)[-1]


@pytest.mark.parametrize(
    ("events", "words"),
    [
        (prepared_xa(12, created(2)), r"an XA transaction changes records\.citizen"),
        (
            transaction(12, Stated("records", "XA START X'01',X'',1"), created(2)),
            r"an XA transaction changes records\.citizen",
        ),
        (transaction(12, Stated("records", "UPDATE citizen SET name = 'x'")), "STATEMENT"),
        (transaction(12, created(2), Stated("records", "ROLLBACK TO a")), "undoes rows"),
        (statement(12, "ALTER TABLE citizen ADD x INT"), "does not follow DDL"),
        (statement(12, "DROP DATABASE records"), "does not follow DDL"),
        ([created(2)], "RowsChanged comes outside any transaction"),
        ([COMMITTED], "Committed comes outside any transaction"),
        ([Stated("records", "CREATE TABLE note (id INT)")], "Stated comes outside any transaction"),
        ([*transaction(12, created(2))[:-1], *transaction(13)], "Began comes inside a transaction"),
    ],
)
def test_what_it_does_not_follow_stops_it_loudly_and_what_was_complete_is_in_the_log(
    captures: Captures, events: Sequence[Event], words: str
) -> None:
    with pytest.raises(BinlogUnreadable, match=words):
        captures.run([*transaction(11, created(1)), *events])
    assert ([change.after for change in captures.changes()], captures.position) == ([citizen(1)], "0-1-11")


def test_where_the_stream_itself_cannot_read_on_what_was_complete_is_in_the_log(captures: Captures) -> None:
    class Damaged(ScriptedStream):
        def next(self, timeout_s: float) -> Event | None:
            if self.is_at_end:
                message = "an event has no metadata"
                raise BinlogUnreadable(message)
            return super().next(timeout_s)

    with SQLiteLog(captures.path, PIPELINE) as log:
        stream = Damaged(transaction(11, created(1)), START.position)
        with pytest.raises(BinlogUnreadable, match="metadata"):
            captures.capture(stream, log.capture()).run(lambda: False)
    assert ([change.after for change in captures.changes()], captures.position) == ([citizen(1)], "0-1-11")


@pytest.mark.parametrize(
    "events",
    [
        prepared_xa(12),
        transaction(12, Stated("records", "SAVEPOINT a"), created(2)),
        transaction(12, Stated("records", "ROLLBACK TO a"), created(2)),
        statement(12, "XA COMMIT X'01',X'',1"),
        statement(12, "CREATE VIEW adults AS SELECT * FROM citizen"),
        statement(12, "GRANT SELECT ON records.citizen TO app"),
    ],
)
def test_what_changes_no_captured_row_does_not_stop_it(captures: Captures, events: Sequence[Event]) -> None:
    captures.run([*transaction(11, created(1)), *events, *transaction(13, created(3))])
    assert captures.position == "0-1-13"
    assert captures.changes()[-1].after == citizen(3)


def test_of_a_transaction_that_was_rolled_back_only_its_place_is_left(captures: Captures) -> None:
    captures.run([*transaction(11, created(1)), *transaction(12, created(2), RolledBack())])
    assert ([change.after for change in captures.changes()], captures.position) == ([citizen(1)], "0-1-12")


def test_a_stop_shows_the_beginning_of_a_statement_and_not_its_values(captures: Captures) -> None:
    text = f"INSERT INTO citizen (id, name, address) VALUES (1, '{'x' * 60}', 'secret')"
    with pytest.raises(BinlogUnreadable) as stop:
        captures.run(transaction(11, Stated("records", text)))
    assert "INSERT INTO citizen" in str(stop.value)
    assert "secret" not in str(stop.value)


def test_it_counts_what_it_wrote(captures: Captures) -> None:
    with SQLiteLog(captures.path, PIPELINE) as log:
        stream = ScriptedStream(HISTORY, START.position)
        capture = captures.capture(stream, log.capture())
        capture.run(lambda: stream.is_at_end)
    assert (capture.counts.transactions, capture.counts.changes) == (11, len(captures.changes()))
