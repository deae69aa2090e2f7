"""What apply has counted, as metrics."""

from collections.abc import Iterator

from changeover.metrics import names
from changeover.metrics.metric import Sample
from consumers.apply import Apply


def of_apply(apply: Apply) -> Iterator[Sample]:
    """The metrics of a member of the consumer group; read while it runs, by another thread."""
    counts = apply.counts
    yield names.APPLY_RECORDS.of(counts.records)
    yield names.APPLY_STALE.of(counts.stale)
    yield names.APPLY_BATCHES.of(counts.batches)
    yield names.APPLY_BYTES.of(counts.bytes)
    yield names.APPLY_BATCH.of(apply.under_way)
    yield names.APPLY_WRITING.of(counts.write_s)
    yield names.TARGET_RETRIES.of(apply.target_retries)
    if apply.through:
        yield names.APPLY_THROUGH.of(apply.through.source_ms / 1000)
