"""What a daemon answers to a scrape: its samples, taken when it is asked, in Prometheus' formats."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from changeover.metrics.metric import Kind, Metric, Sample

Source = Callable[[], Iterable[Sample]]
"""Gives samples of plain values; it is called by the thread that answers, so it must not wait."""

Family = CounterMetricFamily | GaugeMetricFamily


class Exposition:
    """The metrics of one part of one pipeline."""

    def __init__(self, pipeline: str, part: str) -> None:
        self._names = (pipeline, part)
        self._sources: list[Source] = []
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Gathered(self._families))
        ProcessCollector(registry=self._registry)

    @contextmanager
    def telling(self, source: Source) -> Iterator[None]:
        """Let this be asked while the block runs."""
        self._sources.append(source)
        try:
            yield
        finally:
            self._sources.remove(source)

    def answer(self, accept: str = "") -> tuple[bytes, str]:
        """Text and its content type, in the format that this Accept header wants."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def _families(self) -> Iterator[Family]:
        families: dict[Metric, Family] = {}
        for source in list(self._sources):
            for metric, labels, value in source():
                family = families.get(metric) or families.setdefault(metric, _family(metric))
                family.add_metric((*self._names, *labels), value)
        yield from families.values()


class _Gathered(Collector):
    """The families as the client library wants to be given them."""

    def __init__(self, families: Callable[[], Iterator[Family]]) -> None:
        self._families = families

    def collect(self) -> Iterator[Family]:
        """All of them, now."""
        return self._families()


def _family(metric: Metric) -> Family:
    labels = ("pipeline", "part", *metric.labels)
    if metric.kind is Kind.COUNTER:
        return CounterMetricFamily(metric.name, metric.help, labels=labels)
    return GaugeMetricFamily(metric.name, metric.help, labels=labels)
