"""What every log promises. A subclass gives `open_log`, and pytest collects the subclass.

`open_log` opens the same log each time, made anew for each test, with the topics of TABLES; it can be
pickled, for processes of their own open it too. A group's reader is left behind by closing its log.
"""

import random
import time
from collections.abc import Callable, Iterable, Iterator
from typing import cast

import pytest

from changeover.envelope import encode_key
from changeover.errors import ChangeoverError, Fenced
from changeover.log import Beat, Checkpoint, Entry, Log, Reader, Record
from changeover.progress import Partition, Watermark, has_passed
from changeover.table import Table
from changeover.version import Version
from tests.support.tables import CITIZEN, citizen, named, widened
from tests.support.workers import append_and_die, append_each, numbered, spawned

PASSPORT = named("passport")
TABLES = (CITIZEN, PASSPORT)
WAIT_S_MAX = 120.0
"""Processes append one by one here, and a busy disk may take a tenth of a second for each."""

OpenLog = Callable[[], Log]
Owed = tuple[str, int]
"""A table and the sequence of a change of it."""


def entry(number: int, sequence: int = 0, table: Table = CITIZEN) -> Entry:
    """A change of row `number` by transaction `sequence`, whose value the log does not look into."""
    return Entry(table, encode_key(table, citizen(number)), str(sequence).encode())


UNWRITABLE = entry(9)._replace(value=cast("bytes", object()))
NOT_WRITTEN = (ChangeoverError, TypeError)


def checkpoint(sequence: int) -> Checkpoint:
    return Checkpoint(Version.of_change(1, sequence), f"0-1-{sequence}", changes=7 * sequence)


def beat(sequence: int) -> Beat:
    return Beat(Version.of_change(1, sequence), 1_000 * sequence)


def take(reader: Reader, count: int) -> list[Record]:
    """The next `count` records, and no others behind them."""
    records: list[Record] = []
    deadline = time.monotonic() + WAIT_S_MAX
    while len(records) < count and time.monotonic() < deadline:
        records += reader.poll(100)
    records += reader.poll(100)
    assert len(records) == count
    return records


def behind(records: Iterable[Record]) -> dict[Partition, int]:
    return {record.partition: record.offset + 1 for record in records}


def sent(records: Iterable[Record]) -> list[Entry]:
    return [Entry(record.table, record.key, record.value) for record in records]


def passed(reader: Reader, sequence: int) -> bool:
    """Whether the group has applied through the transaction, or does so within the time."""
    wanted = Version.of_change(1, sequence)
    deadline = time.monotonic() + WAIT_S_MAX
    while (through := reader.commit({})) is None or through.version < wanted:
        if time.monotonic() > deadline or reader.poll(1):  # polled: it is then that a group's members change
            return False
    return through.version == wanted and through.source_ms == 1_000 * sequence


def claims(reader: Reader) -> Watermark | None:
    """What the group claims to have applied through, after it had several chances to claim more."""
    return [reader.commit({}) for _ in range(3)][-1]


class LogContract:
    """The promises of `changeover.log`."""

    @pytest.fixture
    def log(self, open_log: OpenLog) -> Iterator[Log]:
        with open_log() as log:
            yield log

    # -- records

    def test_what_is_appended_is_read_as_it_was(self, log: Log) -> None:
        entries = [entry(1, 11), entry(1, 12, PASSPORT), Entry(CITIZEN, b"\x00\xff", b"")]
        log.append(entries)
        assert sorted(sent(take(log.reader("apply"), 3)), key=str) == sorted(entries, key=str)

    def test_a_keys_changes_are_read_in_the_order_of_their_appends(self, log: Log) -> None:
        for sequence in range(0, 30, 3):
            log.append([entry(sequence % 2, sequence + more) for more in range(3)])
        records = take(log.reader("apply"), 30)
        for number in range(2):
            values = [int(record.value) for record in records if record.key == entry(number).key]
            assert values == sorted(values)
            assert len({record.partition for record in records if record.key == entry(number).key}) == 1

    def test_offsets_rise_in_each_partition(self, log: Log) -> None:
        for sequence in range(10):
            log.append([entry(sequence), entry(sequence, 0, PASSPORT)])
        records = take(log.reader("apply"), 20)
        for partition in {record.partition for record in records}:
            offsets = [record.offset for record in records if record.partition == partition]
            assert offsets == sorted(set(offsets))

    def test_an_append_returns_the_ends_behind_its_records(self, log: Log) -> None:
        log.append([entry(1)])
        ends = log.append([entry(1), entry(1, 0, PASSPORT)])
        assert ends == behind(take(log.reader("apply"), 3))

    def test_an_append_of_nothing_changes_nothing(self, log: Log) -> None:
        assert log.append([]) == {}
        assert log.reader("apply").poll(10) == []

    def test_what_is_appended_is_there_for_another_connection_at_once(
        self, log: Log, open_log: OpenLog
    ) -> None:
        log.append([entry(1)])
        with open_log() as other:
            assert sent(take(other.reader("apply"), 1)) == [entry(1)]

    def test_what_is_appended_outlives_a_process_that_dies_right_after(self, open_log: OpenLog) -> None:
        dying = spawned(append_and_die, open_log, 7)
        dying.join(WAIT_S_MAX)
        with open_log() as log:
            assert sent(take(log.reader("apply"), 1)) == [numbered(7)]

    def test_of_an_append_that_fails_nothing_is_left(self, log: Log) -> None:
        with pytest.raises(NOT_WRITTEN):
            log.append([entry(1), entry(1, 0, PASSPORT), UNWRITABLE])
        log.append([entry(2, 0, PASSPORT)])
        assert sent(take(log.reader("apply"), 1)) == [entry(2, 0, PASSPORT)]

    def test_processes_that_append_at_once_lose_nothing_and_write_nothing_twice(
        self, log: Log, open_log: OpenLog
    ) -> None:
        workers = [spawned(append_each, open_log, 1_000 * place, 200) for place in range(4)]
        records = take(log.reader("apply"), 800)
        for worker in workers:
            worker.join(WAIT_S_MAX)
        expected = [numbered(1_000 * place + number) for place in range(4) for number in range(200)]
        assert sorted(sent(records), key=str) == sorted(expected, key=str)

    # -- table definitions

    def test_records_come_with_the_definition_that_they_were_written_under(self, log: Log) -> None:
        after_ddl = entry(2, 12, widened(CITIZEN))
        log.append([entry(1, 11), after_ddl, entry(3, 13)])
        log.append([entry(4, 14, widened(CITIZEN))])
        tables = {int(record.value): record.table for record in take(log.reader("apply"), 4)}
        assert tables == {11: CITIZEN, 12: widened(CITIZEN), 13: CITIZEN, 14: widened(CITIZEN)}

    def test_a_definition_that_came_with_a_failed_append_comes_with_the_next(self, log: Log) -> None:
        with pytest.raises(NOT_WRITTEN):
            log.append([entry(1, 11, widened(CITIZEN)), UNWRITABLE])
        log.append([entry(1, 12, widened(CITIZEN))])
        assert [record.table for record in take(log.reader("apply"), 1)] == [widened(CITIZEN)]

    # -- consumer groups

    def test_a_reader_goes_on_where_its_group_committed(self, open_log: OpenLog) -> None:
        with open_log() as log:
            log.append([entry(1, sequence) for sequence in range(5)])
            reader = log.reader("apply")
            reader.commit(behind(take(reader, 5)[:2]))
        with open_log() as log:
            assert [record.value for record in take(log.reader("apply"), 3)] == [b"2", b"3", b"4"]

    def test_what_was_not_committed_comes_again(self, open_log: OpenLog) -> None:
        with open_log() as log:
            log.append([entry(1)])
        for _ in range(2):
            with open_log() as log:
                assert sent(take(log.reader("apply"), 1)) == [entry(1)]

    def test_a_reader_does_not_give_twice_what_it_gave(self, log: Log) -> None:
        log.append([entry(1, 11)])
        reader = log.reader("apply")
        take(reader, 1)
        log.append([entry(1, 12)])
        assert sent(take(reader, 1)) == [entry(1, 12)]

    def test_a_poll_gives_no_more_than_was_asked_for(self, log: Log) -> None:
        log.append([entry(1, sequence) for sequence in range(5)])
        reader = log.reader("apply")
        polls: list[int] = []
        while sum(polls) < 5:
            polls.append(len(reader.poll(2)))
        assert max(polls) == 2

    def test_groups_do_not_see_each_others_offsets(self, log: Log) -> None:
        log.append([entry(1)])
        one = log.reader("one")
        one.commit(behind(take(one, 1)), records=1, stale=1)
        assert len(take(log.reader("two"), 1)) == 1
        assert log.progress_of("two").committed == {}
        assert log.progress_of("two").stale == 0

    def test_a_groups_progress_is_what_it_committed(self, log: Log, open_log: OpenLog) -> None:
        ends = log.append([entry(1), entry(2)])
        reader = log.reader("apply")
        taken = take(reader, 2)
        reader.commit(behind(taken[:1]), records=1, stale=1)
        reader.commit(behind(taken), records=2, stale=2)
        with open_log() as other:
            progress = other.progress_of("apply")
        assert has_passed(progress.committed, ends)  # Kafka's lie behind the transaction's marker
        assert (progress.records, progress.stale) == (3, 3)

    def test_a_group_that_never_was_has_committed_nothing(self, log: Log) -> None:
        progress = log.progress_of("nobody")
        assert (progress.committed, progress.through) == ({}, None)
        assert (progress.records, progress.stale) == (0, 0)

    # -- capture

    def test_captures_entries_and_checkpoint_are_durable_together(self, log: Log, open_log: OpenLog) -> None:
        capture = log.capture()
        assert capture.checkpoint is None
        capture.append([entry(1, 11)], checkpoint(11), None)
        with open_log() as other:
            assert other.checkpoint() == checkpoint(11)
            assert sent(take(other.reader("apply"), 1)) == [entry(1, 11)]

    def test_the_next_capture_resumes_at_the_checkpoint(self, open_log: OpenLog) -> None:
        with open_log() as log:
            capture = log.capture()
            capture.append([], checkpoint(11), None)
            capture.append([entry(1, 12)], checkpoint(12), None)
        with open_log() as log:
            assert log.capture().checkpoint == checkpoint(12)

    def test_a_part_of_a_transaction_leaves_the_checkpoint_where_it_is(self, log: Log) -> None:
        capture = log.capture()
        capture.append([entry(1, 11)], checkpoint(11), None)
        capture.append([entry(2, 12)], None, None)
        assert capture.checkpoint == checkpoint(11)
        capture.append([entry(3, 12)], checkpoint(12), None)
        assert capture.checkpoint == checkpoint(12)
        assert len(take(log.reader("apply"), 3)) == 3

    def test_of_a_captures_append_that_fails_nothing_is_left(self, log: Log) -> None:
        capture = log.capture()
        capture.append([], checkpoint(11), beat(11))
        with pytest.raises(NOT_WRITTEN):
            capture.append([entry(1), UNWRITABLE], checkpoint(12), beat(12))
        assert log.capture().checkpoint == checkpoint(11)
        reader = log.reader("apply")
        assert take(reader, 0) == []
        assert passed(reader, 11)

    def test_an_older_capture_is_fenced_and_leaves_nothing_behind(self, log: Log, open_log: OpenLog) -> None:
        older = log.capture()
        older.append([entry(1, 11)], checkpoint(11), beat(11))
        with open_log() as other:
            newer = other.capture()
            with pytest.raises(Fenced):
                older.append([entry(2, 12)], checkpoint(12), beat(12))
            newer.append([entry(3, 12)], checkpoint(12), None)
            with pytest.raises(Fenced):
                older.append([], checkpoint(13), None)
            assert newer.checkpoint == checkpoint(12)
        reader = log.reader("apply")
        records = take(reader, 2)
        assert sorted(sent(records), key=str) == [entry(1, 11), entry(3, 12)]  # of two keys: in either order
        reader.commit(behind(records))
        assert passed(reader, 11)

    def test_import_and_repair_append_beside_a_live_capture(self, log: Log, open_log: OpenLog) -> None:
        capture = log.capture()
        beside = spawned(append_each, open_log, 1_000, 200)
        reader = log.reader("apply")
        records: list[Record] = []
        deadline = time.monotonic() + WAIT_S_MAX
        sequence = 0
        while len(records) < 200 + sequence and time.monotonic() < deadline:
            if sequence < 200 or beside.is_alive():
                sequence += 1
                capture.append([numbered(sequence % 1_000)], checkpoint(sequence), None)
            records += reader.poll(1_000)
        beside.join(WAIT_S_MAX)
        assert beside.exitcode == 0
        assert len(records) == 200 + sequence
        assert capture.checkpoint == checkpoint(sequence)

    # -- applied through

    def test_a_group_has_applied_through_a_watermark_once_it_committed_all_before_it(self, log: Log) -> None:
        log.capture().append([entry(1, 11), entry(2, 11)], checkpoint(11), beat(11))
        reader = log.reader("apply")
        records = take(reader, 2)
        assert claims(reader) is None
        reader.commit(behind(records[:1]))
        assert claims(reader) is None
        reader.commit(behind(records))
        assert passed(reader, 11)

    def test_without_a_watermark_nothing_is_claimed(self, log: Log) -> None:
        log.capture().append([entry(1, 11)], checkpoint(11), None)
        reader = log.reader("apply")
        reader.commit(behind(take(reader, 1)))
        assert claims(reader) is None

    def test_what_one_table_still_owes_holds_back_the_claim_for_all(self, log: Log) -> None:
        log.capture().append([entry(1, 11), entry(1, 11, PASSPORT)], checkpoint(11), beat(11))
        reader = log.reader("apply")
        records = take(reader, 2)
        reader.commit(behind(record for record in records if record.table == PASSPORT))
        assert claims(reader) is None
        reader.commit(behind(records))
        assert passed(reader, 11)

    def test_a_source_without_changes_still_moves_on(self, log: Log) -> None:
        capture = log.capture()
        reader = log.reader("apply")
        for sequence in (11, 12, 13):
            capture.append([], checkpoint(sequence), beat(sequence))
            assert passed(reader, sequence)

    def test_entries_of_a_capture_that_crashed_before_their_watermark_hold_back_the_next(
        self, open_log: OpenLog
    ) -> None:
        with open_log() as log:
            log.capture().append([entry(1, 11)], checkpoint(11), None)
        with open_log() as log:
            log.capture().append([], checkpoint(12), beat(12))
            reader = log.reader("apply")
            assert claims(reader) is None
            reader.commit(behind(take(reader, 1)))
            assert passed(reader, 12)

    def test_what_a_group_has_applied_through_is_known_to_others_and_after_a_restart(
        self, log: Log, open_log: OpenLog
    ) -> None:
        with open_log() as other:
            other.capture().append([entry(1, 11)], checkpoint(11), beat(11))
            reader = other.reader("apply")
            reader.commit(behind(take(reader, 1)))
            assert passed(reader, 11)
        through = log.progress_of("apply").through
        assert through
        assert (through.version, through.source_ms) == (beat(11).version, beat(11).source_ms)
        assert passed(log.reader("apply"), 11)

    def test_a_group_that_starts_late_claims_nothing_that_it_has_not_read(self, log: Log) -> None:
        capture, early = log.capture(), log.reader("early")
        for sequence in range(1, 251):
            # One table goes quiet, so that only old watermarks name it.
            table = TABLES[sequence % 2] if sequence < 50 else CITIZEN
            capture.append([entry(1, sequence, table)], checkpoint(sequence), beat(sequence))
            if sequence % 50 == 0:
                early.commit(behind(take(early, 50)))
                assert passed(early, sequence)
        late = log.reader("late")
        records = take(late, 250)
        assert claims(late) is None
        late.commit(behind(record for record in records if record.table == CITIZEN))
        assert claims(late) is None  # the very first change was of the other table
        late.commit(behind(records))
        assert passed(late, 250)

    @pytest.mark.parametrize("seed", range(3))
    def test_no_crash_of_capture_or_consumer_makes_a_group_claim_too_much(
        self, open_log: OpenLog, seed: int
    ) -> None:
        chance = random.Random(seed)
        owed: set[Owed] = set()
        sequence = 0
        for _ in range(12):
            with open_log() as log:
                capture, follower = log.capture(), Follower(log.reader("apply"), owed)
                for _ in range(chance.randrange(10)):
                    if chance.random() < 0.6:
                        sequence += 1
                        entries = [entry(1, sequence, table) for table in TABLES if chance.random() < 0.5]
                        told = beat(sequence) if chance.random() < 0.4 else None
                        capture.append(entries, checkpoint(sequence), told)
                        owed |= {(one.table.full_name, sequence) for one in entries}
                    else:
                        follower.step(chance.randrange(1, 8), commits=chance.random() < 0.7)


class Follower:
    """A consumer that checks each claim against what is `owed`: entries whose offsets are not committed."""

    def __init__(self, reader: Reader, owed: set[Owed]) -> None:
        self.reader = reader
        self._owed = owed
        self._polled: list[Record] = []

    def step(self, limit: int, *, commits: bool = True) -> None:
        self._polled += self.reader.poll(limit) if limit else []
        if commits:
            through = self.reader.commit(behind(self._polled))
            self._owed -= {(record.table.full_name, int(record.value)) for record in self._polled}
            self._polled = []
        else:
            through = self.reader.commit({})
        assert through is None or all(sequence > through.version.sequence for _, sequence in self._owed)
