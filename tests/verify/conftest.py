"""A pipeline's control schema, for what is kept there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from changeover.demo.sql import SQLServer
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.settings import Settings
from tests.support.pipeline import schema_of, write_settings


@pytest.fixture
def control(either: SQLServer, tmp_path: Path) -> Iterator[ControlSchema]:
    with schema_of(either, "judged") as schema:
        settings = Settings.load(write_settings(either, schema, tmp_path))
        with Connection(settings.source) as connection:
            found = ControlSchema(connection, "test")
            found.make()
            yield found
