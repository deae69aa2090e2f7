"""Work beside the main work: in a thread of its own, begun anew where it fails, until it is told to stop."""

import threading
from collections.abc import Callable
from typing import Self

from changeover.errors import ChangeoverError


class Background:
    """Runs `work` until it is stopped; one that fails is begun again after a rest, on fresh connections.

    `work` is given the event to wait on between its rounds, and returns once that is set. `failed` is told
    each error of ours; any other is a fault of this program, and ends the thread with its traceback.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[threading.Event], None],
        failed: Callable[[ChangeoverError], None],
        *,
        rest_s: float,
        stop_wait_s: float = 5.0,
    ) -> None:
        self._work = work
        self._failed = failed
        self._rest_s = rest_s
        self._stop_wait_s = stop_wait_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; what hangs is left behind after a while, and ends with the process."""
        self._over.set()
        self._thread.join(timeout=self._stop_wait_s)

    def __enter__(self) -> Self:
        """Begin."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                self._work(self._over)
            except ChangeoverError as error:
                self._failed(error)
                self._over.wait(self._rest_s)
