"""What every source promises: its commits, its binlog, its bounds, and our books on it.

A subclass gives `source`: a server with one empty table of a number `id` and a text `name`, whose rows are
changed by `commit`. It is what the simulation plays, and what MariaDB and MySQL do.
"""

from collections.abc import Sequence
from typing import Protocol

import pytest

from cdc.events import Beaten, Began, Committed, Event, Images, RowsChanged
from changeover.envelope import encode_key
from changeover.epoch import Epoch
from changeover.errors import EpochTaken, LogUnusable
from changeover.mysql.chunks import key_after, rows_between
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.mysql.imports import ImportBooks, TableCut
from changeover.mysql.numbering import numbering_of
from changeover.progress import Partition
from changeover.table import Table
from changeover.version import Version

PIPELINE = "test"

Step = tuple[str, int, int]
"""What is done to which row: put, delete, replace (delete and insert), or move to another key."""


class PlayedSource(Protocol):
    """A source of which a test knows how to change the rows."""

    table: Table

    def connect(self) -> Connection:
        """A new session."""

    def end(self, connection: Connection) -> None:
        """The session's process dies; returns once the server has noticed it."""

    def commit(self, *steps: Step, said: str = "Ada") -> None:
        """Do the steps in one transaction of an application."""

    def events(self, connection: Connection, position: str) -> Sequence[Event]:
        """All that is in the binlog behind the position."""


def transactions(events: Sequence[Event]) -> list[list[Images]]:
    """The row images of each transaction that changed the table."""
    found: list[list[Images]] = []
    for event in events:
        match event:
            case Began():
                found.append([])
            case RowsChanged(rows=rows):
                found[-1] += rows
            case _:
                pass
    return [images for images in found if images]


def commits(events: Sequence[Event]) -> list[Committed]:
    return [event for event in events if isinstance(event, Committed)]


def row(number: int, name: str = "Ada") -> dict[str, object]:
    return {"id": number, "name": name}


class SourceContract:
    """The promises."""

    @pytest.fixture
    def connection(self, source: PlayedSource) -> Connection:
        return source.connect()

    @pytest.fixture
    def control(self, connection: Connection) -> ControlSchema:
        control = ControlSchema(connection, PIPELINE)
        control.make()
        return control

    def here(self, control: ControlSchema) -> str:
        return numbering_of(control.connection).here(lambda: control.beat("test")).position

    # -- commits and the binlog

    def test_the_binlog_gives_the_rows_of_each_transaction_in_the_order_of_commits(
        self, source: PlayedSource, control: ControlSchema
    ) -> None:
        place = self.here(control)
        source.commit(("put", 1, 0), ("put", 2, 0))
        source.commit(("put", 1, 0), ("delete", 2, 0), said="Grace")
        source.commit(("replace", 1, 0), ("move", 1, 3))
        assert transactions(source.events(control.connection, place)) == [
            [(None, row(1)), (None, row(2))],
            [(row(1), row(1, "Grace")), (row(2), None)],
            [(row(1, "Grace"), None), (None, row(1)), (row(1), row(3))],
        ]

    def test_behind_the_position_of_each_commit_the_rest_follows(
        self, source: PlayedSource, control: ControlSchema
    ) -> None:
        place = self.here(control)
        for number in range(1, 4):
            source.commit(("put", number, 0))
        positions = [event.position for event in commits(source.events(control.connection, place))]
        rest = [commits(source.events(control.connection, position)) for position in positions]
        assert [[event.position for event in behind] for behind in rest] == [
            positions[number + 1 :] for number in range(len(positions))
        ]

    def test_sequences_rise_and_belong_to_the_server_that_says_who_it_is(
        self, source: PlayedSource, control: ControlSchema
    ) -> None:
        place = self.here(control)
        for number in range(1, 4):
            source.commit(("put", number, 0))
        found = commits(source.events(control.connection, place))
        sequences = [event.sequence for event in found]
        assert sequences == sorted(set(sequences))
        assert {event.identity for event in found} == {numbering_of(control.connection).identity()}

    def test_a_heartbeat_tells_the_clock_from_before_its_commit(
        self, source: PlayedSource, control: ControlSchema
    ) -> None:
        place = self.here(control)
        before = control.now_ms()
        control.beat("capture")
        after = control.now_ms()
        (beat,) = [event for event in source.events(control.connection, place) if isinstance(event, Beaten)]
        assert before <= beat.source_ms <= after

    # -- bounds

    def test_a_bound_is_at_or_behind_all_that_was_committed_before_and_a_read_sees_that(
        self, source: PlayedSource, control: ControlSchema
    ) -> None:
        place = self.here(control)
        source.commit(("put", 1, 0), ("put", 2, 0))
        source.commit(("delete", 1, 0))
        last = commits(source.events(control.connection, place))[-1]
        identity, bound = numbering_of(control.connection).bound(lambda: control.beat("test"))
        assert (identity, bound >= last.sequence) == (last.identity, True)
        query = rows_between(source.table, None, None)
        found = control.connection.rows(*query, source.table.full_name, source.table.columns)
        assert found == [row(2)]

    # -- rows by key

    def test_chunks_are_cut_and_read_by_key(self, source: PlayedSource, connection: Connection) -> None:
        source.commit(*(("put", number, 0) for number in (5, 1, 3)))
        table = source.table
        end = connection.raw(*key_after(table, None, 2))
        assert [tuple(found) for found in end] == [(b"3",)]
        up_to = encode_key(table, {"id": 3})
        for above, last, numbers in ((None, up_to, [1, 3]), (up_to, None, [5])):
            query = rows_between(table, above, last)
            found = connection.rows(*query, table.full_name, table.columns)
            assert sorted(int(str(one["id"])) for one in found) == numbers
        assert not connection.raw(*key_after(table, up_to, 2))

    # -- the control schema

    def test_epochs_are_kept_in_order_and_each_number_is_taken_once(self, control: ControlSchema) -> None:
        epochs = [Epoch(1, "0-1", 5, None), Epoch(2, "0-2", 9, Version.of_change(1, 8))]
        for epoch in epochs:
            control.open_epoch(epoch)
        control.open_epoch(epochs[1])  # as a capture that was fenced may have done before us
        with pytest.raises(EpochTaken, match="epoch 2"):
            control.open_epoch(Epoch(2, "0-3", 9, Version.of_change(1, 8)))
        assert control.epochs() == epochs

    def test_a_pipeline_is_bound_to_its_first_log_and_remembers_where_it_began(
        self, control: ControlSchema
    ) -> None:
        control.bind("a" * 32)
        assert control.first_identity() == ""
        control.note_first_identity("0-1")
        assert control.first_identity() == "0-1"
        with pytest.raises(LogUnusable):
            control.bind("b" * 32)

    # -- the import's books

    def test_a_chunk_is_in_the_hands_of_one_worker_until_it_dies(
        self, source: PlayedSource, control: ControlSchema
    ) -> None:
        first = ImportBooks(control)
        second = ImportBooks(ControlSchema(source.connect(), PIPELINE))
        first.enrol([source.table])
        with control.connection.transaction():
            cut = first.lock_table_to_cut()
            assert cut
            chunk = first.cut(cut, b'{"id":3}')
        assert second.take_over() is None
        source.end(control.connection)
        taken = second.take_over()
        assert taken == chunk
        assert not second.is_finished()
        second.copied(chunk, Version.of_read(1, 9), 2, {Partition("t", 0): 2})
        assert second.take_over() is None
        (progress,) = second.progress()
        assert (progress.rows_copied, progress.chunks_open, progress.is_cut) == (2, 0, False)
        assert second.ends() == {Partition("t", 0): 2}

    def test_the_last_chunk_ends_the_table(self, source: PlayedSource, control: ControlSchema) -> None:
        books = ImportBooks(control)
        books.enrol([source.table])
        for up_to in (b'{"id":3}', None):
            with control.connection.transaction():
                cut = books.lock_table_to_cut()
                assert cut
                chunk = books.cut(cut, up_to)
            books.copied(chunk, Version.of_read(1, 9), 1, {})
        with control.connection.transaction():
            assert books.lock_table_to_cut() is None
        assert books.is_finished()

    def test_of_a_cut_that_is_rolled_back_nothing_is_left(
        self, source: PlayedSource, control: ControlSchema
    ) -> None:
        books = ImportBooks(control)
        books.enrol([source.table])

        def interrupted() -> None:
            with control.connection.transaction():
                cut = books.lock_table_to_cut()
                assert cut == TableCut(source.table.full_name, None, 0)
                books.let_go(books.cut(cut, None))
                raise InterruptedError

        with pytest.raises(InterruptedError):
            interrupted()
        assert books.take_over() is None
        with control.connection.transaction():
            assert books.lock_table_to_cut() == TableCut(source.table.full_name, None, 0)
