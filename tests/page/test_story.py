"""A whole move as the page tells it: copying, in step, proved, moved on, and a row that was falsified.

The manual's pictures are taken on the way; `make screenshots` keeps them.
"""

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, Page, expect

from changeover.demo import records
from changeover.demo.private import free_ports
from changeover.demo.server import PrivateMariaDB
from tests.page.conftest import Served, page_settings
from tests.support.moving import writing
from tests.support.pipeline import Pipeline

ROOT = Path(__file__).parents[2]
PICTURES = ("page.png", "page-dark.png", "page-phone.png", "page-differences.png")
REASON = "rehearsal: the application has no process here"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where the pictures go."""
    wanted = os.environ.get("CHANGEOVER_SCREENSHOTS")
    folder = Path(wanted).absolute() if wanted else tmp_path / "pictures"
    folder.mkdir(exist_ok=True)
    return folder


class Moving(NamedTuple):
    """A pipeline of the medical records, and what ends the writing to them."""

    pipeline: Pipeline
    stop_writing: Callable[[], object]


@pytest.fixture
def moving(tmp_path: Path) -> Iterator[Moving]:
    (port,) = free_ports(1)
    with PrivateMariaDB() as server:
        connection = server.connect()
        records.create(connection)
        records.fill(connection, 12_000, 7)
        connection.close()
        extra = f"{page_settings(port)}[snapshot]\nworkers = 1\nchunk_rows = 200\n"
        with (
            writing(server) as stop_writing,
            Pipeline(server, records.SCHEMA, tmp_path, extra=extra) as pipeline,
        ):
            yield Moving(pipeline, stop_writing)


def command(pipeline: Pipeline, *words: str) -> int:
    arguments = [sys.executable, "-m", "changeover", *words, "--config", str(pipeline.config)]
    return subprocess.run(arguments, capture_output=True, check=False, timeout=60).returncode


def falsify(pipeline: Pipeline) -> str:
    """Change a row of the target behind the pipeline's back; its key."""
    with closing(sqlite3.connect(pipeline.folder / "target.db", timeout=60)) as target, target:
        ((name,),) = target.execute("SELECT name FROM medicine WHERE id = 42").fetchall()
        target.execute("UPDATE medicine SET name = 'falsified' WHERE id = 42")
    return str(name)


@pytest.mark.timeout(300)
def test_the_page_tells_a_move_from_the_first_row_to_a_falsified_one(
    moving: Moving, browser: Browser, pictures: Path
) -> None:
    pipeline, stop_writing = moving
    served = Served(pipeline.config, pipeline.settings.page.port)
    with closing(served):
        served.start()
        tell(served, pipeline, stop_writing, browser, pictures)
        assert served.end() == 0
    assert all((pictures / name).stat().st_size > 20_000 for name in PICTURES)


def tell(
    served: Served, pipeline: Pipeline, stop_writing: Callable[[], object], browser: Browser, pictures: Path
) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 1040}, color_scheme="light")
    page = context.new_page()
    page.goto(served.url)
    expect(page.locator("#answer-how_far strong")).to_contain_text(re.compile(r"copied|begun"))
    pipeline.until(lambda now: now.is_import_applied)
    expect(page.locator("#headline")).to_have_text("In step")
    is_right = page.locator("#answer-is_it_right strong")
    expect(is_right).to_have_text(re.compile("^Not known"))

    assert command(pipeline, "verify") == 0
    expect(is_right).to_have_text(re.compile("^Clean"))
    expect(page.locator("#tables tr", has_text="records.medicine")).to_contain_text("clean")

    page_shows_the_forced_move(page, pipeline)
    take(page, pictures)

    stop_writing()  # or the row might be written again, and be right again
    pipeline.drain()
    value = falsify(pipeline)
    assert command(pipeline, "verify", "--table", "records.medicine") == 1
    expect(page.locator("#headline")).to_have_text("Source and target differ")
    expect(is_right).to_have_text(re.compile("^1 row differs"))
    row = page.locator("#findings tbody tr")
    expect(row).to_contain_text("records.medicine")
    expect(row).to_contain_text("name")
    expect(row.locator("code")).to_have_text(re.compile("^[0-9a-f]{12}$"))
    shown = page.content()
    assert "falsified" not in shown
    assert value not in shown
    page.locator("#findings-part").scroll_into_view_if_needed()
    page.screenshot(path=pictures / PICTURES[3])
    context.close()


def page_shows_the_forced_move(page: Page, pipeline: Pipeline) -> None:
    assert command(pipeline, "phase", "advance") == 1  # no process of an application was seen
    expect(page.locator("#gates [data-holds=false]", has_text="processes")).to_contain_text("0 seen")
    expect(page.locator("#answer-may_i_go_on strong")).to_have_text(re.compile("^Not yet"))
    assert command(pipeline, "phase", "advance", "--force", REASON) == 0
    expect(page.locator("#phases [aria-current=step]")).to_contain_text("Both, read old")
    expect(page.locator("#moves")).to_contain_text(f"forced: {REASON}")
    expect(page.locator("#events")).to_contain_text("The phase is now BOTH_READ_OLD, it was OLD")


def take(page: Page, pictures: Path) -> None:
    """By day, by night, and on a phone."""
    page.screenshot(path=pictures / PICTURES[0])
    page.emulate_media(color_scheme="dark")
    page.screenshot(path=pictures / PICTURES[1])
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 390, "height": 844})
    page.screenshot(path=pictures / PICTURES[2])
    page.set_viewport_size({"width": 1280, "height": 1040})


@pytest.mark.parametrize("name", PICTURES)
def test_the_manual_has_the_picture_and_shows_it(name: str) -> None:
    assert (ROOT / "docs/img" / name).read_bytes().startswith(b"\x89PNG")
    assert f"](img/{name})" in (ROOT / "docs/page.md").read_text()
