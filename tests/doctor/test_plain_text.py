"""The doctor's word on links that may cross a network in plain text."""

from pathlib import Path

from changeover.doctor.plain_text import plain_text_findings
from changeover.finding import Severity
from changeover.settings import Settings

TOML = """
pipeline = "shop"
[source]
url = "mysql://u@{source}"
include = ["shop.*"]
allow_plain_text = {allowed}
[log]
url = "kafka://{log}"
allow_plain_text = {allowed}
[target]
url = "riak://{target}"
allow_plain_text = {allowed}
"""


def warned(folder: Path, **values: str) -> list[str]:
    config = folder / "changeover.toml"
    config.write_text(TOML.format(**values))
    found = list(plain_text_findings(Settings.load(config)))
    assert all(finding.severity is Severity.WARN and finding.mend for finding in found)
    return [finding.subject for finding in found]


def test_each_link_that_may_be_in_plain_text_is_a_warning(tmp_path: Path) -> None:
    away = {"source": "db.internal", "log": "kafka.internal:9092", "target": "riak.internal:8087"}
    assert warned(tmp_path, **away, allowed="true") == ["source", "log", "target"]


def test_what_stays_on_this_machine_is_none(tmp_path: Path) -> None:
    here = {"source": "127.0.0.1", "log": "localhost:9092", "target": "[::1]:8087"}
    assert not warned(tmp_path, **here, allowed="false")
    assert not warned(tmp_path, **here, allowed="true")
