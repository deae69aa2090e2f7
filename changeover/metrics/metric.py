"""A metric's definition, and a value of it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What may happen to a value: a counter only rises, until its process starts anew."""

    COUNTER = "counter"
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What is measured, in which unit, and by which parts.

    The name ends with the unit, and with `_total` for a counter. `labels` come behind `pipeline` and `part`,
    which every metric has.
    """

    name: str
    kind: Kind
    parts: tuple[str, ...]
    help: str
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """A counter is named like one, and nothing else is."""
        if self.name.endswith("_total") != (self.kind is Kind.COUNTER):
            message = f"{self.name} is a {self.kind}, and its name says something else"
            raise ValueError(message)

    def of(self, value: float, *labels: str) -> "Sample":
        """A value of it, under these labels.

        >>> count = Metric(name="eggs_total", kind=Kind.COUNTER, parts=(), help="Eggs.", labels=("hen",))
        >>> count.of(3, "Berta").labels
        ('Berta',)
        """
        if len(labels) != len(self.labels):
            message = f"{self.name} has the labels {self.labels}, and got {labels}"
            raise ValueError(message)
        return Sample(self, labels, value)


class Sample(NamedTuple):
    """One value of a metric. What is not known has no sample: it is never shown as 0."""

    metric: Metric
    labels: tuple[str, ...]
    value: float
