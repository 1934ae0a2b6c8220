"""A server of OpenAI's API for the tests of plugins that talk to such servers.

::

    with EchoingServer(context=512) as server:
        server.address   # "http://127.0.0.1:41234", with the model ``echo``

It answers with the last message, a word at a time: streaming, with usage, limits and stop texts, as
llama-server does. ``key`` is what it asks for as a bearer token, empty for nothing.
"""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

MODEL: Final = "echo"
_WORD_SECONDS: Final = 0.005  # so that an answer can be cancelled in its middle
_LONGEST: Final = 1 << 20


class EchoingServer:
    """Serves until it is closed; a context manager."""

    def __init__(self, context: int = 512, key: str = "") -> None:
        self.context, self.key = context, key
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.of = self  # type: ignore[attr-defined]
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class _Handler(BaseHTTPRequestHandler):
    @property
    def _of(self) -> EchoingServer:
        found: EchoingServer = self.server.of  # type: ignore[attr-defined]
        return found

    def do_GET(self) -> None:
        """The one model, with what llama-server tells of its own."""
        meta = {"n_ctx": self._of.context, "n_ctx_train": None, "ftype": "Q4_0"}
        self._say(200, {"data": [{"id": MODEL, "object": "model", "meta": meta}]})

    def do_POST(self) -> None:
        """An answer, streamed."""
        if self._of.key and self.headers.get("Authorization") != f"Bearer {self._of.key}":
            self._say(401, {"error": {"message": "the key is missing or wrong"}})
            return
        try:
            body = json.loads(self.rfile.read(min(int(self.headers["Content-Length"]), _LONGEST)))
            asked, said = _words(body)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            self._say(400, {"error": {"message": f"{type(error).__name__}: {error}"}})
            return
        if asked > self._of.context:
            text = f"{asked} tokens exceed the context of {self._of.context}"
            error_ = {"message": text, "type": "exceed_context_size_error"}
            self._say(400, {"error": error_})
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        try:
            for event in _events(body, asked, said, self._of.context):
                self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
            self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            return  # nobody listens any more

    def _say(self, status: int, value: Any) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Nothing is printed."""


def _words(body: dict[str, Any]) -> tuple[int, list[str]]:
    """How many tokens a prompt has, and the words of the answer."""
    if "prompt" in body:
        words = str(body["prompt"]).split()
        return len(words), words
    messages = [str(message["content"]) for message in body["messages"]]
    return sum(len(text.split()) + 1 for text in messages), messages[-1].split()


def _events(
    body: dict[str, Any], asked: int, words: list[str], context: int
) -> Iterator[dict[str, Any]]:
    """The answer's events; the last one has the usage."""
    most = body.get("max_tokens")
    room = context - asked + 1
    stops = [stop for stop in body.get("stop") or () if stop]
    text, said, reason = "", 0, "stop"
    for number, word in enumerate(words):
        if said in (most, room):
            reason = "length"
            break
        before, said = text, said + 1
        text += f" {word}" if number else word
        found = [at for stop in stops if (at := text.find(stop)) >= 0]
        text = text[: min(found)] if found else text
        time.sleep(_WORD_SECONDS)
        # What may begin a stop text waits until that is decided.
        yield _event(body, text[len(before) :]) if not stops else _event(body, "")
        if found:
            break
    if stops:
        yield _event(body, text)
    yield _event(body, None, reason)
    counts = {"prompt_tokens": max(asked, 1), "completion_tokens": said}
    yield {"choices": [], "usage": counts}


def _event(body: dict[str, Any], text: str | None, reason: str | None = None) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0, "finish_reason": reason}
    if "prompt" in body:
        choice["text"] = text or ""
    else:
        choice["delta"] = {} if text is None else {"content": text}
    return {"model": MODEL, "choices": [choice]}
