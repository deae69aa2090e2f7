"""What can go wrong with a node or a connection. Of the double alone: no real node has these knobs."""

import enum
from collections.abc import Callable
from dataclasses import dataclass


class Cut(enum.Enum):
    """Where a connection is cut."""

    BEFORE = "the request is read, and nothing is done"
    AFTER = "the request is carried out, and not answered"
    INSIDE = "half of the answer's frame is sent"


@dataclass(slots=True)
class Faults:
    """The knobs. They may be turned at any time and hold from the next request on."""

    delay_s: float = 0
    """Before each answer."""

    slow_keys: Callable[[bytes], bool] | None = None
    slow_s: float = 0
    """Before an answer about one of these keys."""

    error: str = ""
    error_share: float = 1
    """This share of the requests about objects gets this error, and is not carried out."""

    is_starting: bool = False
    """The port is open, the store is not: errors for all but ping and server info."""

    is_silent: bool = False
    """Requests are carried out and not answered."""

    cut: Cut | None = None
    cut_after: int = 0
    """The connection is cut at the request about an object that comes after so many of them."""

    cut_share: float = 0
    """Any request about an object may be the last of its connection, cut in any of the ways."""

    piece_bytes: int = 0
    piece_delay_s: float = 0
    """Answers are sent in pieces of that many bytes (0: whole), with a pause before each."""

    instead: bytes = b""
    """Sent in place of every answer about an object."""

    besides: bytes = b""
    """Sent behind every answer about an object."""
