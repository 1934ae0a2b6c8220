"""A server of the tests: it answers what a test wrote down, or fails in one of many ways."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Self

HTML = b"<!DOCTYPE html><html><head><title>Log in</title></head><body>Hello</body></html>"


@dataclass(slots=True)
class Says:
    """One answer. ``pieces`` of bytes go out one after the other, with a pause before each;
    ``breaks``: the connection ends in the middle, without what was announced."""

    status: int = 200
    body: Any = None
    pieces: tuple[bytes, ...] = ()
    pause: float = 0.0
    kind: str = "application/json"
    breaks: bool = False
    headers: dict[str, str] = field(default_factory=dict)


class FakeServer:
    """Serves until it is closed; a context manager. ``answers`` are by ``GET /path``; ``asked`` is
    what came: method and path, headers, and the JSON body."""

    def __init__(self, program: str = "fake") -> None:
        self.answers: dict[str, Says] = {}
        self.otherwise = Says(404, {"error": {"message": "not found"}})
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        self.program = program
        self.ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.of = self  # type: ignore[attr-defined]
        self.port = int(self._server.server_address[1])
        self.address = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def says(self, what: str, body: Any = None, **how: Any) -> Self:
        self.answers[what] = Says(body=body, **how)
        return self

    def bodies(self, what: str) -> list[Any]:
        return [body for path, _, body in self.asked if path == what]

    def close(self) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def _of(self) -> FakeServer:
        found: FakeServer = self.server.of  # type: ignore[attr-defined]
        return found

    def version_string(self) -> str:
        return self._of.program

    def do_GET(self) -> None:
        self._answer("GET", None)

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer("POST", json.loads(raw) if raw else None)

    def _answer(self, method: str, body: Any) -> None:
        asked = f"{method} {self.path}"
        self._of.asked.append((asked, dict(self.headers), body))
        says = self._of.answers.get(asked, self._of.otherwise)
        self._wait(says.pause)
        raw = says.body if isinstance(says.body, bytes) else json.dumps(says.body).encode()
        pieces = says.pieces or (raw,)
        self.send_response(says.status)
        self.send_header("Content-Type", says.kind)
        self.send_header("Connection", "close")
        length = sum(map(len, pieces)) + (100 if says.breaks else 0)
        self.send_header("Content-Length", str(length))
        for name, value in says.headers.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            for piece in pieces:
                self._wait(says.pause if says.pieces else 0)
                self.wfile.write(piece)
                self.wfile.flush()
        except OSError:
            pass  # nobody listens any more
        self.close_connection = True

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._of.ended.wait(0.02):
            pass

    def log_message(self, *arguments: Any) -> None:
        """Nothing is printed."""


def event(**found: Any) -> bytes:
    """One server-sent event of an answer."""
    return f"data: {json.dumps(found)}\n\n".encode()


def said(text: str = "", reason: str | None = None, **delta: Any) -> bytes:
    """A piece of an answer."""
    found = {"content": text, **delta} if text or delta else {}
    return event(model="tiny", choices=[{"index": 0, "delta": found, "finish_reason": reason}])


def counted(asked: int = 5, told: int = 2, **more: Any) -> bytes:
    usage = {"prompt_tokens": asked, "completion_tokens": told, **more}
    return event(choices=[], usage=usage)


DONE = b"data: [DONE]\n\n"
MODELS = {"object": "list", "data": [{"id": "tiny", "object": "model", "owned_by": "somebody"}]}
