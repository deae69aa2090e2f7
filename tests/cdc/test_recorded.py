"""Events of MySQL 9.7, recorded from a real server: read as that server's own SELECT, or a stop."""

import pytest

from cdc.binlog import kinds
from cdc.events import Began, Committed, Event, RowsChanged
from changeover.errors import BinlogUnreadable
from changeover.mysql.framing import Framing, Undecodable
from changeover.values import Row
from tests.support.recorded import Recording, as_selected

DDL_EVENTS, INSERT_EVENTS = 3, 4
"""Of a transaction: Began, Stated, perhaps RowsChanged, Committed."""

FLOATS = {"ratio", "size"}
"""Printed by the server in another form than Python's; compared as numbers."""


@pytest.fixture(scope="module")
def rows() -> Recording:
    return Recording("rows")


def state_of(events: list[Event], table: str) -> list[Row]:
    """The table's rows after all that happened, by their id."""
    held: dict[object, Row] = {}
    for event in events:
        if isinstance(event, RowsChanged) and event.table.name == table:
            for before, after in event.rows:
                if before is not None:
                    del held[before["id"]]
                if after is not None:
                    held[after["id"]] = after
    return [row for _, row in sorted(held.items(), key=lambda item: int(str(item[0])))]


def kinds_of(recording: Recording) -> set[int]:
    framing = Framing(has_checksums=True)
    return {framing.event(packet).kind for packet in recording.packets}


@pytest.mark.parametrize("table", ["mixed", "many"])
def test_rows_of_compressed_transactions_are_those_that_a_select_gave(rows: Recording, table: str) -> None:
    assert kinds.TRANSACTION_PAYLOAD in kinds_of(rows)
    found = state_of(list(rows.events()), table)
    assert len(found) == len(rows.selected[table])
    for row, selected in zip(found, rows.selected[table], strict=True):
        for (name, value), wanted in zip(row.items(), selected, strict=True):
            if name == "flags" and isinstance(value, int):
                assert value == int.from_bytes(bytes.fromhex(wanted))
            elif name in FLOATS and value is not None:
                assert repr(value) == repr(float(bytes.fromhex(wanted)))
            elif name == "old" and isinstance(value, str):
                assert value.encode("cp1252").hex() == wanted  # a SELECT gave it as it is stored
            else:
                assert as_selected(value) == wanted, name


def test_a_compressed_transaction_is_one_transaction_with_its_gtid(rows: Recording) -> None:
    events = list(rows.events())
    began = [event.name for event in events if isinstance(event, Began)]
    committed = [event for event in events if isinstance(event, Committed)]
    assert [name.rpartition(":")[2] for name in began] == [str(number) for number in range(1, len(began) + 1)]
    assert [f"{end.identity}:{end.sequence}" for end in committed] == began


def test_a_transaction_whose_gtid_has_a_tag_is_a_stop_that_names_it() -> None:
    recording = Recording("tagged")
    assert kinds.GTID_TAGGED in kinds_of(recording)
    seen: list[Event] = []
    with pytest.raises(BinlogUnreadable) as stop:
        seen.extend(recording.events())
    assert ":nightly_job:1 of the binlog has a tagged GTID" in str(stop.value)


def test_what_came_before_the_tagged_gtid_was_read() -> None:
    events = Recording("tagged").events()
    seen = [next(events) for _ in range(DDL_EVENTS + INSERT_EVENTS)]
    assert next(event for event in seen if isinstance(event, RowsChanged)).rows == [(None, {"id": 1})]


def test_an_update_that_logs_only_parts_of_a_json_value_is_a_stop_that_names_the_setting() -> None:
    recording = Recording("partial_json")
    assert kinds.PARTIAL_UPDATE_ROWS in kinds_of(recording)
    with pytest.raises(Undecodable, match=r"rows of recorded\.docs .*binlog_row_value_options"):
        list(recording.events())


def test_parts_of_json_in_a_table_that_is_not_captured_are_not_looked_at() -> None:
    recording = Recording("partial_json")
    recording.tables = []
    assert isinstance(list(recording.events())[-1], Committed)
