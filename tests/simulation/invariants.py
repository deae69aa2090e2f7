"""What must hold in every history, whatever failed and whenever: each checker reads the events as they come.

The checkers share no rule with the product: they fold transactions, number them and read envelopes in their
own way. Events, in the words of `history.py`:

| event | fields |
|---|---|
| keyed | table, columns: the columns of its key, where that is not "id" |
| committed | gtid, identity, sequence, changes: a list of [table, before, after] in the order of statements |
| visible | gtid, at_ms: the commit was acknowledged to its client, at this time on the source's clock |
| lost | gtids: commits that the source has forgotten; books: how many of them said where an epoch begins |
| epoch | number, identity: an epoch was opened |
| takeover | generation: a capture took the log over |
| logged | partition, offset, table, key, value, and generation where capture wrote it |
| checkpoint | version, position: all of the source up to there is in the log |
| offsets | group, partition, offset: all before is committed |
| through | group, version, source_ms: what the group claims to have applied through |
| written | table, key, version, row: what a reader of the target gets from now on; row None for a delete |
| planted | table, key, row, what: what the target holds was falsified behind everybody's back |
| judging, judged | table; equal: its keys found equal, differences: those found different, with the kind |
| phase | phase, attempt, new_epoch, fence: the phase's row has become that |
| acknowledged | rows: [table, id, row] that the library has committed; mismatches: puts that did not come |
| written in NEW | table, key, row: the application is about to write this into the new database alone |
| read | table, key, row: what the library answered to whom had just written `wrote` there |
| quiet | nothing will happen any more |
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.simulation.history import Event

Key = tuple[str, str]
"""A table and a key in it."""

Row = dict[str, Any] | None
ROW_OF_READ = "ffffffff"
ROW_OF_DIRECT_WRITE = "00000000"
FILE = "binlog."


class Broken(AssertionError):
    """An invariant does not hold: which one, and of which key if it is one's alone."""

    def __init__(self, invariant: str, why: str, key: Key | None = None) -> None:
        super().__init__(f"{invariant}: {why}")
        self.invariant = invariant
        self.key = key


@dataclass(slots=True)
class Commit:
    """A transaction of the source, with the last state of each key that it touched."""

    gtid: str
    identity: str
    sequence: int
    states: dict[Key, Row]


@dataclass(slots=True)
class Logged:
    """A record of the log, as far as the checkers read it."""

    key: Key
    version: str
    row: Row
    value: str
    partition: str


class Truth:
    """The source's commits in their order, and the state of each key after each of them."""

    def __init__(self) -> None:
        self.commits: list[Commit] = []
        self.by_gtid: dict[str, Commit] = {}
        self.key_columns: dict[str, list[str]] = {}
        self.states: dict[Key, list[tuple[int, Row]]] = defaultdict(list)
        """For each key its states, with how many commits there were by then."""
        self.visible_at: dict[str, int] = {}
        self.epochs: dict[int, str] = {}
        self.lost: list[Commit] = []

    def take(self, event: Event) -> None:
        """Follow the source."""
        match str(event["event"]):
            case "committed":
                self._commit(event)
            case "visible":
                self.visible_at[event["gtid"]] = event["at_ms"]
            case "epoch":
                self.epochs[event["number"]] = event["identity"]
            case "lost":
                self._forget(set(event["gtids"]))
            case "keyed":
                self.key_columns[event["table"]] = event["columns"]
            case _:
                pass

    def place(self, version: str) -> int:
        """How many commits a version's place in the order includes."""
        epoch, sequence = int(version[:8], 16), int(version[8:24], 16)
        identity = self.epochs.get(epoch)
        for place in range(len(self.commits), 0, -1):
            commit = self.commits[place - 1]
            if identity is None:
                if commit.sequence == sequence:
                    return place
            elif commit.identity == identity and commit.sequence <= sequence:
                return place
        return 0

    def has_lost(self, version: str) -> bool:
        """Whether a version includes commits that the source has forgotten."""
        epoch, sequence = int(version[:8], 16), int(version[8:24], 16)
        return any(
            commit.identity == self.epochs.get(epoch) and commit.sequence <= sequence for commit in self.lost
        )

    def place_of(self, version: str, position: str) -> int:
        """How many commits a position includes: a GTID of MariaDB, a set of MySQL's, or a place in a file.

        A file's name does not say whose it is; the version's epoch does, as soon as there is one.
        """
        identity = self.epochs.get(int(version[:8], 16)) if position.startswith(FILE) else None
        for place in range(len(self.commits), 0, -1):
            commit = self.commits[place - 1]
            if identity in {None, commit.identity} and _is_in(commit, position):
                return place
        return 0

    def was(self, key: Key, row: Row, since: int) -> bool:
        """Whether the key had this row after `since` commits, or at any time later."""
        states = self.states.get(key, [])
        current: Row = None
        later: list[Row] = []
        for place, state in states:
            if place <= since:
                current = state
            else:
                later.append(state)
        return row == current or row in later or self.was_lost(key, row)

    def at(self, key: Key, place: int) -> Row:
        """The key's state after so many commits."""
        return next((row for since, row in reversed(self.states.get(key, [])) if since <= place), None)

    def was_lost(self, key: Key, row: Row) -> bool:
        """Whether the row is one that the source has forgotten: a read may have seen it, unknown to any log.

        A failover that loses what was visible is one without lossless replication; a comparison finds it.
        """
        return any(key in commit.states and commit.states[key] == row for commit in self.lost)

    def now(self) -> dict[Key, Row]:
        """The last state of each key that was ever touched."""
        return {key: states[-1][1] if states else None for key, states in self.states.items()}

    def _commit(self, event: Event) -> None:
        states: dict[Key, Row] = {}
        came: set[Key] = set()
        """Keys whose row was not there before."""
        for table, before, after in event["changes"]:
            columns = self.key_columns.get(table, KEY_COLUMNS)
            if before is not None:
                states[table, key_of(before, columns)] = None
            if after is not None:
                key = (table, key_of(after, columns))
                if key not in states:
                    came.add(key)
                states[key] = after
        for key in came:
            if states[key] is None:  # it came and went, and nobody ever saw it
                del states[key]
        commit = Commit(event["gtid"], event["identity"], event["sequence"], states)
        self.commits.append(commit)
        self.by_gtid[commit.gtid] = commit
        for key, row in states.items():
            self.states[key].append((len(self.commits), row))

    def _forget(self, gtids: set[str]) -> None:
        self.lost = [commit for commit in self.commits if commit.gtid in gtids]
        self.commits = [commit for commit in self.commits if commit.gtid not in gtids]
        self.visible_at = {gtid: at for gtid, at in self.visible_at.items() if gtid not in gtids}
        self.by_gtid = {commit.gtid: commit for commit in self.commits}
        kept, self.commits = self.commits, []
        self.states = defaultdict(list, {key: [] for key in self.states})
        for commit in kept:
            self.commits.append(commit)
            for key, row in commit.states.items():
                self.states[key].append((len(self.commits), row))


def _is_in(commit: Commit, position: str) -> bool:
    name, _, end = position.rpartition(":")
    if not name:
        return commit.gtid == position
    if name.startswith(FILE):  # where it ends; it is called by where it begins
        return commit.sequence == (int(name.rpartition(".")[2]) << 40) + int(end)
    for part in position.split(","):
        server, _, runs = part.partition(":")
        for run in runs.split(":") if server == commit.identity and runs else ():
            first, _, last = run.partition("-")
            if int(first) <= commit.sequence <= int(last or first):
                return True
    return False


KEY_COLUMNS = ("id",)
"""The key of the tables that are played with."""


def key_of(row: dict[str, Any], columns: Sequence[str] = KEY_COLUMNS) -> str:
    """The key of a row, as the log names it."""
    return orjson.dumps({name: row[name] for name in columns}).decode()


@dataclass(slots=True)
class Invariants:
    """Every checker over one history. Each `_` method is one event's part in one or two of them."""

    has_holes: bool = False
    """Whether offsets skip numbers, as on Kafka, where ends of transactions and aborted records take some."""
    truth: Truth = field(default_factory=Truth)
    logged: dict[str, list[Logged | None]] = field(default_factory=lambda: defaultdict(list))
    """The records of each partition by their offsets; None in a hole."""
    changes: dict[tuple[str, Key], Logged] = field(default_factory=dict)
    """Records of the binlog's changes by transaction and key."""
    newest: dict[Key, str] = field(default_factory=dict)
    """The newest binlog version of each key in the log."""
    partition_of: dict[Key, str] = field(default_factory=dict)
    held: dict[Key, tuple[str, Row]] = field(default_factory=dict)
    offsets: dict[tuple[str, str], int] = field(default_factory=dict)
    checkpoint: str = ""
    complete: int = -1
    """How many commits are known to be in the log; -1 before the first checkpoint."""
    base: int = 0
    """How many commits came before capture began."""
    generation: int = 0
    claimed: int = 0
    planted: dict[Key, Row] = field(default_factory=dict)
    """What a reader gets of keys that were falsified and not written since."""
    ever_planted: set[Key] = field(default_factory=set)
    suspect: dict[Key, Row] = field(default_factory=dict)
    """What was planted when the judging of now began."""
    phase: str = "OLD"
    anew: dict[Key, list[Row]] = field(default_factory=lambda: defaultdict(list))
    """What the application has written, or tried to, into the new database alone."""
    has_forgotten: bool = False
    """Whether the source has lost what was captured, or where an epoch begins: a reason to stop."""

    def take(self, event: Event) -> None:
        """Check one more event; `Broken` names what does not hold."""
        check = CHECKS.get(str(event["event"]))
        if check:
            check(self, event)

    def _source(self, event: Event) -> None:
        self.truth.take(event)
        if event["event"] == "committed" and event["changes"] and self.phase == "NEW":
            raise Broken("I13 phase atomicity", f"{event['gtid']} changes the old database in NEW")

    def _lost(self, event: Event) -> None:
        self.truth.take(event)
        self.has_forgotten |= self.complete > len(self.truth.commits) or event["books"] > 0
        self.complete = min(self.complete, len(self.truth.commits))
        self.claimed = min(self.claimed, len(self.truth.commits))

    def _takeover(self, event: Event) -> None:
        self.generation = event["generation"]

    # -- the log

    def _logged(self, event: Event) -> None:
        envelope = orjson.loads(event["value"])
        key = (event["table"], event["key"])
        source = envelope["source"]
        record = Logged(key, source["sequence"], envelope["after"], event["value"], event["partition"])
        if event.get("generation", self.generation) != self.generation:
            raise Broken(
                "I9 fencing", f"generation {event['generation']} wrote after {self.generation} took over"
            )
        if self.partition_of.setdefault(key, record.partition) != record.partition:
            raise Broken("I6 affinity", f"{key} is in {record.partition} and {self.partition_of[key]}", key)
        self._append(record, event["offset"])
        if envelope["op"] == "r" or source["gtid"] is None:  # a repair may say that there is no row
            self._check_read(record)
        else:
            self._check_change(record, source["gtid"])

    def _append(self, record: Logged, offset: int) -> None:
        records = self.logged[record.partition]
        hole = offset - len(records)
        if hole < 0:
            raise Broken("I5 order", f"{record.partition} goes back from {len(records)} to {offset}")
        if hole and not self.has_holes:
            raise Broken("I5 order", f"{record.partition} has no record {len(records)}")
        records.extend([None] * hole)
        records.append(record)

    def _check_read(self, record: Logged) -> None:
        if not record.version.endswith(ROW_OF_READ):
            raise Broken("I4 no phantom", f"a read of {record.key} has version {record.version}", record.key)
        since = self.truth.place(record.version)
        if int(record.version[:8], 16) not in self.truth.epochs:
            raise Broken(
                "I4 no phantom",
                f"a read of {record.key} is in epoch {record.version[:8]}, which is none",
                record.key,
            )
        if not self.truth.was(record.key, record.row, since):
            why = f"a read of {record.key} at {record.version} gave {record.row}, which was over by then"
            raise Broken("I4 no phantom", why, record.key)

    def _check_change(self, record: Logged, gtid: str) -> None:
        commit = self.truth.by_gtid.get(gtid)
        if commit is None and any(lost.gtid == gtid for lost in self.truth.lost):
            self.has_forgotten = True  # read before it was lost
            return
        if commit is None:
            raise Broken("I4 no phantom", f"{gtid} is in the log and no commit of the source")
        if record.key not in commit.states or commit.states[record.key] != record.row:
            raise Broken("I4 no phantom", f"{gtid} did not leave {record.key} as {record.row}", record.key)
        if self.truth.epochs.get(int(record.version[:8], 16)) != commit.identity:
            raise Broken(
                "I4 no phantom", f"{gtid} is in epoch {record.version[:8]}, which is not its server's"
            )
        first = self.changes.setdefault((gtid, record.key), record)
        if first is record:
            if record.version <= self.newest.get(record.key, ""):
                raise Broken(
                    "I5 order",
                    f"{record.key}: {record.version} comes behind {self.newest[record.key]}",
                    record.key,
                )
            self.newest[record.key] = record.version
        elif first.value != record.value:
            raise Broken("I5 order", f"{gtid} of {record.key} was written in two ways", record.key)

    def _checkpoint(self, event: Event) -> None:
        version, position = event["version"], event["position"]
        if version < self.checkpoint:
            raise Broken("I9 fencing", f"the checkpoint goes back from {self.checkpoint} to {version}")
        self.checkpoint = version
        if self.complete < 0:
            self.base = self.complete = self.claimed = self.truth.place_of(version, position)
        self.has_forgotten |= self.truth.has_lost(version)
        place = self.truth.place_of(version, position)
        for commit in self.truth.commits[self.complete : place]:
            for key in commit.states:
                if (commit.gtid, key) not in self.changes:
                    raise Broken(
                        "I3 complete capture", f"{commit.gtid} of {key} is before checkpoint {version}", key
                    )
        self.complete = max(self.complete, place)

    # -- the consumers

    def _offsets(self, event: Event) -> None:
        place = (event["group"], event["partition"])
        for record in self.logged[event["partition"]][self.offsets.get(place, 0) : event["offset"]]:
            if record and self.held.get(record.key, ("", None))[0] < record.version:
                raise Broken(
                    "I8 offset safety",
                    f"{record.key} at {record.version} is committed and not in the target",
                    record.key,
                )
        self.offsets[place] = max(event["offset"], self.offsets.get(place, 0))

    def _through(self, event: Event) -> None:
        place = self.truth.place(event["version"])
        for commit in self.truth.commits[self.claimed : place]:
            for key in commit.states:
                record = self.changes.get((commit.gtid, key))
                if record is None or self.held.get(key, ("", None))[0] < record.version:
                    raise Broken(
                        "I11 honest lag",
                        f"applied through {event['version']} without {commit.gtid} of {key}",
                        key,
                    )
        self.claimed = max(self.claimed, place)
        for commit in self.truth.commits[place:]:
            if (
                commit.states
                and self.truth.visible_at.get(commit.gtid, event["source_ms"] + 1) <= event["source_ms"]
            ):
                raise Broken(
                    "I11 honest lag", f"through {event['source_ms']} ms, and {commit.gtid} was before that"
                )

    def _written(self, event: Event) -> None:
        key = (event["table"], event["key"])
        before = self.held.get(key, ("", None))[0]
        if event["version"].endswith(ROW_OF_DIRECT_WRITE) and event.get("by") == event["version"]:
            self._check_direct(key, event)
        if self.planted.get(key, event["row"]) != event["row"]:
            del self.planted[key]
        if event["version"] < before and key in self.ever_planted:
            return  # a row that was taken away, and comes back from an older write
        if event["version"] < before:
            raise Broken("I2 monotone", f"{key} falls from {before} to {event['version']}", key)
        self.held[key] = (event["version"], event["row"])

    # -- the application

    def _check_direct(self, key: Key, event: Event) -> None:
        identity = self.truth.epochs.get(int(event["version"][:8], 16))
        if identity is None and event["row"] in self.anew.get(key, ()):
            return
        sequence = int(event["version"][8:24], 16)
        for place, commit in enumerate(self.truth.commits, 1):
            if (commit.identity, commit.sequence) == (identity, sequence):
                if self.truth.at(key, place) == event["row"]:
                    return
                break
        why = f"a direct write of {key} at {event['version']} is {event['row']}: no commit of that left it so"
        raise Broken("I16 honest dual write", why, key)

    def _phase(self, event: Event) -> None:
        self.phase = event["phase"]

    def _acknowledged(self, event: Event) -> None:
        if event["mismatches"]:
            raise Broken("I16 honest dual write", "what was put is not what the row became")

    def _written_in_new(self, event: Event) -> None:
        self.anew[event["table"], event["key"]].append(event["row"])

    def _read(self, event: Event) -> None:
        key, wrote, row = (event["table"], event["key"]), event["wrote"], event["row"]
        if wrote is None:
            return  # there are many states without a row
        states = [state for _, state in self.truth.states.get(key, [])]
        later = states[states.index(wrote) :] if wrote in states else []
        if row not in later and row not in self.anew.get(key, ()):
            raise Broken(
                "I16 honest dual write", f"{key}: wrote {wrote}, and read {row} from {event['origin']}", key
            )

    # -- the verifier

    def _planted(self, event: Event) -> None:
        key = (event["table"], event["key"])
        self.planted[key] = event["row"] or NO_ROW
        self.ever_planted.add(key)
        self.held[key] = (self.held[key][0], event["row"])

    def _judging(self, _: Event) -> None:
        self.suspect = dict(self.planted)

    def _judged(self, event: Event) -> None:
        for name in event["equal"]:
            key = (event["table"], name)
            if key in self.suspect and self.planted.get(key, KeyError) == self.suspect[key]:
                raise Broken("I14 sound verifier", f"{key} is called equal, and is {self.planted[key]}", key)
        for name, kind in event["differences"].items():
            key = (event["table"], name)
            if key not in self.ever_planted and not self.truth.lost:
                raise Broken("I14 sound verifier", f"{key} is called {kind}, and nobody falsified it", key)

    # -- the end

    def _converged(self, _: Event) -> None:
        truth = self.truth.now()
        for key in truth.keys() | self.held.keys():
            version, row = self.held.get(key, ("nothing", None))
            is_excused = version.endswith(ROW_OF_READ) and self.truth.was_lost(key, row)
            is_excused |= row in self.anew.get(key, ())
            if row != truth.get(key) and not is_excused:
                raise Broken(
                    "I1 convergence",
                    f"{key} is {truth.get(key)} in the source and {row} ({version}) in the target",
                    key,
                )


NO_ROW: dict[str, Any] = {"": "no row"}
"""Stands for a row that was taken away: anything that is written ends that, a delete marker too."""

CHECKS: dict[str, Callable[[Invariants, Event], None]] = {
    **dict.fromkeys(("committed", "visible", "epoch", "keyed"), Invariants._source),
    "lost": Invariants._lost,
    "takeover": Invariants._takeover,
    "logged": Invariants._logged,
    "checkpoint": Invariants._checkpoint,
    "offsets": Invariants._offsets,
    "through": Invariants._through,
    "written": Invariants._written,
    "planted": Invariants._planted,
    "judging": Invariants._judging,
    "judged": Invariants._judged,
    "phase": Invariants._phase,
    "acknowledged": Invariants._acknowledged,
    "written in NEW": Invariants._written_in_new,
    "read": Invariants._read,
    "quiet": Invariants._converged,
}
"""What each event is checked by."""
