"""Who may see the page."""

import pytest

from changeover.page.access import COOKIE_S, HEADERS, Access

TOKEN = "0123456789abcdef0123456789abcdef"
NOW_S = 1_800_000_000.0


def access(token: str | None = TOKEN) -> Access:
    return Access.of("10.0.0.7", ["pages.internal"], token)


def test_without_a_token_everybody_who_reaches_the_page_is_let_in() -> None:
    assert access(None).admits("", "", NOW_S)


@pytest.mark.parametrize("authorization", [f"Bearer {TOKEN}", f"bearer  {TOKEN} "])
def test_the_token_lets_in(authorization: str) -> None:
    assert access().admits(authorization, "", NOW_S)


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN}0",
        f"Bearer {TOKEN[:-1]}",
        f"Basic {TOKEN}",
        TOKEN,
        "Bearer ø",
    ],
)
def test_anything_else_does_not(authorization: str) -> None:
    assert not access().admits(authorization, "", NOW_S)


def test_a_sign_in_holds_for_a_working_day_and_no_longer() -> None:
    cookie = access().cookie(NOW_S)
    assert access().admits("", cookie, NOW_S)
    assert access().admits("", cookie, NOW_S + COOKIE_S - 1)
    assert not access().admits("", cookie, NOW_S + COOKIE_S)


def test_a_sign_in_does_not_hold_the_token_and_ends_with_it() -> None:
    cookie = access().cookie(NOW_S)
    assert TOKEN not in cookie
    assert not access("another token of thirty-two chars").admits("", cookie, NOW_S)


@pytest.mark.parametrize("change", ["later", "digest", "empty", "letters", "long", "unicode"])
def test_a_sign_in_that_was_tampered_with_is_none(change: str) -> None:
    until, _, digest = access().cookie(NOW_S).partition(".")
    made = {
        "later": f"{int(until) + 1}.{digest}",
        "digest": f"{until}.{digest[:-1]}x",
        "empty": "",
        "letters": f"tomorrow.{digest}",
        "long": f"{'9' * 5000}.{digest}",
        "unicode": f"١٢٣.{digest}",
    }[change]
    assert not access().admits("", made, NOW_S)


@pytest.mark.parametrize("host", ["10.0.0.7", "10.0.0.7:8740", "PAGES.internal:443", "localhost", "[::1]:1"])
def test_the_page_is_known_by_its_address_its_names_and_loopback(host: str) -> None:
    assert access().knows_host(host)


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "pages.internal.evil.example", "evil.example:8740", "[::1", "10.0.0.8", ":80"],
)
def test_any_other_name_could_be_a_foreign_site_that_points_here(host: str) -> None:
    assert not access().knows_host(host)


def test_no_code_runs_that_is_not_a_file_of_ours() -> None:
    policy = HEADERS["content-security-policy"]
    assert "unsafe" not in policy
    assert "*" not in policy
    assert policy.startswith("default-src 'none'; script-src 'self';")
