"""The least that clients of OpenAI's API ask for, over HTTP on this machine."""

from __future__ import annotations

import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import Message, Sampling
from gemmahub.errors import BackendError

if TYPE_CHECKING:
    from gemmahub.engines.contract import Session, SessionInfo

_LONGEST: Final = 1 << 20


class EchoServer:
    """Serves one session until it is closed."""

    def __init__(self, session: Session, key: str) -> None:
        self.info: SessionInfo = session.info
        self._session = session
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.session, self._server.key = session, key  # type: ignore[attr-defined]
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """End it; twice is fine."""
        self._server.shutdown()
        self._server.server_close()
        self._session.close()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """The one model."""
        if self._refused():
            return
        self._say(200, {"object": "list", "data": [{"id": "echo", "object": "model"}]})

    def do_POST(self) -> None:
        """An answer to a conversation."""
        if self._refused():
            return
        try:
            size = min(int(self.headers.get("Content-Length", 0)), _LONGEST)
            body = json.loads(self.rfile.read(size))
            asked = [Message(str(m["role"]), str(m["content"])) for m in body["messages"]]
            session: Session = self.server.session  # type: ignore[attr-defined]
            text = "".join(chunk.text for chunk in session.generate(asked, Sampling()))
        except (BackendError, ValueError, KeyError, TypeError) as error:
            self._say(400, {"error": {"message": str(error)}})
            return
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        self._say(200, {"object": "chat.completion", "model": "echo", "choices": [choice]})

    def _refused(self) -> bool:
        key: str = self.server.key  # type: ignore[attr-defined]
        sent = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if not key or hmac.compare_digest(sent.encode(), key.encode()):
            return False
        self._say(401, {"error": {"message": "the key is missing or wrong"}})
        return True

    def _say(self, status: int, value: Any) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Requests are nobody's business."""
