"""How a daemon obeys: it works in stretches, each under one order, and rests between them while paused."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Self

import structlog

from changeover.background import Background
from changeover.daemon import Duty
from changeover.errors import ChangeoverError, StateNewer
from changeover.metrics import names
from changeover.metrics.metric import Sample
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.mysql.orders import Order, OrderBook

log = structlog.get_logger("orders")

ASK_EVERY_S = 1.0
"""How soon an order is obeyed."""

AWAY_WAIT_S = 5.0
"""How long it waits after an error before it connects again. The last order that was read holds meanwhile."""

FAILURES_TOLD_AT = 2
"""Of failures in a row: at the first one the work itself says what is wrong, if it needs the source."""

FIRST_WAIT_S_MAX = 15.0
"""How long work waits for the first answer: a part that was paused must not begin anew. A source that is away
for longer does not keep the consumers from what the log holds already."""

REST_S = 0.2
"""How soon a part that rests notices that it may go on, or is to end."""


class Stretch(Duty):
    """A piece of a duty, under one order."""

    def __init__(
        self,
        duty: Duty,
        orders: "Orders",
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(duty.settings, duty.part, duty.is_over)
        self.health, self.exposition = duty.health, duty.exposition
        self.order = orders.order
        self.is_cut_short = False
        """Whether it ended because the order has changed."""

        self._orders = orders
        self._clock, self._sleep = clock, sleep
        self._paid_s = clock()
        self._paid_rows = 0

    def should_stop(self) -> bool:
        """Whether to end; waits as long as the order's rate asks for."""
        self.health.rounds += 1
        self._orders.require_known()
        if self._orders.order is not self.order:
            self.is_cut_short = True
        return self.is_cut_short or self.is_over() or (self.order.rows_per_s is not None and self._rests())

    def _rests(self) -> bool:
        """Wait as long as the rate asks for; whether to end meanwhile."""
        while (owed_s := self._owed_s(self.order.rows_per_s or 1)) > 0:
            self._sleep(min(owed_s, REST_S))
            self.health.rounds += 1
            if self._orders.order is not self.order:
                self.is_cut_short = True
            if self.is_cut_short or self.is_over():
                return True
        return False

    def at_once_max(self, wanted: int) -> int:
        """Not more than a second's rows, or a rate would come in lumps."""
        return min(wanted, self.order.rows_per_s or wanted)

    def _owed_s(self, rows_per_s: int) -> float:
        """How long to wait for what was done; what was not done in an idle hour is no credit."""
        now_s, rows = self._clock(), self.rows()
        due_s = self._paid_s + (rows - self._paid_rows) / rows_per_s
        if due_s <= now_s:
            self._paid_s, self._paid_rows = now_s, rows
        return due_s - now_s


class Orders:
    """The part's order as the control schema has it, read every second while the block runs."""

    def __init__(self, duty: Duty) -> None:
        self.order = Order(part=duty.part)
        """Another object only if another order was given."""

        self._newer: StateNewer | None = None
        self._duty = duty
        self._is_known = threading.Event()
        self._reading = Background(
            "orders", self._follow, self._failed, rest_s=AWAY_WAIT_S, stop_wait_s=AWAY_WAIT_S
        )
        self._failures = 0

    def obey(self, work: Callable[[Duty], None]) -> None:
        """Do the work, in stretches, until it ends by itself or the daemon is to end."""
        self._is_known.wait(FIRST_WAIT_S_MAX)
        with self._duty.health.asking(self._unreadiness), self._duty.exposition.telling(self._samples):
            self._obey(work)

    def _obey(self, work: Callable[[Duty], None]) -> None:
        while not self._duty.should_stop():
            self.require_known()
            if self.order.is_paused:
                time.sleep(REST_S)
                continue
            stretch = Stretch(self._duty, self)
            work(stretch)
            if not stretch.is_cut_short:
                return

    def require_known(self) -> None:
        """Raise `StateNewer` once a newer release has taken the control schema over."""
        if self._newer:
            raise self._newer

    def _unreadiness(self) -> Iterator[str]:
        if self.order.is_paused:
            yield str(self.order)

    def _samples(self) -> Iterator[Sample]:
        yield names.PAUSED.of(self.order.is_paused)
        if self.order.rows_per_s:
            yield names.THROTTLE.of(self.order.rows_per_s)

    def _failed(self, error: ChangeoverError) -> None:
        self._failures += 1
        if isinstance(error, StateNewer):
            self._newer = error
        if self._failures == FAILURES_TOLD_AT:
            log.warning("orders cannot be read", part=self._duty.part, reason=str(error))
        self._is_known.set()

    def _follow(self, over: threading.Event) -> None:
        settings = self._duty.settings
        with Connection(settings.source) as connection:
            control = ControlSchema(connection, settings.pipeline)
            book = OrderBook(control)
            while not control.exists():  # capture makes it
                self._is_known.set()
                if over.wait(ASK_EVERY_S):
                    return
            while not over.is_set():
                control.require_known()
                self._take(book.of(self._duty.part))
                over.wait(ASK_EVERY_S)

    def _take(self, order: Order) -> None:
        self._failures = 0
        if order != self.order:
            self.order = order
            log.info("order", part=self._duty.part, order=str(order) or "none")
        self._is_known.set()

    def __enter__(self) -> Self:
        """Begin to read."""
        self._reading.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop reading."""
        self._reading.stop()
