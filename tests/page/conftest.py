"""A page to look at: the real program, beside a pipeline that runs on a real server."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Dialog, Page, expect, sync_playwright

from changeover.demo.private import free_ports
from changeover.demo.server import PrivateMariaDB
from tests.support.pipeline import Pipeline, schema_of

HOSTILE = "<img src=x onerror=alert(1)>"
"""The name of a table."""

TABLES = (
    "CREATE TABLE customer (id INT PRIMARY KEY, name VARCHAR(50))",
    "INSERT INTO customer SELECT seq, CONCAT('name ', seq) FROM seq_1_to_4000",
    "CREATE TABLE purchase (id INT PRIMARY KEY, price DECIMAL(9,2))",
    "INSERT INTO purchase SELECT seq, seq / 7 FROM seq_1_to_900",
    f"CREATE TABLE `{HOSTILE}` (id INT PRIMARY KEY)",
    f"INSERT INTO `{HOSTILE}` VALUES (1), (2)",
)
WAIT_S_MAX = 60.0
Json = Any


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class Served:
    """`changeover serve` as a process."""

    def __init__(self, config: Path, port: int) -> None:
        self.config = config
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Return once it answers."""
        arguments = [sys.executable, "-m", "changeover", "serve", "--config", str(self.config)]
        with (self.config.parent / "serve.log").open("a") as output:
            self._process = subprocess.Popen(arguments, stdout=output, stderr=output, text=True)
        wait_for(self._answers)

    def end(self) -> int:
        """Ask it to end; its exit status."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(WAIT_S_MAX)

    def close(self) -> None:
        """See that it is gone, whatever a test has come to."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """It is there, and says nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def words(self) -> str:
        """What it has said."""
        return (self.config.parent / "serve.log").read_text()

    def ask(self, path: str, method: str = "GET", body: str | None = None, **headers: str) -> "Answer":
        """The answer, read whole."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(
            method, path, body, {name.replace("_", "-"): text for name, text in headers.items()}
        )
        answer = connection.getresponse()
        read = answer.read()
        connection.close()
        return Answer(answer.status, dict(answer.getheaders()), read)

    def picture(self, **headers: str) -> Json:
        """The newest picture."""
        return orjson.loads(self.ask("/picture.json", **headers).body)["picture"]

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.words()
        try:
            self.ask("/login")
        except OSError:
            return False
        return True


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S_MAX
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def page_settings(port: int, *lines: str) -> str:
    return "\n".join(["[page]", f"port = {port}", *lines, ""])


@pytest.fixture(scope="module")
def running(mariadb: PrivateMariaDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """A pipeline in step, with its page's port in the settings."""
    folder = tmp_path_factory.mktemp("page")
    (port,) = free_ports(1)
    with (
        schema_of(mariadb, "shown", *TABLES),
        Pipeline(mariadb, "shown", folder, extra=page_settings(port)) as pipeline,
    ):
        pipeline.until(lambda now: now.is_import_applied)
        yield pipeline


@pytest.fixture(scope="module")
def served(running: Pipeline) -> Iterator[Served]:
    """The page of that pipeline."""
    served = Served(running.config, running.settings.page.port)
    with closing(served):
        served.start()
        yield served
        assert served.end() == 0
    assert "Traceback" not in served.words()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    assert chromium, "make test gets it: scripts/need chromium"
    expect.set_options(timeout=60_000)  # a machine that has much to do takes long to look
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])


def complain_of(dialog: Dialog, complaints: list[str]) -> None:
    complaints.append(dialog.message)
    dialog.dismiss()  # or the page would wait for ever


@contextmanager
def looking_at(browser: Browser, served: Served) -> Iterator[Page]:
    """The page in a browser, once its first picture is there; any complaint of the browser's is a failure."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("dialog", lambda dialog: complain_of(dialog, complaints))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(served.url)
    page.get_by_text("All rows copied").wait_for()
    yield page
    context.close()
    assert complaints == []


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    with looking_at(browser, served) as page:
        yield page


def violations(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {[node['html'] for node in one['nodes']]}" for one in found]


def check_it_breaks_no_rule(page: Page) -> None:
    """By day, by night, and on a phone, where nothing is wider than the screen."""
    assert violations(page) == []
    page.emulate_media(color_scheme="dark")
    assert violations(page) == []
    page.set_viewport_size({"width": 360, "height": 780})
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
