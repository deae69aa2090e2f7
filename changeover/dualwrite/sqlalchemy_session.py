"""A session of SQLAlchemy as the application's connection: its own commit, with the library's part around it.

A commit of a session flushes first, and hands the connection back to its pool at the end. So the rows are
read behind the last hook of the application that runs before a commit, and the place of the commit is learned
from the hook that runs while the session still has its connection.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import event, text
from sqlalchemy.orm import Session

from changeover.dualwrite.old import Parameters, rows_of

A = TypeVar("A")
B = TypeVar("B")


class SessionOfSQLAlchemy:
    """See `changeover.dualwrite.old.Old`; what the session was begun with stays as it is."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def connection(self) -> Any:  # noqa: ANN401
        """The driver's connection under the session's, the same one until the commit."""
        return self._session.connection().connection.dbapi_connection

    @property
    def keeps_answers(self) -> bool:
        """SQLAlchemy commits by the driver's own method, which throws the answer away."""
        return False

    def execute(self, sql: str, parameters: Parameters = ()) -> Any:  # noqa: ANN401
        """Run SQL with `:name` marks, as `session.execute(text(…))` does; SQLAlchemy's result."""
        named = parameters if isinstance(parameters, Mapping) else {}
        return self._session.execute(text(sql), named)

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """See `Old`. What the session has not written yet is written first."""
        self._session.flush()
        return rows_of(self.connection, sql, parameters)

    def begin(self) -> None:
        """Nothing to do: a session's connection is in a transaction from its first statement on."""

    def commit(self, before: Callable[[], B], after: Callable[[Any, B], A]) -> A:
        """See `Old`."""
        found: list[B] = []
        learned: list[A] = []

        def look(session: Session) -> None:
            session.flush()
            found.append(before())

        def learn(_: Session) -> None:
            learned.append(after(connection, found[0]))

        connection = self.connection
        event.listen(self._session, "before_commit", look, once=True)
        event.listen(self._session, "after_commit", learn, once=True)
        try:
            self._session.commit()
        finally:
            for name, hook in (("before_commit", look), ("after_commit", learn)):
                if event.contains(self._session, name, hook):
                    event.remove(self._session, name, hook)
        return learned[0]

    def rollback(self) -> None:
        """See `Old`."""
        self._session.rollback()
