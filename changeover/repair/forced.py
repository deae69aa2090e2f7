"""The record of every write that did not go by the order of versions: who made it, of what, and why."""

import enum
from dataclasses import dataclass

from changeover.mysql.control import NOW_MS, ControlSchema
from changeover.version import Version


class Outcome(enum.StrEnum):
    """What became of a forced write."""

    BEGUN = "begun"
    """Where it stays so, who made it has died: it may have happened or not."""

    DONE = "done"
    NOT_DONE = "not done"
    """The target held another state by then, or cannot go back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forced:
    """A write in place of a state that no ordered write could replace. `table_name` is `schema.name`."""

    table_name: str
    key: bytes
    held: Version
    written: Version
    who: str
    reason: str
    outcome: Outcome = Outcome.BEGUN


class ForcedWrites:
    """The forced writes of one pipeline, in the control schema."""

    def __init__(self, control: ControlSchema) -> None:
        self._connection = control.connection
        self._pipeline = control.pipeline
        self._table = control.table("forced_write")

    def begin(self, forced: Forced) -> int:
        """Write down what is going to be forced, before it is: none is without its record. Its number."""
        schema, name = forced.table_name.split(".", 1)
        self._connection.execute(
            f"INSERT INTO {self._table} (pipeline, at_ms, who, reason, table_schema, table_name, row_key, "
            f"held_version, written_version, outcome) "
            f"VALUES (%s, {NOW_MS}, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                *(self._pipeline, forced.who, forced.reason, schema, name, forced.key),
                *(forced.held.text, forced.written.text, Outcome.BEGUN.value),
            ),
        )
        return int(self._connection.value("SELECT LAST_INSERT_ID()"))

    def end(self, number: int, outcome: Outcome) -> None:
        """Write down what became of it."""
        self._connection.execute(
            f"UPDATE {self._table} SET outcome = %s WHERE pipeline = %s AND number = %s",
            (outcome.value, self._pipeline, number),
        )

    def all(self) -> list[Forced]:
        """All of them, the first first."""
        rows = self._connection.raw(
            "SELECT table_schema, table_name, row_key, held_version, written_version, who, reason, outcome "
            f"FROM {self._table} WHERE pipeline = %s ORDER BY number",
            (self._pipeline,),
        )
        return [_forced(row) for row in rows]


def _forced(row: tuple[bytes | None, ...]) -> Forced:
    schema, name, key, held, written, who, reason, outcome = (value or b"" for value in row)
    return Forced(
        table_name=f"{schema.decode()}.{name.decode()}",
        key=key,
        held=Version.parse(held.decode()),
        written=Version.parse(written.decode()),
        who=who.decode(),
        reason=reason.decode(),
        outcome=Outcome(outcome.decode()),
    )
