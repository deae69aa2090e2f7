"""The page as people have it: in Chromium, beside a pipeline that runs."""

import re

from playwright.sync_api import Browser, Page, expect

from tests.page.conftest import HOSTILE, Served, check_it_breaks_no_rule, violations
from tests.support.pipeline import Pipeline


def test_it_says_how_far_how_far_behind_and_whether_one_can_go_back(page: Page) -> None:
    expect(page).to_have_title(re.compile(r"^In step - test - changeover$"))
    expect(page.locator("#answer-how_far")).to_contain_text("4,902 rows of 3 tables")
    expect(page.locator("#answer-how_far_behind strong")).to_contain_text(re.compile(r"\d ?(ms|s)"))
    expect(page.locator("#answer-can_i_go_back strong")).to_contain_text("Yes")
    expect(page.locator("#phases [aria-current=step]")).to_contain_text("Old")
    expect(page.locator("#pulse")).to_have_text("live")


def test_a_table_named_like_markup_is_text_and_does_nothing(page: Page) -> None:
    expect(page.get_by_role("rowheader", name=f"shown.{HOSTILE}")).to_be_visible()
    assert page.locator("img").count() == 0
    expect(page.locator("#pulse")).to_have_text("live")


def test_a_change_is_seen_within_seconds_without_a_reload(page: Page, running: Pipeline) -> None:
    before = page.evaluate("performance.timeOrigin")
    expect(page.locator("#totals")).to_contain_text("0 changes captured, 4,902 rows and changes applied")
    connection = running.server.connect(database="shown")
    with connection, connection.cursor() as cursor:
        cursor.execute("UPDATE customer SET name = CONCAT('new ', id)")
    expect(page.locator("#totals")).to_contain_text(
        "4,000 changes captured, 8,902 rows and changes applied", timeout=30_000
    )
    assert page.evaluate("performance.timeOrigin") == before


def test_no_rule_of_accessibility_is_broken_by_day_by_night_and_on_a_phone(page: Page) -> None:
    check_it_breaks_no_rule(page)


def test_the_rules_would_notice(page: Page) -> None:
    page.evaluate("document.getElementById('headline').style.color = '#ccc'")
    assert any("color-contrast" in one for one in violations(page))


def test_on_a_phone_nothing_is_wider_than_the_screen(page: Page) -> None:
    for width in (320, 360, 390, 768):
        page.set_viewport_size({"width": width, "height": 700})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_dark_page_is_dark_and_the_light_one_light(page: Page) -> None:
    def brightness() -> float:
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in re.findall(r"\d+", colour)) / 3

    assert brightness() > 230
    page.emulate_media(color_scheme="dark")
    assert brightness() < 40


def test_every_control_is_reached_and_used_by_keyboard(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the answers")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="15 min")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="6 h")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Tab")
    lag = page.get_by_role("slider", name=re.compile("^Lag"))
    expect(lag).to_be_focused()
    page.keyboard.press("Home")
    expect(lag).to_have_attribute("aria-valuenow", "0")
    # With its day before it, where the point is yesterday's.
    expect(lag).to_have_attribute("aria-valuetext", re.compile(r"\d\d:\d\d:\d\d: .+"))
    page.keyboard.press("Tab")
    expect(page.get_by_role("slider", name=re.compile("^Changes"))).to_be_focused()


def test_an_unknown_verdict_is_shown_as_unknown(page: Page) -> None:
    right = page.locator("#answer-is_it_right")
    expect(right).to_have_attribute("data-tone", "unknown")
    expect(right).not_to_contain_text(re.compile(r"\bclean\b|\b0\b", re.IGNORECASE))


def test_a_server_that_is_gone_is_told_within_seconds_and_the_figures_are_marked_as_old(
    browser: Browser, served: Served
) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(served.url)
    page.get_by_text("All rows copied").wait_for()
    served.end()
    expect(page.get_by_role("alert")).to_contain_text(
        "cannot be reached. What you see is from", timeout=30_000
    )
    expect(page.locator("#pulse")).to_have_text("no connection")
    expect(page.locator("body")).to_have_class("old")
    served.start()
    expect(page.get_by_role("alert")).to_be_hidden(timeout=30_000)
    expect(page.locator("#pulse")).to_have_text("live")
    context.close()


def test_figures_that_are_not_renewed_are_called_old_and_are_live_again_when_they_are(
    browser: Browser, served: Served
) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.clock.install()
    page.goto(served.url)
    page.get_by_text("All rows copied").wait_for()
    with served.paused():
        page.clock.fast_forward(20_000)
        expect(page.get_by_role("alert")).to_contain_text("has had nothing new for a while")
        expect(page.locator("#pulse")).to_have_text(re.compile("^nothing new for [2-5][0-9] s"))
        expect(page.locator("body")).to_have_class("old")
    expect(page.get_by_role("alert")).to_be_hidden(timeout=30_000)
    expect(page.locator("#pulse")).to_have_text("live")
    context.close()
