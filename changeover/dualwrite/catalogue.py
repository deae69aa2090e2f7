"""The captured tables: from the old database, or from the new one's memory once the old one is gone."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from changeover.mysql.catalog import captured_names, fit_tables
from changeover.mysql.connection import Connection
from changeover.mysql.numbering import is_mariadb
from changeover.table import Table
from changeover.targets import Note, Target
from changeover.version import Version

NAME = "tables"
"""The note's name in the target."""


class Catalogue(NamedTuple):
    """The captured tables, the names of those without transactions, and the kind of the server."""

    tables: Sequence[Table]
    unsafe: Sequence[str]
    is_mariadb: bool

    @property
    def text(self) -> str:
        """As it is kept."""
        definitions = [table.definition.decode() for table in self.tables]
        return orjson.dumps([definitions, list(self.unsafe), self.is_mariadb]).decode()

    @classmethod
    def parse(cls, text: str) -> "Catalogue":
        """What `text` gave."""
        definitions, unsafe, mariadb = orjson.loads(text)
        return cls([Table.parse(definition.encode()) for definition in definitions], unsafe, mariadb)


def read_catalogue(connection: Connection) -> Catalogue:
    """The tables as the old database describes them to the application's user."""
    tables, _ = fit_tables(connection, captured_names(connection))
    rows = connection.query(
        "SELECT table_schema, table_name FROM information_schema.tables WHERE engine NOT IN "
        "(SELECT engine FROM information_schema.engines WHERE transactions = 'YES')"
    )
    names = {table.full_name for table in tables}
    unsafe = sorted(name for row in rows if (name := ".".join(row)) in names)
    return Catalogue(tables, unsafe, is_mariadb(connection))


def keep_catalogue(target: Target[Any], catalogue: Catalogue) -> None:
    """Let the new database remember the tables, as they are from now on."""
    kept = target.remembered(NAME)
    if kept is None or kept.text != catalogue.text:
        number = kept.version.sequence + 1 if kept else 1
        target.remember(NAME, Note(Version(0, number, 0), catalogue.text))


def kept_catalogue(target: Target[Any]) -> Catalogue | None:
    """What the new database remembers, None if nothing."""
    note = target.remembered(NAME)
    return Catalogue.parse(note.text) if note else None
