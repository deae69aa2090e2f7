"""The old database over whatever connection the application has: any driver of DB-API 2.0 with `%s` marks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from queue import Empty, Full, LifoQueue
from typing import Any, Protocol, TypeVar

from changeover.errors import ChangeoverError
from changeover.mysql.application import tells_gtids

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")

Parameters = Sequence[object] | Mapping[str, object]


class Old(Protocol):
    """A connection in the hands of one transaction."""

    @property
    def connection(self) -> Any:  # noqa: ANN401
        """The driver's connection."""

    @property
    def keeps_answers(self) -> bool:
        """Whether the driver's connection has, behind a commit, what the server answered to it."""

    def execute(self, sql: str, parameters: Parameters = ()) -> Any:  # noqa: ANN401 - the driver's cursor
        """Run a statement; the driver's own cursor or result."""

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """The rows of a statement of ours."""

    def begin(self) -> None:
        """Begin a transaction, unless the connection is always in one."""

    def commit(self, before: Callable[[], B], after: Callable[[Any, B], A]) -> A:
        """Commit; what `after` gives. `before` is called at the last moment before the commit.

        `after` gets the driver's connection while nobody else can have it, and what `before` gave. It must
        not raise.
        """

    def rollback(self) -> None:
        """Roll back."""


class DBAPI:
    """A connection of a driver, of ours or handed over by the application without an open transaction."""

    def __init__(self, connection: Any, *, is_ours: bool) -> None:  # noqa: ANN401
        self._connection = connection
        self._is_ours = is_ours

    @property
    def connection(self) -> Any:  # noqa: ANN401
        """See `Old`."""
        return self._connection

    @property
    def keeps_answers(self) -> bool:
        """See `Old`."""
        return tells_gtids(self._connection)

    def execute(self, sql: str, parameters: Parameters = ()) -> Any:  # noqa: ANN401
        """See `Old`."""
        cursor = self.connection.cursor()
        cursor.execute(sql, parameters or None)
        return cursor

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """See `Old`."""
        return rows_of(self.connection, sql, parameters)

    def begin(self) -> None:
        """See `Old`. On somebody else's connection it would commit what is open there."""
        if self._is_ours or self.rows("SELECT @@autocommit") == [(1,)]:
            self.rows("START TRANSACTION")

    def commit(self, before: Callable[[], B], after: Callable[[Any, B], A]) -> A:
        """See `Old`."""
        found = before()
        if self.keeps_answers:
            self.connection.query("COMMIT")  # `commit()` would throw the answer away
        else:
            self.connection.commit()
        return after(self.connection, found)

    def rollback(self) -> None:
        """See `Old`."""
        self.connection.rollback()


def rows_of(connection: Any, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:  # noqa: ANN401
    """The rows of a statement, as tuples whatever kind of cursor the application has chosen."""
    cursor = connection.cursor()
    try:
        cursor.execute(sql, tuple(parameters) or None)
        found = cursor.fetchall() if cursor.description else ()
        return [tuple(row.values()) if isinstance(row, Mapping) else tuple(row) for row in found]
    finally:
        cursor.close()


def text(value: object) -> str:
    """A value of a statement of ours as text, which some drivers give as bytes; empty for NULL."""
    if value is None:
        return ""
    return bytes(value).decode() if isinstance(value, bytes | bytearray) else str(value)


class Connections:
    """Connections of ours between their uses; each is used by one thread at a time."""

    KEPT_MAX = 16
    """More are made when more are needed at once, and closed behind it."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self._kept: LifoQueue[Any] = LifoQueue(self.KEPT_MAX)

    @contextmanager
    def begun(self, begin: Callable[[Old], T]) -> Iterator[tuple[Old, T]]:
        """A connection on which `begin` was called, with its result.

        One that was kept may have died meanwhile: where `begin` fails on it, a fresh one is taken, for
        nothing was done on it yet.
        """
        connection, result = self._begin(begin)
        try:
            yield connection, result
        except BaseException:
            try:
                connection.rollback()
            except Exception:  # noqa: BLE001 - it is lost, and the server rolls back by itself
                with suppress(Exception):
                    connection.connection.close()
            else:
                self._keep(connection)
            raise
        self._keep(connection)

    def close(self) -> None:
        """Hang up those that are not in use."""
        with suppress(Empty):
            while True:
                self._kept.get_nowait().close()

    def _begin(self, begin: Callable[[Old], T]) -> tuple[DBAPI, T]:
        while True:
            try:
                kept = DBAPI(self._kept.get_nowait(), is_ours=True)
            except Empty:
                break
            try:
                return kept, begin(kept)
            except ChangeoverError:
                kept.connection.close()
                raise
            except Exception:  # noqa: BLE001 - a fresh one will tell
                with suppress(Exception):
                    kept.connection.close()
        fresh = DBAPI(self._connect(), is_ours=True)
        try:
            return fresh, begin(fresh)
        except BaseException:
            with suppress(Exception):
                fresh.connection.close()
            raise

    def _keep(self, used: DBAPI) -> None:
        try:
            self._kept.put_nowait(used.connection)
        except Full:
            used.connection.close()
