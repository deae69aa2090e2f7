"""The page's web application: a handful of files, the pictures as a stream of events, and a sign-in."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.resources import files
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from changeover.page.access import COOKIE, COOKIE_S, HEADERS, Access
from changeover.page.watcher import Watcher

KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

SEND_EVERY_S = 1.0
"""A picture goes out each second, new or not: a browser that hears nothing knows that something is wrong."""

STREAMS_MAX = 50
"""Browsers that watch at a time; each costs some kilobytes a second."""

FORM_BYTES_MAX = 4_096
"""A sign-in is one short field."""

OPEN_PATHS = frozenset({"/login", "/login.js", "/page.css", "/icon.svg"})
"""What is shown to whoever has no token: the way in, and how it looks."""

Handler = Callable[[Request], Awaitable[Response]]


def make_app(watcher: Watcher, access: Access, ending: threading.Event, *, is_tls: bool) -> ASGIApp:
    """The application, with every check around it; its streams end when `ending` is set."""
    streams = Streams(watcher, ending)
    routes = [
        Route("/", _file("index.html"), methods=["GET"]),
        Route("/login", _file("login.html"), methods=["GET"]),
        Route("/login", _sign_in(access, is_tls=is_tls), methods=["POST"]),
        Route("/stream", streams.open, methods=["GET"]),
        Route("/picture.json", streams.picture, methods=["GET"]),
        Route("/history.json", streams.history, methods=["GET"]),
        *(Route(f"/{name}", _file(name), methods=["GET"]) for name in _names()),
    ]
    return Guard(Starlette(routes=routes), access)


class Guard:
    """Lets in what `Access` admits, and puts our headers on every answer."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                ours = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message.get("headers", ()), *ours]
            await send(message)

        answer = self._refusal(Request(scope)) or self._app
        await answer(scope, receive, send_with_headers)

    def _refusal(self, request: Request) -> Response | None:
        """The answer to a request that is not let in; None lets it in."""
        headers = request.headers
        if len(headers.getlist("host")) != 1 or not self._access.knows_host(headers["host"]):
            words = "This page is not served under that name. Add the name to page.names in the settings.\n"
            return Response(words, 421, media_type="text/plain")
        if request.url.path in OPEN_PATHS:
            return None
        authorization, cookie = headers.get("authorization", ""), request.cookies.get(COOKIE, "")
        if self._access.admits(authorization, cookie, time.time()):
            return None
        if request.url.path == "/" and not authorization:
            return RedirectResponse("/login", 303)
        return Response("A token is needed.\n", 401, {"www-authenticate": "Bearer"}, media_type="text/plain")


class Streams:
    """The pictures, for browsers that stay and for programs that ask once."""

    def __init__(self, watcher: Watcher, ending: threading.Event) -> None:
        self._watcher = watcher
        self._ending = ending
        self._open = 0

    async def open(self, _: Request) -> Response:
        """Server-sent events: the history once, then a picture each second."""
        if self._open >= STREAMS_MAX:
            return Response("Too many browsers watch.\n", 503, media_type="text/plain")
        return StreamingResponse(self._events(), media_type="text/event-stream")

    async def picture(self, _: Request) -> Response:
        """The newest picture."""
        return Response(self._watcher.picture(), media_type="application/json")

    async def history(self, _: Request) -> Response:
        """All points of the charts."""
        return Response(self._watcher.history(), media_type="application/json")

    async def _events(self) -> AsyncIterator[bytes]:
        self._open += 1
        try:
            yield b"event: history\ndata: %b\n\n" % self._watcher.history()
            while not self._ending.is_set():
                yield b"event: picture\ndata: %b\n\n" % self._watcher.picture()
                await asyncio.sleep(SEND_EVERY_S)
        finally:
            self._open -= 1


def _names() -> list[str]:
    return sorted(file.name for file in files("changeover").joinpath("web").iterdir())


def _file(name: str) -> Handler:
    """Serves one file of ours, which is read now: no path that a browser names is ever opened."""
    content = files("changeover").joinpath("web", name).read_bytes()
    kind = next(kind for suffix, kind in KINDS.items() if name.endswith(suffix))

    async def serve(_: Request) -> Response:
        return Response(content, media_type=kind)

    return serve


def _sign_in(access: Access, *, is_tls: bool) -> Handler:
    """Takes the token from the form, and gives a cookie for it."""

    async def sign_in(request: Request) -> Response:
        form = await _body(request)
        token = parse_qs(form.decode(errors="replace")).get("token", [""])[0]
        if not access.is_token(token.strip()):
            return RedirectResponse("/login?wrong", 303)
        answer = RedirectResponse("/", 303)
        cookie = access.cookie(time.time())
        answer.set_cookie(COOKIE, cookie, max_age=COOKIE_S, httponly=True, samesite="strict", secure=is_tls)
        return answer

    return sign_in


async def _body(request: Request) -> bytes:
    """The form; empty if it is larger than a sign-in can be, or was never sent whole."""
    body = b""
    try:
        async for some in request.stream():
            body += some
            if len(body) > FORM_BYTES_MAX:
                return b""
    except ClientDisconnect:
        return b""
    return body
