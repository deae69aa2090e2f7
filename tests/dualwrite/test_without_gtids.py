"""MySQL without GTIDs: the binlog alone delivers, and a session still reads what it wrote."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from changeover.demo.mysql8 import PrivateMySQL
from changeover.dualwrite import Origin
from changeover.phase import Phase
from changeover.values import Row
from tests.support.pipeline import schema_of
from tests.support.ward import TABLE, Ward

ROW: Row = {"id": 1, "dose": "1.000", "note": None}


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    with (
        PrivateMySQL(options={"gtid_mode": "OFF", "enforce_gtid_consistency": "OFF"}) as server,
        schema_of(server, "ward", TABLE) as schema,
    ):
        ward = Ward(server, schema, tmp_path)
        ward.begin()
        yield ward
        ward.close()


def test_a_session_reads_its_own_writes_though_no_commit_tells_its_place(ward: Ward) -> None:
    ward.run("INSERT INTO prescription VALUES (1, 1, NULL)")
    ward.deliver(1, ROW)
    ward.move(Phase.BOTH_READ_NEW)
    store = ward.store()
    assert store.get("prescription", id=1).origin is Origin.NEW
    with store.transaction() as tx:
        tx.execute("UPDATE prescription SET dose = 2 WHERE id = 1")
        tx.changed("prescription", id=1)
    answer = store.get("prescription", id=1)
    assert (answer.value, answer.origin) == ({**ROW, "dose": "2.000"}, Origin.OLD)
