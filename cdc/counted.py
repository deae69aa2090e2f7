"""What capture and snapshot have counted, as metrics."""

from collections.abc import Iterator

from cdc.capture import Capture
from cdc.snapshot import Snapshot
from changeover.metrics import names
from changeover.metrics.metric import Sample


def of_capture(capture: Capture) -> Iterator[Sample]:
    """The metrics of a capture; read while it runs, by another thread."""
    counts = capture.counts
    yield names.CAPTURE_TRANSACTIONS.of(counts.transactions)
    yield names.CAPTURE_CHANGES.of(counts.changes)
    yield names.CAPTURE_BYTES.of(counts.bytes)
    yield names.CAPTURE_APPENDS.of(counts.appends)
    yield names.CAPTURE_PENDING.of(capture.pending_changes)
    yield names.CAPTURE_OPEN.of(capture.open_rows)
    captured_ms = capture.captured_ms()
    if captured_ms is not None:
        yield names.CAPTURED_THROUGH.of(captured_ms / 1000)


def of_snapshot(snapshot: Snapshot) -> Iterator[Sample]:
    """The metrics of a worker of the import."""
    yield names.SNAPSHOT_CHUNKS.of(snapshot.counts.chunks)
    yield names.SNAPSHOT_ROWS.of(snapshot.counts.rows)
    yield names.SNAPSHOT_BYTES.of(snapshot.counts.bytes)
