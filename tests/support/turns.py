"""Who appended to a log as its capture, append after append, as the log itself tells it afterwards."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from itertools import groupby, pairwise
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import Consumer, TopicPartition

from changeover.log.kafka.control import KEY_CAPTURE
from changeover.log.kafka.topics import control_topic
from changeover.log.kafka.wire import CaptureState
from changeover.version import Version

WITNESS = """
CREATE TABLE witness (place INTEGER PRIMARY KEY, holder TEXT, version TEXT);
CREATE TRIGGER taken_over AFTER UPDATE OF generation ON capture BEGIN
    INSERT INTO witness (holder, version) VALUES (holder(), NEW.version);
END;
CREATE TRIGGER moved AFTER UPDATE OF version ON capture BEGIN
    INSERT INTO witness (holder, version) VALUES (holder(), NEW.version);
END;
CREATE TRIGGER appended AFTER UPDATE OF end ON topic BEGIN
    INSERT INTO witness (holder, version) SELECT holder(), version FROM capture;
END;
"""
"""Notes in each transaction of the log whose it is; `tests.support.named_capture` knows `holder()`."""


class Turn(NamedTuple):
    """An append that the log has accepted: by which capture, and the checkpoint behind it."""

    holder: str
    version: Version | None


def watch(file: Path) -> None:
    """Have a SQLite log note all turns from now on; none but named captures can append to it then."""
    with closing(sqlite3.connect(file, timeout=60)) as connection:  # a consumer may be committing
        connection.executescript(WITNESS)


def turns_in_file(file: Path) -> list[Turn]:
    """The turns of a SQLite log that was watched."""
    with closing(sqlite3.connect(file)) as connection:
        rows = connection.execute("SELECT holder, version FROM witness ORDER BY place").fetchall()
    return [Turn(holder, Version.parse(version) if version else None) for holder, version in rows]


def turns_on_kafka(servers: str, pipeline: str) -> list[Turn]:
    """The turns of a log on Kafka: each transaction of a capture leaves its state in the control topic."""
    settings = {"bootstrap.servers": servers, "group.id": "turns", "isolation.level": "read_committed"}
    consumer = Consumer({**settings, "enable.partition.eof": True, "enable.auto.commit": False})
    consumer.assign([TopicPartition(control_topic(pipeline), 0, 0)])
    turns, places = [], []
    with closing(consumer):
        while True:
            (message,) = consumer.consume(1, timeout=30)
            if message.error() is not None:  # the end, or what the test fails for
                break
            places.append(message.offset())
            if message.key() == KEY_CAPTURE:
                state = CaptureState.decode(message.value() or b"")
                turns.append(Turn(state.holder, state.checkpoint.version if state.checkpoint else None))
    assert places[0] == 0, "compaction has taken the first turns"
    return turns


def check_turns(turns: Sequence[Turn]) -> int:
    """How often the log was taken over. Fails if two were live at a time, or a checkpoint went back."""
    holders = [holder for holder, _ in groupby(turns, key=lambda turn: turn.holder)]
    came_back = {holder for holder in holders if holders.count(holder) > 1}
    assert not came_back, f"captures that appended after a newer one had taken over: {came_back}"
    versions = [turn.version for turn in turns if turn.version is not None]
    went_back = [pair for pair in pairwise(versions) if pair[1] < pair[0]]
    assert not went_back, f"checkpoints that went back: {went_back}"
    return len(holders)
