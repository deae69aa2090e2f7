"""Builds the capture side from the settings."""

import secrets
import threading
import time

import structlog

from cdc.capture import Capture
from cdc.frames import frames_at
from cdc.snapshot import Snapshot
from cdc.stream import BinlogStream
from changeover.daemon import ShouldStop
from changeover.epoch import Epoch
from changeover.errors import ChangeoverError, LogUnusable, PositionPurged
from changeover.log import CaptureLog, Checkpoint
from changeover.mysql.catalog import captured_tables
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.mysql.numbering import FileNumbering, numbering_of
from changeover.mysql.preflight import check_source
from changeover.mysql.starting import check_start, place_of
from changeover.settings import Settings
from changeover.start import Start
from changeover.table import Table
from changeover.version import Version
from changeover.wiring import open_log

log = structlog.get_logger("capture")

SERVER_ID_MIN = 1 << 20
"""Random replica ids start here: people number their servers from 1."""


def capture(settings: Settings, should_stop: ShouldStop) -> None:
    """Capture until told to stop."""
    tables = _tables_of_a_fit_source(settings)
    with Connection(settings.source) as connection, open_log(settings) as pipeline_log:
        if pipeline_log.checkpoint() is None:
            check_start(connection, settings.capture.begin)
        control = ControlSchema(connection, settings.pipeline)
        control.make()
        control.bind(pipeline_log.identity)
        capture_log = pipeline_log.capture()
        checkpoint = _begin(control, capture_log, settings.capture.begin)
        stream = BinlogStream(
            settings.source,
            settings.pipeline,
            tables,
            frames_at(checkpoint.position, control.epochs()[-1].identity),
            settings.source.server_id or secrets.randbelow(2**32 - SERVER_ID_MIN) + SERVER_ID_MIN,
        )
        log.info("capture begins", position=checkpoint.position, tables=len(tables))
        running = Capture(
            stream,
            capture_log,
            control,
            checkpoint=checkpoint,
            pipeline=settings.pipeline,
            captured=frozenset((table.schema.lower(), table.name.lower()) for table in tables),
            clock=time.monotonic,
        )
        try:
            with Heart(settings):
                running.run(should_stop)
        finally:
            stream.close()


def snapshot(settings: Settings, worker: str, should_stop: ShouldStop) -> None:
    """Copy chunks until the import is done, or told to stop."""
    tables = _tables_of_a_fit_source(settings)
    with Connection(settings.source) as connection, open_log(settings, worker) as pipeline_log:
        control = ControlSchema(connection, settings.pipeline)
        control.make()
        Snapshot(
            connection,
            pipeline_log,
            tables,
            pipeline=settings.pipeline,
            worker=worker,
            chunk_rows=settings.snapshot.chunk_rows,
        ).run(should_stop)


def _tables_of_a_fit_source(settings: Settings) -> list[Table]:
    """The captured tables, of a source that can be captured; else it raises, and no log was made yet."""
    with Connection(settings.source) as connection:
        check_source(connection)
        return captured_tables(connection)


def _begin(control: ControlSchema, capture_log: CaptureLog, start: Start) -> Checkpoint:
    """The place to resume from, or at the very first start the one from which every change is captured.

    The first checkpoint is durable in the log before the first epoch is opened, and no bounded read begins
    before there is an epoch: so capture starts at or before the bound of every chunk.
    """
    numbering = numbering_of(control.connection)
    checkpoint = capture_log.checkpoint
    has_epochs = bool(control.epochs())
    if checkpoint is None:
        if has_epochs:
            message = f"pipeline {control.pipeline!r} was captured before, but its log has no checkpoint"
            raise LogUnusable(message, hint="Start under a new pipeline name, with a new log and target.")
        place = place_of(control.connection, start, lambda: control.beat("capture"))
        checkpoint = Checkpoint(Version.of_change(1, place.sequence), place.position)
        capture_log.append([], checkpoint, None)
    if has_epochs and isinstance(numbering, FileNumbering):
        _check_same_server(numbering, control)
    if not has_epochs:
        identity = numbering.identity_at(checkpoint.position)
        control.open_epoch(Epoch(1, identity, checkpoint.version.sequence, None))
    return checkpoint


def _check_same_server(numbering: FileNumbering, control: ControlSchema) -> None:
    before, now = control.epochs()[-1].identity, numbering.identity()
    if now != before:
        message = (
            f"the source is server {now}, not {before} as before: places in its binlog mean nothing here"
        )
        raise PositionPurged(message)


class Heart:
    """Beats over a connection of its own while capture runs: an idle source moves on, and lag can be told."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heart", daemon=True)

    def __enter__(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        """Stop beating."""
        self._stop.set()
        self._thread.join(timeout=5)

    def _beat(self) -> None:
        while not self._stop.is_set():
            try:
                with Connection(self._settings.source) as connection:
                    control = ControlSchema(connection, self._settings.pipeline)
                    while not self._stop.wait(self._settings.source.heartbeat_s):
                        control.beat("capture")
            except ChangeoverError as error:
                # Capture itself notices a lost source. A heartbeat that fails alone (a full disk, a lock)
                # leaves applied-through where it is, so that lag grows, as it should.
                log.warning("heartbeat failed", reason=str(error))
                self._stop.wait(1)
