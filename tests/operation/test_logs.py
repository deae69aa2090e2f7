"""A log's lines: one event each, for programs or for people, whatever is in it."""

import io
import json
from collections.abc import Iterator

import pytest
import structlog

from changeover.daemon import configure_logging
from changeover.settings.logs import LogFormat, LogsSettings

HOSTILE = "two\nlines \x1b[31m and a colour"


@pytest.fixture(autouse=True)
def _reset() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def logged(logs: LogsSettings | None) -> str:
    """What is written of an event and a detail."""
    output = io.StringIO()
    configure_logging(output, logs)
    log = structlog.get_logger("test")
    log.debug("a detail")
    log.error("stopped", place=HOSTILE, rows=7)
    return output.getvalue()


def test_where_no_terminal_is_each_event_is_a_line_of_json() -> None:
    (line,) = logged(None).splitlines()
    event = json.loads(line)
    assert (event["event"], event["level"], event["place"], event["rows"]) == ("stopped", "error", HOSTILE, 7)
    assert event["timestamp"].endswith("Z")


def test_for_people_each_event_is_a_line_too_and_no_value_can_colour_it() -> None:
    (line,) = logged(LogsSettings(format=LogFormat.CONSOLE)).splitlines()
    assert "stopped" in line
    assert "rows=7" in line
    assert "\x1b" not in line


def test_details_are_logged_where_the_settings_say_so() -> None:
    assert [json.loads(line)["event"] for line in logged(LogsSettings(debug=True)).splitlines()] == [
        "a detail",
        "stopped",
    ]
