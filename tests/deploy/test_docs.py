"""What the documents say is what there is."""

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from changeover.cli import app
from changeover.commands.way import WAY

ROOT = Path(__file__).parents[2]


SCRIPTS = sorted((ROOT / "scripts").glob("*_page.py"))
DOCUMENTS = sorted(
    str(page.relative_to(ROOT)) for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
)
NAMED = re.compile(r"`((?:changeover|cdc|consumers|tests|docs|deploy|benchmarks|scripts)/[\w/.-]+)`")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_page_that_comes_from_the_code_is_the_one_that_the_code_makes(script: Path) -> None:
    page = runpy.run_path(str(script))["page"]
    kept = ROOT / "docs" / f"{script.stem.removesuffix('_page')}.md"
    assert kept.read_text() == page(), "run `make pages`"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_a_document_names_is_there(document: str) -> None:
    missing = [name for name in NAMED.findall((ROOT / document).read_text()) if not (ROOT / name).exists()]
    assert not missing


def test_documents_do_name_files() -> None:
    """So the test before this one has something to look at."""
    assert (
        len([name for document in DOCUMENTS for name in NAMED.findall((ROOT / document).read_text())]) > 100
    )


def test_the_manual_can_be_built_without_a_warning(tmp_path: Path) -> None:
    """Its links lead somewhere, and each page has its place in the navigation."""
    done = built(ROOT, tmp_path)
    assert done.returncode == 0, done.stderr
    pages = {document.removeprefix("docs/").removesuffix(".md") for document in DOCUMENTS if "/" in document}
    assert all((tmp_path / page.removesuffix("index") / "index.html").is_file() for page in pages)


@pytest.mark.parametrize("fault", ["[gone](gone.md)", "[gone](how-it-works.md#gone)", "[out](../README.md)"])
def test_a_link_that_leads_nowhere_is_found(tmp_path: Path, fault: str) -> None:
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    with (tmp_path / "docs/index.md").open("a") as page:
        page.write(f"\n{fault}\n")
    done = built(tmp_path, tmp_path / "site")
    assert (done.returncode, "WARNING" in done.stderr) == (1, True)


def built(folder: Path, into: Path) -> "subprocess.CompletedProcess[str]":
    """Not with --quiet, which also silences what --strict counts."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(into)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_help_lists_every_command_at_its_place_on_the_way() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "changeover", "--help"], capture_output=True, text=True, check=True
    ).stdout
    listed = re.findall(r"^│ ([a-z]+) ", said.partition("Commands")[2], re.MULTILINE)
    assert tuple(listed) == WAY


TYPED = re.compile(r"(?:^ {4,}|`|bin/|-m )changeover ([a-z]+)(?: ([a-z]+))?", re.MULTILINE)
"""A command in a block or between backticks; in a sentence the word has no backtick before it."""


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_that_a_document_tells_to_type_is_there(document: str) -> None:
    typed = TYPED.findall((ROOT / document).read_text())
    assert not [words for words in typed if not is_command(*words)]


def test_documents_do_tell_what_to_type() -> None:
    text = "".join((ROOT / document).read_text() for document in DOCUMENTS)
    typed = {first for first, _ in TYPED.findall(text)}
    assert typed >= set(WAY) - {"demo", "unthrottle"}
    assert not is_command("advance", "")
    assert not is_command("phase", "forward")


def is_command(first: str, second: str) -> bool:
    """Whether there is such a command; a second word counts where the first is a group."""
    root: Any = typer.main.get_command(app)
    found = root.commands.get(first)
    return found is not None and (not second or second in getattr(found, "commands", [second]))
