"""Each checker against a history that it must accept, and one that it must not: none is there for show."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from changeover.version import ROW_MAX, Version
from tests.simulation.history import Event, History, read
from tests.simulation.invariants import Broken, Invariants, key_of

TABLE = "records.citizen"


def row(number: int, name: str = "Ada") -> dict[str, Any]:
    return {"id": number, "name": name}


def version(sequence: int, *, is_read: bool = False, epoch: int = 1) -> str:
    return Version(epoch, sequence, ROW_MAX if is_read else 1).text


def begun() -> list[Event]:
    """One row from before capture began, and its first checkpoint and epoch."""
    return [
        committed(1, [[TABLE, None, row(1)]]),
        {"event": "takeover", "generation": 1},
        checkpoint(1),
        {"event": "epoch", "number": 1, "identity": "0-1"},
    ]


def committed(sequence: int, changes: list[list[Any]], server: str = "0-1") -> Event:
    return {
        "event": "committed",
        "gtid": f"{server}-{sequence}",
        "identity": server,
        "sequence": sequence,
        "changes": changes,
    }


def visible(sequence: int, at_ms: int) -> Event:
    return {"event": "visible", "gtid": f"0-1-{sequence}", "at_ms": at_ms}


def checkpoint(sequence: int) -> Event:
    return {"event": "checkpoint", "version": version(sequence), "position": f"0-1-{sequence}"}


def logged(  # noqa: PLR0913 - one field of the event each
    sequence: int,
    after: dict[str, Any] | None,
    *,
    number: int = 1,
    offset: int = 0,
    partition: int = 0,
    op: str = "u",
    generation: int = 1,
    epoch: int = 1,
) -> Event:
    is_read = op == "r"
    envelope = {
        "before": None,
        "after": after,
        "op": op,
        "source": {
            "sequence": version(sequence, is_read=is_read, epoch=epoch),
            "gtid": None if is_read else f"0-1-{sequence}",
        },
    }
    event = {
        "event": "logged",
        "partition": f"t/{partition}",
        "offset": offset,
        "table": TABLE,
        "key": key_of(row(number)),
        "value": orjson.dumps(envelope).decode(),
    }
    return event if is_read else event | {"generation": generation}


def offsets(offset: int) -> Event:
    return {"event": "offsets", "group": "apply", "partition": "t/0", "offset": offset}


def written(sequence: int, state: dict[str, Any] | None, *, is_read: bool = False) -> Event:
    return {
        "event": "written",
        "table": TABLE,
        "key": key_of(row(1)),
        "version": version(sequence, is_read=is_read),
        "row": state,
    }


def through(sequence: int, source_ms: int = 0) -> Event:
    return {"event": "through", "group": "apply", "version": version(sequence), "source_ms": source_ms}


UPDATE = committed(2, [[TABLE, row(1), row(1, "Grace")]])
DELETE = committed(3, [[TABLE, row(1, "Grace"), None]])
QUIET: Event = {"event": "quiet"}


def test_a_history_in_which_all_is_well_is_accepted() -> None:
    invariants = Invariants()
    for event in [
        *begun(),
        logged(1, row(1), op="r"),
        UPDATE,
        visible(2, 100),
        logged(2, row(1, "Grace"), offset=1),
        checkpoint(2),
        written(1, row(1), is_read=True),
        written(2, row(1, "Grace")),
        offsets(2),
        through(2, 100),
        QUIET,
    ]:
        invariants.take(event)


@pytest.mark.parametrize(
    ("invariant", "events"),
    [
        ("I1", [written(1, row(1), is_read=True), UPDATE, QUIET]),
        ("I1", [QUIET]),
        ("I1", [written(1, row(1, "Adb"), is_read=True), QUIET]),
        ("I1", [written(1, row(1), is_read=True), committed(2, [[TABLE, row(1), None]]), QUIET]),
        ("I2", [written(3, row(1)), written(2, row(1))]),
        ("I3", [UPDATE, checkpoint(2)]),
        ("I3", [UPDATE, logged(2, row(1, "Grace")), DELETE, checkpoint(3)]),
        ("I4", [logged(2, row(1, "Grace"))]),  # of no commit
        ("I4", [UPDATE, logged(2, row(1, "Grave"))]),  # of another row
        ("I4", [UPDATE, logged(2, row(2, "Grace"), number=2)]),  # of another key
        ("I4", [UPDATE, logged(2, row(1, "Grace"), epoch=2)]),  # in an epoch that nobody opened
        ("I4", [UPDATE, logged(2, row(1), op="r")]),  # a read that says it saw what it did not
        ("I4", [logged(1, row(1), op="r", epoch=3)]),
        ("I5", [UPDATE, DELETE, logged(3, None, op="d"), logged(2, row(1, "Grace"), offset=1)]),
        ("I5", [UPDATE, logged(2, row(1, "Grace")), logged(2, row(1, "Grace"), offset=1, op="c")]),
        ("I5", [logged(1, row(1), op="r", offset=1)]),
        ("I6", [logged(1, row(1), op="r"), logged(1, row(1), op="r", partition=1)]),
        ("I8", [logged(1, row(1), op="r"), offsets(1)]),
        ("I9", [checkpoint(1), {"event": "takeover", "generation": 2}, UPDATE, logged(2, row(1, "Grace"))]),
        ("I9", [committed(2, []), checkpoint(2), checkpoint(1)]),
        ("I11", [UPDATE, logged(2, row(1, "Grace")), checkpoint(2), through(2)]),
        ("I11", [UPDATE, visible(2, 100), through(1, 100)]),
    ],
)  # fmt: skip
def test_a_history_that_breaks_an_invariant_is_refused_by_its_name(
    invariant: str, events: list[Event]
) -> None:
    invariants = Invariants()
    for event in [*begun(), *events[:-1]]:
        invariants.take(event)
    with pytest.raises(Broken, match=f"^{invariant} "):
        invariants.take(events[-1])


def test_a_key_that_comes_and_goes_within_a_transaction_is_no_change() -> None:
    invariants = Invariants()
    for event in [*begun(), committed(2, [[TABLE, None, row(2)], [TABLE, row(2), None]]), checkpoint(2)]:
        invariants.take(event)


def test_offsets_may_have_holes_where_they_are_said_to_and_always_rise() -> None:
    invariants = Invariants(has_holes=True)
    for event in [
        *begun(),
        logged(1, row(1), op="r", offset=1),
        written(1, row(1), is_read=True),
        offsets(2),
    ]:
        invariants.take(event)
    with pytest.raises(Broken, match=r"^I5 order: t/0 goes back from 2 to 1"):
        invariants.take(logged(1, row(1), op="r", offset=1))


def test_what_is_behind_a_hole_is_below_a_committed_offset_too() -> None:
    invariants = Invariants(has_holes=True)
    for event in [*begun(), logged(1, row(1), op="r", offset=5), offsets(5)]:
        invariants.take(event)
    with pytest.raises(Broken, match=r"^I8 "):
        invariants.take(offsets(6))


def test_a_table_may_have_a_key_of_other_columns_than_id() -> None:
    invariants = Invariants()
    place = {"name": "Ada", "number": 2}
    for event in [
        {"event": "keyed", "table": "records.place", "columns": ["name", "number"]},
        committed(1, [["records.place", None, place | {"floor": 3}]]),
    ]:
        invariants.take(event)
    assert list(invariants.truth.now()) == [("records.place", orjson.dumps(place).decode())]


def test_what_the_source_forgot_after_it_was_captured_is_a_reason_to_stop() -> None:
    invariants = Invariants()
    for event in [*begun(), UPDATE, logged(2, row(1, "Grace")), checkpoint(2)]:
        invariants.take(event)
    assert not invariants.has_forgotten
    invariants.take({"event": "lost", "gtids": ["0-1-2"], "books": 0})
    assert invariants.has_forgotten


def test_a_history_is_kept_as_lines_of_json(tmp_path: Path) -> None:
    history = History()
    for event in begun():
        history.note(**event)
    history.write(tmp_path / "history.jsonl")
    assert read(tmp_path / "history.jsonl") == begun()
