"""The page on the way into NEW and in it: where we are, what to do, and whether one can go back."""

import json
import re
from collections.abc import Iterator
from contextlib import closing

import pytest
from playwright.sync_api import Browser, Page, expect

from changeover.demo.private import free_ports
from changeover.demo.server import PrivateMariaDB
from changeover.phase import LEFT_STANDING, Phase
from tests.page.conftest import Served, check_it_breaks_no_rule, looking_at, page_settings
from tests.phases.stages import FORCE, SETTINGS, Stage
from tests.support.accounts import run
from tests.support.commands import said_by
from tests.support.pipeline import Pipeline, schema_of

TABLES = ("CREATE TABLE item (id INT PRIMARY KEY)", "INSERT INTO item VALUES (1), (2)")
FENCE_S = 600
"""So long that no fence is over while somebody looks at it."""


@pytest.fixture(scope="module")
def running(mariadb: PrivateMariaDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    (port,) = free_ports(1)
    settings = page_settings(port) + re.sub(r"fence_s = .*", f"fence_s = {FENCE_S}", SETTINGS)
    folder = tmp_path_factory.mktemp("fence")
    try:
        with (
            schema_of(mariadb, "fenced", *TABLES) as schema,
            Pipeline(mariadb, schema, folder, extra=settings) as pipeline,
        ):
            pipeline.until(lambda now: now.is_import_applied)
            yield Stage(pipeline)
            run(mariadb, "SET GLOBAL read_only = 0")
    finally:
        run(mariadb, "SET GLOBAL read_only = 0")


@pytest.fixture
def stage(running: Stage) -> Stage:
    running.reset()
    return running


@pytest.fixture
def served(stage: Stage) -> Iterator[Served]:
    """The page, begun anew each time: `stage` takes moves back, which nothing else ever does."""
    pipeline = stage.pipeline
    served = Served(pipeline.config, pipeline.settings.page.port)
    with closing(served):
        served.start()
        yield served
        assert served.end() == 0
    assert "Traceback" not in served.words()


def answer(page: Page, name: str, tone: str, words: str) -> None:
    found = page.locator(f"#answer-{name}")
    expect(found.locator("strong")).to_contain_text(words)
    expect(found).to_have_attribute("data-tone", tone)


def stops(page: Page) -> list[str | None]:
    """Each stop of the phase picture: passed, here or ahead."""
    return [stop.get_attribute("data-state") for stop in page.locator("#phases li").all()]


def test_on_the_way_into_new_it_says_that_nobody_writes_and_until_when(
    stage: Stage, served: Served, browser: Browser
) -> None:
    with looking_at(browser, served) as page:
        expect(page.locator("#phases [aria-current=step]")).to_contain_text("Both, read new")
        with stage.paused("advance", "fence_noted"):
            expect(page.locator("#headline")).to_have_text("On the way into NEW, and writers wait")
            here = page.locator("#phases [aria-current=step]")
            expect(here).to_contain_text("Fence")
            expect(here).to_contain_text("writes nobody")
            expect(here).to_contain_text(re.compile(r"until .*\d\d:\d\d:\d\d at most"))
            assert stops(page) == ["past", "past", "past", "now", "ahead"]
            # The old database is read-only by the move itself: no gate may ask to undo that.
            expect(page.locator("#gates")).to_have_text("The gates were judged before the fence.")
            answer(page, "may_i_go_on", "busy", "On the way")
            answer(page, "can_i_go_back", "warn", "Until it is decided")
            expect(page.locator("#moves")).to_contain_text("BOTH_READ_NEW to FENCED")
            expect(page.locator("#events")).to_contain_text("The phase is now FENCED")
            check_it_breaks_no_rule(page)
    assert stage.step("back").state.phase is Phase.BOTH_READ_NEW


def test_a_fence_that_was_left_standing_is_told_loudly_with_the_command_to_type(
    stage: Stage, served: Served, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("CHANGEOVER_PHASES__FENCE_S", "1")
        stage.killed("advance", "fence_noted")
    with looking_at(browser, served) as page:
        expect(page.locator("#headline")).to_have_text("The fence was left standing, and writers wait")
        expect(page.locator("#headline")).to_have_attribute("data-tone", "bad")
        expect(page.locator("#gates")).to_contain_text("Type: changeover phase back")
        expect(page.locator("#phases [aria-current=step]")).to_contain_text("its time was over at")
        answer(page, "may_i_go_on", "bad", "Left standing")
        answer(page, "can_i_go_back", "warn", "Perhaps")
        expect(page.locator("#answer-can_i_go_back")).to_contain_text("changeover phase back")
        expect(page.locator("#events")).to_contain_text("The fence was left standing")
        check_it_breaks_no_rule(page)

        config = stage.pipeline.config
        assert "changeover phase back finishes or undoes it" in " ".join(
            said_by(config, "status").stdout.split()
        )
        assert json.loads(said_by(config, "status", "--json").stdout)["is_fence_left_standing"]
        assert f"\n{LEFT_STANDING}.\n" in said_by(config, "phase", "show").stdout
        assert json.loads(said_by(config, "phase", "show", "--json").stdout)["is_fence_left_standing"]
        assert "changeover phase back" in said_by(config, "phase", "plan").stdout

        assert said_by(config, "phase", "back").stdout == "FENCED -> BOTH_READ_NEW\n"
        expect(page.locator("#headline")).to_have_text("In step")
        answer(page, "can_i_go_back", "good", "Yes")
        assert not json.loads(said_by(config, "status", "--json").stdout)["is_fence_left_standing"]


def test_in_new_it_says_that_there_is_no_way_back(stage: Stage, served: Served, browser: Browser) -> None:
    ended = stage.step("advance", force=FORCE)
    assert ended.is_made, ended.why
    with looking_at(browser, served) as page:
        expect(page.locator("#headline")).to_have_text("The new database has taken over")
        here = page.locator("#phases [aria-current=step]")
        expect(here).to_contain_text("New")
        expect(here).to_contain_text("writes new")
        assert stops(page) == ["past", "past", "past", "past", "now"]
        expect(page.locator("#gates")).to_have_text("There is no further step.")
        answer(page, "how_far_behind", "good", "Not at all")
        answer(page, "may_i_go_on", "good", "Arrived")
        answer(page, "can_i_go_back", "warn", "No")
        expect(page.locator("#moves li").first).to_contain_text("FENCED to NEW")
        check_it_breaks_no_rule(page)
