"""Watcher: looks at the pipeline about once a second and keeps the newest picture; it never writes."""

import threading
import time

import orjson

from changeover.errors import ChangeoverError
from changeover.page.events import Events
from changeover.page.eye import Eye
from changeover.page.history import History, Point
from changeover.page.painter import Painter
from changeover.page.picture import Picture

LOOK_EVERY_S = 1.0
REST_SHARE = 4
"""After a look the watcher rests at least this many times as long as it took: on a source that is slow to
answer the page takes a fifth of one connection at most."""

REST_S_MAX = 5.0
"""And no longer than this, or the page would look dead."""

OVERDUE_S = 5.0
"""A look that takes longer has found nobody who answers: what was known before counts no more."""


NOT_BEGUN = "There is no log yet. Start the pipeline with: changeover run"


class Watcher:
    """Holds the newest picture. One thread calls `run`, any may ask for `picture` and `history`."""

    def __init__(self, eye: Eye, painter: Painter) -> None:
        self._eye = eye
        self._painter = painter
        self._history = History()
        self._events = Events()
        self._guard = threading.Lock()
        self._looking_since_s: float | None = None
        self._encoded = self._encode(painter.blank("The first look is on its way.", _now_ms(), "Looking"))

    def run(self, stop: threading.Event) -> None:
        """Look until asked to stop."""
        while not stop.is_set():
            began_s = time.monotonic()
            with self._guard:
                self._looking_since_s = began_s
            self._take(self._look())
            took_s = time.monotonic() - began_s
            stop.wait(min(REST_S_MAX, max(LOOK_EVERY_S - took_s, REST_SHARE * took_s)))
        self._eye.close()

    def picture(self) -> bytes:
        """The newest picture as JSON; a blank one while the look after it is overdue."""
        with self._guard:
            since_s = self._looking_since_s
            waiting_s = 0.0 if since_s is None else time.monotonic() - since_s
            if waiting_s <= OVERDUE_S:
                return self._encoded
            trouble = f"Source or log have not answered for {waiting_s:.0f} s."
            return self._encode(self._painter.blank(trouble, _now_ms()))

    def history(self) -> bytes:
        """All points that are kept, as JSON."""
        with self._guard:
            return orjson.dumps(self._history.all())

    def _look(self) -> Picture:
        try:
            facts = self._eye.look()
        except ChangeoverError as error:
            return self._painter.blank(str(error), _now_ms())
        if facts is None:
            return self._painter.blank(NOT_BEGUN, _now_ms(), "Not begun")
        return self._painter.paint(facts, _now_ms())

    def _take(self, picture: Picture) -> None:
        with self._guard:
            self._looking_since_s = None
            self._events.see(picture)
            self._history.see(_point(picture))
            self._encoded = self._encode(picture)

    def _encode(self, picture: Picture) -> bytes:
        return orjson.dumps({"picture": picture, "events": self._events.all(), "last": self._history.last()})


def _point(picture: Picture) -> Point:
    progress = picture.progress
    return Point(
        at_ms=picture.taken_ms,
        lag_ms=progress.lag_ms if progress else None,
        captured=progress.changes_captured if progress else None,
        applied=progress.records_applied if progress else None,
    )


def _now_ms() -> int:
    """The clock of this machine: for what is shown, never for order."""
    return time.time_ns() // 1_000_000
