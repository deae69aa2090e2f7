"""The page's server: its checks before anything is opened, its address, its two threads."""

import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

import structlog
import uvicorn

from changeover.errors import SettingsInvalid
from changeover.page.access import Access
from changeover.page.app import STREAMS_MAX, make_app
from changeover.page.eye import Eye
from changeover.page.painter import Painter
from changeover.page.watcher import Watcher
from changeover.settings import PageSettings, Settings, file_of
from changeover.settings.links import is_local

log = structlog.get_logger("serve")

POLL_S = 0.1
END_S_MAX = 5.0
"""How long the end may take; a look that hangs is left behind."""

BACKLOG = 128
CONNECTIONS_MAX = 2 * STREAMS_MAX
HEADER_BYTES_MAX = 16_384
"""A request has a path of ours, a token or a cookie, and what browsers add."""


class Server:
    """The page of one pipeline, at its address from the moment it is made; in a `with` block."""

    def __init__(self, settings: Settings) -> None:
        page = settings.page
        token = page.token()
        check_exposure(page, token)
        self._tls = _check_certificate(page)
        self._socket = _bound(page)
        host, port = self._socket.getsockname()[:2]
        self.url = f"{'https' if self._tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}/"
        watcher = Watcher(Eye(settings), painter_of(settings))
        self._watcher = watcher
        self._ending = threading.Event()
        access = Access.of(page.host, page.names, token)
        app = make_app(watcher, access, self._ending, is_tls=self._tls)
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                ws="none",
                lifespan="off",
                http="h11",
                h11_max_incomplete_event_size=HEADER_BYTES_MAX,
                limit_concurrency=CONNECTIONS_MAX,
                proxy_headers=False,  # whoever speaks to us is who it is
                timeout_graceful_shutdown=2,  # a stream ends within a second
                ssl_certfile=page.certificate_file,
                ssl_keyfile=page.key_file,
            )
        )

    def serve(self, should_stop: Callable[[], bool]) -> None:
        """Serve until asked to stop."""
        threads = (
            threading.Thread(target=self._watcher.run, args=(self._ending,), name="watcher", daemon=True),
            threading.Thread(target=self._server.run, args=([self._socket],), name="web", daemon=True),
        )
        for thread in threads:
            thread.start()
        log.info("page served", url=self.url)
        while not should_stop() and all(thread.is_alive() for thread in threads):
            time.sleep(POLL_S)
        self._ending.set()
        self._server.should_exit = True
        for thread in threads:
            thread.join(END_S_MAX)


def painter_of(settings: Settings) -> Painter:
    """Paints under the names that the settings have for things; no URL, since one may hold a password."""
    source = f"{settings.source.host}:{settings.source.port}"
    file = file_of(settings.target.url)
    nodes = ", ".join(host if port is None else f"{host}:{port}" for host, port in settings.target.nodes)
    return Painter(settings.pipeline, source, f"SQLite {file.name}" if file else f"Riak {nodes}")


def check_exposure(page: PageSettings, token: str | None) -> None:
    """Return if the page may be served at its address, else raise `SettingsInvalid`."""
    if is_local(page.host):
        return
    if token is None:
        raise SettingsInvalid(
            f"page.host is {page.host}, which others can reach, and there is no token",
            hint="Name a page.token_file, or serve at 127.0.0.1.",
        )
    if not page.certificate_file and not page.allow_plain_text:
        raise SettingsInvalid(
            f"page.host is {page.host}, and the token would travel there in plain text",
            hint="Name page.certificate_file and page.key_file; or set page.allow_plain_text = true, where "
            "something in front has TLS.",
        )


def _check_certificate(page: PageSettings) -> bool:
    """Whether the page speaks TLS; raises `SettingsInvalid` if its files cannot be used."""
    if page.certificate_file is None and page.key_file is None:
        return False
    if page.certificate_file is None or page.key_file is None:
        raise SettingsInvalid(
            "page.certificate_file and page.key_file belong together", hint="Name both, or none."
        )
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(page.certificate_file, page.key_file, password="")
    except (OSError, ssl.SSLError, ValueError) as error:
        raise SettingsInvalid(
            f"the page's certificate {page.certificate_file} cannot be used: {error}",
            hint="Name a chain and its key without a password, both PEM.",
        ) from error
    return True


def _bound(page: PageSettings) -> socket.socket:
    """A socket that listens at the page's address."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(page.host, page.port, type=socket.SOCK_STREAM)[0]
        with ExitStack() as unless_bound:
            bound = unless_bound.enter_context(socket.socket(family, kind))
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            bound.listen(BACKLOG)
            unless_bound.pop_all()
    except OSError as error:
        raise SettingsInvalid(
            f"the page cannot listen at {page.host} port {page.port}: {error.strerror}",
            hint="Set page.host and page.port to an address of this machine that is free.",
        ) from error
    return bound
