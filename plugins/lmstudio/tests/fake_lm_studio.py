"""A server that speaks LM Studio's documented REST interface. It is none: it answers with the words
of the last message, one at a time, each of them a token.

``fault`` makes it fail in one way: see the tests. ``old``: before LM Studio 0.4, so without
``/api/v1``. ``asked`` holds the bodies of what was posted, by path.
"""

from __future__ import annotations

import json
import threading
import time
from copy import deepcopy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from plugins.lmstudio.tests import recorded
from plugins.lmstudio.tests.fake_answers import events_of, words_of

if TYPE_CHECKING:
    from typing import Self


class FakeLMStudio:
    """Serves until it is closed; a context manager."""

    def __init__(
        self, models: list[dict[str, Any]] | None = None, *, key: str = "", old: bool = False
    ) -> None:
        self.models = deepcopy(recorded.LISTED["models"] if models is None else models)
        self.key, self.old = key, old
        self.fault = ""
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.of = self  # type: ignore[attr-defined]
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """End it; twice is fine."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # --- what it has ---------------------------------------------------------------------------

    @property
    def instances(self) -> dict[str, dict[str, Any]]:
        """Those in memory, by their names."""
        return {one["id"]: one["config"] for m in self.models for one in m["loaded_instances"]}

    def bodies(self, path: str) -> list[dict[str, Any]]:
        """What was posted there."""
        return [body for where, body in self.asked if where == path]

    def load(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """As ``POST /api/v1/models/load``: another instance of a model is ``KEY:2``."""
        if surplus := sorted(set(body) - recorded.LOAD_KEYS):
            text = f"Unrecognized key(s) in object: {', '.join(surplus)}"
            return 400, _error(text, "unrecognized_keys")
        model = self._named(body["model"])
        if model is None:
            text = f"Model {body['model']!r} not found"
            return 404, _error(text, "model_not_found")
        context = body.get("context_length", 4096)
        if self.fault == "no memory":
            return 500, _error("Model loading aborted due to insufficient system resources.", "")
        if self.fault == "smaller context":
            context //= 2
        config = {
            "context_length": context,
            "eval_batch_size": body.get("eval_batch_size", 512),
            "flash_attention": body.get("flash_attention", True),
            "offload_kv_cache_to_gpu": body.get("offload_kv_cache_to_gpu", True),
        }
        name = self.add_instance(model["key"], config)
        answer = {**recorded.LOADED, "instance_id": name, "load_config": config}
        if not body.get("echo_load_config"):
            del answer["load_config"]
        return 200, answer

    def add_instance(self, key: str, config: dict[str, Any], name: str = "") -> str:
        """Put a model into memory. Returns the name of the instance."""
        with self.lock:
            model = next(m for m in self.models if m["key"] == key)
            count = len(model["loaded_instances"])
            name = name or (key if not count else f"{key}:{count + 1}")
            model["loaded_instances"].append({"id": name, "config": config})
        return name

    def unload(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """As ``POST /api/v1/models/unload``."""
        name = body["instance_id"]
        if name not in self.instances:
            return 404, _error(f"Model instance {name!r} not found", "model_not_found")
        with self.lock:
            for model in self.models:
                model["loaded_instances"] = [
                    one for one in model["loaded_instances"] if one["id"] != name
                ]
        return 200, {"instance_id": name}

    def _named(self, name: str) -> dict[str, Any] | None:
        return next((m for m in self.models if name in (m["key"], *m.get("variants", ()))), None)

    def listed(self) -> dict[str, Any]:
        """As ``GET /api/v1/models``."""
        return {"models": self.models}

    def listed_before(self) -> dict[str, Any]:
        """As ``GET /api/v0/models``."""
        entries = [
            {
                "id": m["key"],
                "object": "model",
                "type": "vlm" if m.get("capabilities", {}).get("vision") else "llm",
                "publisher": m["publisher"],
                "arch": m.get("architecture"),
                "compatibility_type": m["format"],
                "quantization": m["quantization"]["name"],
                "state": "loaded" if m["loaded_instances"] else "not-loaded",
                "max_context_length": m["max_context_length"],
                **(
                    {"loaded_context_length": m["loaded_instances"][0]["config"]["context_length"]}
                    if m["loaded_instances"]
                    else {}
                ),
            }
            for m in self.models
            if m["type"] == "llm"
        ]
        return {"object": "list", "data": entries}


class _Handler(BaseHTTPRequestHandler):
    @property
    def _of(self) -> FakeLMStudio:
        found: FakeLMStudio = self.server.of  # type: ignore[attr-defined]
        return found

    def do_GET(self) -> None:
        """The lists of models; all else it does not have, with HTTP 200."""
        of = self._of
        if self._failed():
            return
        if self.path == "/api/v1/models" and not of.old:
            self._say(200, of.listed())
        elif self.path == "/api/v0/models":
            self._say(200, of.listed_before())
        elif self.path == "/v1/models":
            self._say(200, {"data": [{"id": m["key"], "object": "model"} for m in of.models]})
        else:
            self._say(200, recorded.no_endpoint("GET", self.path))

    def do_POST(self) -> None:
        """Loading, unloading, answers."""
        of = self._of
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        of.asked.append((self.path, body))
        if self._failed():
            return
        if self.path == "/api/v1/models/load" and not of.old:
            self._say(*of.load(body))
        elif self.path == "/api/v1/models/unload" and not of.old:
            self._say(*of.unload(body))
        elif self.path in ("/v1/chat/completions", "/v1/completions"):
            self._answer(body)
        elif self.path == "/lms":  # what the program says over LM Studio's own channel
            self._say(200, of.add_instance(**body))
        else:
            self._say(200, recorded.no_endpoint("POST", self.path))

    def _failed(self) -> bool:
        """Whether it fails now, in one of the ways that any server can."""
        of = self._of
        if of.key and self.headers.get("Authorization") != f"Bearer {of.key}":
            self._say(401, recorded.NO_KEY)
        elif of.fault == "web page":
            self._write(200, b"<!doctype html><title>Log in</title>", "text/html")
        elif of.fault == "half JSON":
            self._write(200, b'{"models": [{"key": ', "application/json")
        elif of.fault == "wrong kinds":
            self._say(200, {"models": [5, {"key": 7}, {"key": "k", "loaded_instances": {"id": 1}}]})
        elif of.fault == "silent":
            time.sleep(3)
        else:
            return False
        return True

    def _answer(self, body: dict[str, Any]) -> None:
        of = self._of
        config = of.instances.get(body["model"])
        if config is None:
            self._say(404, _error(f"Model {body['model']!r} not found", "model_not_found"))
            return
        context = config["context_length"]
        try:
            asked, said = words_of(body)
        except ValueError as error:
            self._say(400, {"error": str(error)})
            return
        if asked > context and of.fault != "nothing said":
            text = recorded.TOO_LONG.format(asked=asked, context=context)
            self._say(400, {"error": text})
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        try:
            for event in events_of(of.fault, body, asked, said, context):
                self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
            self.wfile.write(b"data: [DONE]\n\n" if of.fault != "broken off" else b"")
        except OSError:
            return  # nobody listens any more

    def _say(self, status: int, value: Any) -> None:
        self._write(status, json.dumps(value).encode(), "application/json")

    def _write(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Nothing is printed."""


def _error(message: str, code: str) -> dict[str, Any]:
    return {"error": {"type": "invalid_request", "code": code, "message": message}}
