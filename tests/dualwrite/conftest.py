"""The application's library over both kinds of server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from changeover.demo.sql import SQLServer
from tests.support.pipeline import schema_of
from tests.support.ward import TABLE, Ward


@pytest.fixture
def ward(either: SQLServer, tmp_path: Path) -> Iterator[Ward]:
    with schema_of(either, "ward", TABLE) as schema:
        ward = Ward(either, schema, tmp_path)
        ward.begin()
        yield ward
        ward.close()
