"""A connection to a server of the simulation: the product's own, with the few statements it sends understood.

A statement that is not known here is an error, so a new one cannot pass unplayed. Reads of rows and all that
is written are steps of the process; what only asks for settings is not.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import orjson

from changeover.errors import ChangeoverError, RowLocked, SourceUnavailable
from changeover.gtid import GtidSet
from changeover.mysql.connection import Connection
from changeover.mysql.control import FORMAT
from changeover.settings import SourceSettings
from changeover.table import Column
from changeover.values import Row as CanonicalRow
from changeover.values import Value, reader_of_text
from tests.simulation.server import PHASE, Books, Cluster, Images, Kind, Row, Server, TableKey, Transaction

T = TypeVar("T")
Rows = list[tuple[bytes | None, ...]]
Parameters = Sequence[Value]

CONTROL = "changeover"
SOURCE = SourceSettings(url="mysql://played@nowhere", include=("records.*",), control_schema=CONTROL)


class Steps(Protocol):
    """Whoever takes steps: a process of the world, or nobody."""

    is_halted: bool

    def step(self, what: str, act: Callable[[], T], failure: Callable[[str], ChangeoverError]) -> T:
        """Do it as one step."""

    def wait(self, ready: Callable[[], bool], s_max: float | None = None) -> None:
        """Be silent until then."""

    def at_death(self, act: Callable[[], None]) -> None:
        """What happens when the process ends."""


class SimConnection(Connection):
    """A session of a server."""

    def __init__(self, process: Steps, cluster: Cluster) -> None:  # not the parent's: nothing is connected to
        self.source = SOURCE
        self._process = process
        self._server: Server = process.step("connect", lambda: cluster.primary, SourceUnavailable)
        self._open: Transaction | None = None
        self._last_gtid = ""
        self.own_changes: Callable[[dict[TableKey, Row]], list[Images]] | None = None
        """What an open transaction of the application does to the rows."""
        process.at_death(lambda: self._server.let_go(self))

    def raw(self, sql: str, parameters: Parameters = ()) -> Rows:
        """What the statement answers."""
        return handler_of(sql)(self, parameters or ())

    def rows(
        self, sql: str, parameters: Parameters, name: str, columns: tuple[Column, ...]
    ) -> list[CanonicalRow]:
        """The canonical rows of a SELECT."""
        del name
        readers = [(column.name, reader_of_text(column)) for column in columns]
        return [
            {
                name: None if value is None else read(value)
                for (name, read), value in zip(readers, row, strict=True)
            }
            for row in self.raw(sql, parameters)
        ]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction."""
        self._open = Transaction()
        try:
            yield
        except BaseException:
            self._open = None
            self._server.locks = {lock: held for lock, held in self._server.locks.items() if held is not self}
            raise
        transaction, self._open = self._open, None
        self._commit(transaction)

    def close(self) -> None:
        """Hang up."""
        self._server.let_go(self)

    # -- what the handlers share

    def ask(self, answer: Callable[[Server], Any]) -> Rows:
        """One value of the server, asked for in a step."""
        return self._process.step("ask", lambda: [(_text(answer(self._alive())),)], SourceUnavailable)

    def select(self, what: str, answer: Callable[[Server], Rows]) -> Rows:
        """Rows as they are visible when the statement runs."""
        return self._process.step(what, lambda: answer(self._alive()), SourceUnavailable)

    def lock(self, lock: object) -> None:
        """Wait for a row's lock, and hold it until the transaction ends."""
        self._process.wait(lambda: self._server.is_down or self._server.is_free({lock}, self))
        self._alive().locks[lock] = self

    def write(
        self, what: str, effect: Callable[[Books], None], lock: object, beat_ms: int | None = None
    ) -> Rows:
        """Write a row of the control schema, now or when the transaction commits."""
        if self._open is not None:
            self._open.effects.append(effect)
            return []
        self._commit(Transaction(effects=[effect], locks={lock}, beat_ms=beat_ms), what)
        return []

    def commit_changes(self, transaction: Transaction) -> None:
        """Commit an application's transaction, and return when it is acknowledged."""
        self._commit(transaction, "commit")

    def _commit(self, transaction: Transaction, what: str = "commit") -> None:
        server = self._server
        self._process.wait(lambda: server.is_down or server.is_free(transaction.locks, self))
        self._process.step(what, lambda: self._prepare(transaction), SourceUnavailable)
        self._process.wait(lambda: transaction.is_acknowledged or transaction.is_lost or server.is_down)
        if not transaction.is_acknowledged or server.is_down:
            message = "the source went away while it committed"
            raise SourceUnavailable(message)
        self._last_gtid = transaction.name

    def _prepare(self, transaction: Transaction) -> None:
        server = self._alive()
        if server.is_frozen or (server.is_read_only and transaction.fill and not transaction.tells):
            message = "the source is read-only"
            raise SourceUnavailable(message)
        # Again, since the wait before: somebody else may have taken them meanwhile.
        if not server.is_free(transaction.locks, self):
            message = "lock wait timeout"
            raise SourceUnavailable(message)
        server.prepare(transaction, self)

    def _alive(self) -> Server:
        if self._server.is_down:
            message = "the source is down"
            raise SourceUnavailable(message)
        return self._server

    @property
    def thread_id(self) -> int:
        """A number of the session."""
        return id(self)

    def row(self, server: Server, place: TableKey) -> Row | None:
        """A row as this session sees it."""
        row = server.rows.get(place)
        for table, before, after in self.own_changes(server.rows) if self.own_changes else ():
            if before is not None and (table, before["id"]) == place:
                row = None
            if after is not None and (table, after["id"]) == place:
                row = after
        return row

    def share(self, lock: str) -> None:
        """Hold the lock with others until the transaction ends."""
        self._process.wait(lambda: self._server.is_down or self._server.locks.get(lock) in {None, self})
        self._alive().readers.add(self)

    def lock_within(self, lock: object, s_max: float) -> None:
        """As `lock`; `RowLocked` if it is not to be had in time."""
        self._process.wait(lambda: self._server.is_down or self._server.is_free({lock}, self), s_max)
        if not self._alive().is_free({lock}, self):
            message = "lock wait timeout"
            raise RowLocked(message)
        self._server.locks[lock] = self

    def tell(self, **event: Any) -> None:  # noqa: ANN401 - whatever an event has
        """Have the open transaction tell that, when it is acknowledged."""
        if self._open is not None:
            self._open.tells = event

    @property
    def last_gtid(self) -> str:
        """The GTID of this session's last commit."""
        return self._last_gtid

    @property
    def server(self) -> Server:
        """The server."""
        return self._server


Handler = Callable[[SimConnection, Parameters], Rows]


def _table(schema: Value, name: Value) -> str:
    return f"{schema!s}.{name!s}"


def _text(value: Any) -> bytes | None:  # noqa: ANN401 - any value of SQL
    return None if value is None else str(value).encode()


def _rows(*rows: Sequence[Any]) -> Rows:
    return [tuple(_text(value) for value in row) for row in rows]


# -- settings of the server: not worth a step, they never change


def _version(connection: SimConnection, _: Parameters) -> Rows:
    return _rows(["10.11.6-MariaDB" if connection.server.kind is Kind.MARIADB else "8.0.36"])


def _gtid_mode(connection: SimConnection, _: Parameters) -> Rows:
    return _rows(["ON" if connection.server.kind is Kind.GTID else "OFF"])


def _identity(connection: SimConnection, _: Parameters) -> Rows:
    return _rows([connection.server.identity])


def _control_exists(_: SimConnection, __: Parameters) -> Rows:
    return _rows([99])


# -- places


def _last_gtid(connection: SimConnection, _: Parameters) -> Rows:
    return _rows([connection.last_gtid])


def _gtid_binlog_pos(connection: SimConnection, _: Parameters) -> Rows:
    return connection.ask(lambda server: server.last_name)


def _executed(connection: SimConnection, _: Parameters) -> Rows:
    return connection.select("gtid_executed", lambda server: _rows([server.identity, server.executed]))


def _is_subset(_: SimConnection, parameters: Parameters) -> Rows:
    one, other = (GtidSet.parse(str(text)) for text in parameters)
    return _rows([int(_contains(other.runs, one.runs))])


def _contains(big: Any, small: Any) -> bool:  # noqa: ANN401
    return all(
        any(first >= start and last <= end for start, end in big.get(uuid, ()))
        for uuid, runs in small.items()
        for first, last in runs
    )


def _binlog_end(connection: SimConnection, _: Parameters) -> Rows:
    return connection.select("SHOW MASTER STATUS", lambda server: _rows(server.binlog_end))


def _now_ms(connection: SimConnection, _: Parameters) -> Rows:
    return _rows([connection.server.now_ms()])


# -- the control schema


def _bind(connection: SimConnection, parameters: Parameters) -> Rows:
    def effect(books: Books) -> None:
        books.log_identity = books.log_identity or str(parameters[1])

    if connection.server.books.log_identity:
        return []
    return connection.write("bind the log", effect, "log identity")


def _bound(connection: SimConnection, _: Parameters) -> Rows:
    return _rows([connection.server.books.log_identity])


def _note_first_identity(connection: SimConnection, parameters: Parameters) -> Rows:
    identity = str(parameters[0])

    def effect(books: Books) -> None:
        books.first_identity = identity

    tells = {"event": "begins", "identity": identity}
    connection.commit_changes(Transaction(effects=[effect], locks={"log identity"}, tells=tells))
    return []


def _first_identity(connection: SimConnection, _: Parameters) -> Rows:
    return connection.select("read the first server", lambda server: _rows([server.books.first_identity]))


def _epochs(connection: SimConnection, _: Parameters) -> Rows:
    return connection.select("read the epochs", lambda server: _rows(*server.books.epochs))


def _open_epoch(connection: SimConnection, parameters: Parameters) -> Rows:
    _, number, identity, first, after, _ = parameters
    epoch = (int(str(number)), str(identity), int(str(first)), None if after is None else str(after))
    tells = {
        "event": "epoch",
        "number": epoch[0],
        "identity": epoch[1],
        "first_sequence": epoch[2],
        "after": epoch[3],
    }
    opens = Transaction(effects=[lambda books: books.epochs.append(epoch)], tells=tells)

    def unless_there(rows: object) -> list[Images]:
        del rows
        books = connection.server.books
        is_closed = books.phase is not None and books.phase["phase"] in {"FENCED", "NEW"}
        if is_closed or any(known[0] == epoch[0] for known in books.epochs):
            opens.effects.clear()
            opens.tells = None
        return []

    opens.locks, opens.fill = {("epoch", number)}, unless_there
    connection.commit_changes(opens)
    return []


def _beat(connection: SimConnection, parameters: Parameters) -> Rows:
    beater, now_ms = str(parameters[1]), connection.server.now_ms()

    def effect(books: Books) -> None:
        books.beats[beater] = now_ms

    return connection.write("heartbeat", effect, ("beat", beater), now_ms)


# -- the import's books


def _enrol(connection: SimConnection, parameters: Parameters) -> Rows:
    _, schema, name, place, *_ = parameters
    table = _table(schema, name)
    if table in connection.server.books.tables:
        return []

    def effect(books: Books) -> None:
        books.tables.setdefault(table, {"place": place, "up_to": None, "chunks": 0, "is_cut": 0})

    return connection.write(f"enrol {table}", effect, ("table", table))


def _open_chunks(connection: SimConnection, _: Parameters) -> Rows:
    def answer(server: Server) -> Rows:
        return [
            (*_names(table), _text(number), chunk["above"], chunk["up_to"])
            for (table, number), chunk in sorted(server.books.chunks.items())
            if chunk["version"] is None
        ]

    return connection.select("look for open chunks", answer)


def _table_to_cut(connection: SimConnection, _: Parameters) -> Rows:
    connection.lock("cut")

    def answer(server: Server) -> Rows:
        books = server.books
        uncut = [name for name, table in books.tables.items() if not table["is_cut"]]
        for name in sorted(uncut, key=lambda name: int(books.tables[name]["place"]))[:1]:
            table = books.tables[name]
            return [(*_names(name), table["up_to"], _text(table["chunks"]))]
        return []

    return connection.select("take a table to cut", answer)


def _insert_chunk(connection: SimConnection, parameters: Parameters) -> Rows:
    _, schema, name, number, above, up_to = parameters
    table = _table(schema, name)

    def effect(books: Books) -> None:
        books.chunks[table, int(str(number))] = {
            "above": above,
            "up_to": up_to,
            "version": None,
            "rows": None,
            "ends": None,
        }

    return connection.write(f"cut chunk {number!s} of {table}", effect, ("chunk", table, number))


def _update_cut(connection: SimConnection, parameters: Parameters) -> Rows:
    up_to, chunks, is_cut, _, schema, name = parameters

    def effect(books: Books) -> None:
        books.tables[_table(schema, name)] |= {"up_to": up_to, "chunks": chunks, "is_cut": is_cut}

    return connection.write("note the cut", effect, "cut")


def _copied(connection: SimConnection, parameters: Parameters) -> Rows:
    version, rows, ends, _, schema, name, number = parameters
    place = (_table(schema, name), int(str(number)))

    def effect(books: Books) -> None:
        books.chunks[place] |= {"version": version, "rows": rows, "ends": ends}

    return connection.write(f"note chunk {number!s} of {place[0]}", effect, ("chunk", *place))


def _is_open(connection: SimConnection, parameters: Parameters) -> Rows:
    _, schema, name, number = parameters
    place = (_table(schema, name), int(str(number)))
    return connection.select(
        "look at a chunk", lambda server: _rows([int(server.books.chunks[place]["version"] is None)])
    )


def _progress(connection: SimConnection, _: Parameters) -> Rows:
    def answer(server: Server) -> Rows:
        books = server.books
        return _rows(
            *(
                (*name.split("."), 0, table["is_cut"], *_counts(books, name))
                for name, table in sorted(books.tables.items(), key=lambda item: int(item[1]["place"]))
            )
        )

    return connection.select("look how far the import is", answer)


def _counts(books: Books, name: str) -> tuple[int, int]:
    chunks = [chunk for (table, _), chunk in books.chunks.items() if table == name]
    copied = [chunk for chunk in chunks if chunk["version"] is not None]
    return sum(int(chunk["rows"]) for chunk in copied), len(chunks) - len(copied)


def _ends(connection: SimConnection, _: Parameters) -> Rows:
    return [
        (chunk["ends"],) for chunk in connection.server.books.chunks.values() if chunk["ends"] is not None
    ]


def _get_lock(connection: SimConnection, parameters: Parameters) -> Rows:
    name = str(parameters[0])
    held = connection.server.named_locks.setdefault(name, connection)
    return _rows([int(held is connection)])


def _release_lock(connection: SimConnection, parameters: Parameters) -> Rows:
    if connection.server.named_locks.get(str(parameters[0])) is connection:
        del connection.server.named_locks[str(parameters[0])]
    return _rows([1])


# -- rows

CONDITION = re.compile(r"`id` (>|<=) %s")
LISTED = re.compile(r"`id` IN \((?:%s(?:, )?)+\)")
OFFSET = re.compile(r"OFFSET (\d+)$")
TABLE = re.compile(r"FROM `records`\.`(\w+)`")


def _chunk_rows(sql: str) -> Handler:
    """Rows of a table, or keys: the conditions and the order are those of the one key column there is."""
    (table,) = TABLE.findall(sql)
    operators = CONDITION.findall(sql)
    offset = OFFSET.search(sql)
    is_list = LISTED.search(sql) is not None

    def select(connection: SimConnection, parameters: Parameters) -> Rows:
        numbers = [int(str(value)) for value in parameters]
        limits = [] if is_list else list(zip(operators, numbers, strict=True))

        def answer(server: Server) -> Rows:
            found = sorted(
                number
                for name, number in server.rows
                if name == f"records.{table}"
                and all(number > limit if operator == ">" else number <= limit for operator, limit in limits)
                and (not is_list or number in numbers)
            )
            if offset:
                return _rows(*([number] for number in found[int(offset[1]) :][:1]))
            rows = [server.rows[f"records.{table}", number] for number in found]
            return [tuple(_text(value) for value in row.values()) for row in rows]

        return connection.select(f"read {table}", answer)

    return select


ONE_ROW = "SELECT HEX("


def _one_row(sql: str) -> Handler:
    """One row, in the form in which an application's session carries it."""
    (table,) = TABLE.findall(sql)

    def select(connection: SimConnection, parameters: Parameters) -> Rows:
        place = (f"records.{table}", int(str(parameters[0])))
        if sql.endswith("FOR UPDATE"):
            connection.lock(place)

        def answer(server: Server) -> Rows:
            row = connection.row(server, place)
            return [] if row is None else [tuple(_hex(value) for value in row.values())]

        return connection.select(f"read {table} {place[1]}", answer)

    return select


def _hex(value: object) -> bytes | None:
    return None if value is None else str(value).encode().hex().upper().encode()


# -- the phase

PHASE_SELECT = "SELECT phase, attempt, since_ms, deadline_ms, new_epoch, fence"
PATIENCE_S = 1.0


def _phase(sql: str) -> Handler:
    """The phase's row, under the lock that the statement asks for, with what an application reads along."""
    is_shared, is_exclusive = sql.endswith("SHARE MODE"), sql.endswith("FOR UPDATE")
    also = "CONNECTION_ID()" in sql
    tells_gtid = "@@last_gtid" in sql

    def select(connection: SimConnection, _: Parameters) -> Rows:
        if is_shared:
            connection.share(PHASE)
        if is_exclusive:
            connection.lock_within(PHASE, PATIENCE_S)

        def answer(server: Server) -> Rows:
            books = server.books
            if books.phase is None:
                return []
            row = [books.phase[name] for name in ("phase", "attempt", "since_ms", "deadline_ms", "new_epoch")]
            row.append(books.phase["fence"])
            if also:
                epoch = " ".join(str(part) for part in books.epochs[-1][:3]) if books.epochs else None
                row += [connection.thread_id, connection.last_gtid if tells_gtid else "", "", epoch]
            return _rows(row)

        return connection.select("read the phase", answer)

    return select


def _make_phase(connection: SimConnection, _: Parameters) -> Rows:
    if connection.server.books.phase is not None:
        return []
    row = dict.fromkeys(("since_ms", "deadline_ms", "new_epoch", "fence")) | {"phase": "OLD", "attempt": 0}
    row["since_ms"] = connection.server.now_ms()

    def effect(books: Books) -> None:
        books.phase = books.phase or row

    return connection.write("make the phase's row", effect, "phase's first row")


def _set_phase(connection: SimConnection, parameters: Parameters) -> Rows:
    phase, attempt, in_ms, new_epoch, fence, _ = parameters
    now_ms = connection.server.now_ms()
    row = {
        "phase": phase,
        "attempt": attempt,
        "since_ms": now_ms,
        "deadline_ms": None if in_ms is None else now_ms + int(str(in_ms)),
        "new_epoch": new_epoch,
        "fence": fence,
    }

    def effect(books: Books) -> None:
        books.phase = row

    connection.tell(event="phase", phase=phase, attempt=attempt, new_epoch=new_epoch, fence=fence)
    return connection.write(f"the phase becomes {phase!s}", effect, PHASE)


def _set_fence(connection: SimConnection, parameters: Parameters) -> Rows:
    new_epoch, fence, _, attempt = parameters

    def effect(books: Books) -> None:
        if books.phase and books.phase["attempt"] == attempt:
            books.phase = {**books.phase, "new_epoch": new_epoch, "fence": fence}

    return connection.write("note the fence", effect, PHASE)


def _phase_name(connection: SimConnection, _: Parameters) -> Rows:
    return connection.select(
        "read the phase", lambda server: _rows([server.books.phase["phase"]]) if server.books.phase else []
    )


def _own_history(connection: SimConnection, _: Parameters) -> Rows:
    return _rows([connection.last_gtid, connection.thread_id]) if connection.last_gtid else []


STATEMENTS: dict[str, Handler] = {
    "SELECT @@version": _version,
    "SELECT @@global.gtid_mode": _gtid_mode,
    "SELECT CONCAT(@@gtid_domain_id, '-', @@server_id)": _identity,
    "SHOW GLOBAL VARIABLES LIKE 'binlog_row_metadata'": lambda *_: _rows(["binlog_row_metadata", "FULL"]),
    "SELECT definition FROM `changeover`.`captured_table`": lambda *_: [],  # for none is kept then
    "SELECT @@server_uuid, @@global.gtid_executed": _executed,
    "SELECT @@server_uuid": _identity,
    "SELECT count(*) FROM information_schema.tables": _control_exists,
    "SELECT max(number) FROM `changeover`.`format`": lambda *_: _rows([FORMAT]),
    "SELECT @@last_gtid, CONNECTION_ID()": _own_history,
    "SELECT @@last_gtid": _last_gtid,
    "SELECT @@global.gtid_binlog_pos": _gtid_binlog_pos,
    "SELECT GTID_SUBSET": _is_subset,
    "SHOW MASTER STATUS": _binlog_end,
    "SELECT CAST(UNIX_TIMESTAMP(NOW(3))": _now_ms,
    "INSERT IGNORE INTO `changeover`.`pipeline`": _bind,
    "SELECT log_identity": _bound,
    "UPDATE `changeover`.`pipeline`": _note_first_identity,
    "SELECT first_identity": _first_identity,
    "SELECT number, identity, first_sequence, after": _epochs,
    "INSERT IGNORE INTO `changeover`.`epoch`": _open_epoch,
    "SELECT phase FROM `changeover`.`pipeline_phase`": _phase_name,
    "INSERT INTO `changeover`.`heartbeat`": _beat,
    "INSERT IGNORE INTO `changeover`.`import_table`": _enrol,
    "SELECT table_schema, table_name, chunk, above, up_to": _open_chunks,
    "SELECT table_schema, table_name, cut_up_to, chunks_cut": _table_to_cut,
    "INSERT INTO `changeover`.`import_chunk`": _insert_chunk,
    "UPDATE `changeover`.`import_table`": _update_cut,
    "UPDATE `changeover`.`import_chunk`": _copied,
    "SELECT copied_version IS NULL": _is_open,
    "SELECT t.table_schema": _progress,
    "SELECT log_ends": _ends,
    "SELECT coalesce(max(avg_row_length)": lambda *_: _rows([20]),
    "SELECT GET_LOCK": _get_lock,
    "SELECT RELEASE_LOCK": _release_lock,
    "SET SESSION innodb_lock_wait_timeout": lambda *_: [],
    "INSERT IGNORE INTO `changeover`.`pipeline_phase`": _make_phase,
    "UPDATE `changeover`.`pipeline_phase` SET phase": _set_phase,
    "UPDATE `changeover`.`pipeline_phase` SET new_epoch": _set_fence,
    "INSERT INTO `changeover`.`phase_move`": lambda *_: [],
    "SELECT h.gtid, CONNECTION_ID()": _own_history,
    "SELECT IS_USED_LOCK": lambda *_: _rows([None]),
    "INSERT INTO `changeover`.`finding`": lambda *_: [],  # what the verifier finds is an event of the history
    "SELECT number, table_schema, table_name, row_key, kind": lambda *_: [],
}
"""What each statement does, by its beginning."""

_known: dict[str, Handler] = {}


def handler_of(sql: str) -> Handler:
    """What the statement does; a statement that is not played is an error of the simulation."""
    if sql not in _known:
        _known[sql] = _made(sql) or _by_beginning(sql)
    return _known[sql]


def _made(sql: str) -> Handler | None:
    """The handler of a statement that has many forms."""
    if sql.startswith(ONE_ROW):
        return _one_row(sql)
    if sql.startswith(PHASE_SELECT):
        return _phase(sql)
    return _chunk_rows(sql) if TABLE.search(sql) else None


def _by_beginning(sql: str) -> Handler:
    for beginning, handler in STATEMENTS.items():
        if sql.startswith(beginning):
            return handler
    message = f"the simulation does not know this statement: {sql}"
    raise NotImplementedError(message)


def _names(table: str) -> tuple[bytes, bytes]:
    schema, name = table.split(".")
    return schema.encode(), name.encode()


def key_text(number: int) -> str:
    """A key as the product writes it."""
    return orjson.dumps({"id": number}).decode()
