"""What was recorded of servers that tests cannot start: see `tests/cdc/recorded/README.md`."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cdc.events import Event
from cdc.frames import frames_at
from cdc.stream import Translation
from changeover.mysql.framing import Framing
from changeover.table import Column, Kind, Table
from changeover.values import Value
from tests.cdc.recorded.record import shown

FOLDER = Path(__file__).parents[1] / "cdc" / "recorded"
CONTROL = "recorded_control"


class Recording:
    """The events of one script and the tables that it made."""

    def __init__(self, name: str) -> None:
        found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
        self.packets = [base64.b64decode(event) for event in found["events"]]
        self.selected = {table: of["rows"] for table, of in found["tables"].items()}
        self.tables = [_table(table, of["columns"]) for table, of in found["tables"].items()]

    def events(self) -> Iterator[Event]:
        """What capture sees of it."""
        framing = Framing(has_checksums=True)
        translation = Translation(CONTROL, "test", self.tables, frames_at("", ""))
        for packet in self.packets:
            yield from translation.events(framing.event(packet))


def as_selected(value: Value) -> str | None:
    """A canonical value as the recording shows what a SELECT gave."""
    match value:
        case None:
            return None
        case bytes():
            return shown(value)
        case _:
            return shown(str(value).encode())


def _table(name: str, columns: list[tuple[str, str]]) -> Table:
    # The kind says how a SELECT is read, and nothing to the decoder.
    found = tuple(
        Column(name=column, kind=Kind.TEXT, sql_type=sql_type, nullable=column != "id")
        for column, sql_type in columns
    )
    return Table(schema="recorded", name=name, columns=found, key=("id",))
