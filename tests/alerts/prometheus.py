"""A private Prometheus: scrapes what it is given every second and judges the delivered rules as often."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
import yaml

from changeover.demo.private import cached, free_ports, spawn
from tests.alerts.hastened import hastened
from tests.alerts.play import WAIT_S_MAX, Wait
from tests.support.processes import wait_until

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/alerts.yml"
EVERY_S = 1
ANSWER_S_MAX = 120

Json = Any


def program(name: str) -> str:
    """Where `prometheus` or `promtool` is."""
    folder = cached("prometheus") / "usr/bin"
    found = shutil.which(name, path=f"{os.environ['PATH']}{os.pathsep}{folder}")
    assert found, "make test gets it: scripts/need prometheus"
    return found


def rules() -> list[Json]:
    """The rules as they are delivered."""
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return list(group["rules"])


class QueryRefused(Exception):
    """Prometheus cannot make sense of what it was asked."""


class Prometheus:
    """Asks the running server."""

    def __init__(self, port: int, process: "subprocess.Popen[bytes]") -> None:
        self._port = port
        self._process = process

    def alerts(self) -> list[Json]:
        """Those that fire."""
        found = self._data("/api/v1/alerts")["alerts"]
        return [alert for alert in found if alert["state"] == "firing"]

    def query(self, expression: str) -> list[Json]:
        """What the expression gives now: each series with its labels and value; or raise `QueryRefused`."""
        return list(self._data("/api/v1/query", query=expression)["result"])

    def value(self, expression: str) -> float | None:
        """The one value of the expression; None if there is none."""
        found = self.query(expression)
        assert len(found) <= 1, f"{expression} is ambiguous"
        return float(found[0]["value"][1]) if found else None

    def values_of(self, metric: str, label: str) -> list[str]:
        """The values that a label of this metric has, as Grafana's label_values() asks."""
        return list(self._data(f"/api/v1/label/{label}/values", **{"match[]": metric}))

    def is_ready(self) -> bool:
        """Whether it answers yet."""
        try:
            status, _ = self._get("/-/ready")
        except OSError:
            return False
        return status == HTTPStatus.OK

    def _data(self, path: str, **parameters: str) -> Json:
        _, text = self._get(f"{path}?{urlencode(parameters)}")
        answer = orjson.loads(text)
        if answer["status"] != "success":
            raise QueryRefused(f"{path} {parameters}: {answer['error']}")
        return answer["data"]

    def _get(self, path: str) -> tuple[int, bytes]:
        assert self._process.poll() is None, "Prometheus has ended: prometheus.log says why"
        connection = HTTPConnection("127.0.0.1", self._port, timeout=ANSWER_S_MAX)
        with closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()


class Alerts:
    """The alerts of one pipeline, and which of them have fired."""

    def __init__(self, prometheus: Prometheus, pipeline: str) -> None:
        self.prometheus = prometheus
        self._pipeline = pipeline
        self.have_fired: set[str] = set()

    def fire(self, *names: str) -> Wait:
        """Until these fire at once, each with a summary that Prometheus could fill in."""

        def do_fire() -> bool:
            firing = self._firing()
            if not set(names) <= set(firing):
                return False
            summaries = [firing[name]["annotations"]["summary"] for name in names]
            assert not [summary for summary in summaries if "error" in summary or "no value" in summary]
            self.have_fired |= set(names)
            return True

        return Wait(f"{' and '.join(names)} to fire", do_fire, lambda: list(self._firing()))

    def end(self, *, but: str = "") -> Wait:
        """Until none fires, or none but that one."""
        return Wait("no alert to fire", lambda: not set(self._firing()) - {but}, lambda: list(self._firing()))

    def _firing(self) -> dict[str, Json]:
        firing = [
            alert for alert in self.prometheus.alerts() if alert["labels"]["pipeline"] == self._pipeline
        ]
        return {alert["labels"]["alertname"]: alert for alert in firing}


@contextmanager
def watching(folder: Path, targets: Sequence[str]) -> Iterator[Prometheus]:
    """A Prometheus over these targets, with the delivered rules made faster."""
    folder.mkdir()
    (folder / "alerts.yml").write_text(hastened(RULES.read_text()))
    every = f"{EVERY_S}s"
    settings = {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": ["alerts.yml"],
        "scrape_configs": [{"job_name": "changeover", "static_configs": [{"targets": list(targets)}]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    (port,) = free_ports(1)
    command = [
        program("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    process = spawn(command, folder / "prometheus.log")
    try:
        prometheus = Prometheus(port, process)
        assert wait_until(prometheus.is_ready, WAIT_S_MAX), "Prometheus does not answer"
        yield prometheus
    finally:
        process.kill()  # nobody wants its data any more
        process.wait()
