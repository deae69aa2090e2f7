"""The binlog's events with their rows masked, before anything else gets to see them."""

from cdc.events import Event, RowsChanged, Stream
from changeover.masks import Masks


class MaskedStream:
    """A stream whose rows are masked."""

    def __init__(self, stream: Stream, masks: Masks) -> None:
        self._stream = stream
        self._masks = masks

    def next(self, timeout_s: float) -> Event | None:
        """The next event; see `cdc.events.Stream`."""
        event = self._stream.next(timeout_s)
        if not isinstance(event, RowsChanged):
            return event
        mask = self._masks.of(event.table)
        if mask.to is event.table:
            return event
        return RowsChanged(
            mask.to,
            [
                (None if before is None else mask.row(before), None if after is None else mask.row(after))
                for before, after in event.rows
            ],
        )

    def close(self) -> None:
        """Hang up."""
        self._stream.close()
