"""What the documents say is what there is."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_page_of_settings_is_the_one_that_the_settings_make() -> None:
    page = runpy.run_path(str(ROOT / "scripts/settings_page.py"))["page"]
    assert (ROOT / "docs/settings.md").read_text() == page(), "run `make settings`"


@pytest.mark.parametrize("document", ["README.md", "docs/how-it-works.md"])
def test_every_file_that_a_document_names_is_there(document: str) -> None:
    text = (ROOT / document).read_text()
    named = re.findall(r"`((?:changeover|cdc|consumers|tests|docs|deploy|benchmarks)/[\w/.-]+)`", text)
    assert named
    missing = [name for name in named if not (ROOT / name).exists()]
    assert not missing


def test_every_command_that_the_readme_names_is_there() -> None:
    text = (ROOT / "README.md").read_text()
    commands = set(re.findall(r"changeover (run|status|doctor|demo|replay|topics \w+|config \w+)", text))
    assert {"run", "status", "doctor", "topics create"} <= commands
    for command in commands:
        asked = [sys.executable, "-m", "changeover", *command.split(), "--help"]
        assert subprocess.run(asked, capture_output=True, check=False).returncode == 0, command
