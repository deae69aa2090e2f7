"""The page's server, asked as browsers, programs and strangers ask it."""

import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPSConnection
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from changeover.demo.private import free_ports
from changeover.demo.server import PrivateMariaDB
from changeover.errors import SettingsInvalid
from changeover.exits import REFUSED
from changeover.page import watcher
from changeover.page.access import HEADERS
from changeover.page.app import FORM_BYTES_MAX, STREAMS_MAX
from changeover.page.server import Server
from changeover.settings import Settings
from tests.page.conftest import WAIT_S_MAX, Served, page_settings, wait_for
from tests.riak.certificates import Authority
from tests.support.pipeline import write_settings

TOKEN = "0123456789abcdef0123456789abcdef"
FILES = ("/page.js", "/chart.js", "/page.css", "/icon.svg", "/login.html")


def test_a_program_gets_the_same_picture_as_json(served: Served) -> None:
    wait_for(lambda: served.picture()["progress"])
    picture = served.picture()
    assert picture["pipeline"] == "test"
    assert picture["trouble"] is None
    assert picture["progress"]["rows_copied"] == 4_902
    assert [table["eta_s"] for table in picture["progress"]["tables"]] == [0, 0, 0]
    assert [(one["name"], one["tone"]) for one in picture["processes"] if one["name"] == "capture"] == [
        ("capture", "good")
    ]


@pytest.mark.parametrize("path", ["/", "/login", "/picture.json", "/history.json", "/none", *FILES])
def test_every_answer_has_every_header_that_keeps_strangers_out(served: Served, path: str) -> None:
    answer = served.ask(path)
    assert answer.status == (404 if path == "/none" else 200)
    assert {name: answer.headers[name] for name in HEADERS} == dict(HEADERS)
    assert "server" not in answer.headers


def test_a_foreign_site_whose_name_points_here_gets_nothing(served: Served) -> None:
    for host in ("evil.example", f"evil.example:{served.port}", "localhost.evil.example", ""):
        for path in ("/", "/picture.json", "/stream", "/page.js"):
            answer = served.ask(path, Host=host)
            assert answer.status == 421
            assert b"4902" not in answer.body


def test_two_names_in_one_request_are_none(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as raw:
        raw.sendall(b"GET /picture.json HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
        assert raw.recv(100).split(b" ")[1] in {b"400", b"421"}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["/", "/picture.json", "/stream", "/page.js"])
def test_the_page_only_reads(served: Served, method: str, path: str) -> None:
    assert served.ask(path, method).status == 405


@pytest.mark.parametrize(
    "path", ["/../pyproject.toml", "/%2e%2e/__init__.py", "/web/page.js", "//etc/passwd"]
)
def test_no_path_leads_out_of_the_pages_own_files(served: Served, path: str) -> None:
    assert served.ask(path).status == 404


def test_a_request_that_does_not_end_is_not_read_for_ever(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
        with pytest.raises(ConnectionError):
            raw.sendall(b"x" * 10_000_000)


def test_more_browsers_than_there_is_room_for_are_told_so_and_the_others_go_on(served: Served) -> None:
    watching = [socket.create_connection(("127.0.0.1", served.port), timeout=60) for _ in range(STREAMS_MAX)]
    for one in watching:
        one.sendall(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200" in one.recv(100)
    assert served.ask("/stream").status == 503
    assert served.ask("/picture.json").status == 200
    for one in watching:
        one.close()
    wait_for(lambda: _opens(served))


def _opens(served: Served) -> bool:
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as one:
        one.sendall(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return b"200" in one.recv(100)


# -- with a token ------------------------------------------------------------------------------------------


@contextmanager
def serving(settings: Settings) -> Iterator[Server]:
    """The page's server in this process."""
    server, stop = Server(settings), threading.Event()
    thread = threading.Thread(target=server.serve, args=(stop.is_set,))
    thread.start()
    try:
        yield server
    finally:
        stop.set()
        thread.join(WAIT_S_MAX)
    assert not thread.is_alive()


def settings_with(mariadb: PrivateMariaDB, folder: Path, *lines: str) -> tuple[Settings, Served]:
    (port,) = free_ports(1)
    config = write_settings(mariadb, "guarded", folder, extra=page_settings(port, *lines))
    return Settings.load(config), Served(config, port)


@pytest.fixture
def guarded(mariadb: PrivateMariaDB, tmp_path: Path) -> Iterator[Served]:
    (tmp_path / "token").write_text(TOKEN + "\n")
    settings, asked = settings_with(mariadb, tmp_path, 'token_file = "token"')
    with serving(settings):
        yield asked


def test_with_a_token_nothing_but_the_way_in_is_shown_to_strangers(guarded: Served) -> None:
    assert guarded.ask("/").status == 303
    assert guarded.ask("/").headers["location"] == "/login"
    for path in ("/picture.json", "/history.json", "/stream", "/index.html", "/page.js"):
        assert guarded.ask(path).status == 401
    for path in ("/login", "/page.css"):
        assert guarded.ask(path).status == 200


def test_a_program_shows_the_token(guarded: Served) -> None:
    assert guarded.ask("/picture.json", Authorization=f"Bearer {TOKEN}").status == 200
    assert guarded.ask("/picture.json", Authorization=f"Bearer {TOKEN[:-1]}x").status == 401
    assert guarded.ask(f"/picture.json?token={TOKEN}").status == 401  # it would lie in logs and histories


def test_a_browser_signs_in_once_and_keeps_no_token(guarded: Served) -> None:
    answer = guarded.ask("/login", "POST", f"token={TOKEN}")
    assert (answer.status, answer.headers["location"]) == (303, "/")
    cookie, *attributes = answer.headers["set-cookie"].split("; ")
    assert {"HttpOnly", "SameSite=strict"} <= set(attributes)
    assert TOKEN not in cookie
    assert guarded.ask("/picture.json", Cookie=cookie).status == 200
    assert guarded.ask("/picture.json", Cookie=cookie[:-1]).status == 401


def test_somebody_signs_in_by_the_form_and_by_keyboard(guarded: Served, browser: Browser) -> None:
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto(guarded.url)
    assert Axe().run(page).response["violations"] == []
    expect(
        page.get_by_label("Token")
    ).to_be_focused()  # the browser sees to it a moment after the page is there
    page.keyboard.type("not the token")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("That is not the token.")
    expect(page.get_by_label("Token")).to_be_focused()
    page.keyboard.type(TOKEN)
    page.keyboard.press("Enter")
    expect(page.locator("#headline")).to_contain_text("Not begun")
    expect(page.locator("#pulse")).to_have_text("live")
    context.close()


@pytest.mark.parametrize(
    "form",
    ["", "token=", f"token={TOKEN}x", "token=%ff%fe", "token=" + "x" * FORM_BYTES_MAX, f"a={'x' * 9_000}"],
)
def test_a_wrong_sign_in_gets_no_cookie(guarded: Served, form: str) -> None:
    answer = guarded.ask("/login", "POST", form)
    assert (answer.status, answer.headers["location"]) == (303, "/login?wrong")
    assert "set-cookie" not in answer.headers


# -- where it listens ------------------------------------------------------------------------------------


def refused(mariadb: PrivateMariaDB, folder: Path, *lines: str) -> str:
    """The one line with which `changeover serve` ends before it has opened anything."""
    _, asked = settings_with(mariadb, folder, *lines)
    done = subprocess.run(
        [sys.executable, "-m", "changeover", "serve", "--config", str(asked.config)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (REFUSED, "", 1), done
    return done.stderr


def test_off_loopback_a_token_is_demanded(mariadb: PrivateMariaDB, tmp_path: Path) -> None:
    said = refused(mariadb, tmp_path, 'host = "0.0.0.0"')
    assert "page.host is 0.0.0.0, which others can reach, and there is no token" in said
    assert "token_file" in said


def refusal(mariadb: PrivateMariaDB, folder: Path, *lines: str) -> str:
    settings, _ = settings_with(mariadb, folder, *lines)
    with pytest.raises(SettingsInvalid) as caught:
        Server(settings)
    return str(caught.value)


def test_off_loopback_a_token_does_not_travel_in_plain_text(mariadb: PrivateMariaDB, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    lines = ('host = "0.0.0.0"', 'token_file = "token"')
    assert "in plain text" in refusal(mariadb, tmp_path, *lines)
    settings, _ = settings_with(mariadb, tmp_path, *lines, "allow_plain_text = true")
    with serving(settings):
        pass


def test_a_token_that_can_be_guessed_is_refused_and_not_printed(
    mariadb: PrivateMariaDB, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("hunter2")
    said = refusal(mariadb, tmp_path, 'token_file = "token"')
    assert "has 7 characters" in said
    assert "hunter2" not in said


def test_a_port_in_use_is_told(mariadb: PrivateMariaDB, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = write_settings(mariadb, "guarded", tmp_path, extra=page_settings(port))
        with pytest.raises(SettingsInvalid, match=f"cannot listen at 127.0.0.1 port {port}: Address already"):
            Server(Settings.load(config))


def test_a_certificate_without_its_key_is_refused(mariadb: PrivateMariaDB, tmp_path: Path) -> None:
    assert "belong together" in refusal(mariadb, tmp_path, 'certificate_file = "a.pem"')
    lines = ('certificate_file = "a.pem"', 'key_file = "b.pem"')
    assert "cannot be used: [Errno 2]" in refusal(mariadb, tmp_path, *lines)


# -- when there is nothing to see --------------------------------------------------------------------------


def test_before_the_pipeline_has_begun_the_page_says_so_and_makes_nothing(
    mariadb: PrivateMariaDB, tmp_path: Path
) -> None:
    settings, asked = settings_with(mariadb, tmp_path)
    with serving(settings):
        wait_for(lambda: asked.picture()["headline"]["words"] == "Not begun")
        picture = asked.picture()
    assert (picture["progress"], picture["phase"], picture["processes"]) == (None, None, None)
    assert {said["tone"] for said in picture["answers"].values()} == {"unknown"}
    assert [path.name for path in tmp_path.iterdir()] == ["changeover.toml"]


def test_a_source_that_does_not_answer_is_told_and_nothing_old_is_shown(tmp_path: Path) -> None:
    with PrivateMariaDB() as server:
        settings, asked = settings_with(server, tmp_path)
        (tmp_path / "log.db").touch()  # it has begun
        with serving(settings):
            wait_for(lambda: asked.picture()["headline"]["words"] == "Not begun")
            server.kill()
            wait_for(lambda: "did not answer" in (asked.picture()["trouble"] or ""))
            picture = asked.picture()
            assert picture["progress"] is None
            server.start()
            wait_for(lambda: asked.picture()["headline"]["words"] == "Not begun")


def test_a_source_that_falls_silent_is_told_while_the_look_still_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "OVERDUE_S", 0.5)
    with PrivateMariaDB() as server:
        settings, asked = settings_with(server, tmp_path)
        (tmp_path / "log.db").touch()
        with serving(settings):
            wait_for(lambda: asked.picture()["headline"]["words"] == "Not begun")
            server.pause()
            wait_for(lambda: "have not answered for" in (asked.picture()["trouble"] or ""))
            server.resume()
            wait_for(lambda: asked.picture()["headline"]["words"] == "Not begun")


# -- TLS ---------------------------------------------------------------------------------------------------


def test_with_a_certificate_the_page_speaks_tls_and_its_cookie_goes_by_nothing_else(
    mariadb: PrivateMariaDB, tmp_path: Path
) -> None:
    authority = Authority("ours")
    certificate, key = authority.issue(tmp_path)
    (tmp_path / "token").write_text(TOKEN)
    lines = (f'certificate_file = "{certificate.name}"', f'key_file = "{key.name}"', 'token_file = "token"')
    settings, asked = settings_with(mariadb, tmp_path, *lines)
    trusting = ssl.create_default_context(cafile=authority.write(tmp_path))
    with serving(settings) as server:
        assert server.url.startswith("https://127.0.0.1:")
        connection = HTTPSConnection("127.0.0.1", asked.port, context=trusting, timeout=60)
        connection.request("POST", "/login", f"token={TOKEN}")
        answer = connection.getresponse()
        assert "Secure" in answer.headers["set-cookie"].split("; ")
        connection.close()
        with pytest.raises((ssl.SSLError, OSError)):
            asked.ask("/login")
