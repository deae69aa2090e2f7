"""Named places at which a process can be made to die, fail or halt, so that tests meet a crash just there.

Nothing is armed unless the environment asks for it, entry by entry, each `point:hit:action`:

    CHANGEOVER_CRASH=capture.appended:1:kill,apply.polled:20:raise

An entry fires each time that its process comes to the point for the hit-th time since it started. To have it
fire once in all, over every start and every process, name a folder in CHANGEOVER_CRASH_FIRED: an entry that
has fired leaves a file of its name there, and does not fire again.
"""

import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from changeover.errors import CrashPointReached, SettingsInvalid

VARIABLE = "CHANGEOVER_CRASH"
VARIABLE_FIRED = "CHANGEOVER_CRASH_FIRED"

POINTS: Mapping[str, str] = {
    "capture.log_taken": "it has fenced every capture before it, and done nothing else yet",
    "capture.epoch_opened": "an epoch is in the control schema, and no record of it in the log",
    "capture.event_read": "an event was taken from the stream, and not looked at",
    "capture.row_folded": "a row is in the transaction that is being read; others of its event may follow",
    "capture.event_folded": "all rows of an event are, and the transaction's commit was not read",
    "capture.transaction_read": "a transaction was read to its commit, and waits for the append",
    "capture.entries_produced": "entries are in the log's open transaction, their checkpoint is not",
    "capture.checkpoint_written": "the checkpoint is too, and the log's transaction is not committed",
    "capture.part_appended": "a part of a large transaction is in the log, without its checkpoint",
    "capture.appended": "entries and checkpoint are in the log, and capture has not gone on",
    "snapshot.chunk_cut": "a chunk is in the books as cut, and this worker holds it",
    "snapshot.bound_taken": "the bound of a chunk is known, its rows are not selected",
    "snapshot.rows_selected": "the rows are selected, and not in the log",
    "snapshot.entries_produced": "the rows are in the log's open transaction, which is not committed",
    "snapshot.appended": "the rows are in the log, and the chunk is not in the books",
    "snapshot.chunk_noted": "the chunk is in the books as copied, and the worker has not gone on",
    "apply.polled": "records were polled, and nothing of them is in the target",
    "target.row_written": "one write of a batch is in the SQLite target's open transaction",
    "apply.batch_written": "the target holds the whole batch, and the offsets are where they were",
    "apply.offsets_committed": "the offsets have moved, and apply has not gone on",
    "replay.batch_written": "the target holds a batch of a replay",
    "dualwrite.looked": "a transaction's rows are read under their locks, and it is not committed",
    "dualwrite.committed": "it is committed, and the place of its commit is not learned",
    "dualwrite.learned": "its place is known, and nothing of it is in the new database",
    "dualwrite.written": "it is in the new database or left to the binlog, and nobody has been told",
    "phase.row_locked": "a mover holds the phase's row, and has written nothing",
    "phase.row_written": "the row and the record of the move are written, and not committed",
    "phase.row_committed": "the phase has moved, and the mover has neither said so nor noted where OLD ended",
    "phase.frozen": "the old database refuses writes, and the row says FENCED",
    "phase.fence_noted": "the place of the fence is in the row, and the target may be behind it",
    "phase.drained": "the target has applied through the fence",
    "phase.epoch_reserved": "an epoch is reserved for NEW, and the new store has not been told",
    "phase.decided": "the new store remembers `new`, and the row still says FENCED",
    "phase.new_committed": "the row says NEW, and the new store does not remember that it does",
    "phase.settled": "it does, and the mover has not said so",
    "phase.back_told": "the new store remembers `back`, and the old database is frozen",
    "phase.thawed": "the old database can be written to again, and the row still says FENCED",
    "phase.resolved": "what a mover left in FENCED is finished or undone",
    "finish.reported": "the final report is written, and nothing is taken away",
    "finish.closed": "the target takes no ordered writes any more, and still has markers and versions",
    "finish.table_let_go": "markers and versions of a table are gone, and the control schema is there",
    "finish.forgotten": "the control schema is gone, and the command has not said so",
}
"""Every point there is, and what has just happened there."""


class Action(StrEnum):
    """What an armed point does to its process."""

    KILL = "kill"  # SIGKILL: no clean-up runs
    RAISE = "raise"  # as an outage of a part outside
    PAUSE = "pause"  # SIGSTOP: every thread halts until somebody sends SIGCONT


class Armed(NamedTuple):
    """An entry of the environment."""

    point: str
    hit: int
    action: Action

    def __str__(self) -> str:
        """The entry as it is written in the environment."""
        return f"{self.point}:{self.hit}:{self.action}"


class _Process:
    """What is armed in this process."""

    def __init__(self, armed: Sequence[Armed], fired: Path | None) -> None:
        self._armed = armed
        self._fired = fired
        self._hits: Counter[str] = Counter()

    def reach(self, point: str) -> None:
        self._hits[point] += 1
        for armed in self._armed:
            if (armed.point, armed.hit) == (point, self._hits[point]) and self._may_fire(armed):
                _fire(armed)

    def _may_fire(self, armed: Armed) -> bool:
        """Whether no process has fired it before; its file is made before it fires, by one of them only."""
        if self._fired is None:
            return True
        try:
            (self._fired / str(armed)).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


_processes: list[_Process] = []
"""This process, if anything is armed in it. Empty in every run that is not a test."""


def reach(point: str) -> None:
    """Say that the point is reached: nothing happens, at the cost of a call, unless it is armed."""
    if _processes:
        _processes[0].reach(point)


def arm(environment: Mapping[str, str]) -> Sequence[Armed]:
    """What the environment arms, and has armed in this process from now on, in place of all before.

    Raises `SettingsInvalid` for an entry that is not understood.
    """
    armed = [_parse(entry) for entry in environment.get(VARIABLE, "").split(",") if entry.strip()]
    fired = environment.get(VARIABLE_FIRED)
    if fired and not Path(fired).is_dir():
        message = f"{VARIABLE_FIRED} is {fired!r}, where there is no folder"
        raise SettingsInvalid(message, hint="Make it first; each entry that fires leaves a file in it.")
    _processes[:] = [_Process(armed, Path(fired) if fired else None)] if armed else []
    return armed


def _parse(entry: str) -> Armed:
    """The entry; `SettingsInvalid` if it is none.

    >>> _parse("capture.appended:3:kill")
    Armed(point='capture.appended', hit=3, action=<Action.KILL: 'kill'>)
    """
    point, _, rest = entry.strip().partition(":")
    hit, _, action = rest.partition(":")
    if not (hit.isascii() and hit.isdecimal() and int(hit) > 0 and action in list(Action)):
        message = f"{VARIABLE} has {entry.strip()!r}, which is not point:hit:{'|'.join(Action)}"
        raise SettingsInvalid(message, hint="Write it as capture.appended:1:kill, the first hit being 1.")
    if point not in POINTS:
        message = f"{VARIABLE} names a crash point {point!r}, and there is none of that name"
        raise SettingsInvalid(message, hint="docs/crash-points.md lists them; unset it to run as usual.")
    return Armed(point, int(hit), Action(action))


def _fire(armed: Armed) -> None:
    match armed.action:
        # To the thread that is here, so that it does not come back from the call before it has happened.
        case Action.KILL:
            signal.raise_signal(signal.SIGKILL)
        case Action.PAUSE:
            signal.raise_signal(signal.SIGSTOP)
        case Action.RAISE:
            message = f"crash point {armed} was reached"
            raise CrashPointReached(message)
