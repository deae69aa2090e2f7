"""What people see: findings as a list, with values, as a page; and one clear line for bad input."""

import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from changeover.cli import app
from changeover.demo.sql import SQLServer
from changeover.errors import ChangeoverError
from tests.support.pipeline import Pipeline, write_settings
from tests.verify.moved import moved, target_file

HOSTILE = "<script>alert('x')</script>\x1b[31m"
TABLES = (
    "CREATE TABLE `strange <b>` (name VARCHAR(60) PRIMARY KEY, photo BLOB, note TEXT)",
    "INSERT INTO `strange <b>` SELECT seq, UNHEX('00FF'), NULL FROM seq_1_to_50",
    "INSERT INTO `strange <b>` VALUES ('<script>alert(''x'')</script>\x1b[31m', '', 'a \x1b[31m note')",
)
TABLE = "hostile.strange <b>"


@pytest.fixture(scope="module")
def pipeline(mariadb: SQLServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    with moved(mariadb, tmp_path_factory.mktemp("hostile"), TABLES, name="hostile") as pipeline:
        with target_file(pipeline) as target:
            target.execute("DELETE FROM \"strange <b>\" WHERE name = '3'")
            target.execute("UPDATE \"strange <b>\" SET note = '', photo = x'00' WHERE length(name) > 5")
        yield pipeline


def run(pipeline: Pipeline, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--config", str(pipeline.config)])


def test_findings_are_listed_and_shown_with_the_values_of_both_sides(pipeline: Pipeline) -> None:
    assert run(pipeline, "findings", "list").stdout == "no open findings\n"
    assert run(pipeline, "verify").exit_code == 1
    listed = json.loads(run(pipeline, "findings", "list", "--json").stdout)
    assert [(one["key"], one["kind"], one["columns"]) for one in listed] == [
        ('{"name":"3"}', "missing", []),
        (json.dumps({"name": HOSTILE}, separators=(",", ":")), "different", ["photo", "note"]),
    ]
    shown = run(pipeline, "findings", "show", str(listed[1]["number"]))
    assert shown.exit_code == 0
    assert "\x1b[31m" not in shown.stdout
    assert "a \\u001b[31m note" in shown.stdout
    values = json.loads(run(pipeline, "findings", "show", str(listed[1]["number"]), "--json").stdout)[
        "values"
    ]
    assert values["note"] == ['"a \\u001b[31m note"', '""']
    assert values["photo"] == ["base64 ", "base64 AA=="]
    missing = json.loads(run(pipeline, "findings", "show", str(listed[0]["number"]), "--json").stdout)[
        "values"
    ]
    assert missing["note"] == ["NULL", "(nothing)"]
    status = json.loads(run(pipeline, "status", "--json").stdout)["verdicts"]["whole"]
    assert (status["state"], status["findings_open"]) == ("differences", 2)
    assert "differences, 2 findings open, as of" in run(pipeline, "status").stdout


class Elements(HTMLParser):
    """The elements of a page, and its texts."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        assert not {"src", "href", "onload"} & {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_page_stands_alone_and_hostile_names_are_text_in_it(pipeline: Pipeline, tmp_path: Path) -> None:
    run(pipeline, "verify")
    exported = run(pipeline, "findings", "export", str(tmp_path / "report.html"))
    assert exported.stdout == f"2 findings written to {tmp_path / 'report.html'}\n"
    page = Elements()
    page.feed((tmp_path / "report.html").read_text())
    assert not {"script", "link", "img", "b", "iframe"} & page.names
    assert TABLE in page.texts
    assert any("<script>alert('x')</script>" in text for text in page.texts)
    assert "differences" in page.texts
    run(pipeline, "findings", "export", str(tmp_path / "report.json"))
    assert len(json.loads((tmp_path / "report.json").read_text())) == 2


def test_keys_alone_are_judged_and_told(pipeline: Pipeline) -> None:
    good = run(pipeline, "verify", "--table", TABLE, "--keys", '["1", "2"]')
    assert (good.exit_code, good.stdout) == (0, "2 equal, 0 different\n")
    bad = run(pipeline, "verify", "--table", TABLE, "--keys", '{"name": "3"}', "--json")
    assert bad.exit_code == 1
    assert json.loads(bad.stdout) == {
        "equal": [],
        "differences": [{"key": '{"name":"3"}', "kind": "missing"}],
        "unsettled": [],
    }


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["verify", "--table", "hostile.none"],
            "hostile.none is no table of this pipeline. It has hostile.str",
        ),
        (["verify", "--keys", "[1]"], "--keys are those of one --table"),
        (
            ["verify", "--table", TABLE, "--keys", "no-such-file"],
            "the file of keys no-such-file cannot be read",
        ),
        (["verify", "--table", TABLE, "--keys", "[1]", "--continuous"], "are judged once"),
        (["findings", "show", "999"], "there is no finding 999. See: changeover findings list --all"),
        (["findings", "export", "report.pdf"], "report.pdf ends neither in .html nor in .json"),
        (["findings", "export", "/no/folder/report.html"], "cannot be written: No such file"),
    ],
)
def test_bad_input_gets_one_line_with_the_mend(pipeline: Pipeline, arguments: list[str], line: str) -> None:
    result = run(pipeline, *arguments)
    assert isinstance(result.exception, ChangeoverError)
    assert line in str(result.exception)
    assert "\n" not in str(result.exception)


def test_a_pipeline_that_has_not_begun_is_refused_and_nothing_is_made(
    mariadb: SQLServer, tmp_path: Path
) -> None:
    config = write_settings(mariadb, "nobody", tmp_path)
    result = CliRunner().invoke(app, ["verify", "--config", str(config)])
    assert "has not begun" in str(result.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["changeover.toml"]
