"""An answer to a read, and where it comes from."""

import enum
from dataclasses import dataclass
from typing import Any

from changeover.version import Version


class Origin(enum.StrEnum):
    """Which database an answer comes from."""

    OLD = "old"
    NEW = "new"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a read has found.

    `value` is None where there is no such row, or it is deleted. `version` is that of the state, where the
    new database gave it. `fell_back` says why the old database was asked although the phase reads the new
    one.
    """

    value: Any | None
    origin: Origin
    version: Version | None = None
    fell_back: str = ""
