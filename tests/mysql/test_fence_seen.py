"""Whether a server is fenced, asked before and while other parts make the control schema."""

from pathlib import Path

from changeover.demo.sql import SQLServer
from changeover.mysql.connection import Connection
from changeover.mysql.control import PHASE, ControlSchema
from changeover.mysql.phases import is_fenced
from changeover.settings import Settings
from tests.support.pipeline import schema_of, write_settings


def test_nothing_is_fenced_where_there_is_no_schema_or_not_yet_its_table(
    either: SQLServer, tmp_path: Path
) -> None:
    with schema_of(either, "seen") as schema:
        settings = Settings.load(write_settings(either, schema, tmp_path))
        with Connection(settings.source) as connection:
            assert not is_fenced(connection)
            control = ControlSchema(connection, "test")
            control.make()
            assert not is_fenced(connection)
            connection.execute(f"DROP TABLE {control.table(PHASE)}")  # as while it is made by another
            assert not is_fenced(connection)


def test_a_control_schema_without_its_format_is_made_to_its_end(either: SQLServer, tmp_path: Path) -> None:
    with schema_of(either, "seen") as schema:
        settings = Settings.load(write_settings(either, schema, tmp_path))
        with Connection(settings.source) as connection:
            control = ControlSchema(connection, "test")
            control._make_tables()  # and another part has not come to the format yet
            control.make()
            assert connection.value(f"SELECT count(*) FROM {control.table('format')}") == "1"
