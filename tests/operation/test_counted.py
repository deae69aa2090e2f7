"""What is counted can be asked by another thread at any moment, also in the middle of a large transaction."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import cdc.spill
from cdc.capture import Capture
from cdc.counted import of_capture
from changeover.log import Checkpoint
from changeover.log.sqlite import SQLiteLog
from changeover.metrics import names
from changeover.version import Version
from tests.support.binlog import A, MemoryEpochs, ScriptedStream, rows, transaction
from tests.support.tables import citizen

START = Checkpoint(Version.of_change(1, 10), f"{A}-10")


def test_a_transaction_that_has_gone_to_disk_can_still_be_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cdc.spill.SpillingStore.__init__, "__defaults__", (3,))
    many = [rows((None, citizen(number))) for number in range(10)]
    with SQLiteLog(tmp_path / "log.db", "moving") as log, ThreadPoolExecutor(1) as scraper:
        log.capture().append([], START, None)
        stream = ScriptedStream(transaction(11, *many), START.position)
        capture = Capture(
            stream,
            log.capture(),
            MemoryEpochs(),
            checkpoint=START,
            pipeline="moving",
            captured=frozenset({("records", "citizen")}),
            clock=stream.clock,
        )
        while capture.open_rows < 8:
            capture.step()
        assert capture._open is not None
        assert capture._open.store.is_spilled
        found = scraper.submit(lambda: {metric: value for metric, _, value in of_capture(capture)}).result()
        assert found[names.CAPTURE_OPEN] == 8
        assert found[names.CAPTURE_CHANGES] == 0
        while not stream.is_at_end:
            capture.step()
        capture.run(lambda: True)
        found = scraper.submit(lambda: {metric: value for metric, _, value in of_capture(capture)}).result()
    assert (found[names.CAPTURE_OPEN], found[names.CAPTURE_CHANGES]) == (0, 10)
    assert found[names.CAPTURE_BYTES] > 1_000
