"""The checks of a real move's history, on one that was recorded: it is accepted, and no planted fault is."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from changeover.demo.server import PrivateMariaDB
from tests.simulation.history import Event, read
from tests.simulation.invariants import Broken
from tests.support.accounts import run
from tests.support.histories import checked, recorded, repeated
from tests.support.pipeline import Pipeline, schema_of
from tests.support.streamed import end_of_binlog

SCHEMA = "histories"
NOTE = (
    "CREATE TABLE note (name VARCHAR(20) COLLATE utf8mb4_bin, number INT, body BLOB, at DATETIME(3), "
    "PRIMARY KEY (name, number))"
)
LEDGER = "CREATE TABLE ledger (id INT PRIMARY KEY, value FLOAT)"
ROWS = 20


@pytest.fixture(scope="module")
def events(mariadb: PrivateMariaDB, tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    """A small move's history, read again from its file; each row is imported, and then changed."""
    folder = tmp_path_factory.mktemp("histories")
    with schema_of(mariadb, SCHEMA, NOTE, LEDGER):
        pipeline = Pipeline(mariadb, SCHEMA, folder)
        with pipeline.connection() as connection:
            place = end_of_binlog(connection)
        notes = "('å', 1, x'00ff', '2026-02-28 12:00:00.5'), ('b', 1, '', NULL)"
        run(
            mariadb,
            f"INSERT INTO histories.note VALUES {notes}",
            *(f"INSERT INTO histories.ledger VALUES ({number}, 0.1)" for number in range(ROWS)),
        )
        with pipeline:
            pipeline.until(lambda now: now.is_import_applied)
            run(
                mariadb,
                *(f"UPDATE histories.ledger SET value = id + 0.5 WHERE id = {id_}" for id_ in range(ROWS)),
                "UPDATE histories.ledger SET value = -1 WHERE id = 1",
                "UPDATE histories.note SET number = 2 WHERE name = 'b'",
                "DELETE FROM histories.ledger WHERE id = 2",
            )
            pipeline.drain()
        recorded(pipeline, place)
    return read(folder / "history.jsonl")


def logged(events: list[Event], number: int, op: str = "u") -> Event:
    """The first record of the ledger's row by that operation."""
    key, wanted = f'{{"id":{number}}}', f'"op":"{op}"'
    records = (event for event in events if event["event"] == "logged" and event["key"] == key)
    return next(event for event in records if wanted in event["value"])


def written(events: list[Event], number: int) -> Event:
    """What the target holds of the ledger's row."""
    key = f'{{"id":{number}}}'
    return next(event for event in events if event["event"] == "written" and event["key"] == key)


def changed(events: list[Event], event: Event, **fields: Any) -> list[Event]:  # noqa: ANN401 - of JSON
    """The events, one of them with other fields."""
    return [event | fields if other is event else other for other in events]


def sealed(event: Event, **fields: Any) -> dict[str, str]:  # noqa: ANN401 - of JSON
    """The value of a record with other fields in its envelope or in the source's part of it."""
    envelope = orjson.loads(event["value"])
    for name, value in fields.items():
        (envelope if name in envelope else envelope["source"])[name] = value
    return {"value": orjson.dumps(envelope).decode()}


def without(events: list[Event], dropped: Event) -> list[Event]:
    """The events without a record, and all behind it moved up, as if it had never been in the log."""
    return [
        event | {"offset": event["offset"] - 1}
        if event.get("partition") == dropped["partition"] and event["offset"] > dropped["offset"]
        else event
        for event in events
        if event is not dropped
    ]


def again(events: list[Event], record: Event, partition: str = "", **fields: Any) -> list[Event]:  # noqa: ANN401 - of JSON
    """The events with the record once more, at the end of its partition or of another one."""
    partition = partition or record["partition"]
    records = [event for event in events if event["event"] == "logged"]
    end = sum(event["partition"] == partition for event in records)
    last = events.index(records[-1])
    more = record | {"partition": partition, "offset": end} | fields
    offsets = {"event": "offsets", "group": "apply", "partition": partition, "offset": end + 1}
    return [*events[: last + 1], more, *events[last + 1 : -1], offsets, events[-1]]


def exchanged(events: list[Event], one: Event, other: Event) -> list[Event]:
    """The events with the values of two records exchanged."""
    return changed(changed(events, one, value=other["value"]), other, value=one["value"])


def but(events: list[Event], *kinds: str) -> list[Event]:
    """The events but those of some kinds."""
    return [event for event in events if event["event"] not in kinds]


def checkpoints(events: list[Event]) -> list[Event]:
    return [event for event in events if event["event"] == "checkpoint"]


def last_change(events: list[Event], number: int) -> Event:
    return logged(events[::-1], number)


def test_the_history_of_a_move_in_which_all_went_well_is_accepted(events: list[Event]) -> None:
    invariants = checked(events)
    assert len(invariants.changes) == ROWS + 1 + 1 + 2  # one more, a delete, and two of a key that changed
    assert len(invariants.held) == ROWS + 3
    assert repeated(invariants) == 0


def test_a_record_that_is_in_the_log_again_is_accepted(events: list[Event]) -> None:
    assert repeated(checked(again(events, logged(events, 5)))) == 1


def test_holes_between_offsets_are_accepted_where_ends_of_transactions_take_some(events: list[Event]) -> None:
    spread = [event | {"offset": event["offset"] * 2} if "offset" in event else event for event in events]
    checked(spread, has_holes=True)
    with pytest.raises(Broken, match=r"I5 order: .* has no record 1"):
        checked(spread)


PLANTS: dict[str, tuple[str, Callable[[list[Event]], list[Event]]]] = {
    "a change that is not in the log": ("I3", lambda events: without(events, logged(events, 5))),
    "a delete that is not in the log": ("I3", lambda events: without(events, logged(events, 2, "d"))),
    "a record that was taken out of its place": (
        "I5",
        lambda events: [event for event in events if event is not logged(events, 5)],
    ),
    "a value of another row": (
        "I4",
        lambda events: changed(
            events, one := logged(events, 5), **sealed(one, after={"id": 5, "value": 6.5})
        ),
    ),
    "a value that is off by the last bit": (
        "I4",
        lambda events: changed(
            events, one := logged(events, 5, "r"), **sealed(one, after={"id": 5, "value": 0.10000001})
        ),
    ),
    "a change of nobody's commit": (
        "I4",
        lambda events: again(events, one := logged(events, 5), **sealed(one, gtid="0-1-999999")),
    ),
    "a change in an epoch that nobody opened": (
        "I4",
        lambda events: changed(
            events, one := logged(events, 5), **sealed(one, sequence="00000002" + "0" * 23 + "1")
        ),
    ),
    "two changes of a key in the wrong order": (
        "I5",
        lambda events: exchanged(events, logged(events, 1), last_change(events, 1)),
    ),
    "a change that is written in two ways": (
        "I5",
        lambda events: again(events, one := logged(events, 5), **sealed(one, ts_ms=0)),
    ),
    "a key in two partitions": (
        "I6",
        lambda events: again(events, logged(events, 5), "test.histories.ledger/1"),
    ),
    "a target that holds another value": (
        "I1",
        lambda events: changed(events, written(events, 5), row={"id": 5, "value": 6.5}),
    ),
    "a target that kept what was deleted": (
        "I1",
        lambda events: changed(events, written(events, 2), row={"id": 2, "value": 2.5}),
    ),
    "a target that lacks a row whose offset is committed": (
        "I8",
        lambda events: [event for event in events if event is not written(events, 5)],
    ),
    "a target that lacks a row that is claimed": (
        "I11",
        lambda events: but([event for event in events if event is not written(events, 5)], "offsets"),
    ),
    "a checkpoint that goes back": (
        "I9",
        lambda events: [*but(events, "quiet"), checkpoints(events)[0]],
    ),
}


@pytest.mark.parametrize("what", PLANTS)
def test_a_fault_in_the_history_of_a_move_is_refused_by_its_name(events: list[Event], what: str) -> None:
    invariant, plant = PLANTS[what]
    planted = plant(events)
    assert planted != events
    with pytest.raises(Broken, match=f"^{invariant} "):
        checked(planted)


@pytest.mark.parametrize("kind", ["checkpoint", "through", "offsets", "committed"])
def test_a_history_that_leaves_a_check_with_nothing_to_check_is_refused(
    events: list[Event], kind: str
) -> None:
    with pytest.raises(AssertionError):
        checked(but(events, kind))


def test_a_history_whose_last_checkpoint_lies_before_its_last_change_is_refused(events: list[Event]) -> None:
    first, last = checkpoints(events)
    with pytest.raises(AssertionError, match="neither captured nor claimed"):
        checked([first if event is last else event for event in events])
