"""Builds the capture side from the settings."""

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

import structlog

from cdc.capture import Capture
from cdc.counted import of_capture, of_snapshot
from cdc.events import Stream
from cdc.frames import frames_at
from cdc.masked import MaskedStream
from cdc.snapshot import Snapshot
from cdc.stream import BinlogStream
from changeover.background import Background
from changeover.daemon import Duty
from changeover.epoch import Epoch
from changeover.errors import ChangeoverError, LogUnusable, OrderBroken
from changeover.exporter import Exporter
from changeover.log import CaptureLog, Checkpoint, Log
from changeover.masks import Masks
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.mysql.numbering import AFTER_LOSS, numbering_of
from changeover.mysql.preflight import check_source
from changeover.mysql.schema import check_schema, keep_schema
from changeover.mysql.starting import check_start, place_of
from changeover.orders import Orders
from changeover.settings import Settings
from changeover.start import Start
from changeover.table import Table
from changeover.version import Version
from changeover.wiring import open_log

log = structlog.get_logger("capture")

SERVER_ID_MIN = 1 << 20
"""Random replica ids start here: people number their servers from 1."""


def capture_and_tell(duty: Duty) -> None:
    """Capture as ordered, and tell how the pipeline gets on: of all parts there is one capture only."""
    exporter = Exporter(duty.settings) if duty.settings.metrics.listen else None
    with Orders(duty) as orders, exporter.telling(duty) if exporter else nullcontext():
        orders.obey(lambda stretch: capture(stretch, exporter))


def capture(duty: Duty, exporter: Exporter | None = None) -> None:
    """Capture until told to stop."""
    settings = duty.settings
    tables = _tables_of_a_fit_source(settings)
    masks = Masks(settings.masks, tables)
    with Connection(settings.source) as connection, open_log(settings) as pipeline_log:
        if pipeline_log.checkpoint() is None:
            check_start(connection, settings.capture.begin)

        def stream_at(position: str, identity: str) -> Stream:
            server_id = settings.source.server_id or secrets.randbelow(2**32 - SERVER_ID_MIN) + SERVER_ID_MIN
            log.info("capture begins", position=position, tables=len(tables))
            frames = frames_at(position, identity)
            stream = BinlogStream(settings.source, settings.pipeline, tables, frames, server_id)
            return MaskedStream(stream, masks)

        control = ControlSchema(connection, settings.pipeline)
        with (
            resumed(control, pipeline_log, tables, stream_at, start=settings.capture.begin) as running,
            heart(settings),
            duty.exposition.telling(lambda: of_capture(running)),
            # A large transaction is one round of the loop, and many appends.
            duty.health.following(lambda: running.counts.appends),
        ):
            duty.health.place = running.place
            if exporter:
                exporter.captured_ms = running.captured_ms
            running.run(duty.should_stop)


@contextmanager
def resumed(  # noqa: PLR0913 - a composition root hands in what it works with
    control: ControlSchema,
    pipeline_log: Log,
    tables: Sequence[Table],
    stream_at: Callable[[str, str], Stream],
    *,
    start: Start,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Capture]:
    """The one live capture of the log, behind its checkpoint, or at the very first start at `start`.

    `stream_at` gives the binlog from a position on, where a server of that identity has it.
    """
    control.make()
    control.bind(pipeline_log.identity)
    # Before the log is taken over: whoever opens one between the two has a checkpoint in the log by then.
    epochs = control.epochs()
    capture_log = pipeline_log.capture()
    checkpoint = _begin(control, capture_log, epochs, start, tables)
    stream = stream_at(checkpoint.position, control.epochs()[-1].identity)
    try:
        yield Capture(
            stream,
            capture_log,
            control,
            checkpoint=checkpoint,
            pipeline=control.pipeline,
            captured=frozenset((table.schema.lower(), table.name.lower()) for table in tables),
            clock=clock,
        )
    finally:
        stream.close()


def snapshot(duty: Duty, worker: str) -> None:
    """Copy chunks until the import is done, or told to stop."""
    settings = duty.settings
    tables = _tables_of_a_fit_source(settings)
    masks = Masks(settings.masks, tables)
    with Connection(settings.source) as connection, open_log(settings, worker) as pipeline_log:
        control = ControlSchema(connection, settings.pipeline)
        control.make()
        running = Snapshot(
            connection,
            pipeline_log,
            tables,
            pipeline=settings.pipeline,
            worker=worker,
            chunk_rows=duty.at_once_max(settings.snapshot.chunk_rows),
            masks=masks,
        )
        duty.rows = lambda: running.counts.rows
        duty.health.place = running.place
        with duty.exposition.telling(lambda: of_snapshot(running)):
            running.run(duty.should_stop)


def _tables_of_a_fit_source(settings: Settings) -> list[Table]:
    """The captured tables, of a source that can be captured; else it raises, and no log was made yet."""
    with Connection(settings.source) as connection:
        return check_source(connection)


def _begin(
    control: ControlSchema,
    capture_log: CaptureLog,
    epochs: Sequence[Epoch],
    start: Start,
    tables: Sequence[Table],
) -> Checkpoint:
    """The place to resume from, or at the very first start the one from which every change is captured.

    Whose place it is becomes durable first, then the checkpoint, then the first epoch. No bounded read begins
    before there is an epoch: so capture starts at or before the bound of every chunk. A crash in between, and
    a failover after it, find the identity of the server that gave the place.
    """
    numbering = numbering_of(control.connection)
    checkpoint = capture_log.checkpoint
    if checkpoint is None:
        if epochs:
            message = f"pipeline {control.pipeline!r} was captured before, but its log has no checkpoint"
            raise LogUnusable(message, hint="Start under a new pipeline name, with a new log and target.")
        place = place_of(control.connection, start, lambda: control.beat("capture"))
        keep_schema(control, tables)
        control.note_first_identity(place.identity)
        checkpoint = Checkpoint(Version.of_change(1, place.sequence), place.position)
        capture_log.append([], checkpoint, None)
    else:
        check_schema(control, tables)
    identity = epochs[-1].identity if epochs else control.first_identity()
    if not identity:
        message = (
            f"the source has forgotten that pipeline {control.pipeline!r} began, but its log has a checkpoint"
        )
        raise OrderBroken(message, hint=AFTER_LOSS)
    numbering.check_held(checkpoint.position, identity)
    if not epochs:
        control.open_epoch(Epoch(1, identity, checkpoint.version.sequence, None))
    return checkpoint


def heart(settings: Settings) -> Background:
    """Beats over a connection of its own while capture runs: an idle source moves on, and lag can be told."""

    def beat(over: threading.Event) -> None:
        with Connection(settings.source) as connection:
            control = ControlSchema(connection, settings.pipeline)
            while not over.wait(settings.source.heartbeat_s):
                control.beat("capture")

    def failed(error: ChangeoverError) -> None:
        # Capture itself notices a lost source. A heartbeat that fails alone (a full disk, a lock)
        # leaves applied-through where it is, so that lag grows, as it should.
        log.warning("heartbeat failed", reason=str(error))

    return Background("heart", beat, failed, rest_s=1)
