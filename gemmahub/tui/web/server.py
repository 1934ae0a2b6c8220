"""The server: two addresses and the static files of textual-serve, behind the gate."""

from __future__ import annotations

import asyncio
import html
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Final

import textual_serve
from aiohttp import WSCloseCode, web

from gemmahub.http.gate import gate_for
from gemmahub.http.place import end_event
from gemmahub.tui.web import protocol
from gemmahub.tui.web.access import Keys, cookie_name
from gemmahub.tui.web.opening import Opening
from gemmahub.tui.web.sessions import WebSession

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from gemmahub.http.place import Place

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MAX_SESSIONS: Final = 8
"""UI processes at once: each takes about 100 MB, and may load models of its own."""
_STATIC: Final = Path(textual_serve.__file__).with_name("static")
_SCRIPT: Final = Path(__file__).with_name("page.js")
_SYMBOLS: Final = Path(__file__).with_name("symbols.woff2")
_PAGE: Final = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
_SHUTDOWN_SECONDS: Final = 5.0
_HEARTBEAT_SECONDS: Final = 15.0
_FONT_SIZE: Final = 16
BACKGROUND: Final = "#15181d"
"""Of the usual theme: around the cells some pixels are left."""
_COLUMNS, _ROWS = 80, 24
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
# The page loads nothing from elsewhere, runs no script but ours, and cannot be framed.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self'; "
    "img-src 'self' data:; connect-src ws://{host}; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_NO_TOKEN: Final = (
    "This page opens with the address that gemmahub --web printed when it started: "
    "the address holds a token.\n"
)
_NOT_OURS: Final = "gemmahub answers only its own page, under the name that it was started with.\n"
_FULL: Final = f"{MAX_SESSIONS} windows are open already: close one, and load this page again.\n"


class WebServer:
    """Serves the UI to whoever knows its token."""

    def __init__(self, place: Place, files: Path, say: Callable[[str], None]) -> None:
        self._place = place
        self._files = files
        self._say = say
        self._gate = gate_for(place.host, place.port if place.path is None else None)
        self._keys = Keys()
        self._windows: set[web.WebSocketResponse] = set()
        self._opening: Opening | None = None

    def run(self, *, open_page: bool) -> None:
        """Serve until a signal ends it. Raises: UsageError, GemmahubError; see Place.listen."""
        listener = self._place.listen()
        url = f"{self._place.url}/?token={self._keys.token}"
        try:
            if open_page:
                self._opening = Opening(url)
            asyncio.run(self._serve(listener, url))
        finally:
            self._opened()
            listener.close()
            self._place.close()

    async def _serve(self, listener: socket.socket, url: str) -> None:
        ended = end_event()
        application = web.Application(middlewares=[self._guard])
        application.add_routes(
            [
                web.get("/", self._page),
                web.get("/page.js", self._script),
                web.get("/symbols.woff2", self._symbols),
                web.get("/ws", self._window),
                web.static("/static", _STATIC),
            ]
        )
        application.on_shutdown.append(self._close_windows)
        runner = web.AppRunner(
            application, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS
        )  # without a log of addresses: one of them holds the token
        await runner.setup()
        try:
            await web.SockSite(runner, listener).start()
            self._tell(url)
            await ended.wait()
        finally:
            await runner.cleanup()

    def _tell(self, url: str) -> None:
        if self._place.path is not None:
            self._say(f"the UI is at {url} (Ctrl+C ends it)")
            path, port = self._place.path.absolute(), self._place.port
            self._say(f"once that port leads here: ssh -L {port}:{path} this-machine")
        else:
            self._say(f"the UI is at {url} (Ctrl+C ends it)")
        if not self._place.is_local:
            self._say("the connection is not encrypted: use it only in a network that you trust")
        if self._opening is not None:
            self._opening.start(self._say)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Nobody gets past it without the token or its cookie, whatever is asked for."""
        try:
            response = await self._checked(request, handler)
        except web.HTTPException as error:
            response = web.Response(status=error.status, text=f"{error.reason}\n")
        if not response.prepared:
            response.headers.update(_HEADERS)
            response.headers["Content-Security-Policy"] = _POLICY.format(host=request.host)
        return response

    async def _checked(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        headers = request.headers
        if not self._gate.is_own(headers.getall("Host", []), headers.getall("Origin", [])):
            return web.Response(status=403, text=_NOT_OURS)
        if (token := request.query.get("token")) is not None:
            if not self._keys.is_token(token):
                return web.Response(status=403, text=_NO_TOKEN)
            if request.path == "/":
                return self._enter(request)
        elif not self._keys.has_cookie(request.cookies, request.host):
            return web.Response(status=403, text=_NO_TOKEN)
        return await handler(request)

    def _enter(self, request: web.Request) -> web.Response:
        """Exchange the token for a cookie, and lead to an address without it."""
        self._opened()
        rest = {name: value for name, value in request.query.items() if name != "token"}
        clean = str(request.rel_url.with_query(rest))
        # After a redirect a browser still asks in the name of the page that linked here, and then
        # does not send a strict cookie. After a refresh it asks in the name of this page.
        is_linked = request.headers.get("Sec-Fetch-Site") == "cross-site"
        response = web.Response(
            status=200 if is_linked else 303,
            headers={"Refresh": f"0; url={clean}"} if is_linked else {"Location": clean},
        )
        response.set_cookie(
            cookie_name(request.host), self._keys.secret, httponly=True, samesite="Strict"
        )
        return response

    async def _page(self, request: web.Request) -> web.Response:
        if len(self._windows) >= MAX_SESSIONS:
            return web.Response(status=503, text=_FULL)
        size = protocol.bounded_number(request.query.get("fontsize", ""), _FONT_SIZE)
        text = _PAGE.substitute(
            host=html.escape(request.host), font_size=size, background=BACKGROUND
        )
        return web.Response(text=text, content_type="text/html")

    async def _script(self, _: web.Request) -> web.FileResponse:
        return web.FileResponse(_SCRIPT)

    async def _symbols(self, _: web.Request) -> web.FileResponse:
        return web.FileResponse(_SYMBOLS, headers={"Content-Type": "font/woff2"})

    async def _window(self, request: web.Request) -> web.StreamResponse:
        if len(self._windows) >= MAX_SESSIONS:
            return web.Response(status=503, text=_FULL)
        window = web.WebSocketResponse(
            heartbeat=_HEARTBEAT_SECONDS, compress=False, max_msg_size=protocol.MAX_MESSAGE_BYTES
        )
        self._windows.add(window)
        try:
            await window.prepare(request)
            columns = protocol.bounded_number(request.query.get("width", ""), _COLUMNS)
            rows = protocol.bounded_number(request.query.get("height", ""), _ROWS)
            size = protocol.bounded_size(columns, rows) or (_COLUMNS, _ROWS)
            await WebSession(window, self._say).run(size, self._files)
            await window.close()
        finally:
            self._windows.discard(window)
        return window

    async def _close_windows(self, _: web.Application) -> None:
        closing = (window.close(code=WSCloseCode.GOING_AWAY) for window in self._windows)
        await asyncio.gather(*closing, return_exceptions=True)

    def _opened(self) -> None:
        if self._opening is not None:
            self._opening.close()
