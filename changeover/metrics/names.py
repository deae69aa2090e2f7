"""Every metric that there is. docs/metrics.md is made from this; `make pages` does it.

Times are Unix times in seconds. Those that say "on the source's clock" come from the source; ages are taken
on that clock too, so that a wrong clock elsewhere makes no lag read low.
"""

from changeover.metrics.metric import Kind, Metric

CAPTURE, SNAPSHOT, APPLY, SERVE = "capture", "snapshot", "apply", "serve"
MOVING = (CAPTURE, SNAPSHOT, APPLY)
EVERY = (*MOVING, SERVE)


def _counter(name: str, parts: tuple[str, ...], text: str, labels: tuple[str, ...] = ()) -> Metric:
    return Metric(name=f"changeover_{name}", kind=Kind.COUNTER, parts=parts, help=text, labels=labels)


def _gauge(name: str, parts: tuple[str, ...], text: str, labels: tuple[str, ...] = ()) -> Metric:
    return Metric(name=f"changeover_{name}", kind=Kind.GAUGE, parts=parts, help=text, labels=labels)


# -- every part ---------------------------------------------------------------------------------------------

INFO = _gauge("info", EVERY, "1; the label is the program's version.", ("version",))
READY = _gauge("ready", EVERY, "1 if the part does its work, 0 if not: /readyz says why.")
STOPPED = _gauge("stopped", EVERY, "1 after a loud stop: a person must decide. /readyz has the reason.")
PAUSED = _gauge("paused", MOVING, "1 while the part rests because somebody has paused it.")
THROTTLE = _gauge(
    "throttle_rows_per_second",
    MOVING,
    "Rows a second that this process may do at most, if somebody has said so.",
)
PROGRESS_AGE = _gauge(
    "progress_age_seconds",
    EVERY,
    "Time since the part's loop last came round, or a piece of its work was done.",
)

# -- capture: what it has done ------------------------------------------------------------------------------

CAPTURE_TRANSACTIONS = _counter("capture_transactions_total", (CAPTURE,), "Transactions read to their end.")
CAPTURE_CHANGES = _counter(
    "capture_changes_total", (CAPTURE,), "Changes captured, one for a key and transaction."
)
CAPTURE_BYTES = _counter("capture_bytes_total", (CAPTURE,), "Bytes of keys and envelopes given to the log.")
CAPTURE_APPENDS = _counter("capture_appends_total", (CAPTURE,), "Durable writes to the log.")
CAPTURE_PENDING = _gauge("capture_pending_changes", (CAPTURE,), "Changes read and not yet in the log.")
CAPTURE_OPEN = _gauge(
    "capture_open_transaction_rows", (CAPTURE,), "Row changes of the transaction that is being read."
)
CAPTURED_THROUGH = _gauge(
    "captured_through_timestamp_seconds",
    (CAPTURE,),
    "All that was committed by then, on the source's clock, is in the log.",
)

# -- the import's workers -----------------------------------------------------------------------------------

SNAPSHOT_CHUNKS = _counter("snapshot_chunks_total", (SNAPSHOT,), "Chunks copied by this worker.")
SNAPSHOT_ROWS = _counter("snapshot_rows_total", (SNAPSHOT,), "Rows copied by this worker.")
SNAPSHOT_BYTES = _counter(
    "snapshot_bytes_total", (SNAPSHOT,), "Bytes of keys and envelopes given to the log."
)

# -- apply: what it has done --------------------------------------------------------------------------------

APPLY_RECORDS = _counter("apply_records_total", (APPLY,), "Records taken from the log and committed.")
APPLY_STALE = _counter(
    "apply_stale_total", (APPLY,), "Of these, those that changed nothing: the target was ahead of them."
)
APPLY_BATCHES = _counter("apply_batches_total", (APPLY,), "Batches written and committed.")
APPLY_BYTES = _counter("apply_bytes_total", (APPLY,), "Bytes of keys and envelopes of these records.")
APPLY_BATCH = _gauge(
    "apply_batch_records", (APPLY,), "Records of the batch that is being applied; 0 at rest."
)
APPLY_WRITING = _counter("apply_write_seconds_total", (APPLY,), "Time spent waiting for the target.")
APPLY_THROUGH = _gauge(
    "apply_through_timestamp_seconds",
    (APPLY,),
    "What this member's partitions have applied through, on the source's clock.",
)
TARGET_RETRIES = _counter("target_retries_total", (APPLY,), "Batches that were tried again, a try each.")

# -- the pipeline as a whole, told by capture ---------------------------------------------------------------

LAG = _gauge(
    "lag_seconds",
    (CAPTURE,),
    "End to end: the age, on the source's clock, of what the target durably holds and the group has "
    "committed after it did. All that was committed longer ago is in the target. Reads high rather than low.",
)
CAPTURE_LAG = _gauge(
    "capture_lag_seconds", (CAPTURE,), "From the source into the log: the age of what is in the log."
)
APPLY_LAG = _gauge(
    "apply_lag_seconds", (CAPTURE,), "From the log into the target: by how much the target is behind the log."
)
APPLIED_THROUGH = _gauge(
    "applied_through_timestamp_seconds",
    (CAPTURE,),
    "What the group has applied through, on the source's clock.",
)
OBSERVED_AGE = _gauge(
    "observed_age_seconds",
    (CAPTURE,),
    "Time since the figures of the pipeline were last read from source and log.",
)
OBSERVATION_FAILURES = _counter(
    "observation_failures_total",
    (CAPTURE,),
    "Times that source or log did not give the figures of the pipeline.",
)
CAPTURED = _counter("captured_changes_total", (CAPTURE,), "Changes captured since the pipeline began.")
APPLIED = _counter("applied_records_total", (CAPTURE,), "Records that the group has applied since it began.")
STALE = _counter("stale_records_total", (CAPTURE,), "Of these, those that changed nothing.")
IMPORT_COPIED = _gauge("import_copied_rows", (CAPTURE,), "Rows of the table copied into the log.", ("table",))
IMPORT_ESTIMATED = _gauge(
    "import_estimated_rows", (CAPTURE,), "Rows to copy: the server's guess, exact once done.", ("table",)
)
IMPORT_DONE = _gauge("import_done", (CAPTURE,), "1 if every row of the table is in the log.", ("table",))
IMPORT_APPLIED = _gauge("import_applied", (CAPTURE,), "1 if the whole import is in the target.")
PHASE = _gauge("phase", (CAPTURE,), "1 for the phase that the pipeline is in, 0 for the others.", ("phase",))
PHASE_SINCE = _gauge(
    "phase_since_timestamp_seconds",
    (CAPTURE,),
    "When the pipeline came into its phase, on the source's clock.",
)
GATE = _gauge("gate", (CAPTURE,), "1 for each gate before the next phase that holds.", ("gate", "to"))
VERDICT = _gauge(
    "verdict", (CAPTURE,), "1 for what is known of the table, 0 for the other states.", ("table", "state")
)
VERDICT_AGE = _gauge(
    "verdict_age_seconds",
    (CAPTURE,),
    "Age of the source's state that the table's verdict holds for.",
    ("table",),
)
FINDINGS = _gauge("findings_open", (CAPTURE,), "Keys of the table at which the two differ.", ("table",))
PROCESSES = _gauge("processes", (CAPTURE,), "Processes with the dual-write library that have reported.")
PROCESS_AGE = _gauge(
    "process_report_age_seconds", (CAPTURE,), "Time since the process reported itself.", ("process",)
)
DIRECT_WRITES = _counter(
    "direct_writes_total", (CAPTURE,), "Direct writes of the process since it began.", ("process",)
)
DIRECT_FAILED = _counter(
    "direct_writes_failed_total",
    (CAPTURE,),
    "Of these, those that failed: the binlog brings what they would have.",
    ("process",),
)
COMPARED = _counter("compared_reads_total", (CAPTURE,), "Reads that the process has compared.", ("process",))
COMPARED_MISMATCH = _counter(
    "compared_reads_mismatched_total", (CAPTURE,), "Of these, those whose answers differed.", ("process",)
)
PUTS = _counter(
    "puts_total", (CAPTURE,), "Objects that the process gave, held to what the mapping makes.", ("process",)
)
PUT_MISMATCH = _counter("puts_mismatched_total", (CAPTURE,), "Of these, those that differed.", ("process",))
BINLOG_RETENTION = _gauge(
    "binlog_retention_left_seconds",
    (CAPTURE,),
    "How long capture may stay away before the source expires what it needs, at least; +Inf where the source "
    "never expires its binlog.",
)
LOG_RETENTION = _gauge(
    "log_retention_left_seconds",
    (CAPTURE,),
    "How long the consumers may stay away, at least, before Kafka drops what they need: the replay window "
    "less the lag. None for a log that waits for its consumers.",
)

METRICS: tuple[Metric, ...] = tuple(found for found in list(globals().values()) if isinstance(found, Metric))

PROCESS = {
    "process_resident_memory_bytes": "Memory of the process.",
    "process_virtual_memory_bytes": "Its address space.",
    "process_cpu_seconds_total": "Time of the processor that it has used.",
    "process_open_fds": "Its open files.",
    "process_max_fds": "How many it may have.",
    "process_start_time_seconds": "When it started.",
}
"""Of prometheus_client's own: each part has them, with no label."""

SOMETIMES = frozenset({THROTTLE.name, LOG_RETENTION.name, PHASE_SINCE.name})
"""Those that a part may have no value for in all its life: each says when."""
