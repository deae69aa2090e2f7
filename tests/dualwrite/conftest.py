"""The application's library over both kinds of server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from changeover.demo.sql import SQLServer
from changeover.dualwrite import compared, store
from tests.support.pipeline import schema_of
from tests.support.ward import PATIENCE_S, TABLE, Ward


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for these bounds of the library to end: who takes so long is a busy machine's server."""
    monkeypatch.setattr(store, "ANSWER_S_MAX", PATIENCE_S)
    monkeypatch.setattr(compared, "APPLIED_S_MAX", 2 * PATIENCE_S)
    monkeypatch.setattr(compared, "READ_S_MAX", PATIENCE_S)


@pytest.fixture
def ward(either: SQLServer, tmp_path: Path) -> Iterator[Ward]:
    with schema_of(either, "ward", TABLE) as schema:
        ward = Ward(either, schema, tmp_path)
        ward.begin()
        yield ward
        ward.close()
