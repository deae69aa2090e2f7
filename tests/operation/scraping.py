"""Asking daemons over HTTP, as Prometheus and probes do."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import orjson
from prometheus_client.parser import text_string_to_metric_families

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]
"""Values by a sample's name and labels."""

WAIT_S_MAX = 60


def asked(address: str, page: str) -> tuple[int, str]:
    """The status and the text of a page."""
    try:
        with urllib.request.urlopen(f"http://{address}{page}", timeout=WAIT_S_MAX) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


class Scrape:
    """One scrape of one daemon, read by Prometheus' own parser."""

    def __init__(self, address: str) -> None:
        status, text = asked(address, "/metrics")
        assert status == 200
        self.text = text
        self.series: Series = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    @property
    def names(self) -> set[str]:
        """Of all metrics in it."""
        return {name for name, _ in self.series}

    def value(self, name: str, **labels: str) -> float | None:
        """The value of the one series of that name that has these labels among its own; None if none has."""
        found = [
            value for (of, has), value in self.series.items() if of == name and has >= set(labels.items())
        ]
        assert len(found) <= 1, f"{name} {labels} is ambiguous"
        return found[0] if found else None


def addresses(log: Path) -> dict[str, str]:
    """Where each part listens, by what the daemons have logged; of a restarted one the last."""
    return {line["part"]: line["address"] for line in events(log) if line["event"] == "listening"}


def events(log: Path) -> Iterator[dict[str, str]]:
    """What the daemons have logged."""
    for line in log.read_text().splitlines():
        if line.startswith("{"):
            yield orjson.loads(line)
