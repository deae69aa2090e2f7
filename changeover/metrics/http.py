"""The three pages of a daemon: /metrics, /healthz and /readyz, in threads beside its work."""

import socket
import sys
import threading
from collections.abc import Iterable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

import structlog

from changeover.errors import ListenRefused
from changeover.health import Health
from changeover.metrics.exposition import Exposition

log = structlog.get_logger("pages")

ASKING_MAX = 8
"""Connections at a time: Prometheus, two probes, a person. More are hung up on."""

ASKING_S_MAX = 5
"""How long somebody may take to ask."""

TEXT = "text/plain; charset=utf-8"


class Pages:
    """Answers at an address while the block runs."""

    def __init__(self, host: str, port: int, exposition: Exposition, health: Health) -> None:
        try:
            self._server = _Server(host, port, exposition, health)
        except OSError as error:
            message = f"{host}:{port} (metrics.listen) cannot be listened at: {error.strerror or error}"
            raise ListenRefused(message) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.2}, name="pages", daemon=True
        )

    @property
    def address(self) -> str:
        """Where it answers, with the port that it got."""
        host, port = self._server.server_address[:2]
        return f"{host if isinstance(host, str) else host.decode()}:{port}"

    def __enter__(self) -> Self:
        """Begin to answer."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int, exposition: Exposition, health: Health) -> None:
        self.exposition = exposition
        self.health = health
        self._room = threading.BoundedSemaphore(ASKING_MAX)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Asked)

    def process_request(self, request: object, client_address: object) -> None:
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)  # type: ignore[arg-type]
        else:
            self.shutdown_request(request)  # type: ignore[arg-type]

    def process_request_thread(self, request: object, client_address: object) -> None:
        try:
            super().process_request_thread(request, client_address)  # type: ignore[arg-type]
        finally:
            self._room.release()

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the base's
        """Whoever asks may hang up whenever he likes; anything else is a fault of ours."""
        error = sys.exception()
        if not isinstance(error, OSError):
            log.error("a page failed", kind=type(error).__name__, reason=str(error))


class _Asked(BaseHTTPRequestHandler):
    server: _Server
    server_version = "changeover"
    sys_version = ""
    timeout = ASKING_S_MAX

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/metrics":
                body, content_type = self.server.exposition.answer(self.headers.get("Accept", ""))
                self._answer(HTTPStatus.OK, body, content_type)
            case "/healthz":
                self._judge(self.server.health.illness(), "healthy")
            case "/readyz":
                self._judge(self.server.health.unreadiness(), "ready")
            case _:
                self._answer(HTTPStatus.NOT_FOUND, b"/metrics, /healthz, /readyz\n", TEXT)

    def _judge(self, reasons: Iterable[str], otherwise: str) -> None:
        lines = list(reasons)
        status = HTTPStatus.SERVICE_UNAVAILABLE if lines else HTTPStatus.OK
        self._answer(status, ("\n".join(lines or [otherwise]) + "\n").encode(), TEXT)

    def _answer(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name is the library's
        """Write nothing: a daemon's log has its own events."""
